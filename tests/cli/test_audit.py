"""`hubvram audit`: lists, rows, exit codes, and files that survive whatever happens."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from hubvram.cli.row_file import Earlier, RowFile
from hubvram.errors import UsageError
from hubvram.sources.quota import QUOTA
from tests.auditing.models import PARAMETERS, WEIGHT_BYTES, add_llamas, llama_files
from tests.cli.support import Ran, run
from tests.contract import conforms
from tests.hub import Fault, HubFile, LoopbackHub, safetensors_file

Capsys = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def fresh_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the Hub of another test has said is not true of this one."""
    monkeypatch.setattr(QUOTA, "_left", {})


def audited(capsys: Capsys, *arguments: str) -> Ran:
    return run(capsys, "audit", *arguments)


def rows_of(text: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in text.splitlines()]
    for row in rows:
        conforms(row)
    return rows


# ------------------------------------------------------------------------------------------ rows


def test_a_table_has_columns_that_were_chosen_beforehand(capsys: Capsys, hub: LoopbackHub) -> None:
    add_llamas(hub, "org/a", "organisation/longer-name")
    ran = audited(capsys, "org/a", "organisation/longer-name", "org/none", "--in-order", "--gpu", "h100")
    head, *rows = ran.stdout.splitlines()
    assert head.split() == [
        "model",
        "parameters",
        "status",
        "files",
        "GiB",
        "VRAM",
        "stored",
        "GiB",
        "fits",
        "h100-80gb",
        "note",
    ]
    for row, name in zip(rows, ("org/a", "organisation/longer-name", "org/none"), strict=True):
        assert row.startswith(name + " ")
        assert row[: head.index("parameters")].strip() == name
    assert [row.split()[1] for row in rows] == ["74,560", "74,560", "-"]
    assert rows[0].split()[-1] == "yes"
    assert rows[2].endswith("error: no such model on the Hub, or it is private")


def test_a_table_has_a_column_for_each_precision_and_accelerator(capsys: Capsys) -> None:
    ran = audited(
        capsys, "meta-llama/Llama-3.1-70B", "--dtype", "int4", "--dtype", "bf16", "--gpu", "h100", "--max-vram", "1TB"
    )
    head, row = ran.stdout.splitlines()
    assert "VRAM int4 GiB" in head and "VRAM bf16 GiB" in head
    # 131.42 GiB of files; int4 fits 80 GB and bf16 does not, both fit 1 TB
    assert "131.42" in row
    cells = row[: row.index("the Hub could not")].split()
    assert cells[-2:] == ["no", "yes"]
    assert ran.exit_code == 1


def test_json_lines_are_the_objects_of_inspect(capsys: Capsys, hub: LoopbackHub) -> None:
    add_llamas(hub, "org/a")
    alone = run(capsys, "org/a", "--json", "--dtype", "int8").json
    (row,) = rows_of(audited(capsys, "org/a", "--json", "--dtype", "int8", "--headers", "always").stdout)
    assert row.pop("audit") == {"model": "org/a", "options": "dtype int8, headers always", "gate": True}
    assert row == alone
    assert row["parameters"]["total"] == PARAMETERS


def test_a_failure_is_an_object_with_its_reason(capsys: Capsys, hub: LoopbackHub) -> None:
    (row,) = rows_of(audited(capsys, "org/none@v2", "--format", "jsonl").stdout)
    assert row["schema_version"] == 1
    assert row["model_id"] == "org/none@v2"
    assert row["error"]["kind"] == "repo_not_found"
    assert "no such model" in row["error"]["message"]
    assert row["audit"] == {"model": "org/none@v2", "options": ""}


def test_csv_has_a_row_for_each_model_and_precision(capsys: Capsys, hub: LoopbackHub) -> None:
    add_llamas(hub, "org/a")
    asked = ("--dtype", "bf16", "--dtype", "int8", "--max-vram", "1MiB")
    ran = audited(capsys, "org/a", "org/none", "--format", "csv", "--in-order", *asked)
    bf16, int8, failed = csv.DictReader(io.StringIO(ran.stdout))
    estimates = {row["precision"]: row for row in run(capsys, "org/a", "--json", *asked).json["estimates"]}
    for row in (bf16, int8):
        estimate = estimates[row["precision"]]
        for name in ("total_bytes", "total_low_bytes", "total_high_bytes"):
            assert int(row[name]) == estimate[name]
        assert (row["model"], row["model_id"], row["parameters"]) == ("org/a", "org/a", str(PARAMETERS))
        assert (row["fits"], row["gate"], row["error"]) == ("no", "no", "")
    assert int(bf16["weights_bytes"]) == WEIGHT_BYTES
    assert (failed["model"], failed["error_kind"], failed["total_bytes"]) == ("org/none", "repo_not_found", "")
    assert ran.exit_code == 3


