"""A run that finds everything in the store loads no model, and none of the packages that models and figures need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from outgrow.experiment import Experiment
from outgrow.results import Results
from small_experiments import write_experiment

HEAVY = {"torch", "transformers", "sklearn", "matplotlib"}
AGAIN = """
import json, sys
from outgrow import Experiment
results = Experiment.from_yaml(sys.argv[1]).run()
print(json.dumps([results.to_json()["summary"], list({name.partition(".")[0] for name in sys.modules})]))
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path) -> tuple[Path, Results, Path]:
    """An experiment file, its results and their report."""
    folder = tmp_path_factory.mktemp("cached")
    path = write_experiment(
        folder,
        encoder_folder,
        supervisors=[{"features": "tfidf"}],
        strong={"model": str(encoder_folder), "adapter": {"name": "probe", "epochs": 2}, "device": "cpu"},
        methods={"naive": {}, "evidential": {"objective": "evidential"}},
        output=str(folder / "out"),
        store=str(folder / "store"),
    )
    return path, Experiment.from_yaml(path).run(), folder / "out" / "report.html"


def test_a_second_run_loads_no_model_and_leaves_the_report_as_it_is(ran: tuple[Path, Results, Path]) -> None:
    experiment, first, report = ran
    written = report.stat().st_mtime_ns
    done = subprocess.run([sys.executable, "-c", AGAIN, str(experiment)], capture_output=True, text=True, check=True)
    summary, loaded = json.loads(done.stdout)
    assert summary == first.to_json()["summary"]
    assert HEAVY & {*loaded} == set()
    assert report.stat().st_mtime_ns == written


def test_a_report_that_shows_something_else_is_written_again(ran: tuple[Path, Results, Path]) -> None:
    _, results, report = ran
    before = report.read_text()
    results.save_report(report, examples=False)
    assert len(report.read_text()) < len(before)
    results.save_report(report)
    assert report.read_text() == before


def test_a_report_that_was_changed_is_written_again(ran: tuple[Path, Results, Path]) -> None:
    _, results, report = ran
    before = report.read_text()
    report.write_text(before.replace("accuracy", "accurate", 1))
    results.save_report(report)
    assert report.read_text() == before
