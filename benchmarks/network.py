"""One model over the network: requests, round trips, bytes and seconds, beside other tools in the same run.

    python -m benchmarks.network [ROUNDS]

A loopback Hub in a process of its own waits 50 ms before each answer. Every run is a new process with empty caches;
imports are not counted, everything else is. huggingface_hub reads what it takes to know the same tensors: model_info,
config.json and get_safetensors_metadata, with its own number of threads and with 32. hf-mem is there if it is
installed; its address of the Hub is rewritten on the way. Round trips are what each ms of latency costs in ms.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pkgutil import walk_packages
from statistics import median
from typing import Final

from benchmarks.hub_of_snapshots import add_snapshots, snapshot_files
from tests.hub.process import RemoteHub, hub_process

ROUNDS: Final = 5
LATENCY_SECONDS: Final = 0.05

MODELS: Final = {
    1: "openai-community/gpt2",
    30: "meta-llama/Llama-3.1-70B",
    163: "deepseek-ai/DeepSeek-V3",
}
"""Shards -> whose real headers."""


def _import_clients() -> None:
    """Imports are not counted: clients import on first use what they are made of."""
    httpx2 = import_module("httpx2")
    httpx2.Client(verify=False)
    httpx2.AsyncClient(verify=False, http2=True)


def hubvram(model: str, revision: str | None) -> Callable[[], object]:
    """Everything: headers, reconciliation, estimates."""
    _import_clients()
    for module in walk_packages(import_module("hubvram").__path__, "hubvram."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    from hubvram.inspection import inspect

    return partial(inspect, model, revision=revision)


def huggingface_hub(model: str, revision: str | None, workers: int | None = None) -> Callable[[], object]:
    """The three calls that bring the same facts."""
    _import_clients()
    from huggingface_hub import HfApi

    if workers is not None:
        os.cpu_count = lambda: workers - 4  # its threads are as many as the processors, and 4
    api = HfApi()

    def read() -> None:
        api.model_info(model, revision=revision, files_metadata=True)
        with open(api.hf_hub_download(model, "config.json", revision=revision), encoding="utf-8") as stream:
            json.load(stream)
        api.get_safetensors_metadata(model, revision=revision)

    return read


def hf_mem(model: str, revision: str | None) -> Callable[[], object]:
    """As it is, but for where the Hub is."""
    import httpx2
    from hf_mem.run import run

    hub = httpx2.URL(os.environ["HF_ENDPOINT"])
    send = httpx2.AsyncHTTPTransport.handle_async_request

    async def redirected(self: httpx2.AsyncHTTPTransport, request: httpx2.Request) -> httpx2.Response:
        if request.url.host == "huggingface.co":
            request.url = request.url.copy_with(scheme=hub.scheme, host=hub.host, port=hub.port)
        return await send(self, request)

    httpx2.AsyncHTTPTransport.handle_async_request = redirected  # type: ignore[method-assign]
    return partial(run, model_id=model, revision=revision or "main")


TOOLS: Final[dict[str, Callable[..., Callable[[], object]]]] = {
    "hubvram": hubvram,
    "huggingface_hub": huggingface_hub,
    "huggingface_hub, 32 threads": partial(huggingface_hub, workers=32),
    "hf-mem": hf_mem,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one reading took."""

    requests: int
    bytes_sent: int
    seconds: float


def measure(hub: RemoteHub, tool: str, model: str, revision: str | None, home: str) -> Run:
    """One process of a tool; `home` holds its caches."""
    hub.clear_requests()
    environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": home, "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "benchmarks.network", tool, model, revision or "main"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    traffic = hub.traffic()
    return Run(
        requests=traffic.requests, bytes_sent=traffic.bytes_sent, seconds=float(said.stdout.rsplit(maxsplit=1)[-1])
    )


def cold(hub: RemoteHub, tool: str, model: str, revision: str | None) -> Run:
    """With nothing kept from before."""
    with tempfile.TemporaryDirectory() as home:
        return measure(hub, tool, model, revision, home)


def typical(runs: list[Run]) -> Run:
    """The median in time; requests and bytes are the same in each."""
    return sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]


def round_trips(hub: RemoteHub, tool: str, model: str, revision: str | None, fast: Run) -> float:
    """How much longer a reading takes where each answer takes 150 ms longer, in those."""
    hub.set(latency_seconds=LATENCY_SECONDS + 0.15)
    slow = median(cold(hub, tool, model, revision).seconds for _ in range(3))
    hub.set(latency_seconds=LATENCY_SECONDS)
    return (slow - fast.seconds) / 0.15


def header_bytes(model: str) -> int:
    """Of all files: what there is to be read."""
    files, _ = snapshot_files(model)
    return sum(len(file.data) for path, file in files.items() if path.endswith(".safetensors"))


def main(rounds: int) -> None:
    tools = [tool for tool in TOOLS if tool != "hf-mem" or find_spec("hf_mem")]
    print("shards revision                                requests  trips bytes/headers      s  ratio")
    with hub_process(partial(add_snapshots, repos=tuple(MODELS.values()))) as hub:
        hub.set(latency_seconds=LATENCY_SECONDS)
        for shards, model in MODELS.items():
            for revision in (None, "other"):
                # In turn, so that whatever else the machine does meets all of them.
                runs = [{tool: cold(hub, tool, model, revision) for tool in tools} for _ in range(rounds)]
                theirs = typical([run["huggingface_hub"] for run in runs])
                for tool in tools:
                    found = typical([run[tool] for run in runs])
                    trips = round_trips(hub, tool, model, revision, found)
                    print(
                        f"{shards:6} {revision or 'main':8} {tool:30} {found.requests:8} {trips:6.1f} "
                        f"{found.bytes_sent / header_bytes(model):13.2f} {found.seconds:6.2f} "
                        f"{found.seconds / theirs.seconds:6.2f}"
                    )
            with tempfile.TemporaryDirectory() as home:
                measure(hub, "hubvram", model, None, home)
                warm = typical([measure(hub, "hubvram", model, None, home) for _ in range(rounds)])
            print(f"{shards:6} {'main':8} {'hubvram, warm':30} {warm.requests:8} {'':6} {'':13} {warm.seconds:6.2f}")


def _once(tool: str, model: str, revision: str) -> None:
    import time

    read = TOOLS[tool](model, None if revision == "main" else revision)
    start = time.perf_counter()
    read()
    print(time.perf_counter() - start)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        _once(*sys.argv[1:])
    else:
        main(int(sys.argv[1]) if len(sys.argv) == 2 else ROUNDS)