def test_markdown(capsys: Capsys, hub: LoopbackHub) -> None:
    add_llamas(hub, "org/a")
    ran = audited(capsys, "org/a", "x|y <b> [z](javascript:1)", "--format", "markdown", "--in-order")
    head, marks, good, bad = ran.stdout.splitlines()
    assert head.startswith("| model | parameters |")
    assert set(marks) <= set("|-: ")
    assert good.startswith("| org/a | 74,560 |")
    # Bars that are not escaped separate the same number of cells in each line.
    for line in (head, marks, good, bad):
        assert line.replace("\\|", "").count("|") == head.count("|")
    assert bad.startswith(r"| x\|y \<b\> \[z\](javascript:1) |")


@pytest.mark.parametrize("format", ["table", "markdown", "csv", "jsonl"])
def test_nothing_of_a_stranger_reaches_the_terminal_raw(
    capsys: Capsys, hub: LoopbackHub, tmp_path: Path, format: str
) -> None:
    config = json.dumps({"model_type": '=cmd()\x1b[31m\n|\u202e,"'}).encode()
    hub.add_repo("org/a", llama_files() | {"config.json": config})
    names = tmp_path / "names"
    names.write_bytes(b"org/a\n=1+1\n\x1b[2Jx\n@sum\n-1\ta\n")
    ran = audited(capsys, "--file", str(names), "--format", format, "--in-order")
    assert ran.exit_code == 3
    assert all(character.isprintable() or character == "\n" for character in ran.stdout + ran.stderr)
    if format == "jsonl":
        assert [row["audit"]["model"] for row in rows_of(ran.stdout)] == ["org/a", "=1+1", "\x1b[2Jx", "@sum", "-1\ta"]
    if format == "csv":
        rows = list(csv.reader(io.StringIO(ran.stdout)))
        assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
        assert len({len(row) for row in rows}) == 1


def test_rows_are_in_the_order_of_the_list_on_request(capsys: Capsys, hub: LoopbackHub) -> None:
    names = [f"org/{letter}" for letter in "hgfedcba"]
    add_llamas(hub, *names)
    ran = audited(capsys, *names, "--json", "--in-order", "--concurrency", "4")
    assert [row["model_id"] for row in rows_of(ran.stdout)] == names


# ------------------------------------------------------------------------------------ exit codes


@pytest.mark.parametrize(
    ("models", "exit_code", "sentence"),
    [
        (["org/a"], 0, "1 model: 1 fine"),
        (["org/a", "org/b"], 0, "2 models: 2 fine"),
        (["org/a", "meta-llama/Llama-3.1-70B"], 1, "2 models: 1 fine, 1 does not fit"),
        (["org/a", "org/new"], 3, "2 models: 1 fine, 1 in doubt"),
        (["org/a", "org/none"], 3, "2 models: 1 fine, 1 could not be read"),
        (
            ["meta-llama/Llama-3.1-70B", "org/none", "org/nil", "org/new"],
            3,
            "4 models: 0 fine, 1 does not fit, 1 in doubt, 2 could not be read",
        ),
    ],
)
def test_the_worst_decides_and_the_last_line_counts(
    capsys: Capsys, hub: LoopbackHub, models: list[str], exit_code: int, sentence: str
) -> None:
    add_llamas(hub, "org/a", "org/b")
    hub.add_repo("org/new", llama_files() | {"config.json": b'{"model_type": "brand_new"}'})
    add_large(hub, "meta-llama/Llama-3.1-70B")
    ran = audited(capsys, *models, "--gpu", "rtx-4090")
    assert ran.exit_code == exit_code
    assert ran.stderr == f"hubvram: {sentence}\n"


