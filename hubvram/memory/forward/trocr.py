"""trocr's decoder, played: beside an encoder, and alone (modeling_trocr.py)."""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture
from hubvram.memory.forward import decoder
from hubvram.memory.forward.attention import cache, keys_of, play_scores
from hubvram.memory.forward.encoder_decoder import keys_and_values
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Peak, Tensor


def mix_by_head(run: Run, mixer: FullAttention) -> Tensor | None:
    """Beside an encoder, of what either side says."""
    query = run.features("Q", mixer.q_size)
    keys, made = keys_and_values(run, mixer)
    _multiply_by_head(run, mixer, keys)
    del query, made
    return None


def play_by_head(run: Run, mixer: FullAttention) -> None:
    """Alone."""
    query = run.features("Q", mixer.q_size)
    cache(run, mixer.k_size + mixer.v_size, mixer.k_size, keys_of(run, mixer))
    _multiply_by_head(run, mixer, keys_of(run, mixer))
    del query


def _multiply_by_head(run: Run, mixer: FullAttention, keys: int) -> None:
    """Products of matrices, one for each head of each sequence (TrOCRAttention.forward)."""
    is_ordered = run.tokens == 1 or mixer.num_attention_heads == 1
    ordered = None if is_ordered or run.is_alone else run.features("Q in the order of heads", mixer.q_size)
    del ordered
    play_scores(run, mixer.num_attention_heads, keys)
    probabilities = run.tensor("probabilities", mixer.num_attention_heads, run.tokens, keys)
    # Of one token both orders are the same.
    said = run.features("what heads say, by heads and by tokens", (1 if is_ordered else 2) * mixer.o_in_features)
    del said
    said = run.features("what heads say, and O", mixer.o_in_features + mixer.o_size)
    del probabilities, said


def positions_of_sequences(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Embedded for each sequence (TrOCRLearnedPositionalEmbedding.forward)."""
    return (run.features("embedded positions", architecture.hidden_size),)


def is_trocr_playable(architecture: Architecture) -> bool:
    """Not where it computes its positions: the class cannot be loaded with such ones, whose table is made where nothing
    has values (TrOCRSinusoidalPositionalEmbedding)."""
    return bool(architecture.learned_positions) and decoder.is_playable(_without_encoder(architecture))


def play_trocr(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """Its attention to an encoder is passed by where there is none (TrOCRDecoderLayer.forward)."""
    return decoder.play_decoder(run, _without_encoder(architecture), copies_logits)


def _without_encoder(architecture: Architecture) -> Architecture:
    return replace(architecture, layers=tuple([replace(layer, others=()) for layer in architecture.layers]))
