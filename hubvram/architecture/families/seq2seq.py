"""Encoder-decoders: an encoder beside the decoder, which attends to it.

What `architectures` names decides what there is: both, the decoder alone (ForCausalLM), or the encoder alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

from hubvram.architecture.attention import BidirectionalAttention, CrossAttention, FullAttention
from hubvram.architecture.families.decoder import LAYERS_LIMIT, Switch, switch
from hubvram.architecture.families.interface import Read
from hubvram.architecture.layers import Architecture, Layer, Stack
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Block, Linear, Norms, Part, Tensor, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

Name = Literal["encoder", "decoder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """An encoder or a decoder, with what stands around its layers."""

    hidden_size: int
    vocab_size: int
    """Rows of its token embedding; 0 for one that reads no tokens."""
    layers: tuple[Layer, ...]
    final_norm: Norms
    learned_positions: int = 0
    max_position_embeddings: int | None = None
    rotary_dim: int = 0
    rotary_tables: int = 1
    extras: tuple[Weight, ...] = ()


ReadSide = Callable[[Name], Side]


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a model type has around both sides."""

    tied: bool
    shares_embedding: bool = True
    """Whether both sides have one token embedding."""
    rebuilt: tuple[str, ...] = ()
    dense_classifier: bool = True
    """Whether a head over the labels of a whole text has a matrix of its own before it."""


def assemble(
    config: ConfigDocument, architectures: tuple[str, ...], read_side: ReadSide, around: Around
) -> Architecture:
    """A model of the sides that its class has."""
    name = architectures[0] if architectures else ""
    decodes = not name.endswith(_ENCODERS)
    encoder = read_side("encoder") if not (decodes and name.endswith("ForCausalLM")) else None
    main = read_side("decoder") if decodes or encoder is None else encoder
    head, on_top = _top(config, name, main, around)
    beside = encoder if decodes else None
    return Architecture(
        model_type=config.model_type or config.require(str, "model_type"),
        hidden_size=main.hidden_size,
        vocab_size=main.vocab_size,
        max_position_embeddings=main.max_position_embeddings,
        tie_word_embeddings=around.tied,
        layers=main.layers,
        final_norm=main.final_norm,
        head=head,
        learned_positions=main.learned_positions,
        rotary_dim=main.rotary_dim,
        rotary_tables=main.rotary_tables,
        extras=(*main.extras, *on_top),
        stacks=() if beside is None else (_stack(beside, shares_embedding=around.shares_embedding),),
        shares_embedding=around.shares_embedding,
        rebuilt=around.rebuilt,
    )


_ENCODERS: Final = ("EncoderModel", "ForTokenClassification", "ForAudioClassification")
"""Ends of the names of classes that hold the encoder alone."""


def _stack(side: Side, *, shares_embedding: bool) -> Stack:
    """An encoder beside the decoder."""
    norm, hidden_size = side.final_norm, side.hidden_size
    tables = {"positions": side.learned_positions, "embedding": 0 if shares_embedding else side.vocab_size}
    return Stack(
        name="encoder",
        hidden_size=hidden_size,
        layers=side.layers,
        extras=(
            *(
                Tensor(name=name, shape=(rows, hidden_size), component=Component.EMBEDDING)
                for name, rows in tables.items()
                if rows
            ),
            *side.extras,
            *(_norm("final norm", hidden_size, bias=norm.bias) if norm.count else ()),
        ),
    )


def _norm(name: str, size: int, *, bias: bool = True) -> tuple[Tensor, ...]:
    """A norm outside the layers."""
    names = (name, f"{name} bias") if bias else (name,)
    return tuple(vector(name, size, Component.NORM) for name in names)


