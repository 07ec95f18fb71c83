"""A tiny model really runs: bytes of the storages in its cache after a prompt, and after tokens more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from typing import Any, Final

import torch
import transformers
from transformers.modeling_outputs import BaseModelOutput

from tests.caches.build import model_of, values_of, written
from tests.caches.record import BATCH, BOTH_DECODED, DECODED, TOKENS, Record, Run

IDS: Final = torch.arange(3, 3 + BATCH * TOKENS).reshape(BATCH, TOKENS)


def tensors_in(value: Any) -> Iterator[Any]:
    """K, V, an indexer's keys, states: whatever a layer holds, without its counters."""
    if isinstance(value, torch.Tensor):
        yield from _plain(value)
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(item)
    elif type(value).__module__.startswith("transformers") and not isinstance(value, transformers.PreTrainedConfig):
        yield from tensors_in(vars(value))


def _plain(tensor: Any) -> Iterator[Any]:
    """What a tensor is made of that stands for others (quanto's), else itself; nothing for counters."""
    inner = tensor.__tensor_flatten__()[0] if hasattr(tensor, "__tensor_flatten__") else ()
    for name in inner:
        yield from _plain(getattr(tensor, name))
    if not inner and tensor.dim() > 1:
        yield tensor


def held_bytes(cache: Any) -> int:
    """Storages are counted, so that a view counts as what it keeps alive."""
    tensors = list(tensors_in(cache))
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


_CACHES: Final = ("past_key_values", "cache_params", "state", "past_buckets_states")
"""How outputs call it."""


def _step(model: Any, name: str | None, cache: Any, **inputs: Any) -> tuple[str | None, Any]:
    """(what the output calls the cache, the cache); None where the class has none."""
    given = {} if name is None else {name: cache}
    output = model(**inputs, **given, use_cache=True)
    name = name or next((name for name in _CACHES if getattr(output, name, None) is not None), None)
    return name, None if name is None else getattr(output, name)


def decoder_bytes(model: Any) -> list[int]:
    """After a prompt, and after each of some more tokens."""
    own = _OWN_STEPS.get(model.config.model_type)
    if own is not None:
        return own(model)
    with torch.no_grad():
        name, cache = _step(model, None, None, input_ids=IDS)
        found = [held_bytes(cache)]
        for _ in range(DECODED):
            _, cache = _step(model, name, cache, input_ids=IDS[:, :1])
            found.append(held_bytes(cache))
    return found


def _recurrent_gemma_bytes(model: Any) -> list[int]:
    """Its output does not give back the cache that `generate` hands in, and states are kept in the modules."""
    cache = transformers.DynamicCache(config=model.config)
    found = []
    with torch.no_grad():
        for step in range(1 + DECODED):
            ids = IDS[:, :1] if step else IDS
            positions = torch.arange(ids.shape[1])[None] + (TOKENS + step - 1 if step else 0)
            model(input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True)
            found.append(held_bytes([cache, states_in(model)]))
    return found


def generated_bytes(model: Any, ids: Any, made: int, **options: Any) -> list[int]:
    """After each token that `generate` makes."""
    found: list[int] = []
    update = model._update_model_kwargs_for_generation

    def updated(outputs: Any, *rest: Any, **named: Any) -> Any:
        found.append(held_bytes(list(outputs.get("mems") or [outputs.past_key_values])))
        return update(outputs, *rest, **named)

    model._update_model_kwargs_for_generation = updated
    with torch.no_grad():
        model.generate(
            ids, max_new_tokens=made, do_sample=False, num_beams=1, pad_token_id=0, eos_token_id=None, **options
        )
    del model._update_model_kwargs_for_generation
    return found


def _whole_text_bytes(model: Any) -> list[int]:
    """Of those that are handed more than the last token."""
    return generated_bytes(model, IDS, 1 + DECODED)