def add_large(hub: LoopbackHub, repo_id: str) -> None:
    """A model of which some 30 GiB are the embedding alone."""
    tensors = {"embed": ("F32", (2**21, 2**12))}
    hub.add_repo(
        repo_id, {"config.json": b'{"model_type": "brand_new"}', "model.safetensors": safetensors_file(tensors)}
    )


def test_the_quota_is_waited_out_visibly(capsys: Capsys, hub: LoopbackHub) -> None:
    names = [f"org/{letter}" for letter in "abcdef"]
    add_llamas(hub, *names)
    hub.quotas = {"api": (4, 1.0)}
    ran = audited(capsys, *names, "--json")
    assert ran.exit_code == 0
    assert sorted(row["model_id"] for row in rows_of(ran.stdout)) == names
    *waits, last = ran.stderr.splitlines()
    assert last == "hubvram: 6 models: 6 fine"
    assert set(waits) == {"hubvram: waiting 1 s for the Hub's quota"} and len(waits) <= 3


# ----------------------------------------------------------------------------------------- lists


def test_lists_skip_blank_lines_and_comments(
    capsys: Capsys, hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_llamas(hub, "org/a", "org/b", "org/c", "org/d")
    listed = tmp_path / "list.txt"
    listed.write_bytes(b"\xef\xbb\xbforg/a\r\n\n  # a comment\norg/b@main  # said why\norg/a\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"org/c\n\n#\norg/d"), encoding="utf-8"))
    ran = audited(capsys, "org/d", "-", "--file", str(listed), "--json", "--in-order")
    assert [row["audit"]["model"] for row in rows_of(ran.stdout)] == ["org/d", "org/c", "org/a", "org/b@main"]
    assert ran.exit_code == 0


def test_a_search(capsys: Capsys, hub: LoopbackHub) -> None:
    hub.search_page_size = 2
    for number in range(5):
        hub.add_repo(f"acme/model-{number}", llama_files(), info={"downloads": 10 * number})
    add_llamas(hub, "other/model-9", "other/thing")

    def names(*arguments: str) -> list[str]:
        ran = audited(capsys, *arguments, "--json", "--in-order")
        assert ran.exit_code == 0
        return [row["model_id"] for row in rows_of(ran.stdout)]

    assert names("--author", "acme") == [f"acme/model-{number}" for number in (4, 3, 2, 1, 0)]
    assert names("--author", "acme", "--limit", "3") == ["acme/model-4", "acme/model-3", "acme/model-2"]
    assert sorted(names("--search", "thing")) == ["other/thing"]
    assert names("--author", "other", "--search", "model") == ["other/model-9"]
    hub.add_collection("acme/best-0123456789abcdef01234567", ["acme/model-1", ("dataset", "acme/data"), "other/thing"])
    assert names("--collection", "acme/best-0123456789abcdef01234567") == ["acme/model-1", "other/thing"]
    page = f"{hub.endpoint}/collections/acme/best-0123456789abcdef01234567"
    assert names("--collection", page, "--limit", "1") == ["acme/model-1"]


def test_the_cache_of_this_machine(capsys: Capsys, hub: LoopbackHub) -> None:
    from huggingface_hub import hf_hub_download

    files = llama_files()
    weights = files["model.safetensors"]
    assert isinstance(weights, HubFile)
    files["model.safetensors"] = weights.data.ljust(weights.size, b"\0")
    for repo_id in ("org/a", "org/weightless", "org/unread"):
        hub.add_repo(repo_id, files)
    for repo_id, path in (("org/a", "config.json"), ("org/a", "model.safetensors"), ("org/weightless", "config.json")):
        hf_hub_download(repo_id, path)
    hub.clear_requests()
    ran = audited(capsys, "--cached", "--offline", "--json")
    assert [row["model_id"] for row in rows_of(ran.stdout)] == ["org/a"]
    assert ran.exit_code == 0
    assert hub.requests == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing to audit"),
        (("--cached",), "nothing to audit"),
        (("--author", "nobody"), "nothing to audit"),
        (("--file", "/nonexistent"), "/nonexistent cannot be read: No such file"),
        (("--file", "{folder}"), "cannot be read: Is a directory"),
        (("--file", "{binary}"), "is not plain text"),
        (("org/a", "--limit", "3"), "--limit is for a search"),
        (("--author", "x", "--limit", "0"), "a limit of 0"),
        (("--author", "x", "--offline"), "offline mode is on"),
        (("--collection", "no/such"), "there is no collection no/such"),
        (("org/a", "--dtype", "int3"), "int3"),
        (("org/a", "--concurrency", "0"), "0 models at once"),
        (("org/a", "--resume"), "--resume goes on with a file"),
        (("org/a", "--resume", "--output", "{folder}/new.md"), "a markdown cannot be continued"),
        (("org/a", "--json", "--format", "csv"), "--json is --format jsonl"),
        (("org/a", "--output", "{folder}"), "cannot be used: Is a directory"),
        (("org/a", "--output", "{folder}/no/such.csv"), "cannot be used: No such file"),
        (("org/a", "--output", "{binary}"), "is there already"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_read(
    capsys: Capsys, hub: LoopbackHub, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    add_llamas(hub, "org/a")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\n")
    ran = audited(capsys, *(argument.format(folder=tmp_path, binary=binary) for argument in arguments))
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert words in ran.stderr
    assert len(ran.stderr.splitlines()) == 2
    assert not any("org/a" in request.path for request in hub.requests)
    assert binary.read_bytes() == b"\xff\xfe\n"


def test_a_hub_that_is_not_there_for_a_search(capsys: Capsys) -> None:
    ran = audited(capsys, "--author", "acme")
    assert (ran.exit_code, ran.stdout) == (3, "")
    assert "--author acme: 127.0.0.1:9 could not be reached" in ran.stderr


# ---------------------------------------------------------------------------------------- output


@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("rows.jsonl", '{"schema_version":1,'),
        ("rows.csv", "model,options,"),
        ("rows.md", "| model |"),
        ("rows.txt", "model "),
    ],
)
def test_the_name_of_the_file_is_the_format(
    capsys: Capsys, hub: LoopbackHub, tmp_path: Path, name: str, beginning: str
) -> None:
    add_llamas(hub, "org/a")
    path = tmp_path / name
    ran = audited(capsys, "org/a", "--output", str(path))
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert path.read_text().startswith(beginning)
    again = audited(capsys, "org/a", "--output", str(path))
    assert again.exit_code == 2
    assert "is there already" in again.stderr and "--resume" in again.stderr


def test_a_full_disk_loses_no_row(capsys: Capsys) -> None:
    ran = audited(capsys, "gpt2", "--format", "jsonl", "--output", "/dev/full")
    assert ran.exit_code == 3
    assert "0 of 1 models done; continue with: hubvram audit --resume gpt2" in ran.stderr
    assert "No space left" in ran.stderr


# ---------------------------------------------------------------------------------------- resume


def _models(path: Path) -> list[str]:
    if path.suffix == ".csv":
        return list(dict.fromkeys(row["model"] for row in csv.DictReader(path.read_text().splitlines())))
    return [row["audit"]["model"] for row in rows_of(path.read_text())]


@pytest.fixture(params=["rows.jsonl", "rows.csv"])
def rows_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def _asked(hub: LoopbackHub) -> set[str]:
    """The models that the Hub was asked about."""
    names = {request.path.removeprefix("/api/models/") for request in hub.requests}
    return {name for name in names if name.count("/") == 1}


def test_resume_keeps_good_rows_and_asks_for_failed_ones_again(
    capsys: Capsys, hub: LoopbackHub, rows_file: Path
) -> None:
    add_llamas(hub, "org/a", "org/c")
    arguments = ("org/a", "org/b", "org/c", "--in-order", "--output", str(rows_file), "--max-vram", "1MiB")
    assert audited(capsys, *arguments).exit_code == 3
    assert _models(rows_file) == ["org/a", "org/b", "org/c"]
    rows_file.chmod(0o640)
    hub.clear_requests()
    add_llamas(hub, "org/b")
    ran = audited(capsys, *arguments, "--resume")
    assert _asked(hub) == {"org/b"}
    assert _models(rows_file) == ["org/a", "org/c", "org/b"]
    # What was there counts, too: all three are larger than the budget.
    assert (ran.exit_code, ran.stderr) == (1, "hubvram: 3 models: 0 fine, 3 do not fit\n")
    assert rows_file.stat().st_mode & 0o777 == 0o640
    assert list(rows_file.parent.iterdir()) == [rows_file]
    # There is nothing left to do.
    hub.clear_requests()
    content = rows_file.read_bytes()
    assert audited(capsys, *arguments, "--resume").exit_code == 1
    assert (_asked(hub), rows_file.read_bytes()) == (set(), content)


def test_resume_drops_a_torn_line(capsys: Capsys, hub: LoopbackHub, rows_file: Path) -> None:
    add_llamas(hub, "org/a", "org/b")
    arguments = ("org/a", "org/b", "--in-order", "--output", str(rows_file), "--dtype", "int8", "--dtype", "int4")
    audited(capsys, *arguments)
    whole = rows_file.read_bytes()
    first = len(b"".join(whole.splitlines(keepends=True)[: 3 if rows_file.suffix == ".csv" else 1]))
    for length in (0, 1, 10, first - 1, first, first + 1, len(whole) - 300, len(whole) - 1, len(whole)):
        rows_file.write_bytes(whole[:length])
        hub.clear_requests()
        ran = audited(capsys, *arguments, "--resume")
        assert ran.exit_code == 0, (length, ran.stderr)
        assert rows_file.read_bytes() == whole
        assert ("org/a" in _asked(hub)) is (length < first)


def test_csv_rows_of_a_model_are_kept_together(capsys: Capsys, hub: LoopbackHub, tmp_path: Path) -> None:
    add_llamas(hub, "org/a", "org/b")
    path = tmp_path / "rows.csv"
    arguments = ("org/a", "org/b", "--in-order", "--output", str(path), "--dtype", "int8", "--dtype", "int4")
    audited(capsys, *arguments)
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))  # cut at the end of a line: int4 of b is missing
    assert audited(capsys, *arguments, "--resume").exit_code == 0
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "content",
    [
        b"my notes",
        b"my notes\n",
        b"{}\n",
        b'{"schema_version":1,"model_id":"org/a"}\n',
        b'{"schema_version":1,"audit":{"model":3,"options":""}}\n',
        b"model,parameters\norg/a,3\n",
        b"\xff\xfe\n",
        b"\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_resume_refuses_a_file_of_somebody_else_and_leaves_it(
    capsys: Capsys, hub: LoopbackHub, rows_file: Path, content: bytes
) -> None:
    add_llamas(hub, "org/a")
    rows_file.write_bytes(content)
    ran = audited(capsys, "org/a", "--output", str(rows_file), "--resume")
    assert ran.exit_code == 2
    assert "line 1 is no row of such an audit" in ran.stderr
    assert rows_file.read_bytes() == content


