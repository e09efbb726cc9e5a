"""Refinement as a stage of an experiment: what goes in, what is kept, what is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from outgrow.experiment import Experiment
from outgrow.labels import ChoiceTargets
from outgrow.store import read_table
from small_experiments import planted_rows, write_experiment
from tiny_models import make_decoder

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
