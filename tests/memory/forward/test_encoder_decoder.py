"""Encoder-decoders, term by term by hand, and their laws; and full-size ones as they were run on fake tensors."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubvram.architecture import families
from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers_sides import SIDES, SIDES_ELSEWHERE, encode, knows, step
from hubvram.memory.forward.relative_positions import play_position_bias
from hubvram.memory.forward.run import Run, Sizes
from hubvram.memory.forward.tape import Peak, Share
from hubvram.memory.kv_cache import kv_cache_bytes
from hubvram.memory.workload import Attention
from tests.peaks.both_sides_record import recorded
from tests.peaks.record import type_of
from tests.samples import CORPUS, architecture_of, corpus_config, fixture_architecture, needs_corpus

SMALL = {"vocab_size": 100, "d_model": 64, "max_position_embeddings": 50, "num_layers": 2, "num_heads": 4, "d_kv": 32}
SIDE = {"layers": 2, "attention_heads": 4, "ffn_dim": 300}
BART = {**SMALL, **{f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in SIDE.items()}}


def small(model_type: str, **changes: Any) -> Architecture:
    return architecture_of({"model_type": model_type, **BART, "d_ff": 300, **changes})


def over(source: int, batch_size: int = 1, attention: Attention = Attention.SDPA) -> Sizes:
    return Sizes(batch_size=batch_size, tokens=source, element_bytes=2, attention=attention)


def first(source: int, batch_size: int = 1, attention: Attention = Attention.SDPA) -> Sizes:
    return replace(over(1, batch_size, attention), source_tokens=source)


def later(source: int, decoded: int, attention: Attention = Attention.SDPA) -> Sizes:
    return replace(first(source, 1, attention), past_tokens=decoded - 1, decodes=True)


def shared_bytes(peak: Peak) -> int:
    return peak.size_bytes(Share.ALL)


# -------------------------------------------------------------------------------- term by term


def test_a_whole_that_embeds_the_input_holds_it_to_the_end() -> None:
    alone = small("t5")
    inside = architecture_of({"model_type": "blip-2", "text_config": {"model_type": "t5", **BART, "d_ff": 300}})
    assert knows(inside) and not knows(replace(inside, whole_type="llava"))
    # The encoder reads the embeddings themselves; beside them, whether an image stands at each of 7 tokens.
    assert encode(inside, over(7, 3))[0].total_bytes == encode(alone, over(7, 3))[0].total_bytes + 3 * 7
    # Both beside every step of the decoder.
    for run in (first(7), later(7, 10)):
        assert [peak.total_bytes - 7 * (2 * 64 + 1) for peak in step(inside, run)] == [
            peak.total_bytes for peak in step(alone, run)
        ]


def moonshine(**changes: Any) -> Architecture:
    sizes = {"hidden_size": 72, "intermediate_size": 100, "vocab_size": 100, "pad_head_dim_to_multiple_of": 8}
    heads = {f"{side}_num_attention_heads": 2 for side in ("encoder", "decoder")}
    return architecture_of({"model_type": "moonshine", **sizes, **heads, **changes})


def test_sound_of_moonshine() -> None:
    # 7 positions are made of 2 * 6 + 3 = 15 frames of 144 channels, these of 3 * 14 + 7 = 49 of 72, and these of
    # 64 * 48 + 127 = 3,199 samples; the first frames stay while the second are activated.
    (peak, *_) = encode(moonshine(), over(7, 3))
    assert (peak.phase, peak.total_bytes) == ("convolutions", 3 * 2 * (3199 + 49 * 72 + 2 * 15 * 144))


def test_heads_that_are_filled_up() -> None:
    # Two heads of 36 become two of 40: copies of K and V of 1,000 positions, beside what these are and their
    # 64 * (3 * (2 * 999 + 3 - 1) + 7 - 1) + 127 samples; Q as wide, embeddings, the layer's input, its sum with what
    # attention to itself said, a norm of that, and what heads say in both widths; ids of two tokens. All share cos and
    # sin of the 32 that rotate, and a position.
    decode, *_ = step(moonshine(), later(1000, 2), copies_logits=False)
    samples, one = 64 * 6006 + 127, 4 * 72 + 80 + 80 + 72
    own = 2 * (samples + 1000 * (2 * 80 + 72) + one) + 2 * 8
    assert (decode.size_bytes(Share.SEQUENCE), shared_bytes(decode)) == (own, 2 * 2 * 32 + 8)


def test_encoder_of_bart() -> None:
    # 7 tokens: their ids; and of 64 features in bf16 the embeddings, the positions of each sequence, the layer's input
    # and what attention made of it, which is the residual, beside 300 before and after the activation.
    (peak,) = encode(small("bart"), over(7, 3))
    assert (peak.phase, peak.total_bytes) == ("mlp", 3 * 7 * (8 + 2 * (4 * 64 + 2 * 300)))
    # A narrow MLP: three of those, Q, K, V, what heads say, and O.
    narrow = small("bart", encoder_ffn_dim=10)
    (peak,) = encode(narrow, over(7, 3))
    assert (peak.phase, peak.total_bytes) == ("attention", 3 * 7 * (8 + 2 * (3 + 5) * 64))
    # Eager: two times (4 heads, 7, 7) beside Q, K and V, or the probabilities and what heads say in two layouts.
    (peak,) = encode(narrow, over(70, 1, Attention.EAGER))
    assert peak.total_bytes == 70 * (8 + 2 * (3 + 3) * 64) + 2 * 2 * 4 * 70 * 70


def test_norms_before_and_sinusoids_of_all_sequences() -> None:
    # The normed input of the MLP is one more; pegasus has one set of positions for all sequences.
    (mbart,) = encode(small("mbart"), over(7, 3))
    assert mbart.total_bytes == 3 * 7 * (8 + 2 * (5 * 64 + 2 * 300))
    (pegasus,) = encode(small("pegasus"), over(7, 3))
    assert pegasus.size_bytes(Share.SEQUENCE) == 3 * 7 * (8 + 2 * (4 * 64 + 2 * 300))
    assert shared_bytes(pegasus) == 7 * 2 * 64


def test_the_first_step_makes_what_the_cache_gets() -> None:
    # 2 sequences of 20 tokens: their ids, what the encoder says, and K and V of all of it. The one token: its id; its
    # embedding, the layer's input, the residual, and Q.
    peak, head = step(small("bart"), first(20, 2))
    assert peak.phase == "attention"
    assert peak.size_bytes(Share.SEQUENCE) == 2 * 20 * (8 + 2 * 3 * 64) + 2 * (8 + 2 * 4 * 64)
    # Its position, and the row of that.
    assert shared_bytes(peak) == 8 + 2 * 64
    # At the logits, bf16 and fp32 of 100 each, nothing is left of that but what the encoder says.
    assert head.size_bytes(Share.SEQUENCE) == 2 * 20 * (8 + 2 * 64) + 2 * 8
    assert head.size_bytes(Share.OUTPUT) == 2 * 100 * (2 + 4)


def test_a_later_step_finds_them_there() -> None:
    # 30 tokens with this one: ids; K of 29 while it is made anew. Q, K and V of one token, its embedding and input.
    peak, _ = step(small("bart"), later(20, 30))
    assert peak.size_bytes(Share.SEQUENCE) == 20 * (8 + 2 * 64) + 30 * 8 + 29 * 2 * 64 + 2 * 5 * 64


def by_generate(sizes: Sizes, *, padded: bool = False) -> Sizes:
    return replace(sizes, by_generate=True, padded=padded)


def test_generate_holds_a_mask_of_the_input_and_the_logits_before() -> None:
    bart = small("bart")
    (alone,), (encoded,) = encode(bart, over(7, 3)), encode(bart, by_generate(over(7, 3)))
    assert encoded.total_bytes == alone.total_bytes + 3 * 7 * 8
    (alone, alone_head), (peak, head) = (step(bart, sizes) for sizes in (later(20, 30), by_generate(later(20, 30))))
    # 100 logits in fp32.
    assert [one.total_bytes for one in (peak, head)] == [
        one.total_bytes + 20 * 8 + 4 * 100 for one in (alone, alone_head)
    ]
    # In the first step there are none yet.
    (alone, _), (peak, _) = (step(bart, sizes) for sizes in (first(20), by_generate(first(20))))
    assert peak.total_bytes == alone.total_bytes + 20 * 8


def test_whisper_puts_together_what_it_hears() -> None:
    tiny = fixture_architecture("openai--whisper-tiny")
    (alone,), (peak,) = encode(tiny, over(1500)), encode(tiny, by_generate(over(1500)))
    assert peak.total_bytes == alone.total_bytes + 2 * 3000 * 80


def test_masks_of_padding() -> None:
    """An encoder of bart with a narrow MLP, over 3 sequences of 70 tokens: ids and mask, 16 bytes each; embeddings,
    positions, the layer's input, Q, K and V, 64 in bf16."""
    narrow, of_token = small("bart", encoder_ffn_dim=10), 16 + 2 * 6 * 64
    masks = {}
    for attention in Attention.SDPA, Attention.EAGER, Attention.FLASH:
        (peak,) = encode(narrow, by_generate(over(70, 3, attention), padded=True))
        masks[attention] = peak.total_bytes // (3 * 70) - of_token
    # A truth value for each pair, an additive mask made of it, and what heads say.
    assert masks[Attention.SDPA] == 70 + 2 * 70 + 2 * 64
    # An additive mask, and twice the scores of 4 heads.
    assert masks[Attention.EAGER] == 2 * 70 + 2 * 2 * 4 * 70
    # One truth value; Q, K and V without padding, and what heads say without it and with it.
    assert masks[Attention.FLASH] == 1 + 2 * 5 * 64
    # Across, of one token: a truth value for each of 70.
    sizes = by_generate(later(70, 2))
    (alone, _), (peak, _) = (step(narrow, replace(sizes, padded=padded)) for padded in (False, True))
    assert peak.total_bytes == alone.total_bytes + 70