@pytest.mark.parametrize(
    "options",
    [
        ("--dtype", "int4"),
        ("--context", "512"),
        ("--batch", "2"),
        ("--kv-dtype", "fp8"),
        ("--cache", "static"),
        ("--attention", "eager"),
        ("--gpu", "h100"),
        ("--max-vram", "1GiB"),
        ("--revision", "v2"),
        ("--headers", "always"),
    ],
)
def test_resume_refuses_rows_of_other_options(
    capsys: Capsys, hub: LoopbackHub, rows_file: Path, options: tuple[str, str]
) -> None:
    add_llamas(hub, "org/a")
    audited(capsys, "org/a", "--output", str(rows_file))
    content = rows_file.read_bytes()
    ran = audited(capsys, "org/a", "--output", str(rows_file), "--resume", *options)
    assert ran.exit_code == 2
    assert "was made with other options (none; now: " in ran.stderr
    assert rows_file.read_bytes() == content


def test_resume_follows_a_link_and_leaves_it_one(capsys: Capsys, hub: LoopbackHub, rows_file: Path) -> None:
    add_llamas(hub, "org/a")
    link = rows_file.with_name(f"link{rows_file.suffix}")
    link.symlink_to(rows_file)
    assert audited(capsys, "org/a", "org/b", "--output", str(link), "--resume").exit_code == 3
    add_llamas(hub, "org/b")
    assert audited(capsys, "org/a", "org/b", "--output", str(link), "--resume").exit_code == 0
    assert link.is_symlink()
    assert sorted(_models(rows_file)) == ["org/a", "org/b"]


