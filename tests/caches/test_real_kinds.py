"""Other kinds of cache, as `generate` makes them now, against the records. Extra: needs torch and transformers; packed
ones need optimum-quanto and hqq too.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Final

import pytest

from tests.caches.kind_records import STEPS, recorded
from tests.caches.record import RUNS

torch: Any = pytest.importorskip("torch", reason="torch, which runs the models, is not installed")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of hqq, which transformers imports where it is there
    pytest.importorskip("transformers", reason="transformers, whose models are run, is not installed")
    from tests.caches.build import model_of, values_of
    from tests.caches.kinds import ids_of, static_bytes
    from tests.caches.runs import generated_bytes

RECORDS: Final = recorded()
SOME: Final = (
    *("deepseek_v32", "gemma3_text", "llama4_text", "qwen3_next", "falcon_h1"),
    *("minimax", "t5gemma both sides", "whisper both sides"),
)
needs_backends = pytest.mark.skipif(
    not all(find_spec(name) for name in ("hqq", "optimum")), reason="optimum-quanto and hqq are not installed"
)


@pytest.fixture(autouse=True, scope="module")
def _on_one_core() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", SOME)
def test_a_static_cache_is_the_recorded_one(name: str) -> None:
    run = RUNS[name]
    model = model_of(run.model_type, values_of(run.model_type, run.changes), both_sides=run.both_sides)
    assert static_bytes(model, both_sides=run.both_sides) == RECORDS[name]["static"]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("fp8", {"cache_config": {"backend": "fp8"}}),
        pytest.param("quanto-int4", {}, marks=needs_backends),
        pytest.param("hqq-int3", {"cache_config": {"backend": "hqq", "nbits": 3}}, marks=needs_backends),
    ],
)
def test_token_by_token_a_packed_cache_is_the_recorded_one(kind: str, options: dict[str, Any]) -> None:
    """What `generate` takes by itself is quanto's, of 4 bits; the records made some of the steps at once."""
    values = {**values_of("llama", {}), "max_position_embeddings": 256}
    model = model_of("llama", values)
    held = generated_bytes(model, ids_of(STEPS[0]), sum(STEPS[1:]) + 1, cache_implementation="quantized", **options)
    found = [held[sum(STEPS[1 : step + 1])] for step in range(len(STEPS))]
    assert found == RECORDS["llama"][kind]
