"""Run an encoder and its decoder, small, and measure: needs torch and transformers for all but the first of these.

`python -m tests.peaks.both_sides [TYPE...]` shows what is said beside what was measured; with `--run`, measures anew
and records; `--alive TYPE VARIANT ATTENTION` shows what encoder, first step and a later one hold at their peaks.
TYPE+NAME is a second config of a type.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from hubvram.memory.engines.transformers_sides import SIDES, SIDES_ELSEWHERE
from tests.arguments import asked
from tests.peaks.both_sides_record import SHAPES, VARIANTS, WHOLES, Record, Row, compared, recorded, varied, write
from tests.peaks.pairs import OF_TWO, PAIRS, read_by
from tests.peaks.prompted import PROMPTED, embedded
from tests.peaks.record import ROUTERS, type_of

_SIZES = {
    "max_position_embeddings": 256,
    "max_source_positions": 256,
    "max_encoder_position_embeddings": 256,
    "max_decoder_position_embeddings": 256,
    "conv_channels": 32,
    "src_vocab_size": 128,
    "tgt_vocab_size": 128,
}
"""In place of a type's own, or of those for other tests."""
_WINDOW = {"sliding_window": 100}
_CHANGES: Mapping[str, Mapping[str, Any]] = {
    "moonshine": {"hidden_size": 80, "pad_head_dim_to_multiple_of": 8},  # so that heads of 20 are filled up
    "t5+head": {"num_heads": 1, "d_model": 256},
    "umt5+head": {"num_heads": 1, "d_model": 256},
    "led": {"attention_window": 16},
    "pegasus_x": {"block_size": 16, "num_global_tokens": 8},
    "pegasus_x+plain": {"block_size": 32, "num_global_tokens": 32, "stagger_local_blocks": False},
    "longt5": {"local_radius": 15},
    "longt5+sums": {
        "local_radius": 7,
        "global_block_size": 4,
        "encoder_attention_type": "transient-global",
        "feed_forward_proj": "gated-gelu",
    },
    "bigbird_pegasus+sparse": {"block_size": 3, "num_random_blocks": 2},
    "led+windows": {"attention_window": [32, 128]},
    # Streams whose masks are more than the tables; positions so few that these are less than what sequences hold.
    "prophetnet+streams": {"ngram": 9},
    "prophetnet+few": {"hidden_size": 256, "max_position_embeddings": 84},
    "prophetnet+words": {"vocab_size": 65536, "max_position_embeddings": 84},
    "prophetnet+one": {"hidden_size": 256, "max_position_embeddings": 84, "ngram": 1, "num_buckets": 16},
    "nllb-moe": {"encoder_sparse_step": 2, "decoder_sparse_step": 2},
    "switch_transformers+many": {"num_experts": 128, "expert_capacity": 16},
    "pix2struct": {"vision_config": {"patch_embed_hidden_size": 48, "seq_len": 256, "d_kv": 16}},
    "pix2struct+large": {
        "text_config": {"num_heads": 6, "hidden_size": 96, "vocab_size": 16384},
        "vision_config": {"patch_embed_hidden_size": 200, "seq_len": 256, "d_kv": 16, "hidden_size": 96},
    },
    "udop+large": {"image_size": 112, "d_model": 512, "feed_forward_proj": "gated-gelu"},
    "t5gemma+unequal": {"encoder": {**_WINDOW, "hidden_size": 96, "num_attention_heads": 6}, "decoder": _WINDOW},
    "t5gemma2+wide_window": {"encoder": {"text_config": _WINDOW}, "decoder": _WINDOW},
}
"""Name of a record -> what else is not a type's default."""


def inputs_of(model: Any, batch_size: int, tokens: int) -> dict[str, Any]:
    """What the encoder reads: token ids, or as much sound as it always takes."""
    import torch

    loaded = torch.float32 if model.dtype is torch.float32 else torch.bfloat16
    if model.config.model_type in OF_TWO:
        return read_by(model, batch_size, tokens)
    if model.config.model_type == "whisper":
        shape = (batch_size, model.config.num_mel_bins, 2 * model.config.max_source_positions)
        return {"input_features": torch.zeros(shape, dtype=loaded)}
    if model.config.model_type == "speech_to_text":
        # Frames, of which two convolutions make a quarter.
        shape = (batch_size, 4 * tokens, model.config.input_feat_per_channel)
        return {"input_features": torch.zeros(shape, dtype=loaded)}
    if model.config.model_type == "moonshine":
        samples = tokens
        for kernel, step in ((3, 2), (7, 3), (127, 64)):
            samples = (samples - 1) * step + kernel
        return {"input_values": torch.rand(batch_size, samples, dtype=loaded)}
    if model.config.model_type == "udop":
        return _page(model, batch_size, tokens)
    if model.config.model_type == "pix2struct":
        # Patches, with a row and a column each.
        shape = (batch_size, tokens, 2 + model.config.vision_config.patch_embed_hidden_size)
        return {"flattened_patches": torch.ones(shape, dtype=model.dtype)}
    return {"input_ids": _ids(batch_size, tokens)}


