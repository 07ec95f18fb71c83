"""What transformers' own config class makes of a config: fields that it computes from others (extra `transformers`).

For model types without a family only, so that the usual inspect never imports transformers.
"""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec

from hubvram.config.defaults import is_known
from hubvram.config.document import ConfigDocument


def can_complete(document: ConfigDocument) -> bool:
    """Whether transformers is installed and has a config class for this type."""
    return document.model_type is not None and is_known(document.model_type) and find_spec("transformers") is not None


def completed(document: ConfigDocument) -> ConfigDocument:
    """The same with the computed fields; unchanged where transformers is not installed or refuses the config.

    The class only ever sees data: nothing that a repo brings along is run.
    """
    if not can_complete(document):
        return document
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from transformers import CONFIG_MAPPING

    if document.model_type not in CONFIG_MAPPING:
        return document
    try:
        computed = CONFIG_MAPPING[document.model_type].from_dict(dict(document.data)).to_dict()
    except Exception:  # whatever a config class of somebody else's raises: our own reading of the file stands
        return document
    return replace(document, data={**computed, **document.data})
