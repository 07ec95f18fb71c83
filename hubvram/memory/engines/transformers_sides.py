"""What the classes of transformers 5.23 with an encoder and a decoder do in their own way: those whose peaks are known.

A type stands here once the peaks of its class were measured and met (fixtures/measurements, tests/peaks).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

from hubvram.architecture.layers import Architecture, Stack
from hubvram.architecture.mlp import DenseMLP
from hubvram.memory.cached import Cached
from hubvram.memory.engines.transformers_buffers import buffers
from hubvram.memory.engines.transformers_caches import Kept
from hubvram.memory.engines.transformers_code import WHOLES
from hubvram.memory.engines.transformers_spread import chosen
from hubvram.memory.estimate import Instant
from hubvram.memory.forward.encoder_decoder import is_playable, play_encoder, play_step
from hubvram.memory.forward.later import later
from hubvram.memory.forward.modeling_code import LAYER_NORM, LLAMA, ModelingCode, Whole, with_traits
from hubvram.memory.forward.run import Run, Sizes
from hubvram.memory.forward.sides_code import BothSides, Positions, Relative
from hubvram.memory.forward.sound import MOONSHINE, SPEECH_TO_TEXT, WHISPER
from hubvram.memory.forward.tape import Held, Peak, Share
from hubvram.memory.kv_cache import lengths
from hubvram.memory.workload import Workload

if TYPE_CHECKING:
    from hubvram.memory.forward.linears import LinearCode

BART: Final = BothSides(
    code=with_traits(LAYER_NORM, softmax_in_fp32=False, norm_row_bytes=0),
    encoder=Positions(rows=Share.SEQUENCE),
    decoder=Positions(rows=Share.ALL, ids=Share.ALL),
    adds_logits_bias=True,
)
# When its norm's fp32 copies are alive, neither the mean nor the root is there yet (modeling_t5.py, T5LayerNorm).
T5: Final = BothSides(
    code=with_traits(LLAMA, softmax_in_fp32=False, norm_row_bytes=0, keeps_gated=True),
    relative=Relative.FIRST,
    widens_in_fp16=True,
    names_normed=True,
)

_MVP: Final = replace(BART, orders_heads=True, keeps_probabilities=False)
_DROPS_NORMED: Final = with_traits(BART.code, drops_normed=True)
"""Of layers that norm before their parts."""
_M2M: Final = replace(
    BART, code=_DROPS_NORMED, adds_logits_bias=False, decoder=Positions(rows=Share.SEQUENCE), grows_table=True
)
_LATER: Final = replace(BART, decoder=Positions(rows=Share.ALL, padding=True))
_SINUSOIDS: Final = replace(_LATER, encoder=Positions(rows=Share.ALL))

SIDES: Final[Mapping[str, BothSides]] = {
    **dict.fromkeys(("bart", "plbart"), BART),
    "mbart": replace(_LATER, code=_DROPS_NORMED),
    "mvp": replace(_MVP, decoder=Positions(rows=Share.SEQUENCE)),
    **dict.fromkeys(("marian", "blenderbot-small"), _SINUSOIDS),
    "blenderbot": replace(_SINUSOIDS, code=_DROPS_NORMED),
    "pegasus": replace(_SINUSOIDS, code=_DROPS_NORMED, decoder=Positions(rows=Share.ALL, ids=Share.ALL, padding=True)),
    "m2m_100": _M2M,
    "whisper": replace(
        BART,
        code=_DROPS_NORMED,
        adds_logits_bias=False,
        sound=WHISPER,
        orders_heads=True,
        encoder=Positions(ids=Share.ALL),
        decoder=Positions(rows=Share.SEQUENCE, ids=Share.SEQUENCE),
    ),
    "speech_to_text": replace(_M2M, sound=SPEECH_TO_TEXT, encoder=Positions(rows=Share.SEQUENCE, ids=Share.SEQUENCE)),
    "moonshine": BothSides(
        sound=MOONSHINE,
        mix=later("padded_attention", "mix_padded"),
        encoder=Positions(ids=Share.ALL, rotary=True, embeddings=False),
        decoder=Positions(ids=Share.ALL, rotary=True),
    ),
    **dict.fromkeys(("t5", "mt5"), T5),
    "umt5": replace(T5, relative=Relative.EACH),
}

SIDES_ELSEWHERE: Final[Mapping[str, str]] = {
    **dict.fromkeys(("t5gemma", "t5gemma2"), "transformers_sides_gemma"),
    **dict.fromkeys(("fsmt", "led", "pegasus_x", "bigbird_pegasus", "nllb-moe"), "transformers_sides_bart"),
    **dict.fromkeys(("seamless_m4t", "seamless_m4t_v2"), "transformers_sides_bart"),
    **dict.fromkeys(("longt5", "pix2struct", "switch_transformers", "udop"), "transformers_sides_t5"),
    "prophetnet": "transformers_sides_prophetnet",
    **dict.fromkeys(("encoder-decoder", "speech-encoder-decoder", "vision-encoder-decoder"), "transformers_pairs"),
}
"""Model type -> the file in this folder whose `KNOWN` has its program: types that few ask for."""


UNPADDED: Final[Mapping[str, str]] = {
    "whisper": "it always hears as much sound, without a mask",
    **dict.fromkeys(
        ("moonshine", "speech_to_text", "speech-encoder-decoder"), "what it makes of masks of sound was not measured"
    ),
    "pix2struct": "what it makes of masks of patches was not measured",
    "vision-encoder-decoder": "its images are all of one size",
    "nllb-moe": "one of its experts reads all padding, and nothing says how much of it there is",
}
"""Model type -> why nothing is said of padded sequences."""


class Program(NamedTuple):
    """How the classes of some model types are played."""

    code: ModelingCode
    encode: Callable[[Run, Stack], tuple[Peak, ...]]
    """The encoder's peak, and moments at which more is shared."""
    step: Callable[..., tuple[Peak, ...]]
    """(run, architecture, copies_logits=) -> the decoder's peak before the head, that at it, and then moments before
    the head at which all sequences share more (Tape.take_all)."""
    is_playable: Callable[[Architecture], bool]
    widens_in_fp16: bool = False
    """As in BothSides."""
    plays_linears: bool = False
    """Whether it says when each linear runs, for those whose weights are packed."""
    loops: bool = False
    """Whether experts run in a loop of the class's own, so that what is alive depends on how tokens choose."""