def test_padding_makes_the_bias_of_t5_each_sequence_s_own() -> None:
    peak, *_ = encode(small("t5"), by_generate(over(40, 3), padded=True))
    assert peak.phase == "attention with its mask"
    # Ids and mask; embeddings, input, normed; Q, K and V of 4 x 32; for each pair a truth value, and of 4 heads the
    # bias with the mask, as it is and in order. All share the bias as it was.
    assert peak.size_bytes(Share.SEQUENCE) == 3 * 40 * (16 + 2 * 3 * (64 + 128) + 40 + 2 * 2 * 4 * 40)
    assert shared_bytes(peak) == 2 * 4 * 40 * 40


def test_relative_positions() -> None:
    # For each pair 8 bytes of distance, half, absolute; one, whether it is small; three times 8 of buckets: 49. And 8
    # for each position of both. With as many heads as t5-11b has, 128 in bf16, the bias is more: 16 + 256.
    few, many = Run(over(70)), Run(over(70))
    bias = play_position_bias(few, 8, 70, both_ways=True)
    assert shared_bytes(max(few.tape.take_all(), key=shared_bytes)) == 49 * 70 * 70 + 8 * 140
    del bias
    bias = play_position_bias(many, 128, 70, both_ways=True)
    assert shared_bytes(max(many.tape.take_all(), key=shared_bytes)) == (16 + 256) * 70 * 70 + 8 * 140
    del bias