def _top(
    config: ConfigDocument, name: str, side: Side, around: Around
) -> tuple[Linear | None, tuple[Weight, ...]]:
    """(the head that the model class has, what else stands on top)."""
    hidden_size = side.hidden_size
    if name.endswith("Model") and not name.endswith(("LMHeadModel", "MTModel")):
        return None, ()
    if not name.endswith(_CLASSIFIERS):
        return Linear(name="head", out_features=side.vocab_size, in_features=hidden_size), ()
    labels = len(config.section("id2label") or {}) or config.size_or_none("num_labels") or 2
    head = Linear(name="head", out_features=labels, in_features=hidden_size, bias=True)
    if name.endswith("ForAudioClassification"):
        width = config.size("classifier_proj_size")
        before = Linear(name="projector", out_features=width, in_features=hidden_size, bias=True)
        return replace(head, in_features=width), (replace(before, component=Component.PROJECTOR),)
    if name.endswith("ForSequenceClassification") and around.dense_classifier:
        before = Linear(name="head dense", out_features=hidden_size, in_features=hidden_size, bias=True)
        return head, (replace(before, component=Component.HEAD),)
    return head, ()


_CLASSIFIERS: Final = (
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForAudioClassification",
)


ReadExtras = Callable[[ConfigDocument, Name], tuple[Weight, ...]]
ReadMLP = Callable[[ConfigDocument, Name, int], Part]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """In what a model type differs from bart."""

    layers: str = "{}_layers"
    heads: str = "{}_attention_heads"
    width: str = "{}_ffn_dim"
    """Names of the fields, with a gap for the side."""
    vocab_sizes: tuple[str, str] = ("vocab_size", "vocab_size")
    """Fields of the encoder's and the decoder's vocabulary."""
    shares_embedding: Switch = True
    positions: tuple[str, str] = ("max_position_embeddings", "max_position_embeddings")
    """Fields that say how many positions the encoder and the decoder know."""
    position_offset: int = 2
    """Rows of their embeddings beyond the positions."""
    learned: Switch = True
    """Whether positions have weights; else the code computes them, though some files store them."""
    embedding_norm: Switch = True
    pre_norm: bool = False
    """Whether norms stand before attention and MLP, and another behind the last layer."""
    attention_bias: Switch = True
    k_bias: bool | None = None
    encoder_block: Callable[[ConfigDocument], str | None] = lambda config: None
    """What the encoder's attention is, where it is neither plain nor over a window."""
    decoder_block: str | None = None
    encoder_weights: Callable[[int], tuple[Weight, ...]] | None = None
    """Further weights of the encoder's attention, by hidden_size."""
    decoder_weights: Callable[[ConfigDocument], tuple[Weight, ...]] | None = None
    encoder_norms: int = 2
    """Norms in a layer of the encoder."""
    cross: Switch = True
    """Whether the decoder attends to an encoder."""
    read_mlp: ReadMLP | None = None
    extras: ReadExtras | None = None


def read_bart(config: ConfigDocument, architectures: tuple[str, ...], traits: Traits) -> Architecture:
    """A model of bart's shape. Raises ConfigError."""
    learned = switch(config, traits.learned)
    around = Around(
        tied=config.flag("tie_word_embeddings"),
        shares_embedding=switch(config, traits.shares_embedding),
        rebuilt=() if learned else ("embed_positions.weight",),
    )
    return assemble(config, architectures, partial(_bart_side, config, traits), around)


def _bart_side(config: ConfigDocument, traits: Traits, name: Name) -> Side:
    hidden_size = config.size("hidden_size")
    number = config.size(traits.layers.format(name), largest=LAYERS_LIMIT)
    encodes = name == "encoder"
    vocabulary, positions = (pair[0 if encodes else 1] for pair in (traits.vocab_sizes, traits.positions))
    rows = config.size(positions)
    norm = _norm("embedding norm", hidden_size) if switch(config, traits.embedding_norm) else ()
    read_layer = _encoder_layer if encodes else _decoder_layer
    return Side(
        hidden_size=hidden_size,
        vocab_size=_vocab_size(config, vocabulary) if vocabulary else 0,
        layers=tuple(read_layer(config, traits, index) for index in range(number)),
        final_norm=Norms(count=int(traits.pre_norm), hidden_size=hidden_size, bias=True),
        learned_positions=rows + traits.position_offset if switch(config, traits.learned) else 0,
        max_position_embeddings=rows,
        extras=(*norm, *(traits.extras(config, name) if traits.extras else ())),
    )


