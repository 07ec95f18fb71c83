"""A tower for images beside a text encoder, played: it runs first, and what it says stays (modeling_clip.py).

Not played: the attention of one query that makes one vector of all patches (siglip), which is less than a layer's.
"""

from __future__ import annotations

from typing import Final

from hubvram.architecture.layers import Architecture, Image, Stack
from hubvram.architecture.parts import Linear, Weight
from hubvram.memory.forward.encoder import play_layer
from hubvram.memory.forward.encoder_code import EncoderCode
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.tape import Tensor

_MASK_BYTES: Final = 4
"""Of each patch, in a mask of int32 (image_processing_siglip2.py)."""


def play_tower(run: Run, architecture: Architecture, code: EncoderCode) -> tuple[Tensor, ...]:
    """Over an image for each sequence. Leaves the pixels, which are given, and what it says: of all, and each patch."""
    (stack,) = architecture.stacks
    image = stack.image
    assert image is not None
    tower = run.over(tokens=image.tokens)
    given = (
        run.tensor("pixels", image.channels, image.height, image.width, element_bytes=FP32),
        *(_given_of_patches(tower) if _has(stack.extras, "patch embedding", of=Linear) else ()),
    )
    embedded = _embed(tower, stack, image)
    for group in stack.groups():
        for _ in range(min(group.count, 2)):
            hidden = tower.features("input of the layer", stack.hidden_size)
            play_layer(tower, architecture, group.layer, code, None)
            del hidden
    said = tower.features("what the tower says", stack.hidden_size)
    del embedded
    width = _pooled_width(architecture, stack)
    return (*given, said, *((run.tensor("what it says of the image", width),) if width else ()))


def _given_of_patches(run: Run) -> tuple[Tensor, ...]:
    """Where images are of any shape: a mask of their patches, and how many they are along both sides."""
    return (
        run.features("mask of patches", 1, element_bytes=_MASK_BYTES),
        run.tensor("patches along both sides", 2, element_bytes=ID_BYTES),
    )


def _embed(run: Run, stack: Stack, image: Image) -> Tensor:
    """Patches of pixels in the model's own type; the same behind a class token, where there is one; with positions,
    which are resized for each image where these are of any shape."""
    run.phase("embeddings of the image")
    width, extras = stack.hidden_size, stack.extras
    pixels = None
    if run.element_bytes != FP32:
        pixels = run.tensor("pixels in the model's type", image.channels, image.height, image.width)
    patches = run.features("embedded patches", width)
    del pixels
    joined = run.features("the same behind the class token", width) if _has(extras, "class token") else None
    if _has(extras, "patch embedding", of=Linear):
        positions = run.features("embedded positions", width)
    else:
        positions = run.shared("embedded positions", run.tokens, width)
    added = run.features("sum with positions", width)
    del patches, joined, positions
    return added


def _pooled_width(architecture: Architecture, stack: Stack) -> int:
    """Projected to what texts and images have in common, or by a head of the tower's own, which some leave out."""
    projections = (it for it in architecture.extras if isinstance(it, Linear) and it.name == "visual projection")
    own = stack.hidden_size if _has(stack.extras, "probe") else 0
    return next((it.out_features for it in projections), own)


def _has(weights: tuple[Weight, ...], name: str, *, of: type = object) -> bool:
    return any(weight.name == name and isinstance(weight, of) for weight in weights)