def test_encoder_of_t5() -> None:
    """The peak of what sequences hold, and the moments at which more is shared."""
    moments = encode(small("t5"), over(40, 3))
    assert [peak.phase for peak in moments] == ["mlp", "attention with its mask", "relative positions"]
    mlp, mask, positions = moments
    # Ids; embeddings, the layer's input, with attention, and normed; 300 before and after the activation.
    assert mlp.size_bytes(Share.SEQUENCE) == 3 * 40 * (8 + 2 * (4 * 64 + 2 * 300))
    assert shared_bytes(mlp) == 2 * 4 * 40 * 40
    # Embeddings, input, normed; Q, K, V and what heads say, each of 4 x 32. The bias once more, for sdpa.
    assert mask.size_bytes(Share.SEQUENCE) == 3 * 40 * (8 + 2 * (3 * 64 + 4 * 128))
    assert shared_bytes(mask) == 2 * 2 * 4 * 40 * 40
    # In the first layer the input is the embeddings.
    assert positions.size_bytes(Share.SEQUENCE) == 3 * 40 * (8 + 2 * (2 * 64 + 3 * 128))
    assert shared_bytes(positions) == 49 * 40 * 40 + 8 * 80


def test_each_layer_of_umt5_makes_its_own_positions() -> None:
    *_, positions = encode(small("umt5"), over(40, 1))
    # In the second layer too: one more of 64. And logarithms in fp32.
    assert positions.size_bytes(Share.SEQUENCE) == 40 * (8 + 2 * (3 * 64 + 3 * 128))
    assert shared_bytes(positions) == 53 * 40 * 40 + 8 * 80


