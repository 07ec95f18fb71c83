"""What a user may write for a model."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st

from hubvram.errors import FileMissingError, UsageError
from hubvram.sources.reference import HubReference, LocalReference, is_repo_id, parse_reference

SHA = "349b2ddb53ce8f2849a6c168a81980ab25258dac"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where relative paths lead, and home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "repo_id", "revision"),
    [
        ("org/name", "org/name", None),
        ("gpt2", "gpt2", None),
        ("org/name-1.5_b", "org/name-1.5_b", None),
        ("org/name@main", "org/name", "main"),
        ("org/name@v1.0", "org/name", "v1.0"),
        (f"org/name@{SHA}", "org/name", SHA),
        ("org/name@refs/pr/1", "org/name", "refs/pr/1"),
        ("org/name@a@b", "org/name", "a@b"),
        ("org/name@", "org/name", None),
        ("gpt2@v1", "gpt2", "v1"),
        ("https://huggingface.co/org/name", "org/name", None),
        ("https://huggingface.co/org/name/", "org/name", None),
        ("http://huggingface.co/org/name", "org/name", None),
        ("https://www.huggingface.co/org/name", "org/name", None),
        ("https://hf.co/org/name", "org/name", None),
        ("hf.co/org/name", "org/name", None),
        ("huggingface.co/gpt2/tree/v1", "gpt2", "v1"),
        ("https://HuggingFace.co/org/name", "org/name", None),
        ("https://huggingface.co/api/models/org/name", "org/name", None),
        ("https://huggingface.co/org/name?library=transformers#files", "org/name", None),
        ("https://huggingface.co/gpt2", "gpt2", None),
        ("https://huggingface.co/gpt2/tree/v1", "gpt2", "v1"),
        ("https://huggingface.co/gpt2/tree", "gpt2", None),
        ("https://huggingface.co/org/name/tree", "org/name", None),
        ("https://huggingface.co/org/name/tree/v1", "org/name", "v1"),
        ("https://huggingface.co/org/name/tree/v1/sub/dir", "org/name", "v1"),
        ("https://huggingface.co/org/name/tree/refs%2Fpr%2F1", "org/name", "refs/pr/1"),
        ("https://huggingface.co/org/name/blob/main/config.json", "org/name", "main"),
        (f"https://huggingface.co/org/name/resolve/{SHA}/model.safetensors", "org/name", SHA),
        ("https://huggingface.co/org/name/raw/v2/config.json", "org/name", "v2"),
        (f"https://huggingface.co/org/name/commit/{SHA}", "org/name", SHA),
        ("https://huggingface.co/org/name/discussions/7", "org/name", None),
    ],
)
def test_a_repo(text: str, repo_id: str, revision: str | None) -> None:
    assert parse_reference(text) == HubReference(repo_id=repo_id, revision=revision)


def test_an_endpoint_of_one_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.example.com:8443")
    assert parse_reference("https://hub.example.com:8443/org/name") == HubReference(repo_id="org/name", revision=None)
    assert parse_reference("https://huggingface.co/org/name") == HubReference(repo_id="org/name", revision=None)


class TestRevision:
    def test_given_beside(self) -> None:
        assert parse_reference("org/name", "v1") == HubReference(repo_id="org/name", revision="v1")

    @pytest.mark.parametrize("text", ["org/name@v1", "https://huggingface.co/org/name/tree/v1"])
    def test_given_twice(self, text: str) -> None:
        assert parse_reference(text, "v1") == HubReference(repo_id="org/name", revision="v1")
        with pytest.raises(UsageError, match=r"two revisions: v1 in .*, and --revision v2"):
            parse_reference(text, "v2")


class TestFolders:
    @pytest.mark.parametrize("text", ["model", "./model", "org/name", "org/name/", "..", ".", "~", "~/model"])
    def test_an_existing_folder_wins(self, text: str, empty_folder: Path) -> None:
        for name in ("model", "org/name", "home/model"):
            (empty_folder / name).mkdir(parents=True)
        reference = parse_reference(text)
        assert isinstance(reference, LocalReference)
        home = empty_folder / "home"
        assert reference.folder.resolve() == {"~": home, "~/model": home / "model"}.get(text, Path(text).resolve())

    def test_absolute(self, empty_folder: Path) -> None:
        assert parse_reference(str(empty_folder)) == LocalReference(folder=empty_folder)

    def test_a_folder_has_no_revisions(self, empty_folder: Path) -> None:
        with pytest.raises(UsageError, match="is a local folder") as caught:
            parse_reference(str(empty_folder), "main")
        assert caught.value.hint == "leave --revision out"

    def test_a_file(self, empty_folder: Path) -> None:
        (empty_folder / "org").mkdir()
        (empty_folder / "org" / "model.safetensors").touch()
        with pytest.raises(UsageError, match="is a file, a model is a folder") as caught:
            parse_reference("org/model.safetensors")
        assert caught.value.hint == "try: hubvram org"

    @pytest.mark.parametrize(
        "text", ["./absent", "../absent", "/absent", "/" + "x" * 300, "~/absent", "~nobody-of-this-name", "~nobody/x"]
    )
    def test_a_path_that_leads_nowhere(self, text: str) -> None:
        with pytest.raises(FileMissingError) as caught:
            parse_reference(text)
        assert caught.value.file == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "@",
            "@main",
            "a b",
            "org/name/more",
            "org//name",
            "/".join("abc"),
            "name.git",
            "a--b",
            "a..b",
            "-a",
        ),
        *("org/name\0", "x" * 300, "ö/ä", "org/", "org\\name"),
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_neither(text: str) -> None:
    with pytest.raises(UsageError, match="is neither a repo id nor a folder that exists") as caught:
        parse_reference(text)
    assert "org/name@revision" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("https://example.com/org/name", "is not an address of a model on the Hub"),
        ("https://huggingface.co.example.com/org/name", "is not an address of a model on the Hub"),
        ("https://huggingface.co", "is not an address of a model on the Hub"),
        ("https://huggingface.co/", "is not an address of a model on the Hub"),
        ("ftp://huggingface.co/org/name", "is not an address of a model on the Hub"),
        ("hf://org/name", "is not an address of a model on the Hub"),
        ("file:///tmp", "is not an address of a model on the Hub"),
        ("://", "is not an address of a model on the Hub"),
        ("http://[::1", "is not an address"),
        ("https://huggingface.co/datasets/org/name", "is a dataset, not a model"),
        ("https://huggingface.co/spaces/org/name", "is a space, not a model"),
        ("https://huggingface.co/collections/org/name", "is a collection, not a model"),
        ("https://huggingface.co/papers/2307.09288", "is a paper, not a model"),
        ("https://huggingface.co/org/na%20me", "is neither a repo id nor a folder"),
        ("https://huggingface.co/org/name@main", "is neither a repo id nor a folder"),
    ],
)
def test_addresses_of_something_else(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parse_reference(text)


_NAME = st.text(alphabet="aZ09-_. /é\n", max_size=110) | st.from_regex(
    r"[a-z0-9]{1,30}([._-][A-Z0-9]{1,30}){0,5}(\.git)?\Z"
)


@given(st.builds("/".join, st.lists(_NAME, min_size=1, max_size=3)))
def test_repo_ids_are_those_of_huggingface_hub(text: str) -> None:
    try:
        validate_repo_id(text)
        is_valid = True
    except HFValidationError:
        is_valid = False
    assert is_repo_id(text) == is_valid
