"""Refinement as a stage of an experiment: what goes in, what is kept, what is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from outgrow.demo import demo_settings
from outgrow.experiment import Experiment
from outgrow.labels import ChoiceTargets
from outgrow.progress import SilentReporter
from outgrow.store import read_table
from outgrow.worlds import facts, facts_models
from small_experiments import planted_rows, write_experiment
from tiny_models import make_decoder


@pytest.fixture
def tiny_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A world whose models have hardly been trained: they say something, and nothing more is needed here."""
    short = {name: dataclasses.replace(one, steps=5) for name, one in facts_models.RECIPES["tiny"].items()}
    monkeypatch.setitem(facts_models.RECIPES, "tiny", short)
    return facts.build(tmp_path / "facts", size="tiny")


CHOICE_ICL = {"name": "icl", "demonstrations": 3, "draws": 3, "share": 8}


def test_draws_of_refined_choices_reach_an_objective_that_learns_from_each_and_a_rerun_does_no_work(
    tmp_path: Path,
) -> None:
    model = make_decoder(tmp_path / "decoder", context=48)
    methods = {"refined": {"refine": CHOICE_ICL, "objective": "bayesian"}}
    path = write_experiment(tmp_path, model, planted_rows(60), methods=methods, ceiling=False)
    Experiment.from_yaml(path).run()
    [kept] = (tmp_path / "store" / "refined").glob("*/targets.parquet")
    targets = ChoiceTargets.from_arrow(read_table(kept))
    assert targets.votes is not None
    assert targets.votes.shape == (len(targets.ids), 3, 2)
    np.testing.assert_allclose(targets.votes.mean(axis=1), targets.probs)
    again = Experiment.from_yaml(path).run()
    assert set(again.provenance["seconds"]) == {"total"}


def test_what_refined_choices_had_no_room_for_is_noted(tmp_path: Path) -> None:
    model = make_decoder(tmp_path / "decoder", context=48)
    methods = {"refined": {"refine": {**CHOICE_ICL, "demonstrations": 6}}}
    path = write_experiment(tmp_path, model, planted_rows(60), methods=methods, ceiling=False)
    notes = Experiment.from_yaml(path).run().provenance["notes"]
    assert any("demonstrations were left out whole" in note for note in notes)


def test_a_refinement_of_texts_is_audited_before_training_and_in_the_report(tmp_path: Path, tiny_facts: Path) -> None:
    said: list[str] = []

    class Listening(SilentReporter):
        def note(self, message: str) -> None:
            said.append(message)

    settings = demo_settings(tiny_facts, tmp_path / "out", seeds=1)
    settings["methods"] = {
        "refined": {"refine": {"name": "icl", "demonstrations": 2}},
        "repeated": {"refine": {"name": "ask_to_improve", "improve": "{answer}\n", "query": "Say {prompt}:"}},
    }
    settings |= {"ceiling": False, "trainer": {"max_steps": 2, "learning_rate": 1e-3}, "store": str(tmp_path / "store")}
    results = Experiment.from_dict(settings).run(reporter=Listening())
    audits = {one["method"]: one for one in results.provenance["refinement"]}
    rows = results.provenance["sizes"]["unlabelled"]
    assert audits["refined"]["rows"] == rows
    assert set(audits["refined"]["scores"]) == {"content", "concept"}
    assert audits["refined"]["scores"]["concept"]["base"] == 0
    assert audits["refined"]["sample"] == min(rows, 64)
    for one in audits.values():
        for warning in one["warnings"]:
            assert any(warning in message for message in said)
            assert any(warning in note for note in results.provenance["notes"])
    assert "Refinement, before training" in (tmp_path / "out" / "report.html").read_text()