def program_of(sides: BothSides) -> Program:
    """Where both sides are played by the usual program."""
    return Program(
        code=sides.code,
        encode=partial(play_encoder, sides=sides),
        step=partial(play_step, sides=sides),
        is_playable=is_playable,
        widens_in_fp16=sides.widens_in_fp16,
    )


def _known(model_type: str) -> Program | None:
    if model_type in SIDES:
        sides = SIDES[model_type]
        return program_of(sides)._replace(plays_linears=sides.mix is None)
    if model_type not in SIDES_ELSEWHERE:
        return None
    known: Program = import_module(f"{__package__}.{SIDES_ELSEWHERE[model_type]}").KNOWN[model_type]
    return known


def _program(architecture: Architecture) -> Program:
    program = _known(architecture.model_type)
    assert program is not None
    return program


def knows(architecture: Architecture) -> bool:
    """Whether a program was found to meet the peaks of this model type; as the text model of a whole, in those that
    were run with both sides."""
    whole, program = _whole(architecture), _known(architecture.model_type)
    is_run = architecture.whole_type is None or (whole is not None and whole.embeds_prompt)
    return is_run and program is not None and architecture.encoder is not None and program.is_playable(architecture)


def plays_linears(architecture: Architecture, dtype: str) -> bool:
    """Whether it is known when each packed linear runs: matrices that stay fp32 are not packed
    (quantizers/base.py, get_modules_to_not_convert)."""
    program = _program(architecture)
    return program.plays_linears and not (program.widens_in_fp16 and dtype == "fp16")