def test_gated_mlp_with_an_activation_in_python() -> None:
    # gelu_new: four of 300; then, less, act(gate), up and their product.
    (peak, *_) = encode(small("t5", feed_forward_proj="gated-gelu"), over(7))
    assert peak.size_bytes(Share.SEQUENCE) == 7 * (8 + 2 * (4 * 64 + 4 * 300))


def test_what_t5_names_beside_a_narrow_mlp_and_few_heads() -> None:
    narrow = {"num_heads": 1, "d_kv": 16, "d_ff": 16}
    # Ids; embeddings, the layer's input, its sum with what attention said, and two fp32 copies of it, all of 64: the
    # norm's mean comes later.
    (peak, *_) = encode(small("t5", **narrow), over(7))
    assert peak.size_bytes(Share.SEQUENCE) == 7 * (8 + 2 * 3 * 64 + 2 * 4 * 64)
    # In fp32 one copy, as its sum with the residual is: what is normed has a name while the MLP's answer is made of 16.
    (peak, *_) = encode(small("t5", **narrow), replace(over(7), element_bytes=4))
    assert peak.size_bytes(Share.SEQUENCE) == 7 * (8 + 4 * (5 * 64 + 16))


def test_sound() -> None:
    """Whisper tiny always hears 3,000 frames of 80 mels; 1,500 positions of 384 features come of them."""
    tiny = fixture_architecture("openai--whisper-tiny")
    (peak,) = encode(tiny, over(1500))
    # Frames; embeddings, input, residual, normed, and 1,536 before and after the activation.
    assert peak.total_bytes == 2 * (3000 * 80 + 1500 * (4 * 384 + 2 * 1536)) + 8 * 1500
    # With a narrow MLP and no layer wider, four times 384 of both convolutions' ends would be less than attention.
    (narrow,) = encode(small("whisper", encoder_ffn_dim=1, num_mel_bins=80, max_source_positions=60), over(60))
    assert narrow.total_bytes == 2 * (120 * 80 + 60 * (3 + 5) * 64) + 8 * 60


def test_a_table_that_grows() -> None:
    inside, beyond = (step(small("m2m_100"), first(tokens))[0] for tokens in (50, 60))
    # 60 tokens, from the third row on and two to spare: 64 rows of 64 features in bf16, where 52 were.
    assert shared_bytes(inside) == 0
    assert shared_bytes(beyond) == 12 * 2 * 64


# ------------------------------------------------------------------------------------------ laws

FEW_ASK_FOR = {
    name: architecture_of({**record.config, "model_type": type_of(name)})
    for name, record in recorded().items()
    if type_of(name) in SIDES_ELSEWHERE and type_of(name) != "speech-encoder-decoder"
}
each_type = st.sampled_from(sorted({*SIDES, *FEW_ASK_FOR}))
"""An encoder of sound alone shows moments at which more is shared where these are the largest, which the batch decides:
for pairs with one, tests/memory/test_laws.py has laws of all that is alive."""


