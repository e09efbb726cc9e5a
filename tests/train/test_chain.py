"""Intermediate models: who learns what, and who labels whom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from outgrow.config import Intermediate, Named
from outgrow.errors import ConfigError, DataError
from outgrow.files import read_json, write_json
from outgrow.labels import ChoiceTargets, Rows
from outgrow.run import Run
from outgrow.store import Artefact, Store
from outgrow.train.learners import IntermediateModel

CROSS_ENTROPY = Named(name="cross_entropy")


class Memory:
    """Answers 1 for the rows it was trained on, and 0 for others."""

    def train(
        self, rows: Rows, targets: ChoiceTargets, objective: Named, run: Run, *, seed: int, name: str
    ) -> Artefact:
        seen = sorted(targets.ids)
        return run.stage("memory", {"seen": seen}, lambda folder: write_json(folder / "seen.json", seen))

    def logits(self, trained: Artefact, rows: Rows, run: Run, *, name: str) -> Tensor:
        seen = set(read_json(trained.path / "seen.json"))
        return torch.tensor([[0.0, 5.0] if row in seen else [5.0, 0.0] for row in rows.ids])


def rows_of(count: int) -> Rows:
    ids = tuple(f"r{index}" for index in range(count))
    return Rows(ids, ids, ("unlabelled",) * count, (None,) * count, ("no", "yes"))


def targets_of(rows: Rows, count: int) -> ChoiceTargets:
    return ChoiceTargets(rows.ids[:count], np.full((count, 2), 0.5), np.ones(count))


def relabelled(folds: int | None, rows: Rows, targets: ChoiceTargets, folder: Path, seed: int = 0) -> ChoiceTargets:
    run = Run(Store(folder / "store"))
    model = IntermediateModel("memory", Memory(), folds)
    return model.relabel(targets, rows, CROSS_ENTROPY, run, seed=seed, name="relabel")


def test_an_intermediate_model_labels_every_row_also_those_without_a_target(tmp_path: Path) -> None:
    rows = rows_of(10)
    found = relabelled(None, rows, targets_of(rows, 7), tmp_path)
    assert found.ids == rows.ids
    assert found.probs.argmax(axis=1).tolist() == [1] * 7 + [0] * 3
    assert found.probs[0].tolist() == pytest.approx(torch.softmax(torch.tensor([0.0, 5.0]), 0).tolist())
    assert found.weights.tolist() == [1.0] * 10


@given(st.integers(2, 5), st.integers(0, 3))
def test_with_folds_no_row_is_labelled_by_a_model_that_learned_its_label(
    tmp_path_factory: pytest.TempPathFactory, folds: int, seed: int
) -> None:
    rows = rows_of(11)
    found = relabelled(folds, rows, targets_of(rows, 11), tmp_path_factory.mktemp("chain"), seed)
    assert (found.probs.argmax(axis=1) == 0).all()


@pytest.mark.parametrize(("rows", "targets", "folds"), [(2, 2, 3), (10, 1, 10)])
def test_too_few_rows_for_the_folds_are_refused(tmp_path: Path, rows: int, targets: int, folds: int) -> None:
    every = rows_of(rows)
    with pytest.raises(DataError, match=f"Too few rows for the {folds} folds of memory"):
        relabelled(folds, every, targets_of(every, targets), tmp_path)


def test_an_intermediate_model_trains_with_the_settings_of_the_experiment_unless_it_has_its_own(
    encoder_folder: Path,
) -> None:
    own = Intermediate(model=str(encoder_folder), trainer={"max_steps": 3})
    none = Intermediate(model=str(encoder_folder), trainer={})
    other = Intermediate(model=str(encoder_folder))
    given = {"max_steps": 7}
    trainers = [vars(IntermediateModel.of(each, given).learner)["trainer"] for each in (own, none, other)]
    assert trainers == [{"max_steps": 3}, {}, {"max_steps": 7}]


def test_a_setting_that_does_not_exist_is_refused_when_the_model_is_described(encoder_folder: Path) -> None:
    with pytest.raises(ConfigError, match="no such field"):
        IntermediateModel.of(Intermediate(model=str(encoder_folder), trainer={"epochs": 3}), {})
