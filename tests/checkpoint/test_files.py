"""Which files are the model, over the layouts that repos have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hubvram.checkpoint.files import INDEX_LIMIT_BYTES, weight_files
from hubvram.errors import CheckpointError, FileMissingError, MalformedFileError, NoCheckpointError
from hubvram.sources.local import LocalSource

INDEX = "model.safetensors.index.json"


def shards(total: int, stem: str = "model") -> list[str]:
    return [f"{stem}-{number:05}-of-{total:05}.safetensors" for number in range(1, total + 1)]


def folder_of(folder: Path, *names: str, index: object = None) -> LocalSource:
    """Empty files of these names: no weight file is read to choose among them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    if index is not None:
        (folder / INDEX).write_text(index if isinstance(index, str) else json.dumps(index))
    return LocalSource(folder, model_id="org/model")


class TestSingle:
    @pytest.mark.parametrize(
        "beside",
        [
            [],
            ["consolidated.safetensors"],
            ["model.fp16.safetensors"],
            ["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"],
            ["onnx/model.safetensors", "model.gguf"],
            ["adapter_config.json", "adapter_model.safetensors"],
            shards(2),
            [*shards(2), INDEX],
        ],
        ids=", ".join,
    )
    def test_model_safetensors_wins(self, tmp_path: Path, beside: list[str]) -> None:
        """As in transformers, whose first candidate it is."""
        assert weight_files(folder_of(tmp_path, "model.safetensors", *beside)) == ("model.safetensors",)

    def test_another_name_where_it_is_the_only_one(self, tmp_path: Path) -> None:
        source = folder_of(tmp_path, "model-int4.safetensors", "config.json", "unet/model.safetensors")
        assert weight_files(source) == ("model-int4.safetensors",)


class TestShards:
    def test_with_an_index_that_is_not_even_read(self, tmp_path: Path) -> None:
        assert weight_files(folder_of(tmp_path, *shards(3), index="{")) == tuple(shards(3))

    def test_without_an_index(self, tmp_path: Path) -> None:
        assert weight_files(folder_of(tmp_path, *shards(3))) == tuple(shards(3))

    def test_many(self, tmp_path: Path) -> None:
        assert weight_files(folder_of(tmp_path, *shards(163), index={})) == tuple(shards(163))

    @pytest.mark.parametrize("index", [None, {"weight_map": {}}], ids=["no index", "index"])
    def test_copies_beside_them_are_left_alone(self, tmp_path: Path, index: object) -> None:
        source = folder_of(tmp_path, *shards(2), "consolidated.safetensors", "extra/model.safetensors", index=index)
        assert weight_files(source) == tuple(shards(2))

    @pytest.mark.parametrize("index", [None, {"weight_map": {}}], ids=["no index", "index"])
    @pytest.mark.parametrize("missing", [1, 2, 3])
    def test_incomplete(self, tmp_path: Path, missing: int, index: object) -> None:
        names = shards(3)
        lost = names.pop(missing - 1)
        with pytest.raises(FileMissingError) as caught:
            weight_files(folder_of(tmp_path, *names, index=index))
        assert (caught.value.model_id, caught.value.file) == ("org/model", lost)


@pytest.mark.parametrize("pattern", ["model-{:05d}-of-000003", "model_{:05d}-of-00003", "m-{:02d}-of-03", "m-{}-of-3"])
def test_numbers_of_any_width(tmp_path: Path, pattern: str) -> None:
    """DeepSeek-V3 has model-00001-of-000163, bloom has model_00001-of-00072."""
    names = [pattern.format(number) + ".safetensors" for number in (1, 2, 3)]
    assert weight_files(folder_of(tmp_path, *names)) == tuple(names)
    (tmp_path / names[1]).unlink()
    with pytest.raises(FileMissingError) as caught:
        weight_files(LocalSource(tmp_path))
    assert caught.value.file == names[1]