def one_of(name: str) -> Architecture:
    return FEW_ASK_FOR.get(name) or small(name)


attentions = st.sampled_from([Attention.SDPA, Attention.EAGER])
tokens_ = st.integers(1, 2000)


READS_ONE_WHERE_IT_IS = frozenset({"prophetnet", "vision-encoder-decoder+swin"})
"""Types, and records of pairs, that copy what several sequences hold, and not what one alone does (Run.is_alone)."""
callers_ = st.sampled_from([(False, False), (True, False), (True, True)])
"""Whether `generate()` calls, and whether it was given padding."""


def played(
    architecture: Architecture,
    source: int,
    decoded: int,
    batch_size: int,
    attention: Attention,
    caller: tuple[bool, bool] = (False, False),
) -> list[Peak]:
    """The encoder's moments, those at which steps share more, and last both peaks of both steps."""
    sizes = replace(over(source, batch_size, attention), by_generate=caller[0], padded=caller[1])
    first_run = replace(sizes, tokens=1, source_tokens=source)
    last_run = replace(first_run, past_tokens=decoded - 1, decodes=True)
    steps = [step(architecture, run) for run in (first_run, last_run)]
    sharing, peaks = ([peak for peaks in steps for peak in peaks[which]] for which in (slice(2, None), slice(2)))
    return [*encode(architecture, sizes), *sharing, *peaks]


@given(
    model_type=each_type,
    source=tokens_,
    decoded=tokens_,
    batch_size=st.integers(1, 64),
    attention=attentions,
    caller=callers_,
)
def test_all_is_exactly_linear_in_the_batch(
    model_type: str, source: int, decoded: int, batch_size: int, attention: Attention, caller: tuple[bool, bool]
) -> None:
    fewest = 2 if {model_type, type_of(model_type)} & READS_ONE_WHERE_IT_IS else 1
    runs = (fewest, fewest * batch_size)
    one, many = (played(one_of(model_type), source, decoded, number, attention, caller) for number in runs)
    for single, more in zip(one, many, strict=True):
        assert more.phase == single.phase
        assert more.size_bytes(Share.SEQUENCE) == batch_size * single.size_bytes(Share.SEQUENCE)
        assert more.size_bytes(Share.OUTPUT) == batch_size * single.size_bytes(Share.OUTPUT)
        assert shared_bytes(more) == shared_bytes(single)


@given(
    model_type=each_type,
    source=tokens_,
    decoded=tokens_,
    more=st.integers(0, 500),
    attention=attentions,
    caller=callers_,
)
def test_nothing_shrinks_with_the_input_or_the_answer(
    model_type: str, source: int, decoded: int, more: int, attention: Attention, caller: tuple[bool, bool]
) -> None:
    architecture = one_of(model_type)
    before = played(architecture, source, decoded, 1, attention, caller)
    for longer in ((source + more, decoded), (source, decoded + more)):
        after = played(architecture, *longer, 1, attention, caller)
        assert after[0].size_bytes(Share.SEQUENCE) >= before[0].size_bytes(Share.SEQUENCE)
        assert max(map(shared_bytes, after)) >= max(map(shared_bytes, before))
        for smaller, larger in zip(before[-4:], after[-4:], strict=True):
            assert larger.total_bytes >= smaller.total_bytes


@given(model_type=each_type, source=tokens_, decoded=tokens_, attention=attentions)
def test_padding_never_takes_less(model_type: str, source: int, decoded: int, attention: Attention) -> None:
    unpadded, padded = (
        played(one_of(model_type), source, decoded, 2, attention, (True, padded)) for padded in (False, True)
    )
    assert padded[0].size_bytes(Share.SEQUENCE) >= unpadded[0].size_bytes(Share.SEQUENCE)
    for less, more in zip(unpadded[-4:], padded[-4:], strict=True):
        assert more.total_bytes >= less.total_bytes


