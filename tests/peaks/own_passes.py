"""Passes of classes that do not give back the cache that `generate()` hands in, or call it by a name of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
import transformers

from tests.caches.runs import states_in

_STATES: Final = ("conv1d_state", "recurrent_states")


def _recurrent_gemma(model: Any, ids: Any, kept: Any) -> Any:
    """What is kept of tokens, and the states in modules, which are there once a prompt was read. It does not count the
    tokens that it has read, so that `generate()` hands it positions."""
    if kept is None:
        forget_states(model)
        kept = [transformers.DynamicCache(config=model.config), None, 0]
    cache, seen = kept[0], kept[2]
    kept[1] = None  # So that modules alone hold states.
    positions = torch.arange(seen, seen + ids.shape[1])[None]
    model(input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return [cache, states_in(model), seen + ids.shape[1]]


def forget_states(model: Any) -> None:
    """Those that modules kept of another run."""
    for module in model.modules():
        for name in _STATES:
            if hasattr(module, name):
                setattr(module, name, None)


def _cpmant(model: Any, ids: Any, kept: Any) -> Any:
    """It wants all ids at each step, and slices off what is cached."""
    before = kept.get_seq_length() - model.config.prompt_length if kept is not None else 0
    # Any ids will do: a view takes no room.
    whole = ids[:, :1].expand(-1, before + ids.shape[1]) if before else ids
    return model(input_ids=whole, past_key_values=kept, use_cache=True, logits_to_keep=1).past_key_values


def _moshi(model: Any, ids: Any, kept: Any) -> Any:
    """As a whole it wants codes of sound too, and makes the logits of all tokens."""
    given: dict[str, Any] = {"logits_to_keep": 1}
    if isinstance(model, transformers.MoshiForConditionalGeneration):
        codes = (ids.shape[0], model.config.num_codebooks, ids.shape[1])
        given = {f"{whose}_audio_codes": torch.zeros(codes, dtype=torch.long) for whose in ("user", "moshi")}
    return model(input_ids=ids, past_key_values=kept, use_cache=True, **given).past_key_values


def _reformer(model: Any, ids: Any, kept: Any) -> Any:
    """It calls its cache by a name of its own. The first long prompt would decide on buckets for the next ones."""
    if kept is None:
        for module in model.modules():
            if hasattr(module, "num_buckets"):
                module.num_buckets = vars(module).setdefault("made_with", module.num_buckets)
    return model(input_ids=ids, past_buckets_states=kept, use_cache=True, logits_to_keep=1).past_buckets_states


def _rwkv(model: Any, ids: Any, kept: Any) -> Any:
    """It calls its cache a state."""
    return model(input_ids=ids, state=kept, use_cache=True, logits_to_keep=1).state


def _xlnet(model: Any, ids: Any, kept: Any) -> Any:
    """It keeps hidden states, by a name of their own."""
    return model(input_ids=ids, mems=kept, logits_to_keep=1).mems


def _xlstm(model: Any, ids: Any, kept: Any) -> Any:
    """It makes the logits of all tokens."""
    return model(input_ids=ids, cache_params=kept, use_cache=True).cache_params


def _voxtral_realtime(model: Any, ids: Any, kept: Any) -> Any:
    """With as much embedded sound for each token as the model is made for, which counts too."""
    config, names = model.config, ("past_key_values", "encoder_past_key_values")
    positions, width = config.downsample_factor * ids.shape[1], config.audio_config.hidden_size
    heard = torch.zeros(ids.shape[0], positions, width, dtype=model.dtype)
    caches = dict(zip(names, kept or (None, None), strict=True))
    told = {"num_delay_tokens": config.default_num_delay_tokens, "use_cache": True, "logits_to_keep": 1}
    output = model(input_ids=ids, encoder_inputs_embeds=heard, **told, **caches)
    return [output[name] for name in names]


OWN_PASSES: Final[Mapping[str, Callable[[Any, Any, Any], Any]]] = {
    "cpmant": _cpmant,
    "moshi": _moshi,
    "recurrent_gemma": _recurrent_gemma,
    "reformer": _reformer,
    "rwkv": _rwkv,
    "voxtral_realtime": _voxtral_realtime,
    "xlnet": _xlnet,
    "xlstm": _xlstm,
}
"""Model type -> (model, ids, what it kept; None before a prompt) -> what it keeps behind one forward."""