class TestSeveralSets:
    SETS = (*shards(2), *shards(3), *shards(2, "model.fp16"))

    @pytest.mark.parametrize("chosen", [shards(2), shards(3), shards(2, "model.fp16")], ids=lambda names: names[0])
    def test_the_index_decides(self, tmp_path: Path, chosen: list[str]) -> None:
        # A tensor may be listed for a file in any order, and a file for many tensors.
        weight_map = {f"layer.{number}": name for number, name in enumerate([*chosen[::-1], *chosen])}
        assert weight_files(folder_of(tmp_path, *self.SETS, index={"weight_map": weight_map})) == tuple(chosen)

    def test_files_of_any_name(self, tmp_path: Path) -> None:
        index = {"metadata": {"total_size": 1}, "weight_map": {"a": "a.safetensors", "b": "sub/b.safetensors"}}
        source = folder_of(tmp_path, "a.safetensors", "sub/b.safetensors", "c.safetensors", index=index)
        assert weight_files(source) == ("a.safetensors", "sub/b.safetensors")

    def test_no_index(self, tmp_path: Path) -> None:
        with pytest.raises(NoCheckpointError, match="several safetensors files that are no set") as caught:
            weight_files(folder_of(tmp_path, *self.SETS))
        assert set(caught.value.found) == set(self.SETS)

    @pytest.mark.parametrize(
        "name",
        ["model-00004-of-00003.safetensors", "../x", "/etc/passwd", "./a.safetensors", "a//b", "", 5, None, True],
    )
    def test_an_index_that_names_what_is_not_there(self, tmp_path: Path, name: object) -> None:
        with pytest.raises(CheckpointError, match="is not among the files") as caught:
            weight_files(folder_of(tmp_path, *self.SETS, "a.safetensors", index={"weight_map": {"a": name}}))
        assert caught.value.file == INDEX
        assert repr(name) in caught.value.reason

    @pytest.mark.parametrize(
        "index",
        [
            *("", "{", "null", "3", '"a"', "[]", "{}", '{"weight_map": null}', '{"weight_map": []}'),
            *('{"weight_map": {"a": ["x"]}}', '{"weight_map": {"a": {}}}', '{"weight_map": {"a": 1, "b": "x"}}'),
            *('{"weight_map": {}}', '"\\ud800"', "[" * 100_000),
        ],
        ids=lambda text: text[:40],
    )
    def test_an_index_that_is_none(self, tmp_path: Path, index: str) -> None:
        with pytest.raises(CheckpointError, match="it has no weight_map of tensor names to files") as caught:
            weight_files(folder_of(tmp_path, *self.SETS, index=index))
        assert caught.value.file == INDEX

    def test_an_index_that_is_not_text(self, tmp_path: Path) -> None:
        source = folder_of(tmp_path, *self.SETS)
        (tmp_path / INDEX).write_bytes(b'{"weight_map": {"\xff": "a"}}')
        with pytest.raises(CheckpointError):
            weight_files(source)

    def test_an_index_beyond_all_measure(self, tmp_path: Path) -> None:
        source = folder_of(tmp_path, *self.SETS, INDEX)
        with (tmp_path / INDEX).open("wb") as stream:
            stream.truncate(INDEX_LIMIT_BYTES + 1)
        with pytest.raises(MalformedFileError, match="larger than 67,108,864 bytes"):
            weight_files(source)


@pytest.mark.parametrize(
    ("names", "kind", "found"),
    [
        (
            ["adapter_config.json", "adapter_model.safetensors"],
            "an adapter",
            ["adapter_config.json", "adapter_model.safetensors"],
        ),
        (["adapter_model.safetensors", "README.md"], "an adapter", ["adapter_model.safetensors"]),
        (["adapter_model.bin"], "an adapter", ["adapter_model.bin"]),
        (
            ["model_index.json", "unet/diffusion_pytorch_model.safetensors", "vae/config.json"],
            "a diffusers pipeline",
            ["model_index.json"],
        ),
        (["x-Q4_K_M.gguf", "x-Q8_0.gguf", "README.md"], "GGUF files", ["x-Q4_K_M.gguf", "x-Q8_0.gguf"]),
        (["gguf/x.gguf"], "GGUF files", ["gguf/x.gguf"]),
        (["config.json", "pytorch_model.bin"], "PyTorch .bin", ["pytorch_model.bin"]),
        (
            ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"],
            "PyTorch .bin",
            ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"],
        ),
        (["original/consolidated.00.pth"], "PyTorch .bin", ["original/consolidated.00.pth"]),
        (["tf_model.h5"], "TensorFlow or Flax", ["tf_model.h5"]),
        (["flax_model.msgpack"], "TensorFlow or Flax", ["flax_model.msgpack"]),
        (["a.safetensors", "b.safetensors"], "several safetensors files", ["a.safetensors", "b.safetensors"]),
        (["text/model.safetensors"], "safetensors files in subfolders", ["text/model.safetensors"]),
        (["README.md", "config.json"], "files of no known model format", ["README.md", "config.json"]),
        ([], "no files at all", []),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_there_instead(tmp_path: Path, names: list[str], kind: str, found: list[str]) -> None:
    with pytest.raises(NoCheckpointError) as caught:
        weight_files(folder_of(tmp_path, *names))
    assert caught.value.kind.startswith(kind)
    assert sorted(caught.value.found) == found
    assert caught.value.model_id == "org/model"
