"""The whole pipeline: one model from files to estimates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hubvram.architecture.reconcile import Status
from hubvram.dtypes import SAFETENSORS_BITS
from hubvram.errors import ConfigError, NoCheckpointError, UnsupportedOptionError, UsageError
from hubvram.hardware.accelerators import ACCELERATORS, Accelerator, limit
from hubvram.inspection import DEFAULT_PRECISIONS, Inspection, inspect, inspect_model, read_model
from hubvram.inspection.notes import workload_notes
from hubvram.memory.weights import STORED
from hubvram.memory.workload import Attention
from hubvram.sources.local import LocalSource
from hubvram.sources.snapshot import StoredTensor, header_bytes
from hubvram.units import GIB, MIB
from tests.samples import (
    MEASURED,
    NAMES,
    SMALL_BART,
    SMALL_LLAMA,
    architecture_of,
    fixture_model,
    folder_without_headers,
    llama_tensors,
    small_llama,
    workload_of,
)

LLAMA_70B = "meta-llama--Llama-3.1-70B"
SMALL = small_llama()


def write_model(
    folder: Path,
    config: Mapping[str, Any] | None = SMALL_LLAMA,
    *,
    dtype: str = "BF16",
    extra: Mapping[str, tuple[int, ...]] | None = None,
    dtypes: Mapping[str, str] | None = None,
) -> Path:
    """A folder with the tensors of a small llama: a header, and holes where the data would be."""
    shapes = {**llama_tensors(SMALL), **(extra or {})}
    tensors = [
        StoredTensor(name=name, dtype=(dtypes or {}).get(name, dtype), shape=shape) for name, shape in shapes.items()
    ]
    header = header_bytes(tensors, {"format": "pt"})
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(header)
        stream.truncate(len(header) + sum(tensor.data_bytes for tensor in tensors))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(dict(config)), encoding="utf-8")
    return folder


# ------------------------------------------------------------------------------------ a fixture


def test_without_a_wish_the_usual_precisions_stand_side_by_side() -> None:
    found = inspect_model(fixture_model(LLAMA_70B), workload_of(8192))
    assert [estimate.precision for estimate in found.estimates] == list(DEFAULT_PRECISIONS)
    assert DEFAULT_PRECISIONS == ("stored", "fp32", "bf16", "int8", "int4")
    assert found.requested_precisions == ()
    assert found.stored_estimate == found.estimates[0]
    assert found.attention is Attention.SDPA
    assert found.notes == ()


def test_every_estimate_is_held_against_every_accelerator() -> None:
    found = inspect_model(fixture_model(LLAMA_70B), workload_of(8192))
    assert len(found.fits) == len(found.estimates)
    for verdicts in found.fits:
        assert [verdict.accelerator.name for verdict in verdicts] == list(ACCELERATORS)
    fitting = {
        estimate.precision: [verdict.accelerator.name for verdict in verdicts if verdict.fits]
        for estimate, verdicts in zip(found.estimates, found.fits, strict=True)
    }
    # 131 GiB in bf16 and 67 in int8 with 2.5 GiB of cache and 1.8 of activations; 36 in int4.
    assert fitting == {
        "stored": ["h200-141gb", "b200-180gb"],
        "fp32": [],
        "bf16": ["h200-141gb", "b200-180gb"],
        "int8": ["a100-80gb", "h100-80gb", "h200-141gb", "b200-180gb"],
        "int4": ["l40s-48gb", "a100-80gb", "h100-80gb", "h200-141gb", "b200-180gb"],
    }


def test_precisions_that_are_asked_for_keep_their_order() -> None:
    found = inspect_model(fixture_model(LLAMA_70B), workload_of(8192), ("int4", "stored", "fp8"))
    assert [estimate.precision for estimate in found.estimates] == ["int4", "stored", "fp8"]
    assert found.stored_estimate.precision == STORED


def test_one_accelerator_settles_the_workspace() -> None:
    h100 = ACCELERATORS["h100-80gb"]
    (runtime,) = (
        component
        for component in inspect_model(fixture_model(LLAMA_70B), workload_of(64), ("int4",), (h100,))
        .estimates[0]
        .components
        if component.name == "runtime"
    )
    assert runtime.low_bytes == 287_047_680 + 32 * MIB
    assert runtime.high_bytes == 666_632_192 + 32 * MIB


@pytest.mark.parametrize("name", NAMES)
def test_every_fixture_has_a_whole_answer(name: str) -> None:
    model = fixture_model(name)
    found = inspect_model(model, workload_of(256))
    known = name in MEASURED
    cached = model.model_type != "bert"  # which keeps nothing
    packed = found.stored_estimate.scheme.startswith(("f8", "u8"))
    for estimate in (*found.estimates, found.stored_estimate):
        assert estimate.is_complete == known
        assert (estimate.size_of("activations") > 0) == known
        assert (estimate.size_of("kv_cache") + estimate.size_of("state") > 0) == cached
        assert estimate.size_of("weights") > 0
        assert (estimate.nominal_weight_bytes is None) == (packed and estimate.precision == "stored")
    assert any("activations is not known yet" in note for note in found.notes) != known
    assert found.model.revision is None or len(found.model.revision) == 40


def test_a_context_beyond_what_the_model_was_made_for_is_noted() -> None:
    model = fixture_model("EleutherAI--pythia-160m")
    inside, beyond = (inspect_model(model, workload_of(tokens)) for tokens in (2048, 2049))
    assert inside.notes == model.notes
    assert beyond.notes == (*model.notes, "2,049 tokens are more than the 2,048 that the model was made for")


def test_each_side_is_made_for_tokens_of_its_own() -> None:
    bart = architecture_of({"model_type": "bart", "d_model": 64, "vocab_size": 100, "max_position_embeddings": 50})
    both = "the encoder reads the {:,} tokens of input, the decoder makes the {:,} behind"
    assert tuple(workload_notes(bart, workload_of(100, input_tokens=50))) == (both.format(50, 50),)
    assert tuple(workload_notes(bart, workload_of(102, input_tokens=51))) == (
        "51 tokens are more than the 50 that the model was made for",
        "51 tokens are more than the 50 that its encoder was made for",
        both.format(51, 51),
    )


def test_one_padded_sequence_has_none_to_be_padded_for() -> None:
    llama = architecture_of({"model_type": "llama"})
    (note,) = workload_notes(llama, workload_of(100, padded=True))
    assert "rounded up" in note
    assert not tuple(workload_notes(llama, workload_of(100, padded=True, batch_size=2)))


def test_patches_that_an_encoder_adds_are_said() -> None:
    udop = architecture_of({"model_type": "udop", "d_model": 64, "image_size": 32, "patch_size": 16})
    assert tuple(workload_notes(udop, workload_of(100, input_tokens=50))) == (
        "the encoder reads the 50 tokens of input and the 4 patches of an image, the decoder makes the 50 behind",
    )


def test_learned_positions_end_where_their_table_does() -> None:
    model = fixture_model("openai-community--gpt2")
    inspect_model(model, workload_of(1024))
    with pytest.raises(UnsupportedOptionError, match="1,024 learned positions"):
        inspect_model(model, workload_of(1025))


def test_what_the_files_do_not_bear_out_cannot_be_said_to_fit(tmp_path: Path) -> None:
    folder = write_model(tmp_path, {**SMALL_LLAMA, "num_hidden_layers": 40})
    found = inspect(str(folder), precisions=("int4",), accelerators=(EVERYWHERE,))
    assert found.model.reconciliation.status is Status.UNRECONCILED
    assert found.gate is None
    assert all(component.size_bytes > 0 for component in found.estimates[0].components)
    assert inspect(str(folder), precisions=("int4",), accelerators=(NOWHERE,)).gate is False


# -------------------------------------------------------------------------------------- the gate

NOWHERE = limit(1, "nothing")
EVERYWHERE = limit(10**15, "plenty")
MIDDLE = limit(80 * GIB, "80 GiB")


def gate(precisions: tuple[str, ...], accelerators: tuple[Accelerator, ...]) -> bool | None:
    return inspect_model(fixture_model(LLAMA_70B), workload_of(8192), precisions, accelerators).gate


def test_without_an_accelerator_nothing_fails() -> None:
    assert gate((), ()) is True
    assert gate(("fp32",), ()) is True


def test_the_stored_precision_decides_where_none_is_asked_for() -> None:
    assert gate((), (MIDDLE,)) is False
    assert gate((), (EVERYWHERE,)) is True


def test_any_precision_that_is_asked_for_can_fail() -> None:
    assert gate(("int4",), (MIDDLE,)) is True
    assert gate(("int4", "bf16"), (MIDDLE,)) is False


def test_every_accelerator_that_is_asked_for_counts() -> None:
    assert gate(("int4",), (EVERYWHERE, NOWHERE)) is False


# ----------------------------------------------------------------------------- unknown and wrong


def test_a_folder_is_read_like_a_repo(tmp_path: Path) -> None:
    model = read_model(LocalSource(write_model(tmp_path)))
    assert model.reconciliation.status is Status.RECONCILED
    assert model.model_id == str(tmp_path)
    assert (model.revision, model.requested_revision) == (None, None)
    assert model.library == "transformers"
    assert model.active_parameters == SMALL.parameters
    assert model.notes == ()


def test_an_unknown_model_type_has_exact_weights_and_no_invented_cache(tmp_path: Path) -> None:
    model = read_model(LocalSource(write_model(tmp_path, {"model_type": "never_heard_of"})))
    assert model.architecture is None
    assert model.reconciliation.status is Status.UNKNOWN_ARCHITECTURE
    assert model.reconciliation.total == SMALL.parameters
    assert model.active_parameters == SMALL.parameters
    assert model.notes == (
        "model type 'never_heard_of' is not one that hubvram understands yet (num_attention_heads: it is missing, and "
        "its model type has no default for it): weights are exact, KV cache and activations unknown",
    )
    found = inspect_model(model, workload_of(64))
    assert found.attention is None
    assert [estimate.precision for estimate in found.estimates] == list(DEFAULT_PRECISIONS)
    for estimate in found.estimates:
        assert not estimate.is_complete
        assert [component.name for component in estimate.components] == ["weights", "runtime"]
    assert found.stored_estimate.size_of("weights") == 2 * SMALL.parameters
    assert all(verdict.fits is None for verdict in found.fits[0])
    assert inspect_model(model, workload_of(64), (), (EVERYWHERE,)).gate is None
    assert inspect_model(model, workload_of(64), (), (NOWHERE,)).gate is False


def test_a_config_without_a_model_type(tmp_path: Path) -> None:
    model = read_model(LocalSource(write_model(tmp_path, {})))
    assert (model.model_type, model.library) == (None, None)
    assert model.notes[0].startswith("the config names no model type; it is not one that hubvram understands yet")


def test_a_model_without_a_config(tmp_path: Path) -> None:
    model = read_model(LocalSource(write_model(tmp_path, None)))
    assert model.notes == ("there is no config.json: weights are exact, dimensions and caches unknown",)
    assert model.reconciliation.total == SMALL.parameters
    assert (model.model_type, model.architectures, model.architecture) == (None, (), None)
    assert not inspect_model(model, workload_of(64)).stored_estimate.is_complete


def test_a_broken_config_is_an_error_and_not_an_unknown_model(tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="it is not JSON"):
        read_model(LocalSource(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "llama", "hidden_size": "wide"}', encoding="utf-8")
    with pytest.raises(ConfigError, match="hidden_size: expected an integer"):
        read_model(LocalSource(tmp_path))


def test_a_config_without_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(dict(SMALL_LLAMA)), encoding="utf-8")
    with pytest.raises(NoCheckpointError):
        read_model(LocalSource(tmp_path))


def test_an_unreconciled_model_says_so_and_by_how_much(tmp_path: Path) -> None:
    model = read_model(LocalSource(write_model(tmp_path, extra={"model.layers.0.mlp.extra.weight": (3, 5)})))
    assert model.reconciliation.status is Status.UNRECONCILED
    assert model.notes == ("NOT reconciled: the files hold mlp +15 compared with config.json; dimensions may be wrong",)


def test_what_is_stored_beside_the_parameters_is_noted(tmp_path: Path) -> None:
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    model = read_model(LocalSource(write_model(tmp_path, extra={name: (8,)}, dtypes={name: "F32"})))
    assert model.reconciliation.status is Status.RECONCILED
    assert model.notes == (
        "stored, but not counted: rotary frequencies, 8 elements in 1 tensor (a buffer that the model's code rebuilds)",
    )


def test_a_text_model_beside_others_is_noted(tmp_path: Path) -> None:
    config = {"model_type": "larger", "text_config": dict(SMALL_LLAMA)}
    model = read_model(LocalSource(write_model(tmp_path, config, extra={"vision_tower.proj.weight": (10, 10)})))
    assert model.model_type == "larger"
    assert model.reconciliation.status is Status.RECONCILED
    assert model.notes == (
        "model type 'larger' is not one that hubvram understands yet: this is the llama inside it",
        "accounted for: vision tower, +100 (beside the text model, counted as stored)",
        "dimensions, KV cache and activations are the text model's; images and sound would add to them",
    )


def test_a_quantized_model_is_noted(tmp_path: Path) -> None:
    config = {**SMALL_LLAMA, "quantization_config": {"quant_method": "awq"}}
    packed = dict.fromkeys((name for name in llama_tensors(SMALL) if "_proj" in name), "I8")
    model = read_model(LocalSource(write_model(tmp_path, config, dtypes=packed)))
    assert model.reconciliation.status is Status.QUANTIZED
    assert model.quantization_method == "awq"
    assert model.notes[0].startswith("quantized (awq): stored bytes are exact")
    found = inspect_model(model, workload_of(64))
    assert found.stored_estimate.is_complete
    assert found.stored_estimate.nominal_weight_bytes is None
    # The projections of the layers at one byte; embedding, head and norms at two.
    kept = 2 * 6400 + 5 * 64
    assert found.stored_estimate.size_of("weights") == SMALL.parameters - kept + 2 * kept


def test_packed_tensors_without_a_method(tmp_path: Path) -> None:
    model = read_model(LocalSource(write_model(tmp_path, dtypes={"model.layers.0.mlp.up_proj.weight": "F8_E4M3"})))
    assert model.reconciliation.status is Status.RECONCILED
    assert model.quantization_method == "fp8"
    assert model.notes == (
        "no configuration says that weights are packed; by the tensors it is fp8",
        "1 tensor (model.layers.0.mlp.up_proj.weight) is packed without all the scales that such files have",
    )


def test_packed_in_no_known_way_and_without_a_method(tmp_path: Path) -> None:
    model = read_model(LocalSource(write_model(tmp_path, dtypes={"model.layers.0.mlp.up_proj.weight": "I16"})))
    assert model.notes[0].startswith("quantized (packed tensors): ")
    assert model.quantization is None


@pytest.mark.parametrize(("dtype", "name"), [("F16", "fp16"), ("BF16", "bf16"), ("F32", "fp32"), ("F64", "fp64")])
def test_the_stored_type_is_computed_in(tmp_path: Path, dtype: str, name: str) -> None:
    model = read_model(LocalSource(write_model(tmp_path, dtype=dtype)))
    assert (model.stored.scheme, model.stored.compute_dtype) == (name, name)
    stored = inspect_model(model, workload_of(64)).stored_estimate
    assert stored.size_of("weights") == SMALL.parameters * SAFETENSORS_BITS[dtype] // 8
    assert stored.kv_cache_dtype == name
    # 2 layers x 64 elements of K and V a token.
    assert stored.size_of("kv_cache") == 64 * 2 * 64 * SAFETENSORS_BITS[dtype] // 8


# ----------------------------------------------------------------------------------- the context


@pytest.fixture
def small(tmp_path: Path) -> str:
    """A small llama in a folder, made for 100,000 tokens."""
    return str(write_model(tmp_path, {**SMALL_LLAMA, "max_position_embeddings": 100_000}))


def test_the_default_context(tmp_path: Path) -> None:
    short = write_model(tmp_path, {**SMALL_LLAMA, "max_position_embeddings": 77})
    found = inspect(str(short))
    assert (found.workload.context_tokens, found.workload.input_tokens, found.workload.batch_size) == (77, 77, 1)


def test_the_default_context_is_8192_where_the_model_takes_more(small: str) -> None:
    assert inspect(small).workload.context_tokens == 8192


def test_the_default_context_of_an_unknown_model(tmp_path: Path) -> None:
    assert inspect(str(write_model(tmp_path, None))).workload.context_tokens == 8192


@pytest.mark.parametrize(("context", "tokens"), [("max", 100_000), ("8k", 8192), (1000, 1000), ("1000", 1000)])
def test_a_context_in_words_and_numbers(small: str, context: int | str, tokens: int) -> None:
    assert inspect(small, context=context).workload.context_tokens == tokens


def test_the_prompt_can_be_a_part(small: str) -> None:
    found = inspect(small, context=1000, input_tokens=10, batch_size=3, kv_cache_dtype="fp8", precisions=("BF16",))
    assert found.workload == workload_of(1000, input_tokens=10, batch_size=3, kv_cache_dtype="fp8")
    assert [estimate.precision for estimate in found.estimates] == ["bf16"]


@pytest.mark.parametrize(
    ("options", "context_tokens"),
    [
        ({}, 50),  # All is input.
        ({"context": "max"}, 50),
        ({"input_tokens": 20}, 70),  # The decoder starts anew.
        ({"input_tokens": 20, "context": "max"}, 70),
        ({"context": "fit", "accelerators": (EVERYWHERE,)}, 50),
    ],
)
def test_a_context_is_at_most_what_each_side_takes(
    tmp_path: Path, options: Mapping[str, Any], context_tokens: int
) -> None:
    found = inspect(folder_without_headers(tmp_path, SMALL_BART), **options)
    assert found.workload.context_tokens == context_tokens
    more = {"input_tokens": options["input_tokens"]} if "input_tokens" in options else {}
    with pytest.raises(UnsupportedOptionError, match="has 50 learned positions"):
        inspect(str(tmp_path), context=context_tokens + 1, **more)


def longest(model: str, accelerator: Accelerator, **options: Any) -> Inspection:
    return inspect(model, context="fit", accelerators=(accelerator,), **options)


def fits(found: Inspection, tokens: int, accelerator: Accelerator, precision: str) -> bool:
    workload = workload_of(tokens, input_tokens=min(found.workload.input_tokens, tokens))
    if found.workload.input_tokens == found.workload.context_tokens:
        workload = workload_of(tokens)
    ((verdict,),) = inspect_model(found.model, workload, (precision,), (accelerator,)).fits
    return verdict.fits is True


@pytest.mark.parametrize("mib", [690, 700, 720, 780])
@pytest.mark.parametrize("precision", ["stored", "fp32", "int4"])
@pytest.mark.parametrize("input_tokens", [None, 16])
def test_the_longest_context_fits_and_one_more_token_does_not(
    small: str, mib: int, precision: str, input_tokens: int | None
) -> None:
    accelerator = limit(mib * MIB, f"{mib} MiB")
    found = longest(small, accelerator, precisions=(precision,), input_tokens=input_tokens)
    tokens = found.workload.context_tokens
    assert fits(found, tokens, accelerator, precision)
    assert tokens == 100_000 or not fits(found, tokens + 1, accelerator, precision)


def test_the_longest_context_is_at_most_the_model_s_own(small: str) -> None:
    assert longest(small, EVERYWHERE).workload.context_tokens == 100_000


def test_where_nothing_fits_the_shortest_context_is_shown_not_fitting(small: str) -> None:
    found = longest(small, NOWHERE)
    assert found.workload.context_tokens == 1
    assert found.gate is False
    assert longest(small, NOWHERE, input_tokens=50).workload.context_tokens == 50


def test_the_longest_context_is_one_with_which_all_precisions_fit(small: str) -> None:
    # In fp32 weights, cache and activations are twice as large.
    accelerator = limit(720 * MIB, "720 MiB")
    by_precision = [
        longest(small, accelerator, precisions=order).workload.context_tokens
        for order in (("bf16",), ("fp32",), ("fp32", "bf16"), ("bf16", "fp32"))
    ]
    assert by_precision[0] > by_precision[1] == by_precision[2] == by_precision[3]


def test_what_fits_a_gpu_does_not_depend_on_others(small: str) -> None:
    # The workspace is 8 MiB on a T4, 32 MiB on an H100.
    def headroom(*gpus: str) -> int:
        found = inspect(small, precisions="bf16", accelerators=gpus)
        return next(fit for fit in found.fits[0] if fit.accelerator.name == "t4-16gb").headroom_bytes

    assert headroom("t4") == headroom("t4", "h100") == headroom("h100", "t4") == headroom("t4", "t4") == headroom()


def test_a_fit_needs_something_to_fit(small: str) -> None:
    with pytest.raises(UsageError, match="--context fit needs a GPU"):
        inspect(small, context="fit")


def test_an_unknown_model_has_no_longest_context(tmp_path: Path) -> None:
    folder = str(write_model(tmp_path, {"model_type": "never_heard_of", "max_position_embeddings": 100}))
    with pytest.raises(UsageError, match="--context max: ") as caught:
        inspect(folder, context="max", accelerators=(EVERYWHERE,))
    assert caught.value.hint == "give a number"
    found = inspect(folder, context="fit", accelerators=(EVERYWHERE,))
    assert found.gate is None
    assert any(note.startswith("--context fit: no context can be said to fit") for note in found.notes)


def test_what_cannot_be_used_is_said_before_anything_is_read(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nothing" / "here")
    with pytest.raises(UsageError, match="'int3' is no precision"):
        inspect(nowhere, precisions=("bf16", "int3"))
    with pytest.raises(UsageError, match="'int8' is no KV cache precision"):
        inspect(nowhere, kv_cache_dtype="int8")


def test_progress_is_reported(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    inspect(str(write_model(tmp_path)), on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 1)]


def test_what_speaks_says_what_is_not_counted_of_it() -> None:
    small = {"model_type": "moshi", "audio_vocab_size": 50, "depth_decoder_config": {"num_hidden_layers": 1}}
    alone, whole = (
        architecture_of({**small, "architectures": [f"MoshiFor{what}"]})
        for what in ("CausalLM", "ConditionalGeneration")
    )
    assert not tuple(workload_notes(alone, workload_of(100)))
    (note,) = workload_notes(whole, workload_of(100))
    assert "depth decoder" in note and "codec" in note
