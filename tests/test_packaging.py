"""The wheel: what a user installs is the package and the bundled snapshots, and nothing heavy."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_wheel_ships_every_snapshot(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    folders = [folder.name for folder in (ROOT / "fixtures" / "models").iterdir()]
    for folder in folders:
        for file in ("config.json", "headers.json", "expected.json"):
            assert f"hubvram/sources/snapshots/{folder}/{file}" in names
    assert "hubvram/config/defaults.jsonl" in names
    assert "hubvram/reports/contract.schema.json" in names
    assert "hubvram/py.typed" in names
    assert not any(name.startswith(("tests/", "scripts/", "fixtures/")) for name in names)


def test_every_dependency_is_justified_and_heavy_ones_are_extras() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    names = [dependency.split(">")[0] for dependency in project["dependencies"]]
    assert names == ["huggingface_hub", "httpx2[http2]", "typer", "rich"]
    lines = [line.strip() for line in text.splitlines()]
    for dependency in project["dependencies"]:
        assert lines[lines.index(f'"{dependency}",') - 1].startswith("# "), f"{dependency} is not justified"
    assert project["optional-dependencies"]["transformers"] == ["transformers>=5.20"]
