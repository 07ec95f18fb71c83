"""What transformers' own config class makes of a config: fields that it computes from others (extra `transformers`).

For model types without a family only, so that the usual inspect never imports transformers.
"""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import replace
from importlib.util import find_spec
from typing import Final

from hubvram.config.defaults import is_known
from hubvram.config.document import ConfigDocument


def can_complete(document: ConfigDocument) -> bool:
    """Whether transformers is installed and has a config class for this type."""
    return document.model_type is not None and is_known(document.model_type) and find_spec("transformers") is not None


def completed(document: ConfigDocument) -> ConfigDocument:
    """The same with the computed fields behind its own; unchanged without transformers, or where it refuses.

    The class only ever sees data: nothing that a repo brings along is run.
    """
    if not can_complete(document) or _is_oversized(document):
        return document
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        from transformers import CONFIG_MAPPING

        if document.model_type not in CONFIG_MAPPING:
            return document
        computed = CONFIG_MAPPING[document.model_type].from_dict(deepcopy(dict(document.data))).to_dict()
    except Exception:  # whatever a config class of somebody else's raises: our own reading of the file stands
        return document
    # What the file says stays its own, in the class's reading (a null that it fills in, a window it takes away).
    stated = {key: computed.get(key, value) for key, value in document.data.items()}
    return replace(document, data=stated, defaults={**document.defaults, **computed})


def _is_oversized(document: ConfigDocument) -> bool:
    """Whether a class that makes a list of all layers would never end."""
    return any(
        isinstance(value, int) and value > _LAYERS_LIMIT for key, value in document.data.items() if "layer" in key
    )


_LAYERS_LIMIT: Final = 10_000
