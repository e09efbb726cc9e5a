"""The examples say what the code understands, and read the real data."""

from __future__ import annotations

from pathlib import Path

import pytest

from outgrow.config import load_config
from outgrow.run import Run
from outgrow.store import Store
from outgrow.tasks import read_task

FOLDER = Path(__file__).parents[1] / "examples"
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if not path.name.endswith(".small.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_an_experiment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINILM", "encoder")
    assert load_config(path).name == path.stem


@pytest.mark.usefixtures("real_data")
@pytest.mark.parametrize(("name", "voters"), [("crowd_rte/crowd_rte", 164), ("llm_predictions/strategyqa", 12)])
def test_the_votes_of_an_example_are_read(name: str, voters: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINILM", "encoder")
    config = load_config(FOLDER / f"{name}.yaml")
    _, rows = read_task(config.task)
    votes = config.supervisors[0].vote(rows, Run(Store.default()), seed=0)
    assert len(votes.supervisors) == voters
    assert len(votes.ids) == len(rows)
