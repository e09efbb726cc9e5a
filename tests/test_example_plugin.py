"""examples/plugin: an installed package is found by its entry points."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from outgrow.cli import app
from outgrow.registry import names
from outgrow.results import Results
from small_experiments import write_experiment

PACKAGE = Path(__file__).parents[1] / "examples" / "plugin"


def test_an_installed_package_needs_no_option(
    tmp_path: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    about = site / "outgrow_example-0.1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outgrow-example\nVersion: 0.1.0\n")
    points = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [f"[{group}]\n{name} = {place}\n" for group, own in points.items() for name, place in own.items()]
    (about / "entry_points.txt").write_text("".join(lines))
    monkeypatch.syspath_prepend(site)
    monkeypatch.syspath_prepend(PACKAGE / "src")
    assert "focal" in names("objective")
    methods = {"m": {"objective": {"name": "focal", "gamma": 1}, "combine": "boldest"}}
    done = CliRunner().invoke(app, ["run", str(write_experiment(tmp_path, encoder_folder, methods=methods))])
    assert done.exit_code == 0, done.exception
    assert any(model.name == "m" for model in Results.load(tmp_path / "output").models)
