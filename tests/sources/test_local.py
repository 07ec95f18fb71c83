"""A folder as a source."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import hubvram.sources.local
from hubvram.errors import FileMissingError, FileUnreadableError, MalformedFileError
from hubvram.sources.interface import RepoFile
from hubvram.sources.local import LocalSource


def write(folder: Path, path: str, content: bytes = b"") -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


class TestListing:
    def test_two_levels(self, tmp_path: Path) -> None:
        write(tmp_path, "config.json", b"{}")
        write(tmp_path, "unet/model.safetensors", b"12345")
        write(tmp_path, "unet/deep/model.safetensors")
        write(tmp_path, ".git/config")
        write(tmp_path, ".gitattributes", b"*")
        (tmp_path / "empty").mkdir()
        assert dict(LocalSource(tmp_path).files) == {
            ".gitattributes": RepoFile(path=".gitattributes", size_bytes=1),
            "config.json": RepoFile(path="config.json", size_bytes=2),
            "unet/model.safetensors": RepoFile(path="unet/model.safetensors", size_bytes=5),
        }

    def test_no_more_than_anybody_wants_to_see(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hubvram.sources.local, "_LISTED_FILES", 3)
        for name in ("z.safetensors", "b/1", "b/2", "b/3", "a/1", "a/2"):
            write(tmp_path, name)
        assert list(LocalSource(tmp_path).files) == ["z.safetensors", "a/1", "a/2"]

    def test_the_model_among_very_many_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hubvram.sources.local, "_LISTED_FILES", 10)
        for number in range(11):
            (tmp_path / f"{number}.png").touch()
        for name in ("config.json", "model-00001-of-00001.safetensors"):
            write(tmp_path, name)
        names = list(LocalSource(tmp_path).files)
        assert names[:2] == ["config.json", "model-00001-of-00001.safetensors"]
        assert len(names) == 10

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems keep names in Unicode")
    def test_names_that_are_no_text(self, tmp_path: Path) -> None:
        os.close(os.open(os.fsencode(tmp_path) + b"/\xff\x1b[2J.json", os.O_CREAT))
        source = LocalSource(tmp_path)
        assert list(source.files) == ["\udcff\x1b[2J.json"]
        assert source.read("\udcff\x1b[2J.json", 10) == b""

    def test_files_that_vanish_while_they_are_listed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path, "a.json", b"1")
        write(tmp_path, "b.json", b"12")
        scan = os.scandir

        def scan_then_delete(folder: Path) -> list[os.DirEntry[str]]:
            entries = list(scan(folder))
            (tmp_path / "a.json").unlink()
            return entries

        monkeypatch.setattr(os, "scandir", scan_then_delete)
        assert list(LocalSource(tmp_path).files) == ["b.json"]

    def test_links_to_blobs(self, tmp_path: Path) -> None:
        """The layout of the Hub cache."""
        write(tmp_path, "blobs/0a", b"{}")
        snapshot = tmp_path / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").symlink_to("../../blobs/0a")
        source = LocalSource(snapshot)
        assert source.files["config.json"].size_bytes == 2
        assert source.read("config.json", 10) == b"{}"

    def test_dangling_links_are_not_there(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").symlink_to("nowhere")
        (tmp_path / "loop").symlink_to("loop")
        source = LocalSource(tmp_path)
        assert source.files == {}
        with pytest.raises(FileMissingError):
            source.read("config.json", 10)
        with pytest.raises(FileUnreadableError, match="loop: Too many levels of symbolic links"):
            source.read("loop", 10)

    def test_a_folder_that_holds_itself(self, tmp_path: Path) -> None:
        write(tmp_path, "config.json")
        (tmp_path / "self").symlink_to(".")
        assert list(LocalSource(tmp_path).files) == ["config.json", "self/config.json"]

    def test_pipes_and_sockets_are_no_files(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "model.safetensors")
        assert LocalSource(tmp_path).files == {}

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FileUnreadableError, match="No such file or directory"):
            _ = LocalSource(tmp_path / "absent").files

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_folder_that_may_not_be_read(self, tmp_path: Path) -> None:
        tmp_path.chmod(0)
        try:
            with pytest.raises(FileUnreadableError, match="Permission denied"):
                _ = LocalSource(tmp_path).files
        finally:
            tmp_path.chmod(0o700)


class TestReading:
    def test_limit(self, tmp_path: Path) -> None:
        write(tmp_path, "config.json", b"12345")
        source = LocalSource(tmp_path)
        assert source.read("config.json", 5) == b"12345"
        with pytest.raises(MalformedFileError, match="larger than 4 bytes") as caught:
            source.read("config.json", 4)
        assert caught.value.file == "config.json"

    @pytest.mark.parametrize("path", ["absent", "config.json/inside", "absent/inside"])
    def test_missing(self, tmp_path: Path, path: str) -> None:
        write(tmp_path, "config.json")
        with pytest.raises(FileMissingError) as caught:
            LocalSource(tmp_path, model_id="org/model").read(path, 10)
        assert (caught.value.model_id, caught.value.file) == ("org/model", path)

    def test_a_folder_where_a_file_belongs(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").mkdir()
        with pytest.raises(FileUnreadableError, match=r"config\.json: Is a directory") as caught:
            LocalSource(tmp_path).read("config.json", 10)
        assert caught.value.reason == "Is a directory"

    @pytest.mark.parametrize("target", ["/dev/zero", "/dev/null", "pipe"])
    def test_what_is_no_file_is_not_read(self, tmp_path: Path, target: str) -> None:
        """Neither for ever (a device without an end) nor never (a pipe that nobody writes to)."""
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "config.json").symlink_to(target)
        source = LocalSource(tmp_path)
        assert source.files == {}
        with pytest.raises(FileUnreadableError, match=r"config\.json: it is a pipe or a device, not a file"):
            source.read("config.json", 10)
        with pytest.raises(FileUnreadableError, match="not a file"):
            source.read_beginnings(["config.json"], lambda *_: 8)

    def test_links_that_lead_elsewhere_are_followed(self, tmp_path: Path) -> None:
        write(tmp_path, "elsewhere/config", b"{}")
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "config.json").symlink_to(tmp_path / "elsewhere" / "config")
        assert LocalSource(tmp_path / "model").read("config.json", 10) == b"{}"

    def test_a_file_that_vanished_since_it_was_listed(self, tmp_path: Path) -> None:
        file = write(tmp_path, "model.safetensors", b"12345678")
        source = LocalSource(tmp_path)
        assert list(source.files) == ["model.safetensors"]
        file.unlink()
        with pytest.raises(FileMissingError):
            source.read_beginnings(["model.safetensors"], lambda *_: 8)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_that_may_not_be_read(self, tmp_path: Path) -> None:
        write(tmp_path, "config.json").chmod(0)
        with pytest.raises(FileUnreadableError, match="Permission denied"):
            LocalSource(tmp_path).read("config.json", 10)


class TestBeginnings:
    def test_only_what_is_needed(self, tmp_path: Path) -> None:
        write(tmp_path, "a", b"0123456789")
        write(tmp_path, "b", b"01234")
        seen: list[object] = []

        def needed(path: str, prefix: bytes, file_bytes: int | None) -> int:
            seen.append((path, prefix, file_bytes))
            return 9

        found = LocalSource(tmp_path).read_beginnings(["a", "b"], needed, lambda *done: seen.append(done))
        assert {path: (beginning.data, beginning.file_bytes) for path, beginning in found.items()} == {
            "a": (b"012345678", 10),
            "b": (b"01234", 5),
        }
        assert seen == [("a", b"01234567", 10), (1, 2), ("b", b"01234", 5), (2, 2)]

    def test_a_file_that_shrinks_while_it_is_read(self, tmp_path: Path) -> None:
        file = write(tmp_path, "a", bytes(100_000))

        def needed(path: str, prefix: bytes, file_bytes: int | None) -> int:
            os.truncate(file, 50_000)
            return 90_000

        with pytest.raises(FileUnreadableError, match="a: it became shorter while it was read"):
            LocalSource(tmp_path).read_beginnings(["a"], needed)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(FileMissingError):
            LocalSource(tmp_path).read_beginnings(["absent"], lambda *_: 8)


def test_a_folder_is_its_own_name(tmp_path: Path) -> None:
    source = LocalSource(tmp_path)
    assert source.model_id == str(tmp_path)
    assert (source.revision, source.requested_revision, source.summary, source.notes) == (None, None, None, ())