# --------------------------------------------------------------------------------------- dry run


def test_a_dry_run_sends_one_request_and_says_what_a_run_will_take(
    capsys: Capsys, hub: LoopbackHub, tmp_path: Path
) -> None:
    names = [f"org/{number}" for number in range(700)]
    listed = tmp_path / "names"
    listed.write_text("\n".join(names))
    shutil.copytree(Path(__file__).parent, tmp_path / "folder")
    output = tmp_path / "rows.csv"
    ran = audited(capsys, "--file", str(listed), str(tmp_path / "folder"), "--dry-run", "--output", str(output))
    assert ran.exit_code == 0
    assert len(hub.requests) == 1
    assert not output.exists()
    # Anonymous: 500 requests of the API and 3,000 to resolve in each window of 300 s; 1 of 500 has been used.
    # 700 need 2 windows, 1,400 need 3: 499 + 500 are less than 1,400, 499 + 2 x 500 are enough.
    assert ran.stdout.splitlines()[:3] == [
        "701 models to read, 700 of them on the Hub",
        "api        700 to 1,400 requests; 499 left of 500 in 300 s: 2 to 3 windows",
        "resolvers  700 to 1,400 requests; 3,000 left of 3,000 in 300 s: 1 window",
    ]


def test_a_dry_run_without_headers_offline_or_what_is_left(capsys: Capsys, hub: LoopbackHub, rows_file: Path) -> None:
    add_llamas(hub, "org/a")
    out = ("--output", str(rows_file))
    audited(capsys, "org/a", *out, "--headers", "never")
    content = rows_file.read_bytes()
    hub.clear_requests()
    ran = audited(capsys, "org/a", "org/b", "org/c", *out, "--headers", "never", "--resume", "--dry-run")
    assert "2 models to read, 2 of them on the Hub\napi        2 requests;" in ran.stdout
    assert rows_file.read_bytes() == content
    assert len(hub.requests) == 1
    assert "offline: no requests" in audited(capsys, "org/a", "--offline", "--dry-run").stdout
    assert len(hub.requests) == 1