def _vocab_size(config: ConfigDocument, field: str) -> int:
    """A vocabulary; the decoder's own may be null, for the encoder's (marian)."""
    return config.size_or_none(field) or config.size("vocab_size")


def _encoder_layer(config: ConfigDocument, traits: Traits, index: int) -> Layer:
    mixer: Part = BidirectionalAttention(
        **_attention(config, traits, "encoder"),
        others=traits.encoder_weights(config.size("hidden_size")) if traits.encoder_weights else (),
    )
    kind = traits.encoder_block(config)
    return Layer(
        mixer=mixer if kind is None else _block(kind, mixer),
        mlp=_mlp(config, traits, "encoder", index),
        norms=Norms(count=traits.encoder_norms, hidden_size=config.size("hidden_size"), bias=True),
        pre_norm=traits.pre_norm,
    )


def _decoder_layer(config: ConfigDocument, traits: Traits, index: int) -> Layer:
    hidden_size = config.size("hidden_size")
    usual = _attention(config, traits, "decoder")
    mixer: Part = FullAttention(**usual, others=traits.decoder_weights(config) if traits.decoder_weights else ())
    width = config.size_or_none("cross_attention_hidden_size") or hidden_size
    cross = (CrossAttention(**usual, encoder_hidden_size=width),) if switch(config, traits.cross) else ()
    return Layer(
        mixer=mixer if traits.decoder_block is None else _block(traits.decoder_block, mixer),
        mlp=_mlp(config, traits, "decoder", index),
        norms=Norms(count=2 + len(cross), hidden_size=hidden_size, bias=True),
        others=cross,
        pre_norm=traits.pre_norm,
    )


def _block(kind: str, mixer: Part) -> Block:
    """A mixer of known weights and an arrangement of its own."""
    return Block(kind=kind, component=mixer.component, weights=mixer.linears, others=mixer.tensors)


def _attention(config: ConfigDocument, traits: Traits, name: Name) -> dict[str, int | bool | None]:
    """What all attention of one side has in common."""
    hidden_size, field = config.size("hidden_size"), traits.heads.format(name)
    heads = config.size(field)
    if hidden_size % heads:
        raise config.error(field, f"{heads} heads do not divide hidden_size {hidden_size}")
    bias = switch(config, traits.attention_bias)
    return {
        "hidden_size": hidden_size,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": hidden_size // heads,
        "qkv_bias": bias,
        "k_bias": traits.k_bias,
        "o_bias": bias,
    }


def _mlp(config: ConfigDocument, traits: Traits, name: Name, index: int) -> Part:
    if traits.read_mlp is not None:
        return traits.read_mlp(config, name, index)
    return _ungated(config, name)


def _ungated(config: ConfigDocument, name: Name) -> DenseMLP:
    return DenseMLP(
        hidden_size=config.size("hidden_size"),
        intermediate_size=config.size(f"{name}_ffn_dim"),
        hidden_act=config.require(str, "activation_function"),
        gated=False,
        bias=True,
    )


def _two_experts(config: ConfigDocument, name: Name, index: int) -> Part:
    """Experts in each `*_sparse_step`-th layer, none with a step of 0; a token takes two (nllb-moe)."""
    step = config.require(int, f"{name}_sparse_step")
    if step <= 0 or (index + 1) % step:
        return _ungated(config, name)
    experts = config.size("num_experts")
    return MoEMLP(
        hidden_size=config.size("hidden_size"),
        num_experts=experts,
        num_experts_per_tok=min(2, experts),
        moe_intermediate_size=config.size(f"{name}_ffn_dim"),
        hidden_act=config.require(str, "activation_function"),
        gated=False,
        expert_bias=True,
        router_bias=config.flag("router_bias"),
    )


