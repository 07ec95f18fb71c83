"""Options, annotated once and used by every command that has them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from hubvram.dtypes import CACHES, KV_CACHE_BYTES, PRECISION_BITS


class AttentionChoice(StrEnum):
    """What --attention accepts. (The memory layer's own enum would have to be imported for --help.)"""

    AUTO = "auto"
    EAGER = "eager"
    SDPA = "sdpa"
    FLASH = "flash"


class HeadersChoice(StrEnum):
    """What --headers accepts; likewise."""

    ALWAYS = "always"
    AUTO = "auto"
    NEVER = "never"


_ASKED = "What is asked of the model"
_READING = "How it is read"
_OUTPUT = "Output"

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A repo id (org/name, gpt2), org/name@revision, a Hub URL, or a local folder.",
        show_default=False,
    ),
]
Dtype = Annotated[
    list[str] | None,
    typer.Option(
        "--dtype",
        metavar="NAME",
        help=f"Weights at this precision: {', '.join(PRECISION_BITS)}, or a tool's or GGUF's name such as nf4, awq, "
        "q4_k_m (`hubvram dtypes` lists them). Repeat for several. "
        "Default: as stored, and fp32, bf16, int8, int4.",
        show_default=False,
        rich_help_panel=_ASKED,
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        metavar="TOKENS|max|fit",
        help="Length of one sequence: 8192, 8k, max (the model's), fit (the longest that fits). "
        "Default: 8192, or the model's maximum if that is less.",
        show_default=False,
        rich_help_panel=_ASKED,
    ),
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="TOKENS",
        help="How much of the context is prompt. Default: all of it.",
        show_default=False,
        rich_help_panel=_ASKED,
    ),
]
Batch = Annotated[int, typer.Option("--batch", metavar="N", help="Sequences at once.", rich_help_panel=_ASKED)]
KvDtype = Annotated[
    str | None,
    typer.Option(
        "--kv-dtype",
        metavar="NAME",
        help=f"Precision of the KV cache: {', '.join(KV_CACHE_BYTES)}. Default: as the model computes, which is all "
        "that transformers itself does with a cache that is not packed (see --cache).",
        show_default=False,
        rich_help_panel=_ASKED,
    ),
]
Cache = Annotated[
    str,
    typer.Option(
        "--cache",
        metavar="NAME",
        help=f"Kind of cache: {', '.join(CACHES)}. static has room for the whole context from the start; the last "
        "ones are the packed ones of transformers, by backend and bits.",
        rich_help_panel=_ASKED,
    ),
]
AttentionOption = Annotated[
    AttentionChoice,
    typer.Option(
        "--attention",
        case_sensitive=False,
        help="auto is what the model class takes by itself.",
        rich_help_panel=_ASKED,
    ),
]


class LogitsChoice(StrEnum):
    """What --logits accepts."""

    LAST = "last"
    ALL = "all"


LogitsOption = Annotated[
    LogitsChoice,
    typer.Option(
        "--logits",
        case_sensitive=False,
        help="last: generate(), which needs those of the last token. all: one forward over the context with those of "
        "every token, as for scoring a text.",
        rich_help_panel=_ASKED,
    ),
]
Padded = Annotated[
    bool,
    typer.Option(
        "--padded",
        help="The sequences differ in length, so that the shorter ones are padded: masks are made.",
        rich_help_panel=_ASKED,
    ),
]
Gpu = Annotated[
    list[str] | None,
    typer.Option(
        "--gpu",
        metavar="NAME|SIZE",
        help="Does it fit this GPU? h100, rtx-4090 (see `hubvram gpus`), or a size such as 24GiB. Exit code 1 if "
        "one of the --dtype asked for does not; without --dtype the stored one decides. Repeat for several.",
        show_default=False,
        rich_help_panel=_ASKED,
    ),
]
MaxVram = Annotated[
    str | None,
    typer.Option(
        "--max-vram",
        metavar="SIZE",
        help="A budget: 24GiB, 24GB. Exit code 1 if it is exceeded.",
        show_default=False,
        rich_help_panel=_ASKED,
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(metavar="REV", help="A branch, tag or commit. Default: main.", show_default=False),
]
HeadersOption = Annotated[
    HeadersChoice,
    typer.Option(
        "--headers",
        case_sensitive=False,
        help="Read the headers of the files; auto does not where the Hub's totals and file sizes already equal what "
        "config.json derives.",
        rich_help_panel=_READING,
    ),
]
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Send no request: answer from this machine's caches.", rich_help_panel=_READING),
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", help="For one model in all.", rich_help_panel=_READING),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine", metavar="NAME", help="Who runs it: transformers is what is known.", rich_help_panel=_ASKED
    ),
]
Explain = Annotated[
    bool,
    typer.Option(
        "--explain", help="Print how each figure comes about, with its numbers and source.", rich_help_panel=_OUTPUT
    ),
]
Layers = Annotated[
    bool, typer.Option("--layers", help="Print every layer, not each kind once.", rich_help_panel=_OUTPUT)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts; sizes in bytes.", rich_help_panel=_OUTPUT)]
