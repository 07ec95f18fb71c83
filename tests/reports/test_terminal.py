"""The report that people paste into chats."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubvram.hardware.accelerators import ACCELERATORS, find_accelerator
from hubvram.inspection import Inspection, inspect, inspect_model, read_model
from hubvram.memory.workload import Attention, Workload
from hubvram.reports.table import WIDTH
from hubvram.reports.terminal import render
from hubvram.sources.snapshot import SnapshotSource, snapshot_folders
from tests.samples import SMALL_BART, folder_without_headers

FOLDERS = snapshot_folders()


def _found(repo_id: str, *precisions: str, gpu: str = "", tokens: int = 8192, batch_size: int = 1) -> Inspection:
    workload = Workload(context_tokens=tokens, input_tokens=tokens, batch_size=batch_size, attention=Attention.AUTO)
    model = read_model(SnapshotSource(repo_id, FOLDERS[repo_id]))
    return inspect_model(model, workload, precisions, [find_accelerator(gpu)] if gpu else [])


# Weights: 68,451,041,280 in the layers' matrices x 4.15625 bits (4 + (16 + 4) / 128) + 2,102,665,216 x 16 bits.
# KV cache: 2 x 80 x 1,024 x 2 B x 8,192. Activations: 2 B x 8,192 x (4 x 8,192 + 3 x 28,672) + 8 B x 8,192.
LLAMA = """\
meta-llama/Llama-3.1-70B   main @ 349b2dd
llama, 30 safetensors files, bf16, 131.42 GiB to download
70,553,706,496 parameters, reconciled: config.json and the file headers agree

  embedding   128,256 x 8,192                                           1.05 B
  80 layers   each                                                    855.65 M
    attention Q 8,192  K 1,024  V 1,024  O 8,192                      150.99 M
              64 heads, 8 KV heads of 128
    mlp       gate, up, down 28,672                                   704.64 M
    norms     2 x 8,192                                                 16,384
  final norm  8,192                                                      8,192
  head        128,256 x 8,192                                           1.05 B
  shares      mlp 79.9%, attention 17.1%, embedding 1.5%, head
              1.5%, norm <0.1%

Memory in GiB for 8,192 tokens x 1, transformers 5.23 with sdpa

               weights  KV cache  activations  rest  runtime   total  rule x1.2
  stored bf16   131.42      2.50         1.82  0.00     0.45  136.18     157.70
> int4           37.04      2.50         1.82  0.00     0.45   41.80      39.42

  int4 in groups of 128 in the layers; embedding, head and norms stay 16 bit
  weights as stored are read in the files; at other precisions derived; KV
  cache, activations and rest: derived from config.json and the code of
  transformers 5.23; runtime (CUDA context, workspaces): assumed, 0.28 to 0.65
  rule x1.2 is what people usually calculate: parameters x bytes x 1.2
  the peak of int4 is in the mlp of the last layer, over all 8,192 tokens of
  input

Fits (int4)  L40S 48GB with 2.4 GiB to spare, A100 80GB 37.2, H100 80GB 37.1 and
             larger; not A100 40GB (2.5 GiB short)