def test_a_dry_run_when_the_quota_is_used_up(capsys: Capsys, hub: LoopbackHub) -> None:
    hub.faults.append(Fault("status:429", times=9))
    ran = audited(capsys, "org/a", "--dry-run")
    assert ran.exit_code == 0
    assert "api        1 to 2 requests; 0 left, renewed in 1 s" in ran.stdout


def test_a_dry_run_of_a_hub_that_says_nothing(capsys: Capsys) -> None:
    ran = audited(capsys, "org/a", "--dry-run")
    assert ran.exit_code == 0
    assert "api        1 to 2 requests; the Hub does not say how many it allows" in ran.stdout


# ------------------------------------------------------------------------------------------ one file


@pytest.mark.parametrize("resume", [True, False])
def test_a_file_that_another_audit_writes_to_is_left_to_it(
    capsys: Capsys, hub: LoopbackHub, tmp_path: Path, resume: bool
) -> None:
    add_llamas(hub, "org/a")
    path = tmp_path / "rows.jsonl"
    other = RowFile(path, resumed=True)
    ran = audited(capsys, "org/a", "--output", str(path), *(["--resume"] if resume else []))
    other.close()
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"hubvram: {path} is being written by another audit\n")
    assert path.read_bytes() == b""
    assert audited(capsys, "org/a", "--output", str(path)).exit_code == 0


def test_a_file_that_was_written_to_since_it_was_read_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("abc\n")
    file = RowFile(path, resumed=True)
    with pytest.raises(UsageError, match="is being written by another audit"):
        file.keep_only(Earlier(kept={}, spans=(), all_bytes=3))
    file.close()
    assert path.read_text() == "abc\n"


def test_resume_with_another_list_keeps_what_is_not_in_it(capsys: Capsys, hub: LoopbackHub, tmp_path: Path) -> None:
    add_llamas(hub, "org/a", "org/b")
    path = tmp_path / "rows.jsonl"
    assert audited(capsys, "org/a", "org/none", "org/gone", "--output", str(path)).exit_code == 3
    assert audited(capsys, "org/b", "org/none", "--output", str(path), "--resume").exit_code == 3
    models = [row["audit"]["model"] for row in rows_of(path.read_text())]
    assert sorted(models) == ["org/a", "org/b", "org/gone", "org/none"]