# ----------------------------------------------------------------- extra: full-size classes


def traced() -> Iterator[tuple[str, Architecture, Mapping[str, Any], int]]:
    """(repo, architecture, run, bytes of a table that an earlier run of the same model had already made longer)"""
    for model in json.loads(lzma.decompress((CORPUS / "traced.json.xz").read_bytes())):
        architecture = families.architecture_of(corpus_config(model["repo"]))
        if architecture is None or not knows(architecture):
            continue
        longest = {"sdpa": 0, "eager": 0}  # Each attention has a model of its own.
        for trace in model["traces"]:
            yield model["repo"], architecture, trace, longest[trace["attention"]]
            longest[trace["attention"]] = max(longest[trace["attention"]], trace["tokens"])


@needs_corpus
def test_peaks_of_full_size_classes() -> None:
    """An encoder's forward, then one of 64 or 400 tokens of the decoder; then one token more. All to the byte."""
    rows = 0
    for repo, architecture, trace, longest in traced():
        encoder, batch_size = architecture.encoder, trace["batch"]
        assert encoder is not None
        source = encoder.source_tokens or trace["tokens"]
        one = {"input_tokens": source, "batch_size": batch_size, "element_bytes": 2}
        token = kv_cache_bytes(architecture, tokens=source + 2, **one) - kv_cache_bytes(
            architecture, tokens=source + 1, **one
        )
        decoded = trace["kv_bytes"] // token
        run = over(source, batch_size, Attention(trace["attention"]))
        prompt = replace(run, tokens=decoded, source_tokens=source)
        held = trace["kv_bytes"] + trace["cross_bytes"]
        # The decoder's ids were there while the encoder ran.
        moments = [peak.total_bytes + 8 * batch_size * decoded for peak in encode(architecture, run)]
        steps = step(architecture, prompt, copies_logits=False)
        moments += [held + peak.total_bytes - grown(peak, source, longest) for peak in steps]
        assert max(moments) - held == trace["prefill_peak_beyond_weights_and_cache_bytes"], repo
        last = step(architecture, replace(prompt, tokens=1, past_tokens=decoded, decodes=True), copies_logits=False)
        decode = max(peak.total_bytes - grown(peak, source, longest) for peak in last)
        assert decode == trace["decode_peak_beyond_weights_and_cache_bytes"], repo
        rows += 1
    assert rows == 33


def grown(peak: Peak, source: int, longest: int) -> int:
    """Bytes of a longer table of positions, where a run before had made one that suffices."""
    tables = (held for held in peak.held if held.what == "table of positions, as far as it grew")
    return sum(held.size_bytes for held in tables) if source <= longest else 0


@pytest.mark.parametrize("model_type", sorted(SIDES))
def test_a_half_is_not_both(model_type: str) -> None:
    """A decoder or an encoder alone has no program here."""
    assert knows(small(model_type))
    for name in ("XForCausalLM", "XEncoderModel"):
        assert not knows(small(model_type, architectures=[name]))


def test_prompts_in_front_of_keys_are_not_known() -> None:
    assert not knows(small("mvp", use_prompt=True))


def test_a_tape_remembers_moments_at_which_more_is_shared() -> None:
    run = Run(over(1))
    table = run.shared("small", 10)
    first = run.tensor("large", 100)
    del first, table
    run.phase("later")
    table = run.shared("large", 30)
    second = run.tensor("small", 50)
    del second
    third = run.tensor("smaller", 40)
    del third, table
    # 2 bytes each: (200, 20), then (100, 60); (80, 60) is less than that in all.
    moments = run.tape.take_all()
    assert [(peak.size_bytes(Share.SEQUENCE), shared_bytes(peak)) for peak in moments] == [(200, 20), (100, 60)]
    assert [peak.phase for peak in moments] == ["", "later"]
    assert run.tape.take_all() == ()
