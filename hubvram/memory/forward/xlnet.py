"""xlnet, played: hidden states of earlier tokens are kept, of which each step makes K and V of all tokens anew.

`generate()` puts a token behind the others that none of these sees, and asks what stands there: a second stream of one
token, whose Q is spread over as many tokens as the first has before its scores are made. (modeling_xlnet.py,
XLNetModel.forward, XLNetRelativeAttention.forward; XLNetLMHeadModel.prepare_inputs_for_generation)
"""

from __future__ import annotations

from copy import copy
from typing import Final

from hubvram.architecture.attention import HiddenStatesAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor

_READ_AGAIN: Final = 2
"""Tokens that `generate()` hands to each step with the one that it asks for: what was kept of as many is left out."""


def is_xlnet_playable(architecture: Architecture) -> bool:
    """Whether all layers keep hidden states."""
    return all(
        isinstance(group.layer.mixer, HiddenStatesAttention) and isinstance(group.layer.mlp, DenseMLP)
        for group in architecture.groups()
    )


def play_xlnet(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, ...]:
    """Before the head, also the moment when a copy of weights, which all sequences share, makes it more."""
    before: list[Peak] = []
    run.phase("attention")

    def play_model(run: Run, architecture: Architecture) -> Tensor | None:
        uncached = _not_cached(run, architecture)
        _play_layers(run, architecture)
        before.extend(run.tape.take_larger())
        # Less than what layers hold, so that the decoder's own moment before the head is left out.
        ordered = run.features("hidden states by tokens, and by sequences", 2 * architecture.hidden_size)
        del ordered
        # `generate()` has those of the next token alone.
        others = run.tokens - 1 if run.sizes.by_generate else 0
        less = run.tensor("less hidden states of other tokens", others, -architecture.hidden_size) if others else None
        return uncached or less

    _, head = play_decoder(run, architecture, copies_logits, play_model=play_model)
    return *before, head


def _play_layers(run: Run, architecture: Architecture) -> None:
    """The last layer, beside what all of them keep: of a prompt that is what each of them reads."""
    layer, hidden_size = architecture.layers[-1], architecture.hidden_size
    if not isinstance(layer.mixer, HiddenStatesAttention):
        raise TypeError(f"no program for {layer.mixer!r}")
    if run.decodes and run.sizes.by_generate and run.keys <= run.sizes.prompt_tokens:
        return  # Of the prompt alone one token is made, and no step has three to read.
    step = _with_the_next(run, layer.mixer)
    given = _given_by_generate(step) if run.sizes.by_generate else _given(step)
    apart = min(len(architecture.layers), 2)  # The first layer reads the embeddings, and a learned vector.
    before = _kept_before(run, layer.mixer, len(architecture.layers) * hidden_size)
    distances = step.shared("distances embedded", step.keys + step.tokens, hidden_size, element_bytes=FP32)
    inputs = step.features("embeddings, and input of the layer", apart * hidden_size) if run.decodes else None
    asked = step.tensor("the next token's input", apart - 1, hidden_size) if run.sizes.by_generate else None
    attended = _play_streams(step, layer.mixer)
    run.phase("mlp")
    play_mlp(step, layer.mlp)
    added = step.features("what the MLP says, and the sum", 2 * hidden_size)
    normed = step.norm(hidden_size)
    del given, before, distances, inputs, asked, attended, added, normed


def _not_cached(run: Run, architecture: Architecture) -> Tensor | None:
    """Less than nothing: caches are counted with the token that `generate()` puts behind, and a forward alone does
    not."""
    if not run.sizes.all_logits:
        return None
    kept = -run.cache_element_bytes * len(architecture.layers) * architecture.hidden_size
    return run.tensor("less the next token, which is not cached", kept, element_bytes=1)


def _rows(run: Run, mixer: HiddenStatesAttention, tokens: int) -> int:
    """How many hidden states of a sequence a layer holds behind so many tokens: one more than it keeps, since what it
    keeps is a view (XLNetModel.cache_mem)."""
    return min(tokens + run.sizes.by_generate, (mixer.cached_tokens or tokens) + 1)


def _with_the_next(run: Run, mixer: HiddenStatesAttention) -> Run:
    """The tokens that a pass is given, and those before them whose hidden states it reads."""
    step = copy(run)
    rows = _rows(run, mixer, run.past_tokens) if run.decodes else 0
    step.past_tokens = min(rows, mixer.cached_tokens or rows)
    if run.sizes.by_generate:
        step.tokens = 1 + (_READ_AGAIN if run.decodes else run.tokens)
        step.past_tokens = max(0, step.past_tokens - _READ_AGAIN)
    return step


def _given(step: Run) -> tuple[Tensor | None, ...]:
    """Ids, and the mask, in the order of tokens, which those of one sequence have; masks, of keys and of all pairs."""
    in_order = step.is_alone or step.tokens == 1
    ids = None if in_order else step.features("ids by tokens", 1, element_bytes=ID_BYTES)
    if not step.sizes.all_logits:
        return (ids,)
    mask = None if in_order else step.features("mask by tokens", 1, element_bytes=ID_BYTES)
    padding = step.features("which are padding", 1, element_bytes=FP32)
    masks = step.features("masks of both streams", 1 + step.keys)
    return ids, mask, padding, masks