def _block_sparse(config: ConfigDocument) -> str | None:
    """bigbird_pegasus: block sparse, or plain."""
    return None if config.require(str, "attention_type") == "original_full" else "block_sparse_attention"


def _global_qkv(hidden_size: int) -> tuple[Weight, ...]:
    """led: matrices of their own for the tokens that see everything."""
    return tuple(
        Linear(name=f"{name} global", out_features=hidden_size, in_features=hidden_size, bias=True) for name in "qkv"
    )


def _global_tokens(config: ConfigDocument, name: Name) -> tuple[Weight, ...]:
    """pegasus_x: an embedding of the encoder's global tokens."""
    if name == "decoder":
        return ()
    shape = (config.size("num_global_tokens"), config.size("hidden_size"))
    return (Tensor(name="global tokens", shape=shape, component=Component.EMBEDDING),)


def _ngram_positions(config: ConfigDocument) -> tuple[Weight, ...]:
    """prophetnet: relative positions from the hidden states."""
    size = config.size("num_buckets") * config.size("num_decoder_attention_heads")
    return (Linear(name="relative positions", out_features=size, in_features=config.size("hidden_size"), bias=True),)


def _ngrams(config: ConfigDocument, name: Name) -> tuple[Weight, ...]:
    """prophetnet: an embedding of the tokens to predict."""
    if name == "encoder":
        return ()
    shape = (config.size("ngram"), config.size("hidden_size"))
    return (Tensor(name="ngrams", shape=shape, component=Component.EMBEDDING),)


def _convolution(name: str, channels: int, inputs: int, kernel: int) -> tuple[Tensor, ...]:
    """A convolution that makes an encoder's input, with its bias."""
    return (
        Tensor(name=name, shape=(channels, inputs, kernel), component=Component.EMBEDDING),
        vector(f"{name} bias", channels, Component.EMBEDDING),
    )


def _mel_frames(config: ConfigDocument, name: Name) -> tuple[Weight, ...]:
    """whisper: two convolutions over mel frames."""
    if name == "decoder":
        return ()
    hidden_size = config.size("hidden_size")
    return (
        *_convolution("conv1", hidden_size, config.size("num_mel_bins"), 3),
        *_convolution("conv2", hidden_size, hidden_size, 3),
    )


def _subsampler(config: ConfigDocument, name: Name) -> tuple[Weight, ...]:
    """speech_to_text: convolutions that halve their channels with a gate."""
    if name == "decoder":
        return ()
    kernels, middle = config.integers("conv_kernel_sizes"), config.size("conv_channels")
    weights: list[Weight] = []
    inputs = config.size("input_feat_per_channel") * config.size("input_channels")
    for index, kernel in enumerate(kernels):
        last = index == len(kernels) - 1
        channels = 2 * config.size("hidden_size") if last else middle
        if kernel <= 0:
            raise config.error("conv_kernel_sizes", f"{kernel} is no size of a kernel")
        weights += _convolution(f"conv {index}", channels, inputs, kernel)
        inputs = channels // 2
    return tuple(weights)


_PEGASUS: Final = Traits(learned=False, embedding_norm=False, pre_norm=True)

