"""A tiny model runs with each kind of cache that `generate` can make. Needs torch, transformers, quanto and HQQ."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import torch
import transformers

from tests.caches.build import model_of, values_of
from tests.caches.kind_records import BOTH_STATIC, OWN, REFUSED, STATIC, STEPS, Found, kinds_of
from tests.caches.record import BATCH, Run
from tests.caches.runs import generated_bytes, held_bytes, source_of, states_in

_GREEDY: Final = {"do_sample": False, "num_beams": 1, "pad_token_id": 0, "eos_token_id": None, "use_cache": True}
_POSITIONS: Final = dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 256)


def ids_of(tokens: int) -> Any:
    return torch.arange(BATCH * tokens).reshape(BATCH, tokens) % 100 + 3


def _generate(model: Any, tokens: int, made: int, *, both_sides: bool, **options: Any) -> Any:
    """The caches that `generate` made, and filled."""
    caught: list[Any] = []
    prepare = model._prepare_cache_for_generation

    def prepared(generation_config: Any, model_kwargs: Any, *rest: Any) -> None:
        prepare(generation_config, model_kwargs, *rest)
        caught.extend(model_kwargs[name] for name in _CACHES if model_kwargs.get(name) is not None)

    model._prepare_cache_for_generation = prepared
    inputs = {"input_ids": ids_of(tokens)}
    if both_sides:
        inputs = {"encoder_outputs": source_of(model), "decoder_start_token_id": 1}
    if model.config.model_type == "voxtral_realtime":
        heard = torch.zeros(
            BATCH, (tokens + made) * model.config.downsample_factor, model.config.audio_config.hidden_size
        )
        inputs |= {"encoder_inputs_embeds": heard.to(torch.bfloat16), "num_delay_tokens": 6}
    with torch.no_grad():
        model.generate(**inputs, max_new_tokens=made, min_new_tokens=made, **_GREEDY, **options)
    del model._prepare_cache_for_generation
    return caught


_CACHES: Final = ("past_key_values", "cache_params", "encoder_past_key_values")


def static_bytes(model: Any, *, both_sides: bool) -> Found:
    found = []
    for tokens, made in BOTH_STATIC if both_sides else STATIC:
        model.__dict__.pop("_previous_max_cache_length", None)
        caches = _generate(model, tokens, made, both_sides=both_sides, cache_implementation="static")
        if not caches:
            return OWN
        found.append(held_bytes([caches, states_in(model)]))
    return found


def packed_bytes(model: Any, kind: str, *, both_sides: bool) -> Found:
    """After each forward, with a cache as `generate` makes it."""
    backend, options = _options(kind)
    if not model._supports_default_dynamic_cache():
        return OWN
    made = {"cache_implementation": "quantized", "cache_config": {"backend": backend, **options}}
    if both_sides:
        return [held_bytes(_generate(model, 1, 2, both_sides=True, **made))]
    if model.config.model_type in TOKEN_BY_TOKEN:
        held = generated_bytes(model, ids_of(STEPS[0]), sum(STEPS[1:]) + 1, **made)
        return [held[sum(STEPS[1 : step + 1])] for step in range(len(STEPS))]
    cache, found = packed_cache(model, kind), []
    with torch.no_grad():
        for tokens in STEPS:
            model(input_ids=ids_of(tokens), past_key_values=cache, use_cache=True)
            found.append(held_bytes(cache))
    return found


def packed_cache(model: Any, kind: str) -> Any:
    backend, options = _options(kind)
    return transformers.QuantizedCache(backend, model.config.get_text_config(decoder=True), **options)


def _options(kind: str) -> tuple[str, dict[str, int]]:
    """Backend and further options of a name such as quanto-int4, or fp8."""
    backend, _, bits = kind.partition("-int")
    return backend, {"nbits": int(bits)} if bits else {}


TOKEN_BY_TOKEN: Final = ("cpmant", "prophetnet")
"""Types that decode no other way."""


def kinds_now(run: Run) -> dict[str, Found]:
    """What the model of a run holds with each kind."""
    made = values_of(run.model_type, run.changes)
    for values in (made, *(value for value in made.values() if isinstance(value, dict))):
        values.update({key: size for key, size in _POSITIONS.items() if key in values})
    model = model_of(run.model_type, made, both_sides=run.both_sides)
    if run.model_type == "xlnet":
        model = model.float()  # which runs in nothing else
    if not hasattr(model.config, "vision_start_token_id"):
        model.config.vision_start_token_id = 1  # `generate` of two classes asks for it, and published configs have it
    found: dict[str, Found] = {}
    for kind in kinds_of(run.name):
        measure = static_bytes if kind == "static" else partial(packed_bytes, kind=kind)
        try:
            found[kind] = measure(model, both_sides=run.both_sides)
        except (ValueError, KeyError, RuntimeError, TypeError, IndexError):
            found[kind] = REFUSED
    return found
