"""Run `generate()` of a small model, and measure: needs torch and transformers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import torch

from hubvram.memory.engines.transformers_buffers import buffers
from hubvram.memory.engines.transformers_sides import UNPADDED
from tests.generation.record import Row, config_of, configs, dtype_of, has_two_sides, shapes_of, to_run
from tests.peaks import both_sides
from tests.peaks.encoders import encoder_with, measured_encoder, variants_of
from tests.peaks.live import Live
from tests.peaks.on_a_gpu import as_on_a_gpu
from tests.peaks.pairs import OF_TWO
from tests.peaks.prompted import PROMPTED
from tests.peaks.record import ENCODER_CODE, type_of, varied
from tests.peaks.runs import gathered_experts, model_with
from tests.samples import architecture_of


def measured(model: Any, row: Row, *, cache: str = "dynamic", explain: bool = False) -> Live:
    """One run. Buffers that no file holds count where classes make large ones."""
    inputs = _inputs_of(model, row)
    has_buffers = bool(buffers(architecture_of(model.config.to_dict()), 2))
    live = Live([*model.parameters(), *(() if has_buffers else model.buffers())], explain=explain)
    live.start_with([*inputs.values(), *(model.buffers() if has_buffers else ())])
    # As on a GPU (generation/utils.py).
    model._optimize_model_for_decode = lambda: gathered_experts(model)
    if not row.new_tokens:
        with torch.no_grad(), as_on_a_gpu(), live:
            model(**inputs, use_cache=True)
        return live
    options: dict[str, Any] = {"max_new_tokens": row.new_tokens, "eos_token_id": None, "pad_token_id": 0}
    if cache != "dynamic":
        options["cache_implementation"] = cache
    if has_two_sides(row.name):
        options |= _STARTS
    with torch.no_grad(), as_on_a_gpu(), live:
        model.generate(**inputs, do_sample=False, use_cache=True, **options)
    return live


_STARTS: Final = {
    "decoder_start_token_id": 5,
    **{"forced_bos_token_id": None, "forced_eos_token_id": None, "encoder_no_repeat_ngram_size": 0, "num_beams": 1},
}
"""Options of encoder-decoders: what the decoder starts from, and neither beams nor processors of logits, for which some
configs ask."""


def _inputs_of(model: Any, row: Row) -> dict[str, Any]:
    """Ids and their mask; or what is seen or heard. Decoders are padded to the left, encoders to the right."""
    if has_two_sides(row.name):
        inputs = both_sides.inputs_of(model, row.batch_size, row.prompt_tokens)
        if "input_ids" not in inputs:
            return inputs
        padding = slice(-_hidden(row.prompt_tokens), None)
    else:
        shape = (row.batch_size, row.prompt_tokens)
        inputs = {"input_ids": torch.arange(row.batch_size * row.prompt_tokens).reshape(shape) % 100 + 3}
        padding = slice(_hidden(row.prompt_tokens))
    mask = torch.ones_like(inputs["input_ids"])
    if row.padded:
        mask[0, padding] = 0
    return {**inputs, "attention_mask": mask, **_heard(model, row)}


def _heard(model: Any, row: Row) -> dict[str, Any]:
    """Sound for all tokens that are read: frames that `generate()` embeds, and a forward alone is given embedded."""
    config = model.config
    if config.model_type != "voxtral_realtime":
        return {}
    tokens, sound = row.prompt_tokens + max(row.new_tokens - 1, 0), config.audio_config
    if row.new_tokens:
        shape: tuple[int, ...] = (sound.num_mel_bins, tokens * config.audio_length_per_tok)
        return {"input_features": torch.zeros(row.batch_size, *shape, dtype=model.dtype)}
    shape = (tokens * config.downsample_factor, sound.hidden_size)
    return {"encoder_inputs_embeds": torch.zeros(row.batch_size, *shape, dtype=model.dtype)}


def _hidden(prompt_tokens: int) -> int:
    """How many tokens of the shortest prompt are padding."""
    return prompt_tokens // 4


_CANNOT: Final = ("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker", "recurrent_gemma", *PROMPTED)
"""Types whose own configs leave out what `generate()` needs; whose class keeps states in its modules, so that the first
run is another than the next; and wholes that insist on an image."""


def rows_of(name: str, cache: str = "dynamic") -> Iterator[Row]:
    """All runs of one of tests/peaks' records; none where its class has no `generate()`, or not with such a cache."""
    model_type, config = type_of(name), configs()[name]
    if model_type in ENCODER_CODE and cache == "dynamic":
        yield from _padded_encoder(name, config)
        return
    for shape in shapes_of(name, cache):
        for attention in ("sdpa", "eager"):
            row = to_run(name, attention, shape)
            try:
                model = small_model(row, config)
            except ValueError:
                continue
            if not hasattr(model, "generate") or model_type in _CANNOT:
                return
            for run in _with_padding(row):
                yield replace(run, peak_bytes=measured(model, run, cache=cache).peak.total_bytes)


def small_model(row: Row, config: Mapping[str, Any]) -> Any:
    """The class of one of tests/peaks' configs. Raises ValueError for an attention that it does not have."""
    if type_of(row.name) in OF_TWO and row.attention != "eager":
        raise ValueError("one of two takes another by itself on a side that has it not")
    model_type, values = type_of(row.name), config_of(config, row)
    if has_two_sides(row.name):
        return both_sides.model_with(model_type, values, row.attention)
    dtype = dtype_of(architecture_of({**values, "model_type": model_type}), row)
    return model_with(model_type, values, row.attention, dtype)


def _with_padding(row: Row) -> Iterator[Row]:
    """Without, and with some, where something is said of it."""
    yield row
    if row.new_tokens and _hidden(row.prompt_tokens) and type_of(row.name) not in UNPADDED:
        yield replace(row, padded=True)


def _padded_encoder(name: str, config: Mapping[str, Any]) -> Iterator[Row]:
    """A text encoder's forward over sequences of which one is padded; without, it is in tests/peaks."""
    if "masked-narrow" not in variants_of(type_of(name), config, "bf16"):
        return
    for attention in ("sdpa", "eager"):
        row = to_run(name, attention, ("masked-narrow", 2, 40, 0), padded=True)
        try:
            model = encoder_with(type_of(name), varied(config, row.variant), attention)
        except ValueError:
            continue
        live = measured_encoder(model, row.batch_size, row.prompt_tokens, padded=True)
        yield replace(row, peak_bytes=live.peak.total_bytes)