_BART: Final[Mapping[str, Traits]] = {
    "bart": Traits(),
    "plbart": Traits(),
    "mvp": Traits(),
    "mbart": Traits(pre_norm=True),
    "blenderbot": Traits(position_offset=0, embedding_norm=False, pre_norm=True),
    "blenderbot-small": Traits(position_offset=0),
    "pegasus": _PEGASUS,
    "m2m_100": _PEGASUS,
    "nllb-moe": replace(_PEGASUS, read_mlp=_two_experts),
    "marian": Traits(
        learned=False,
        embedding_norm=False,
        vocab_sizes=("vocab_size", "decoder_vocab_size"),
        shares_embedding="share_encoder_decoder_embeddings",
    ),
    "fsmt": Traits(
        learned=False,
        embedding_norm=False,
        vocab_sizes=("src_vocab_size", "tgt_vocab_size"),
        shares_embedding="tie_word_embeddings",
    ),
    "bigbird_pegasus": Traits(
        position_offset=0,
        embedding_norm=False,
        pre_norm=True,
        attention_bias="use_bias",
        encoder_block=_block_sparse,
    ),
    "pegasus_x": replace(
        _PEGASUS,
        attention_bias=False,
        encoder_block=lambda config: "global_local_attention",
        encoder_norms=3,
        extras=_global_tokens,
    ),
    "led": Traits(
        positions=("max_encoder_position_embeddings", "max_decoder_position_embeddings"),
        position_offset=0,
        encoder_block=lambda config: "longformer_attention",
        encoder_weights=_global_qkv,
    ),
    "prophetnet": Traits(
        layers="num_{}_layers",
        heads="num_{}_attention_heads",
        position_offset=0,
        decoder_block="ngram_attention",
        decoder_weights=_ngram_positions,
        cross="add_cross_attention",
        extras=_ngrams,
    ),
    "trocr": Traits(learned="use_learned_position_embeddings", embedding_norm="layernorm_embedding"),
    "whisper": Traits(
        vocab_sizes=("", "vocab_size"),
        shares_embedding=False,
        positions=("max_source_positions", "max_target_positions"),
        position_offset=0,
        embedding_norm=False,
        pre_norm=True,
        k_bias=False,
        extras=_mel_frames,
    ),
    "speech_to_text": Traits(
        vocab_sizes=("", "vocab_size"),
        shares_embedding=False,
        positions=("max_source_positions", "max_target_positions"),
        learned=False,
        embedding_norm=False,
        pre_norm=True,
        extras=_subsampler,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class T5:
    """In what a model type differs from t5."""

    biased_everywhere: bool = False
    """Whether each layer has relative positions of its own, not only the first."""
    local_encoder: bool = False
    """Whether the encoder looks at a window (longt5)."""
    sparse: bool = False
    """Whether some layers have experts (switch_transformers)."""
    tied_by_file: bool = True
    """Whether false in `tie_word_embeddings` means that there is a head of its own."""


def read_t5(config: ConfigDocument, architectures: tuple[str, ...], traits: T5) -> Architecture:
    """A model of t5's shape. Raises ConfigError.

    transformers 5 writes `tie_word_embeddings` true whatever the file said, and what it said as
    `scale_decoder_outputs`. A head that is not the embedding stays apart nevertheless (tie_weights).
    """
    said = [config.get(bool, key) for key in ("tie_word_embeddings", "scale_decoder_outputs")]
    around = Around(
        tied=not traits.tied_by_file or False not in said,
        rebuilt=("EncDecAttention.relative_attention_bias.weight",),
    )
    return assemble(config, architectures, partial(_t5_side, config, traits), around)


def _t5_side(config: ConfigDocument, traits: T5, name: Name) -> Side:
    hidden_size = config.size("d_model")
    number = _t5_number(config, name)
    cross: tuple[Part, ...] = ()
    if name == "decoder":
        cross = (CrossAttention(**_t5_attention(config), encoder_hidden_size=hidden_size),)
    norms = Norms(count=2 + len(cross), hidden_size=hidden_size)
    return Side(
        hidden_size=hidden_size,
        vocab_size=config.size("vocab_size"),
        layers=tuple(
            Layer(
                mixer=_t5_mixer(config, traits, name, index),
                mlp=_t5_mlp(config, traits, name, index),
                norms=norms,
                others=cross,
            )
            for index in range(number)
        ),
        final_norm=Norms(count=1, hidden_size=hidden_size),
    )


def _t5_number(config: ConfigDocument, name: Name) -> int:
    """Layers; the decoder has as many as the encoder where nothing is said."""
    field = "num_decoder_layers" if name == "decoder" and config.size_or_none("num_decoder_layers") else "num_layers"
    return config.size(field, largest=LAYERS_LIMIT)


def _t5_attention(config: ConfigDocument) -> dict[str, int]:
    heads = config.size("num_heads")
    return {
        "hidden_size": config.size("d_model"),
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": config.size("d_kv"),
    }


def _t5_mixer(config: ConfigDocument, traits: T5, name: Name, index: int) -> Part:
    usual = _t5_attention(config)
    shape = (config.size("relative_attention_num_buckets"), config.size("num_heads"))
    biases: tuple[Weight, ...] = ()
    if index == 0 or traits.biased_everywhere:
        biases = (Tensor(name="relative positions", shape=shape),)
    if name == "decoder":
        return FullAttention(**usual, others=biases)
    if not traits.local_encoder:
        return BidirectionalAttention(**usual, others=biases)
    window = 2 * config.size("local_radius") + 1
    kind = config.require(str, "encoder_attention_type")
    if kind == "local":
        return BidirectionalAttention(**usual, sliding_window=window, others=biases)
    if kind != "transient-global":
        raise config.error("encoder_attention_type", f"{kind!r} is neither local nor transient-global")
    # Sums of blocks are looked at beside the window: a norm for them, and relative positions of their own.
    others = (*biases, *biases, vector("global norm", config.size("d_model")))
    return _block("transient_global_attention", BidirectionalAttention(**usual, others=others))


def _t5_mlp(config: ConfigDocument, traits: T5, name: Name, index: int) -> Part:
    hidden_size, width = config.size("d_model"), config.size("d_ff")
    if not traits.sparse:
        return _t5_dense(config, hidden_size, width)
    activation = config.require(str, "dense_act_fn")
    step = _sparse_step(config, name)
    # index % step == 1, and each layer with a step of 1 (SwitchTransformersStack).
    if step <= 0 or index % step != 1 % step:
        return DenseMLP(hidden_size=hidden_size, intermediate_size=width, hidden_act=activation, gated=False)
    return MoEMLP(
        hidden_size=hidden_size,
        num_experts=config.size("num_experts"),
        num_experts_per_tok=1,
        moe_intermediate_size=width,
        hidden_act=activation,
        gated=False,
        router_bias=config.flag("router_bias"),
    )


def _sparse_step(config: ConfigDocument, name: Name) -> int:
    """One layer with experts among so many (switch_transformers)."""
    step = config.get(int, f"{name}_sparse_step")
    if step is not None:
        return step
    sparse, number = config.require(int, f"num_sparse_{name}_layers"), _t5_number(config, name)
    return number // sparse if sparse > 0 else number


def _t5_dense(config: ConfigDocument, hidden_size: int, width: int) -> DenseMLP:
    """`feed_forward_proj` is an activation, or `gated-` and one; gated-gelu is the one by tanh."""
    said = config.require(str, "feed_forward_proj")
    gate, _, activation = said.rpartition("-")
    if gate not in ("", "gated"):
        raise config.error("feed_forward_proj", f"{said!r} is neither an activation nor a gated one")
    return DenseMLP(
        hidden_size=hidden_size,
        intermediate_size=width,
        hidden_act="gelu_new" if said == "gated-gelu" else activation,
        gated=bool(gate),
    )


_T5: Final[Mapping[str, T5]] = {
    "t5": T5(),
    "mt5": T5(),
    "umt5": T5(biased_everywhere=True),
    "longt5": T5(local_encoder=True, tied_by_file=False),
    "switch_transformers": T5(sparse=True),
}

FAMILIES: Final[Mapping[str, Read]] = {
    **{model_type: partial(read_bart, traits=traits) for model_type, traits in _BART.items()},
    **{model_type: partial(read_t5, traits=t5) for model_type, t5 in _T5.items()},
}
