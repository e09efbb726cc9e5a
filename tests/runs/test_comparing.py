"""Runs side by side: paired where rows agree, and not where they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from outgrow.cli import app
from outgrow.errors import DataError
from outgrow.evaluate import ModelScores, mean_scores
from outgrow.results import Results
from outgrow.runs.comparing import compare_runs

RNG = np.random.default_rng(0)
EASY = RNG.random(200)
"""What examples have in common over runs."""


def run(folder: Path, *, better: float = 0.0, rows: str = "abc", first: int = 0, seeds: int = 2, **more: Any) -> Path:
    """A run of one student on the examples from `first` on, which is right where they are easy."""
    examples = np.arange(first, 200)
    right = (EASY[examples] + RNG.normal(0, 0.1, (seeds, len(examples))) + better > 0.5).astype(float)
    models = [ModelScores("naive", "student", {"accuracy": right, **more})]
    Results(folder.name, models, {}, {"hashes": {"rows": rows}}, [f"r{index}" for index in examples]).save(folder)
    return folder


def test_differences_are_paired_by_row_and_seed(tmp_path: Path) -> None:
    folders = [run(tmp_path / "one"), run(tmp_path / "two", better=0.1, first=50)]
    [found] = compare_runs(folders)
    one, two = (Results.load(folder).models[0].scores["accuracy"] for folder in folders)
    expected = mean_scores([two, one[:, 50:]]).contrast([1, -1])
    gain = found.models[0].gains[1]
    assert found.shared == (200, 150)
    assert gain is not None
    assert gain.interval == pytest.approx(expected.interval(-1, 1))
    unpaired = [np.subtract(*score.ends[::-1]) for score in found.models[0].scores if score]
    assert np.subtract(*gain.ends[::-1]) < 0.8 * np.hypot(*unpaired)


def test_rows_of_another_task_give_no_difference_even_under_the_same_ids(tmp_path: Path) -> None:
    [found] = compare_runs([run(tmp_path / "one"), run(tmp_path / "two", rows="other")])
    assert found.shared == (200, 0)
    assert found.models[0].gains == (None, None)
    assert "two: 200 test examples, no common rows." in found.text()


def test_runs_without_a_common_metric_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "two"
    Results("two", [ModelScores("naive", "student", {"chrf": np.ones((1, 3))})], {}).save(other)
    with pytest.raises(DataError, match="no metric in common"):
        compare_runs([run(tmp_path / "one"), other])


def test_the_command_prints_a_table_or_json(tmp_path: Path) -> None:
    folders = [str(run(tmp_path / "one")), str(run(tmp_path / "two", seeds=1))]
    said = CliRunner().invoke(app, ["compare", *folders])
    assert said.output.splitlines()[1].split() == ["role", "one", "two", "difference"]
    [found] = json.loads(CliRunner().invoke(app, ["compare", *folders, "--json"]).output)
    assert found["models"][0]["gains"][1]["value"] == pytest.approx(0, abs=0.2)