def _ids(batch_size: int, tokens: int) -> Any:
    import torch

    return torch.arange(batch_size * tokens).reshape(batch_size, tokens) % 100 + 3


def _page(model: Any, batch_size: int, tokens: int) -> dict[str, Any]:
    """Words with their places, and the image that they stand on, as a processor makes them."""
    import torch

    ids, side = _ids(batch_size, tokens), model.config.image_size
    pixels = torch.rand(batch_size, model.config.num_channels, side, side, dtype=model.dtype)
    places = ids[..., None].repeat(1, 1, 4)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "bbox": places, "pixel_values": pixels}


def measured(model: Any, batch_size: int, tokens: int, *, explain: bool = False) -> tuple[Any, ...]:
    """((a forward's peak, bytes of input and less of cache) of the encoder, the first step, and a later one).

    The decoder starts from one token; half as many as the input has are answered before the later step.
    """
    import torch

    from tests.caches.kinds import TOKEN_BY_TOKEN
    from tests.caches.runs import tensors_in
    from tests.peaks.live import Live, held_by

    inputs, encoder = inputs_of(model, batch_size, tokens), model.get_encoder()
    kept = embedded(model, inputs["input_ids"]) if _is_prompted(model) else ()
    reads = {"inputs_embeds": kept[0]} if kept else inputs
    masked = {name: mask for name, mask in inputs.items() if name == "attention_mask"}
    first, more = torch.full((batch_size, 1), 5), torch.full((batch_size, tokens // 2), 5)
    known = [*model.parameters(), *model.buffers(), *inputs.values(), first, more]
    encode, prefill, decode = (Live(known, explain=explain) for _ in range(3))
    with torch.no_grad():
        encode.start_with(kept)
        with encode:
            said = encoder(**reads)
        prefill.start_with([*tensors_in(said), *kept])
        with prefill:
            output = model(encoder_outputs=said, decoder_input_ids=first, use_cache=True, **masked)
        cache = output.past_key_values
        after_prefill = held_by(tensors_in(cache))
        # A window that is given many tokens at once keeps the storage of all of them.
        each = any(cache.self_attention_cache.is_sliding) or model.config.model_type in TOKEN_BY_TOKEN
        for ids in more.split(1, dim=1) if each else (more,):
            output = model(encoder_outputs=said, decoder_input_ids=ids, past_key_values=cache, use_cache=True, **masked)
        del output, ids
        gc.collect()
        decode.start_with([*tensors_in(said), *tensors_in(cache), *kept])
        with decode:
            model(encoder_outputs=said, decoder_input_ids=first, past_key_values=cache, use_cache=True, **masked)
    given, token = sum(tensor.nbytes for tensor in inputs.values()), 8 * batch_size
    after_decode = held_by(tensors_in(cache))
    answered = token * (2 + tokens // 2)
    return (encode, given), (prefill, given + token - after_prefill), (decode, given + answered - after_decode)


def _allocator_peak(model: Any, batch_size: int, tokens: int) -> int:
    """The encoder's by torch's profiler, which sees each allocation of the CPU's allocator."""
    import torch

    inputs, encoder = inputs_of(model, batch_size, tokens), model.get_encoder()
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.no_grad(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        kept = embedded(model, inputs["input_ids"]) if _is_prompted(model) else ()
        encoder(**({"inputs_embeds": kept[0]} if kept else inputs))
    total = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            total += event.nbytes()
            peak = max(peak, total)
    given: int = sum(tensor.nbytes for tensor in inputs.values())
    return peak + given


def merged(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The config with changes in place of what it says, also in the configs within it."""
    inner = {key: merged(config[key], value) for key, value in changes.items() if isinstance(value, Mapping)}
    return {**config, **changes, **inner}


def _config_of(name: str) -> dict[str, Any]:
    import transformers

    from tests.caches.build import values_of

    if name in WHOLES:
        whole, _, text = name.partition("+")
        return {**values_of(whole, {}), "text_config": {**_config_of(text), "model_type": text}}
    model_type = type_of(name)
    if model_type in OF_TWO:
        return {**PAIRS[name]}
    usual = transformers.CONFIG_MAPPING[model_type]().to_dict()
    heads = {"d_kv": 16} if "d_kv" in usual else {}
    sizes = {key: value for key, value in _SIZES.items() if key in usual}
    always = {"max_source_positions": 60} if model_type == "whisper" else {}
    return merged({**values_of(model_type, {}), **sizes, **heads, **always}, _CHANGES.get(name, {}))


def model_with(model_type: str, config: Mapping[str, Any], attention: str, dtype: str = "bf16") -> Any:
    """The class as `from_pretrained` loads it in a type. Raises ValueError for an attention that it does not have."""
    import torch

    from tests.caches.build import class_of, config_of
    from tests.peaks.runs import send_all_to_the_first_experts

    torch.manual_seed(0)
    name = type_of(model_type)
    found, model_class = config_of(name, config, both_sides=True), class_of(name, both_sides=True)
    loaded = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[dtype]
    # One of two takes another by itself on a side that has not sdpa, but refuses to be asked for it.
    asked = {} if name in OF_TWO and attention == "sdpa" else {"attn_implementation": attention}
    model = model_class._from_config(found, dtype=loaded, **asked).eval()
    kept = model._keep_in_fp32_modules if dtype == "fp16" else ()
    for path, parameter in model.named_parameters():
        if set(path.split(".")) & set(kept):
            parameter.data = parameter.data.float()
    if name in ROUTERS:
        send_all_to_the_first_experts(model, ROUTERS[name])
    for path, module in model.named_modules():
        if path.endswith("router.classifier"):  # As its first forward leaves it.
            module.float()
    if name in PROMPTED:
        model.language_model.is_prompted = True
        return model.language_model
    return model


def _is_prompted(model: Any) -> bool:
    """Whether it is the text model of a class that embeds the prompt for it."""
    return getattr(model, "is_prompted", False)


def _rows(model_type: str, config: Mapping[str, Any]) -> Iterator[Row]:
    """In bf16; and without wide heads in fp16, if some weights stay fp32 then; and a few in fp32."""
    for variant in VARIANTS:
        if variant == "heads" and varied(config, "heads") == varied(config, "narrow"):
            continue
        for attention in ("sdpa", "eager"):
            try:
                model = model_with(model_type, varied(config, variant), attention)
            except ValueError:
                continue
            yield from _runs(model, "bf16", variant, attention)
            if model._keep_in_fp32_modules and variant != "heads":
                model = model_with(model_type, varied(config, variant), attention, "fp16")
                yield from _runs(model, "fp16", variant, attention)
    for variant in ("wide", "narrow"):
        for attention in ("sdpa", "eager"):
            try:
                model = model_with(model_type, varied(config, variant), attention, "fp32")
            except ValueError:
                continue
            yield from _runs(model, "fp32", variant, attention, SHAPES[:2])


def _runs(
    model: Any, dtype: str, variant: str, attention: str, shapes: tuple[tuple[int, int], ...] = SHAPES
) -> Iterator[Row]:
    for batch_size, tokens in shapes:
        peaks = [live.peak.total_bytes + more for live, more in measured(model, batch_size, tokens)]
        yield Row(
            dtype=dtype,
            variant=variant,
            attention=attention,
            batch_size=batch_size,
            tokens=tokens,
            encode_peak_bytes=peaks[0],
            prefill_peak_bytes=peaks[1],
            decode_peak_bytes=peaks[2],
            allocator_encode_bytes=_allocator_peak(model, batch_size, tokens),
        )


def _run(names: list[str]) -> None:
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    for name in names:
        config = _config_of(name)
        write(name, Record(config=config, rows=tuple(_rows(type_of(name), config))), versions)
        print("ran", name, file=sys.stderr)


def _alive(record: str, variant: str, attention: str) -> None:
    model = model_with(type_of(record), varied(_config_of(record), variant), attention)
    for name, (live, more) in zip(("encode", "prefill", "decode"), measured(model, 2, 40, explain=True), strict=True):
        print(f"{name}: {live.peak.total_bytes + more:,}, at {live.peak.at}")
        for held in live.peak.held:
            print(f"{held.storage_bytes:10,}  {held.storage_bytes / 160:8.2f}  {held.made_by}")


def _cells(row: Row, peaks: tuple[Any, ...]) -> Iterator[str]:
    real = (row.encode_peak_bytes, row.prefill_peak_bytes, row.decode_peak_bytes)
    for bytes_, peak in zip(real, peaks, strict=True):
        off = peak.total_bytes - bytes_
        yield f"{peak.phase:>20} {bytes_:>10} {off:>+8} {off / bytes_:>+8.2%}"


def show(names: list[str]) -> None:
    """What is said beside what was measured, of the named ones, or of all."""
    records = recorded()
    for name, row, peaks in compared({name: records[name] for name in names or records}):
        print(
            f"{name:20} {row.dtype} {row.variant:8} {row.attention:6} {row.batch_size}x{row.tokens:<4}",
            *_cells(row, peaks),
        )


def main() -> None:
    options, words = asked()
    if "--alive" in options:
        _alive(*words)
        return
    if "--run" in options:
        _run(words or [*SIDES, *{*SIDES_ELSEWHERE} - OF_TWO, *_CHANGES, *PAIRS, *WHOLES])
    show(words)


if __name__ == "__main__":
    main()
