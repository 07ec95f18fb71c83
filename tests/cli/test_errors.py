"""Bad input: one sentence, the next step, the right exit code, no traceback."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from hubvram import errors
from hubvram.cli.errors import explain
from tests.cli.support import Ran, run
from tests.hub import HubFile, LoopbackHub, safetensors_file, sharded_checkpoint

Capsys = pytest.CaptureFixture[str]
LLAMA = b'{"model_type": "llama"}'
MODEL = safetensors_file({"w": ("F32", (2,))})


def check(ran: Ran, exit_code: int, *words: str) -> None:
    """The shape of every error: nothing on stdout, two lines on stderr, the words that matter."""
    assert ran.exit_code == exit_code, ran.stderr
    assert ran.stdout == ""
    problem, hint = ran.stderr.splitlines()
    assert problem.startswith("hubvram: ")
    assert hint.startswith("  ") and len(hint.split()) > 1
    assert "Traceback" not in ran.stderr
    for word in words:
        assert word in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gpt2", "--dtype", "int3"), ("int3", "hubvram dtypes")),
        (("gpt2", "--context", "many"), ("many",)),
        (("gpt2", "--context", "0"), ("0",)),
        (("gpt2", "--context", "-5"), ("-5",)),
        (("gpt2", "--input", "2k", "--context", "1k"), ("2,048", "1,024")),
        (("gpt2", "--input", "x"), ("x",)),
        (("gpt2", "--batch", "0"), ("--batch",)),
        (("gpt2", "--kv-dtype", "int1"), ("int1", "fp8")),
        (("gpt2", "--cache", "big"), ("big", "quanto-int4")),
        (("gpt2", "--cache", "fp8", "--kv-dtype", "fp16"), ("packed", "--kv-dtype")),
        (("google/gemma-3-1b-it", "--cache", "fp8"), ("full attention", "dynamic, static")),
        (("gpt2", "--gpu", "voodoo2"), ("voodoo2", "hubvram gpus")),
        (("gpt2", "--gpu", "a100"), ("a100-40gb", "a100-80gb")),
        (("gpt2", "--max-vram", "24 parsecs"), ("24 parsecs", "24GiB")),
        (("gpt2", "--context", "fit"), ("--gpu",)),
        (("google/gemma-2-2b", "--attention", "sdpa"), ("gemma2", "eager")),
        (("not a repo",), ("not a repo",)),
        (("https://huggingface.co/datasets/org/name",), ("dataset",)),
        (("https://example.com/org/name",), ("example.com",)),
        (("org/name@a", "--revision", "b"), ("--revision",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_wrong_usage(capsys: Capsys, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    check(run(capsys, *arguments), 2, *words)


@pytest.mark.parametrize("arguments", [("--nonsense", "gpt2"), ("gpt2", "--batch", "many"), ("gpt2", "second")])
def test_usage_that_the_parser_refuses(capsys: Capsys, arguments: tuple[str, ...]) -> None:
    ran = run(capsys, *arguments)
    assert ran.exit_code == 2
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr


def test_missing_repo(capsys: Capsys, hub: LoopbackHub) -> None:
    check(run(capsys, "org/nothing"), 3, "org/nothing", "private", "hf auth login")


def test_missing_repo_with_a_token(capsys: Capsys, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.tokens["hf_secret"] = set()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    ran = run(capsys, "org/nothing")
    check(ran, 3, "org/nothing", "spelling")
    assert "hf_secret" not in ran.stderr


def test_bad_token(capsys: Capsys, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_repo("org/public", {"config.json": LLAMA, "model.safetensors": MODEL})
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    ran = run(capsys, "org/public")
    check(ran, 3, "token", "HF_TOKEN")
    assert "hf_wrong" not in ran.stderr


def test_private_repo(capsys: Capsys, hub: LoopbackHub) -> None:
    hub.add_repo("org/private", {"config.json": LLAMA, "model.safetensors": MODEL}, private=True)
    check(run(capsys, "org/private"), 3, "org/private", "private")


def test_gated_repo_of_which_nothing_is_public(capsys: Capsys, hub: LoopbackHub) -> None:
    hub.add_repo("org/gated", {"config.json": LLAMA, "model.safetensors": MODEL}, gated="auto")
    check(run(capsys, "org/gated"), 3, "gated", f"{hub.endpoint}/org/gated", "hf auth login")


def test_gated_repo_with_a_token_without_access(
    capsys: Capsys, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_repo("org/gated", {"config.json": LLAMA, "model.safetensors": MODEL}, gated="auto")
    hub.tokens["hf_secret"] = set()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    check(run(capsys, "org/gated"), 3, "your token has no access", f"{hub.endpoint}/org/gated")


def test_missing_revision(capsys: Capsys, hub: LoopbackHub) -> None:
    hub.add_repo("org/model", {"config.json": LLAMA, "model.safetensors": MODEL})
    check(run(capsys, "org/model@v9"), 3, "v9", "hubvram org/model")


def test_disabled_repo(capsys: Capsys, hub: LoopbackHub) -> None:
    hub.add_repo("org/model", {"config.json": LLAMA, "model.safetensors": MODEL}, disabled=True)
    check(run(capsys, "org/model"), 3, "disabled")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"pytorch_model.bin": b"x"}, ("PyTorch", "pytorch_model.bin")),
        ({"model.Q4_K_M.gguf": b"x"}, ("GGUF", "model.Q4_K_M.gguf")),
        ({"adapter_model.safetensors": MODEL, "adapter_config.json": b"{}"}, ("adapter",)),
        ({"model_index.json": b"{}", "unet/diffusion_pytorch_model.safetensors": MODEL}, ("diffusers",)),
        ({"README.md": b"x"}, ("README.md",)),
    ],
    ids=["bin", "gguf", "adapter", "diffusers", "nothing"],
)
def test_no_safetensors(
    capsys: Capsys, hub: LoopbackHub, files: dict[str, HubFile | bytes], words: tuple[str, ...]
) -> None:
    hub.add_repo("org/model", {"config.json": LLAMA, **files})
    check(run(capsys, "org/model"), 3, "no safetensors", *words)


def test_missing_shard(capsys: Capsys, hub: LoopbackHub) -> None:
    files = sharded_checkpoint([{"a": ("F32", (2,))}, {"b": ("F32", (2,))}])
    del files["model-00002-of-00002.safetensors"]
    hub.add_repo("org/model", {"config.json": LLAMA, **files})
    check(run(capsys, "org/model"), 3, "no file model-00002-of-00002.safetensors", "complete")


def test_malformed_header(capsys: Capsys, hub: LoopbackHub) -> None:
    broken = (2**63).to_bytes(8, "little") + b"{}"
    hub.add_repo("org/model", {"config.json": LLAMA, "model.safetensors": broken})
    check(run(capsys, "org/model"), 3, "model.safetensors", "100,000,000")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (b"{", ("config.json", "not JSON")),
        (b"[]", ("config.json", "object")),
        (b"\xff", ("config.json", "UTF-8")),
        (b'{"model_type": "llama", "hidden_size": "big"}', ("hidden_size", "integer", "'big'")),
        (b'{"model_type": "llama", "num_hidden_layers": 1000000000000}', ("num_hidden_layers",)),
        (b'{"model_type": "llama", "hidden_size": -1}', ("hidden_size", "-1")),
        (b'{"model_type": "llama", "num_key_value_heads": 3}', ("num_key_value_heads", "32")),
        (b'{"model_type": "gpt2", "n_embd": true}', ("n_embd", "True")),
        (b'{"model_type": 7}', ("model_type",)),
        (b"[" * 100_000, ("config.json",)),
    ],
    ids=lambda value: value.decode(errors="replace")[:50] if isinstance(value, bytes) else None,
)
def test_malformed_config(capsys: Capsys, hub: LoopbackHub, config: bytes, words: tuple[str, ...]) -> None:
    hub.add_repo("org/model", {"config.json": config, "model.safetensors": MODEL})
    check(run(capsys, "org/model"), 3, *words)


def test_network_down(capsys: Capsys) -> None:
    check(run(capsys, "org/model"), 3, "could not be reached", "connection")


def test_offline_without_a_copy(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    check(run(capsys, "org/model"), 3, "offline", "HF_HUB_OFFLINE")


def test_offline_with_a_snapshot(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert run(capsys, "gpt2").exit_code == 0


def test_missing_folder(capsys: Capsys, tmp_path: Path) -> None:
    check(run(capsys, str(tmp_path / "nowhere")), 3, "no such folder")


def test_a_file_instead_of_a_folder(capsys: Capsys, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    check(run(capsys, str(tmp_path / "model.safetensors")), 2, "folder")


def test_empty_folder(capsys: Capsys, tmp_path: Path) -> None:
    check(run(capsys, str(tmp_path)), 3, "no safetensors")


def test_control_characters_do_not_reach_the_terminal(capsys: Capsys, hub: LoopbackHub) -> None:
    model = safetensors_file({"w\x1b]0;owned\x07": ("F32", (2,))})
    hub.add_repo("org/model", {"config.json": b'{"model_type": "x\\u001b[2J"}', "model.safetensors": model})
    ran = run(capsys, "org/model")
    assert ran.exit_code == 0
    assert "\x1b" not in ran.stdout + ran.stderr
    assert "\\x1b" in ran.stdout


MADE: dict[type[errors.HubvramError], Callable[[], errors.HubvramError]] = {
    errors.UsageError: lambda: errors.UsageError("wrong", "do this"),
    errors.UnsupportedOptionError: lambda: errors.UnsupportedOptionError("wrong", "do this"),
    errors.SystemLimitError: lambda: errors.SystemLimitError("m", "too many open files"),
    errors.RepoNotFoundError: lambda: errors.RepoNotFoundError("m", token_sent=False),
    errors.RevisionNotFoundError: lambda: errors.RevisionNotFoundError("m", "v1"),
    errors.AccessError: lambda: errors.AccessError("m", "no"),
    errors.GatedRepoError: lambda: errors.GatedRepoError("m"),
    errors.BadTokenError: lambda: errors.BadTokenError("m"),
    errors.DisabledRepoError: lambda: errors.DisabledRepoError("m"),
    errors.OutputError: lambda: errors.OutputError("full"),
    errors.HubBusyError: lambda: errors.HubBusyError("m", 429, 30),
    errors.NetworkError: lambda: errors.NetworkError("m", "host", "down"),
    errors.OfflineError: lambda: errors.OfflineError("m"),
    errors.HubResponseError: lambda: errors.HubResponseError("m", "odd"),
    errors.RouteMissingError: lambda: errors.RouteMissingError("m", "odd"),
    errors.FileMissingError: lambda: errors.FileMissingError("m", "f"),
    errors.FileUnreadableError: lambda: errors.FileUnreadableError("m", "f", "why"),
    errors.NoCheckpointError: lambda: errors.NoCheckpointError("m", kind="k", found=["f"]),
    errors.HeadersNeededError: lambda: errors.HeadersNeededError("m"),
    errors.UnexpectedError: lambda: errors.UnexpectedError("m", "KeyError", "hub.py:12"),
    errors.DeadlineError: lambda: errors.DeadlineError("m", 120.0),
    errors.CheckpointError: lambda: errors.CheckpointError("m", "f", "why"),
    errors.ConfigError: lambda: errors.ConfigError("m", "f", "why"),
}
BASES = {errors.HubvramError, errors.ModelUnreadableError, errors.UnreachableError, errors.MalformedFileError}


def test_every_error_has_its_words() -> None:
    kinds = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.HubvramError) and kind not in BASES
    }
    assert kinds == MADE.keys()
    for kind, make in MADE.items():
        problem, hint, exit_code = explain(make())
        assert problem and hint and "\n" not in problem + hint
        assert exit_code == (2 if issubclass(kind, errors.UsageError) else 3)
