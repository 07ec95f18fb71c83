"""Predicted files beside published ones: the tensors to the byte, the files within half a percent."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.gguf import Published, layout_of_repo, published, rows, tensor_bytes
from hubvram.quantization.gguf.layout import GgufLayout
from tests.samples import CORPUS, FIXTURES

_TOLERANCE = 0.005
_METADATA_BYTES = 2_048
"""Files of one model differ by keys of the header: of the type, of the importance matrix. One in 17 parts has 17."""
_HEADER_BYTES_PER_TOKEN = range(10, 70)
"""Tokens, scores, merges: 23 for Llama 2's tokenizer, 65 for gpt-oss's."""
_SMALL_FILE_BYTES = 1.6e9
"""Below it, the tokenizer alone can be more than half a percent: Llama 3's takes 7.8 MB."""

ALL = published()


def name_of(files: Published) -> str:
    return f"{files.repo}-{len(files.files)}"


def layout_or_skip(files: Published) -> GgufLayout:
    layout = layout_of_repo(files.same_shapes, CORPUS if CORPUS.is_dir() else None, untied=files.stores_tied_head)
    if layout is None:
        pytest.skip("the headers of this model are in the corpus, which is not here")
    return layout


@pytest.mark.parametrize("files", ALL, ids=name_of)
def test_published_files(files: Published) -> None:
    layout = layout_or_skip(files)
    (vocabulary,) = (tensor.shape[0] for tensor in layout.tensors if tensor.role == "token_embd")
    headers = []
    for mixture in files.files.keys() - files.differs.keys():
        size, predicted = files.size_bytes(mixture), tensor_bytes(files, mixture, layout)
        if files.rounded or size > _SMALL_FILE_BYTES:
            assert abs(predicted / size - 1) < _TOLERANCE, mixture
        if not files.rounded:
            headers.append(size - predicted)
    if headers:
        # The rest is the header, and the same for all files: not one tensor is off by a row.
        assert max(headers) - min(headers) <= _METADATA_BYTES
        assert min(headers) // vocabulary in _HEADER_BYTES_PER_TOKEN


@pytest.mark.parametrize("files", [files for files in ALL if files.differs], ids=name_of)
def test_files_that_differ_do(files: Published) -> None:
    """An explanation is for something: the rest is not what the header of this repo takes."""
    layout = layout_or_skip(files)
    headers = {mixture: files.size_bytes(mixture) - tensor_bytes(files, mixture, layout) for mixture in files.files}
    usual = [header for mixture, header in headers.items() if mixture not in files.differs]
    for mixture in files.differs:
        if usual:
            assert abs(headers[mixture] - usual[0]) > _METADATA_BYTES
        else:
            assert abs(headers[mixture]) / files.size_bytes(mixture) > 1e-5


def test_enough_files_of_bundled_models_are_compared() -> None:
    compared: Counter[str] = Counter()
    for files in ALL:
        if (FIXTURES / "models" / files.same_shapes.replace("/", "--")).is_dir() and not files.rounded:
            compared[files.same_shapes] += len(files.files) - len(files.differs)
    assert len([repo for repo, number in compared.items() if number >= 4]) >= 6
    assert {"mistralai/Mistral-7B-v0.1", "openai/gpt-oss-20b", "meta-llama/Llama-3.1-70B"} <= compared.keys()


def test_the_table_has_every_file() -> None:
    lines = list(rows(CORPUS if CORPUS.is_dir() else None))
    bundled = sum(len(files.files) for files in ALL if layout_of_repo(files.same_shapes) is not None)
    assert len([line for line in lines if line[0].startswith("  ")]) >= bundled > 100


@pytest.mark.parametrize("files", ALL, ids=name_of)
def test_sources_are_named(files: Published) -> None:
    assert files.source and files.date[:2] == "20"
    assert files.differs.keys() <= files.files.keys()