def test_csv_does_not_take_two_models_for_one(capsys: Capsys, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    ran = audited(capsys, "a  b", "a b", "--output", str(path), "--resume")
    assert (ran.exit_code, path.exists()) == (2, False)
    assert "are one name in a csv file" in ran.stderr


def test_what_a_loss_of_power_leaves_is_a_torn_line(capsys: Capsys, hub: LoopbackHub, tmp_path: Path) -> None:
    add_llamas(hub, "org/a", "org/b")
    path = tmp_path / "rows.jsonl"
    audited(capsys, "org/a", "--output", str(path))
    row = path.read_bytes()
    path.write_bytes(row + bytes(4096))
    assert audited(capsys, "org/a", "org/b", "--output", str(path), "--resume").exit_code == 0
    assert path.read_bytes().startswith(row)
    assert len(rows_of(path.read_text())) == 2


def test_a_huge_line_is_not_read_whole(capsys: Capsys, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with path.open("wb") as file:
        file.write(b'{"schema_version":')
        file.truncate(2**33)  # of zeros, without taking the space
    ran = audited(capsys, "gpt2", "--output", str(path), "--resume")
    assert (ran.exit_code, path.stat().st_size) == (2, 2**33)
    assert "line 1 is no row of such an audit" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--author", ""], "--author is empty"),
        (["--search", ""], "--search is empty"),
        (["--file", ""], "--file is empty"),
        (["gpt2", "--output", "-"], "--output - is no file"),
        (["gpt2", "--output", ""], "--output . is no file"),
    ],
)
def test_values_that_are_none(capsys: Capsys, hub: LoopbackHub, arguments: list[str], problem: str) -> None:
    ran = audited(capsys, *arguments)
    assert (ran.exit_code, ran.stdout, hub.requests) == (2, "", [])
    assert problem in ran.stderr


def test_what_a_search_finds_is_no_folder_of_that_name(
    capsys: Capsys, hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_llamas(hub, "acme/a")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme" / "a").mkdir(parents=True)
    ran = audited(capsys, "--author", "acme", "--format", "jsonl")
    (row,) = rows_of(ran.stdout)
    assert (row["model_id"], row["audit"]["model"]) == ("acme/a", f"{hub.endpoint}/acme/a")


def test_an_endless_quota_ends(capsys: Capsys, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    add_llamas(hub, "org/a", "org/b")
    monkeypatch.setattr(QUOTA, "wait_seconds", lambda url: 0.01 if url.endswith("org/a?blobs=true") else 0.0)
    hub.faults.append(Fault("status:429", times=1000, path_contains="org/a"))
    ran = audited(capsys, "org/a", "org/b", "--format", "jsonl")
    assert ran.exit_code == 3
    assert {row["model_id"]: row.get("error", {}).get("kind") for row in rows_of(ran.stdout)} == {
        "org/a": "hub_busy",
        "org/b": None,
    }
    assert ran.stderr.count("waiting") == 1


def test_a_precision_without_a_figure_is_in_doubt_in_every_format(capsys: Capsys, tmp_path: Path) -> None:
    asked = ("--dtype", "int8", "--dtype", "q4_k_m", "--max-vram", "80GiB")
    arguments = ("google-t5/t5-small", "--cache", "static", "--offline", *asked)
    table = audited(capsys, *arguments)
    assert table.exit_code == 3
    assert " yes " not in table.stdout and " ? " in table.stdout
    path = tmp_path / "rows.csv"
    assert audited(capsys, *arguments, "--output", str(path)).exit_code == 3
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [(row["precision"], row["fits"], row["gate"]) for row in rows] == [
        ("int8", "unknown", "unknown"),
        ("q4_k_m", "unknown", "unknown"),
    ]
    assert (rows[1]["weights_bytes"], rows[1]["total_bytes"]) == ("", "")
    before = path.read_bytes()
    assert audited(capsys, *arguments, "--output", str(path), "--resume").exit_code == 3
    assert path.read_bytes() == before