def _given_by_generate(step: Run) -> tuple[Tensor | None, ...]:
    """The same for pairs of tokens, and where the one is that is asked for."""
    copies = 1 if step.is_alone else 2
    known = 0 if step.decodes else step.tokens - 1  # as the copy of its own that it has elsewhere
    more = copies * step.tokens - known
    ids = step.tensor("ids with the next token, as given and by tokens", more, element_bytes=ID_BYTES)
    pairs = step.features(
        "which do not see the next one, and where it is", copies * (step.tokens + 1), element_bytes=FP32
    )
    # Of what is kept, all is seen.
    kept = step.features("the same with what is kept", step.past_tokens + step.keys, element_bytes=FP32)
    masks = step.features("masks of both streams", 2 * step.keys)
    return ids, pairs, kept if step.past_tokens else None, masks


def _kept_before(run: Run, mixer: HiddenStatesAttention, width: int) -> Tensor | None:
    """What layers keep is made anew in each step, beside what they kept before; `generate()` also holds what they kept
    of the prompt to its end (generation/utils.py, _sample: `cache`), which the first step reads."""
    if not run.decodes:
        return None
    rows = _rows(run, mixer, run.past_tokens)
    if run.sizes.by_generate:
        prompt_tokens = run.sizes.prompt_tokens
        rows = (rows if run.past_tokens > prompt_tokens else 0) + prompt_tokens + 1
    return run.tensor("kept by all layers before, and of the prompt", rows, width)


def _play_streams(step: Run, mixer: HiddenStatesAttention) -> Tensor:
    """What attention says in the first stream, normed, which is left. Distances are copied where sequences are several,
    or where they are to be 16 bit."""
    step.phase("attention")
    has_second, hidden_size, distances = step.sizes.by_generate, mixer.hidden_size, step.keys + step.tokens
    read = step.tensor("hidden states of all tokens", step.keys, hidden_size) if step.decodes else None
    query = None if has_second else step.features("Q", mixer.q_size)
    both = step.tensor("K and V", step.keys, mixer.k_size + mixer.v_size)
    is_copied = not step.is_alone or step.element_bytes != FP32
    copied = step.tensor("distances of each sequence", distances, hidden_size) if is_copied else None
    by_distance = step.tensor("K of distances", distances, mixer.k_size)
    del copied
    query = query or step.features("Q", mixer.q_size)
    said = _attend(step, mixer)
    _project(step, mixer, step.tokens)
    added = step.features("O, and the sum", 2 * hidden_size)
    del added
    summed = step.features("sum of both", hidden_size)
    attended = step.norm(hidden_size)
    del summed
    if has_second:
        spread = step.features("Q of the next token, at all places", mixer.q_size)
        of_next = _attend(step, mixer)
        copied = step.features("what heads say at all places, copied", mixer.q_size)
        gathered = step.tensor("what they say of the next token", 1, mixer.q_size)
        del of_next, copied
        _project(step, mixer, 1)
        del spread, gathered
    del read, query, both, by_distance, said
    return attended


def _project(step: Run, mixer: HiddenStatesAttention, tokens: int) -> None:
    """O of what heads say: a sum over features first and heads last, for which that and the weights are copied (ATen,
    einsum), but not those of one head."""
    step.phase("output of attention")
    has_many = mixer.num_attention_heads > 1
    is_copied = has_many or not step.is_alone
    said = step.tensor("what heads say by tokens", tokens, mixer.q_size) if is_copied else None
    weights = step.shared("weights of O, copied", mixer.q_size, mixer.hidden_size) if has_many else None
    projected = step.tensor("O", tokens, mixer.hidden_size)
    del said, weights, projected


def _attend(step: Run, mixer: HiddenStatesAttention) -> Tensor:
    """Scores by content, and by distance, both of which stay; their sum, masked, and its softmax (rel_attn_core)."""
    step.phase("attention")
    heads, tokens, keys = mixer.num_attention_heads, step.tokens, step.keys
    biased = step.features("Q and a bias", mixer.q_size)
    by_content = step.tensor("scores by content", heads, tokens, keys)
    by_all = step.tensor("scores by all distances", heads, tokens, keys + tokens)
    del biased
    order = step.shared("places of keys", keys, element_bytes=ID_BYTES)
    by_distance = step.tensor("scores by distance", heads, tokens, keys)
    del by_all, order
    sums = step.tensor("their sum before and behind a step", 2, heads, tokens, keys)
    del sums
    scores = step.tensor("scores", heads, tokens, keys)
    if step.sizes.by_generate or step.sizes.all_logits:
        hidden = step.features("what the mask takes from them", keys)
        masked = step.tensor("scores, masked", heads, tokens, keys)
        del hidden
        scores = masked
        del masked
    probabilities = step.tensor("their softmax", heads, tokens, keys)
    said = step.features("what heads say", mixer.q_size)
    del by_content, by_distance, scores, probabilities
    return said