def why_unpadded(architecture: Architecture) -> str | None:
    """Why nothing is said of padded sequences; None where something is."""
    if not knows(architecture):
        return "what it makes of padding is not known: it has an encoder and a decoder"
    return UNPADDED.get(architecture.model_type)


def _whole(architecture: Architecture) -> Whole | None:
    return WHOLES.get(architecture.whole_type) if architecture.whole_type is not None else None


def _run(architecture: Architecture, sizes: Sizes, program: Program) -> Run:
    code = with_traits(program.code, whole=_whole(architecture))
    return Run(sizes, code, rotary_dim=architecture.rotary_dim)


def kept_in_fp32(architecture: Architecture) -> int:
    """Parameters of the matrices that write the output of MLPs, in types that keep them so; and of what looks at the
    patches, in wholes that do."""
    program, encoder = _known(architecture.model_type), architecture.encoder
    if program is None or not program.widens_in_fp16:
        return _kept_beside(architecture)
    layers = (*architecture.layers, *(encoder.layers if encoder is not None else ()))
    mlps = (layer.mlp for layer in layers if isinstance(layer.mlp, DenseMLP))
    return sum(mlp.hidden_size * mlp.intermediate_size for mlp in mlps) + _kept_beside(architecture)


_QUERIES: Final = ("queries",)
_KEPT_BESIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "blip-2": ("queries", "norm", "norm bias", "layers"),
    "instructblip": _QUERIES,
    "instructblipvideo": _QUERIES,
}
"""Whole -> what its class keeps of the stack between patches and text (`_keep_in_fp32_modules`, modeling_blip_2.py)."""


def _kept_beside(architecture: Architecture) -> int:
    names = _KEPT_BESIDE.get(architecture.whole_type or "", ())
    stacks = [stack for stack in architecture.stacks if names and stack.name == "projector"]
    weights = sum(weight.parameters for stack in stacks for weight in stack.extras if weight.name in names)
    layers = [layer for stack in stacks for layer in stack.layers if "layers" in names]
    return weights + sum(layer.parameters for layer in layers)


def encode(architecture: Architecture, sizes: Sizes) -> tuple[Peak, ...]:
    """The encoder's forward over `sizes.tokens`: its peak, and moments at which more is shared."""
    stack, program = architecture.encoder, _program(architecture)
    assert stack is not None
    run = _run(architecture, sizes, program)
    kept = run.whole_keeps(sizes.tokens, 0)  # the embeddings themselves are what the encoder reads
    peaks = program.encode(run, stack)
    del kept
    return peaks


def step(architecture: Architecture, sizes: Sizes, *, copies_logits: bool = True) -> tuple[Peak, ...]:
    """A forward of the decoder beside `sizes.source_tokens` of the encoder: (the peak before the head, that at it), and
    then moments at which more is shared."""
    program = _program(architecture)
    run = _run(architecture, sizes, program)
    kept = run.whole_keeps(sizes.source_tokens, architecture.hidden_size)
    peaks = program.step(run, architecture, copies_logits=copies_logits)
    del kept
    return peaks


def instants(
    architecture: Architecture,
    workload: Workload,
    kept: Kept,
    *,
    element_bytes: int,
    in_fp16: bool,
    linears: LinearCode | None = None,
) -> tuple[Instant, ...]:
    """The encoder over the input, and wherever more is shared meanwhile; the decoder's first step, which fills the
    cache with what K and V make of what the encoder says, and wherever it shares more; the last step. And the logits of
    both steps."""
    given = workload.input_tokens
    decoded, source = lengths(architecture, workload.context_tokens, given)
    start = min(lengths(architecture, given, given)[0], decoded)
    sizes = Sizes(
        batch_size=workload.batch_size,
        tokens=source,
        by_generate=True,
        padded=workload.padded,
        element_bytes=element_bytes,
        attention=workload.attention,
        in_fp16=in_fp16,
        linears=linears if plays_linears(architecture, "fp16" if in_fp16 else "") else None,
    )
    first = replace(sizes, tokens=start, source_tokens=source)
    last = replace(first, tokens=1, past_tokens=decoded - 1, decodes=True)
    encoded, prefill, decode = encode(architecture, sizes), step(architecture, first), step(architecture, last)
    spreads = _spreads(architecture, (sizes, first, last), (encoded[0], prefill[0], decode[0]))
    moments = (
        *_encoding(encoded, source, spreads[0]),
        *_prefilling(kept.after_prefill(), prefill, source, spreads[1]),
        *_decoding(kept.while_decoding()[0], decode, (source, decoded), spreads[2]),
    )
    return tuple(_beside(moment, buffers(architecture, element_bytes)) for moment in moments)