"""


def test_the_whole_report() -> None:
    assert render(_found("meta-llama/Llama-3.1-70B", "int4")) == LLAMA


@pytest.mark.parametrize("repo_id", FOLDERS)
@pytest.mark.parametrize("every_layer", [False, True])
def test_it_never_leaves_its_80_columns(repo_id: str, every_layer: bool) -> None:
    positions = {"openai-community/gpt2": 1024, "openai/whisper-tiny": 448, "BAAI/bge-large-en-v1.5": 512}
    longest = positions.get(repo_id, 1_000_000)
    long = _found(repo_id, tokens=longest, batch_size=1000)
    for found in (long, _found(repo_id, tokens=400), _found(repo_id, "fp8", gpu="t4", tokens=7)):
        lines = render(found, every_layer=every_layer).splitlines()
        assert max(map(len, lines)) <= WIDTH, max(lines, key=len)
        assert all(line == line.rstrip() for line in lines)


def test_a_precision_nothing_is_known_of_has_a_row_without_figures(tmp_path: Path) -> None:
    # Which type each tensor of a GGUF file has is told by names, which are in the headers.
    folder = folder_without_headers(tmp_path, SMALL_BART)
    lines = render(inspect(folder, precisions=("q4_k_m",))).splitlines()
    assert "Memory in GiB for 50 tokens x 1, transformers 5.23 with sdpa" in lines
    assert [line.split() for line in lines if line.startswith("> ")] == [[">", "q4_k_m", *("?" * 7)]]
    assert any(line.startswith("  note: q4_k_m: ") for line in lines)


def test_a_row_that_would_repeat_the_stored_precision_is_left_out() -> None:
    rows = [line.split()[0] for line in render(_found("mistralai/Mistral-7B-v0.1")).splitlines() if "." in line[:25]]
    report = render(_found("mistralai/Mistral-7B-v0.1"))
    assert "  stored bf16" in report
    assert "  bf16 " not in report
    assert rows.count("fp32") == rows.count("int8") == rows.count("int4") == 1


def test_mixed_types_keep_their_decimals() -> None:
    """A long list of stored types stands in the title, not in the table."""
    report = render(_found("EleutherAI/pythia-160m", tokens=2048))
    assert "fp16+u8" in report.splitlines()[1]
    assert "  stored     0.30      0.07         0.04  0.00     0.45   0.86       0.36" in report


def test_windows_and_combs_are_named() -> None:
    report = render(_found("google/gemma-2-2b"))
    assert "13 layers   each, layers 0, 2, 4 ... 24" in report
    assert "window of 4,096 tokens" in report
    assert "tied to the embedding" in report
    assert "transformers 5.23 with eager" in report


def test_experts_are_named() -> None:
    report = render(_found("Qwen/Qwen3-30B-A3B"))
    assert "128 x gate, up, down 768" in report
    assert "8 chosen per token" in report
    assert "3.35 B active per token" in report


def test_what_is_stored_beside_the_parameters_is_said() -> None:
    report = render(_found("openai-community/gpt2", tokens=1024))
    assert "124,439,808 parameters" in report
    assert "causal masks, 12,582,912 elements" in report


def test_a_verdict_for_each_gpu_that_was_asked_for() -> None:
    assert "Fits (int4)  no: RTX 5090 32GB (10.6 GiB short)" in render(
        _found("meta-llama/Llama-3.1-70B", "int4", gpu="rtx-5090")
    )
    assert "Fits (int4)  A100 80GB with" in render(_found("meta-llama/Llama-3.1-70B", "int4", gpu="a100-80"))


def test_every_accelerator_can_be_named_in_a_verdict() -> None:
    for name, accelerator in ACCELERATORS.items():
        assert accelerator.label in render(_found("openai-community/gpt2", gpu=name, tokens=1024))


@pytest.mark.parametrize(
    ("cache", "verdict"),
    [
        ("dynamic", "9GiB with 8.3 GiB to spare, T4 16GB 13.8, H100 80GB 78.4"),
        ("static", "9GiB and larger: cannot say, what is known would fit"),  # Activations are not known beside it.
    ],
)
def test_what_fits_is_named_from_the_smallest_on(cache: str, verdict: str) -> None:
    asked = [find_accelerator(gpu) for gpu in ("h100", "9GiB", "t4")]
    model = read_model(SnapshotSource("openai/whisper-tiny", FOLDERS["openai/whisper-tiny"]))
    workload = Workload(context_tokens=100, input_tokens=100, batch_size=1, attention=Attention.AUTO, cache=cache)
    assert verdict in " ".join(render(inspect_model(model, workload, ("bf16",), asked)).split())


def test_loading_is_named_where_it_takes_more_than_running() -> None:
    """A layer's gates and ups of 128 experts, 2 x 768 x 2048 in bf16 each: 0.75 GiB beside 56.87."""
    line = (
        'loading takes more than running, beside the runtime: up to 57.62 GiB with device_map="cuda", '
        '56.87 with .to("cuda") and 54.75 of host memory'
    )
    assert line in " ".join(render(_found("Qwen/Qwen3-30B-A3B", tokens=64)).split())
    assert "loading" not in render(_found("Qwen/Qwen3-30B-A3B", tokens=8192))
    assert "loading" not in render(_found("meta-llama/Llama-3.1-70B", tokens=64))