def _xlnet_bytes(model: Any) -> list[int]:
    """It runs in fp32 only; half of that is what is said of 16 bit."""
    return [held // 2 for held in _whole_text_bytes(model.float())]


def _voxtral_bytes(model: Any) -> list[int]:
    """With as much sound for each token as the model is made for."""
    caches: dict[str, Any] = {}
    found = []
    with torch.no_grad():
        for step in range(1 + DECODED):
            ids = IDS[:, :1] if step else IDS
            heard = _zeros(model.config.downsample_factor * ids.shape[1], model.config.audio_config.hidden_size)
            output = model(ids, encoder_inputs_embeds=heard, num_delay_tokens=6, use_cache=True, **caches)
            caches = {name: output[name] for name in ("past_key_values", "encoder_past_key_values", "padding_cache")}
            found.append(held_bytes(list(caches.values())))
    return found


_OWN_STEPS: Final[Mapping[str, Callable[[Any], list[int]]]] = {
    "cpmant": _whole_text_bytes,
    "recurrent_gemma": _recurrent_gemma_bytes,
    "voxtral_realtime": _voxtral_bytes,
    "xlnet": _xlnet_bytes,
}
"""Types whose steps are not those of others."""


def states_in(model: Any) -> list[Any]:
    """What modules keep of their own."""
    return [vars(module).get(name) for module in model.modules() for name in ("conv1d_state", "recurrent_states")]


def source_of(model: Any) -> Any:
    """What the encoder says of tokens, or of as much sound as it always takes; else anything of the right width."""
    encoder = model.get_encoder()
    taken = signature(encoder.forward).parameters
    if model.config.model_type == "whisper":
        return encoder(_zeros(model.config.num_mel_bins, 2 * model.config.max_source_positions))
    if model.config.model_type == "vision-encoder-decoder":
        side = model.config.encoder.image_size
        return encoder(_zeros(3, *([side, side] if isinstance(side, int) else side)))
    if model.config.model_type == "speech-encoder-decoder":
        return encoder(_zeros(_WAVE))
    if model.config.model_type == "moonshine":
        return encoder(_zeros(_SAMPLES))
    if model.config.model_type == "udop":
        side = encoder.config.image_size
        return encoder(IDS, bbox=torch.zeros(BATCH, TOKENS, 4), pixel_values=_zeros(3, side, side))
    if "input_ids" in taken:
        return encoder(input_ids=IDS)
    return BaseModelOutput(last_hidden_state=_zeros(TOKENS, encoder.config.hidden_size))


_SAMPLES: Final = ((TOKENS - 1) * 2 + 2) * 3 * 64 + 6 * 64 + 127
"""Of sound, of which moonshine's convolutions (127, 7 and 3 wide, in steps of 64, 3 and 2) make TOKENS positions."""


_WAVE: Final = (2 * (TOKENS - 1) + 3 - 1) * 5 + 10
"""Of which wav2vec2's convolutions (10 and 3 wide, in steps of 5 and 2) make TOKENS positions."""


def _zeros(*shape: int) -> Any:
    return torch.zeros(BATCH, *shape, dtype=torch.bfloat16)


def both_sides_bytes(model: Any) -> list[int]:
    """After the encoder and the token that the decoder starts from, and after each of some more tokens."""
    with torch.no_grad():
        source = {"encoder_outputs": source_of(model)}
        name, cache = None, None
        found = []
        for _ in range(BOTH_DECODED):
            name, cache = _step(model, name, cache, **source, decoder_input_ids=IDS[:, :1])
            found.append(held_bytes(cache))
    return found


def run_now(run: Run) -> Record:
    """What the model of a run holds, step by step."""
    made = values_of(run.model_type, run.changes)
    model = model_of(run.model_type, made, both_sides=run.both_sides)
    held = both_sides_bytes(model) if run.both_sides else decoder_bytes(model)
    return Record(config=written(run.model_type, made, both_sides=run.both_sides), held_bytes=tuple(held))