def _encoding(peaks: tuple[Peak, ...], source: int, spread_bytes: int) -> Iterator[Instant]:
    nothing = Cached(kv_cache_bytes=0, state_bytes=0)
    for index, peak in enumerate(peaks):
        where = f"in the {peak.phase}, while the encoder runs over {source:,} positions"
        name, spread = (_sharing("encode", peak), 0) if index else ("encode", spread_bytes)
        yield _instant(name, nothing, peak, where, spread)


def _prefilling(filled: Cached, peaks: tuple[Peak, ...], source: int, spread_bytes: int) -> Iterator[Instant]:
    peak, head, *sharing = peaks
    its = f"the decoder's first step, beside {source:,} positions of the encoder"
    yield _instant("prefill", filled, peak, f"in the {peak.phase} of {its}", spread_bytes)
    for other in _larger(sharing, peak):
        yield _instant(_sharing("prefill", other), filled, other, f"in the {other.phase} of {its}")
    yield _instant("prefill-logits", filled, head, f"at the logits of {its}")


def _decoding(held: Cached, peaks: tuple[Peak, ...], tokens: tuple[int, int], spread_bytes: int) -> Iterator[Instant]:
    peak, head, *sharing = peaks
    source, decoded = tokens
    beside = f"with {decoded:,} token{'s' * (decoded != 1)} in the cache beside {source:,} positions of the encoder"
    yield _instant("decode", held, peak, f"while decoding, in the {peak.phase} of a layer, {beside}", spread_bytes)
    for other in _larger(sharing, peak):
        yield _instant(_sharing("decode", other), held, other, f"while decoding, in the {other.phase}, {beside}")
    yield _instant("decode-logits", held, head, f"at the logits of a decoded token, {beside}")


def _larger(moments: Iterable[Peak], peak: Peak) -> Iterator[Peak]:
    """Those at which so much more is shared than at the peak of what sequences hold, that all of it is more."""
    return (moment for moment in moments if moment.total_bytes > peak.total_bytes)


def _sharing(name: str, peak: Peak) -> str:
    """Name of a moment at which more is shared than at the peak of this name."""
    return f"{name}-{peak.phase.split()[-1]}"


def _beside(moment: Instant, tables: tuple[Held, ...]) -> Instant:
    unpacking = (*moment.unpacking, *tables) if moment.unpacking else ()
    return replace(moment, held=(*moment.held, *tables), unpacking=unpacking)


def _spreads(architecture: Architecture, passes: tuple[Sizes, ...], peaks: tuple[Peak, ...]) -> tuple[int, ...]:
    """Of the encoder and both steps: by how much less is alive if tokens choose all experts evenly."""
    if not _program(architecture).loops:
        return (0,) * len(peaks)
    encoder, *steps = (replace(sizes, evenly=True) for sizes in passes)
    least = (encode(architecture, encoder)[0], *(step(architecture, sizes)[0] for sizes in steps))
    return tuple(max(0, most.total_bytes - one.total_bytes) for most, one in zip(peaks, least, strict=True))


def _instant(name: str, cached: Cached, peak: Peak, explanation: str, spread_bytes: int = 0) -> Instant:
    return Instant(
        name=name,
        cached=cached,
        held=peak.held,
        unpacking=peak.unpacking,
        explanation=explanation + chosen(spread_bytes),
        spread_bytes=spread_bytes,
    )
