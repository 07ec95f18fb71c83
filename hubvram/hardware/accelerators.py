"""Accelerators, by what a process can really allocate on them: less than the label, and sourced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hubvram.errors import UsageError
from hubvram.memory.runtime import CUBLAS_WORKSPACE_BYTES, CUBLAS_WORKSPACE_HOPPER_BYTES
from hubvram.units import parse_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One kind of GPU.

    `usable_bytes` is what CUDA calls its total memory (cudaMemGetInfo; "GPU 0 has a total capacity of" in
    PyTorch's out-of-memory message): the lowest figure published for Linux where several differ.
    """

    name: str
    label: str
    usable_bytes: int
    workspace_bytes: int | None
    """PyTorch's cuBLAS workspace on it; None where that is not known."""
    source_url: str


def _gpu(name: str, label: str, usable: str, source_url: str, *, hopper_or_later: bool = False) -> Accelerator:
    return Accelerator(
        name=name,
        label=label,
        usable_bytes=parse_size(usable),
        workspace_bytes=CUBLAS_WORKSPACE_HOPPER_BYTES if hopper_or_later else CUBLAS_WORKSPACE_BYTES,
        source_url=source_url,
    )


_GITHUB: Final = "https://github.com/"

ACCELERATORS: Final[Mapping[str, Accelerator]] = {
    accelerator.name: accelerator
    for accelerator in (
        _gpu("t4-16gb", "T4 16GB", "14.56GiB", _GITHUB + "Zheng-Chong/CatVTON/issues/133"),
        _gpu("l4-24gb", "L4 24GB", "21.96GiB", _GITHUB + "rhymes-ai/Aria/issues/24"),
        _gpu("rtx-3090-24gb", "RTX 3090 24GB", "23.56GiB", _GITHUB + "noonghunna/club-3090/issues/58"),
        _gpu("rtx-4090-24gb", "RTX 4090 24GB", "23.52GiB", _GITHUB + "Soul-AILab/SoulX-FlashTalk/issues/5"),
        _gpu(
            "rtx-5090-32gb",
            "RTX 5090 32GB",
            "31.36GiB",
            _GITHUB + "TrajectoryCrafter/TrajectoryCrafter/issues/20",
            hopper_or_later=True,
        ),
        _gpu("a100-40gb", "A100 40GB", "39.50GiB", _GITHUB + "TianheWu/CoSeR/issues/10"),
        _gpu("l40s-48gb", "L40S 48GB", "44.42GiB", _GITHUB + "stepfun-ai/Step-Video-T2V/issues/8"),
        _gpu("a100-80gb", "A100 80GB", "79.14GiB", _GITHUB + "lianqi1008/Control-GIC/issues/6"),
        _gpu(
            "h100-80gb",
            "H100 80GB",
            "79.11GiB",
            _GITHUB + "vllm-project/vllm/issues/27508",
            hopper_or_later=True,
        ),
        _gpu(
            "h200-141gb",
            "H200 141GB",
            "143156MiB",
            _GITHUB + "ai-bot-pro/achatbot/blob/298019b35ebdd32d4ec0daae998b2308099ba77c/deploy/modal/src/llm/vllm/vlm/"
            "skywork_r1v.py",
            hopper_or_later=True,
        ),
        _gpu("b200-180gb", "B200 180GB", "178.35GiB", _GITHUB + "pytorch/ao/pull/4002", hopper_or_later=True),
    )
}
"""Name -> accelerator, smallest label first."""


def _named(beginning: str) -> list[Accelerator]:
    return [
        accelerator
        for name, accelerator in ACCELERATORS.items()
        if beginning.strip("-") and any(f"{form}-".startswith(beginning) for form in (name, name.removeprefix("rtx-")))
    ]


def find_accelerator(text: str) -> Accelerator:
    """`h100`, `rtx-4090`, `A100 80GB`, or a plain size such as 24GiB. Raises UsageError."""
    wanted = text.strip().lower().replace(" ", "-").replace("_", "-").removeprefix("nvidia-")
    if wanted.startswith("rtx") and not wanted.startswith("rtx-"):
        wanted = wanted.replace("rtx", "rtx-", 1)
    # Whole words first: an L4 is no L40S.
    matches = (_named(f"{wanted}-") or _named(wanted)) if wanted else []
    if len(matches) == 1:
        return matches[0]
    if len(matches) > 1:
        names = " or ".join(accelerator.name for accelerator in matches)
        raise UsageError(f"--gpu {text} may be {names}", "say which")
    if wanted[:1].isdigit():
        return limit(parse_size(text), text)
    raise UsageError(f"--gpu {text!r} is not in the table", "see `hubvram gpus`, or give a size such as 24GiB")


def limit(usable_bytes: int, label: str) -> Accelerator:
    """A plain amount of memory, with no particular GPU in mind."""
    return Accelerator(name=label, label=label, usable_bytes=usable_bytes, workspace_bytes=None, source_url="")
