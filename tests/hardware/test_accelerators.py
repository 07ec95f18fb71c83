"""The table of accelerators, and how a user names one."""

from __future__ import annotations

import re

import pytest

from hubvram.errors import UsageError
from hubvram.hardware.accelerators import ACCELERATORS, find_accelerator, limit
from hubvram.units import GIB

NAMES = tuple(ACCELERATORS)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_source(name: str) -> None:
    assert ACCELERATORS[name].source_url.startswith("https://github.com/")


@pytest.mark.parametrize("name", NAMES)
def test_what_can_be_used_is_less_than_the_label_and_not_much_less(name: str) -> None:
    accelerator = ACCELERATORS[name]
    match = re.search(r"(\d+)GB$", accelerator.label)
    assert match is not None
    assert name.endswith(f"-{match[1]}gb")
    # A vendor's GB is a GiB of memory chips, less what ECC, firmware and driver keep: between 1 % (A100)
    # and 9 % (T4, L4). On the newest, H200 and B200, it is 10^9 bytes, or nearly.
    assert 0.90 * int(match[1]) * GIB < accelerator.usable_bytes < int(match[1]) * GIB


def test_the_table_is_sorted_and_names_itself() -> None:
    # By what the labels say: of two cards of 24GB either may have a few MiB more.
    labels = [int(name.rpartition("-")[2].removesuffix("gb")) for name in ACCELERATORS]
    assert labels == sorted(labels)
    assert all(accelerator.name == name for name, accelerator in ACCELERATORS.items())


def test_published_figures() -> None:
    # "GPU 0 has a total capacity of 79.11 GiB": an H100 in PyTorch's out-of-memory message.
    assert ACCELERATORS["h100-80gb"].usable_bytes == 84_943_715_696
    # 143,156 MiB: 150,109,945,856 bytes.
    assert ACCELERATORS["h200-141gb"].usable_bytes == 150_109_945_856


@pytest.mark.parametrize(
    ("name", "hopper_or_later"),
    [
        ("t4-16gb", False),
        ("rtx-4090-24gb", False),
        ("a100-80gb", False),
        ("l40s-48gb", False),
        ("h100-80gb", True),
        ("h200-141gb", True),
        ("b200-180gb", True),
        ("rtx-5090-32gb", True),
    ],
)
def test_workspaces_grew_with_hopper(name: str, hopper_or_later: bool) -> None:
    assert ACCELERATORS[name].workspace_bytes == (33_554_432 if hopper_or_later else 8_519_680)


@pytest.mark.parametrize("name", NAMES)
def test_a_full_name_is_found(name: str) -> None:
    assert find_accelerator(name) is ACCELERATORS[name]
    assert find_accelerator(ACCELERATORS[name].label) is ACCELERATORS[name]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("h100", "h100-80gb"),
        ("H100", "h100-80gb"),
        (" h100 ", "h100-80gb"),
        ("NVIDIA H100", "h100-80gb"),
        ("nvidia-h100", "h100-80gb"),
        ("rtx-4090", "rtx-4090-24gb"),
        ("RTX 4090", "rtx-4090-24gb"),
        ("rtx_4090", "rtx-4090-24gb"),
        ("4090", "rtx-4090-24gb"),
        ("A100 80GB", "a100-80gb"),
        ("a100-40gb", "a100-40gb"),
        ("l4-24gb", "l4-24gb"),
        ("L4", "l4-24gb"),
        ("t4", "t4-16gb"),
        ("l40s", "l40s-48gb"),
        ("a100-80", "a100-80gb"),
    ],
)
def test_short_names(text: str, name: str) -> None:
    assert find_accelerator(text).name == name


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("24GiB", 25_769_803_776), ("24GB", 24_000_000_000), ("80 GiB", 85_899_345_920)]
)
def test_a_plain_size_is_an_accelerator_without_a_source(text: str, size_bytes: int) -> None:
    found = find_accelerator(text)
    assert (found.label, found.usable_bytes) == (text, size_bytes)
    assert (found.source_url, found.workspace_bytes) == ("", None)


@pytest.mark.parametrize("text", ["a100", "A100", "nvidia a100"])
def test_an_ambiguous_name_says_between_which(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_accelerator(text)
    assert caught.value.problem == f"--gpu {text} may be a100-40gb or a100-80gb"
    assert caught.value.hint == "say which"


@pytest.mark.parametrize(
    ("text", "names"),
    [("a10", "a100-40gb or a100-80gb"), ("rtx", "rtx-3090-24gb or rtx-4090-24gb or rtx-5090-32gb")],
)
def test_a_beginning_that_several_have_too(text: str, names: str) -> None:
    with pytest.raises(UsageError, match=f"--gpu {text} may be {names}"):
        find_accelerator(text)


@pytest.mark.parametrize("text", ["", " ", "gtx", "tpu-v5", "GiB", "-24GiB", "nvidia", "h1000"])
def test_an_unknown_name_says_where_to_look(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_accelerator(text)
    assert "is not in the table" in caught.value.problem
    assert "hubvram gpus" in caught.value.hint


@pytest.mark.parametrize("text", ["24XB", "0GiB", "24GiBs"])
def test_what_begins_like_a_size_and_is_none(text: str) -> None:
    with pytest.raises(UsageError, match=r"a size"):
        find_accelerator(text)


def test_a_limit_is_no_particular_gpu() -> None:
    assert limit(5, "5 bytes").workspace_bytes is None
