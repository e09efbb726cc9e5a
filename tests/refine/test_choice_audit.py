"""The audit of choices counts what was planted, and calls out what is not worth training on."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import DataError
from outgrow.labels import ChoiceTargets
from outgrow.refine.choice_audit import ChoiceAudit, relative_entropy
from outgrow.report.notes import sentence

CHOICES = ("no", "yes")
GOLD = np.arange(100) % 2
WRONG = np.where(np.arange(100) % 3 == 0, 1 - GOLD, GOLD)
"""Weak labels, a third of them wrong."""


def targets(labels, *, sure: float = 0.8, votes=None) -> ChoiceTargets:
    probs = np.where(np.eye(2)[np.asarray(labels)] == 1, sure, 1 - sure)
    lambdas = None if votes is None else np.full(votes.shape[1], 1 / votes.shape[1])
    return ChoiceTargets(tuple(f"r{row}" for row in range(len(probs))), probs, np.ones(len(probs)), votes, lambdas)


def checked(weak, refined, *, base=None, gold=None) -> ChoiceAudit:
    return ChoiceAudit.of(CHOICES, weak, refined).compared(weak.probs, refined.probs, base, gold)


def warnings(audit: ChoiceAudit) -> list[str]:
    return [sentence(note) for note in audit.notes("icl", 0)]


def test_a_good_refinement_is_passed_without_a_word():
    found = checked(targets(WRONG), targets(GOLD), base=targets(np.roll(GOLD, 1)).probs, gold=GOLD)
    assert warnings(found) == []
    assert found.as_weak == pytest.approx(0.66)
    assert found.scores["accuracy"] == {"weak": pytest.approx(0.66), "refined": 1.0, "base": 0.0}


def test_shares_confidence_and_entropy_are_those_that_were_planted():
    weak, refined = targets([0] * 30 + [1] * 70, sure=1.0), targets([0] * 60 + [1] * 40, sure=0.9)
    found = checked(weak, refined, base=targets([1] * 100, sure=0.5).probs)
    assert found.shares == {"weak": (0.3, 0.7), "refined": (0.6, 0.4), "base": (1.0, 0.0)}  # a tie is the first choice
    assert found.confidence == {"weak": 1.0, "refined": pytest.approx(0.9), "base": 0.5}
    expected = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1)) / np.log(2)
    assert found.entropy == {"weak": 0.0, "refined": pytest.approx(expected), "base": pytest.approx(1.0)}
    assert found.moved == pytest.approx(0.7 * 0.1 + 0.3 * 0.9)
    assert (found.as_weak, found.as_base, found.weak_as_base) == (0.7, 0.6, 0.3)


@pytest.mark.parametrize(
    ("refined", "said"),
    [
        (targets(WRONG), "changes nothing: 100 %"),
        (targets(WRONG, sure=0.6), "changes hardly a label: 100 % .* changes from .800 to .600"),
        (targets(GOLD), "have no effect on the refined ones: 100 %"),
        (targets([1] * 100), "breaks down: 100 % of its labels are 'yes', against 50 % of the weak ones"),
        (targets([0] * 95 + [1] * 5), "breaks down: 95 % of its labels are 'no'"),
        (targets(1 - GOLD), "On accuracy: .* labels score .000, lower than the weak ones .*.660.*"),
    ],
)
def test_a_refinement_not_worth_training_on_is_called_out(refined, said):
    found = checked(targets(WRONG), refined, base=targets(GOLD).probs, gold=GOLD)
    assert any(re.search(said, one) for one in warnings(found))


def test_labels_that_agree_with_the_weak_ones_by_chance_only_are_called_out_whichever_is_right():
    one, other = np.tile([0, 0, 1, 1], 100), np.tile([0, 1, 0, 1], 100)
    for weak, refined in ((one, other), (other, one)):
        [warning] = warnings(ChoiceAudit.of(CHOICES, targets(weak), targets(refined)))
        assert "hardly more than by chance (Cohen's κ .000, at most .100)" in warning
    assert warnings(ChoiceAudit.of(CHOICES, targets(one), targets(np.where(np.arange(400) < 200, one, other)))) == []


def test_few_rows_are_not_enough_to_call_labels_unrelated():
    weak, refined = targets([0, 0, 1, 1] * 5), targets([0, 1, 0, 1] * 5)
    assert warnings(ChoiceAudit.of(CHOICES, weak, refined)) == []


def test_labels_as_skewed_as_the_weak_ones_are_no_breakdown():
    weak, refined = targets([1] * 94 + [0] * 6), targets([0] * 3 + [1] * 97)
    assert warnings(checked(weak, refined)) == []


def test_all_weak_labels_equal_is_said():
    [warning] = warnings(checked(targets([1] * 100), targets(WRONG)))
    assert "all weak labels are 'yes'" in warning


def test_the_agreement_of_draws_is_counted():
    votes = np.stack([targets(GOLD).probs] * 3 + [targets(1 - GOLD).probs], axis=1)
    assert ChoiceAudit.of(CHOICES, targets(WRONG), targets(GOLD, votes=votes)).agreement == 0.75


def test_rows_the_base_could_not_read_are_left_out_of_the_comparison():
    base = targets(GOLD).probs
    base[:50] = np.nan
    found = checked(targets(WRONG), targets(GOLD), base=base, gold=GOLD)
    assert found.as_base == 1.0
    assert set(found.scores["accuracy"]) == {"weak", "refined"}


def test_rows_that_were_not_labelled_again_are_not_counted():
    weak, refined = targets(WRONG), targets(GOLD).take(np.arange(0, 100, 3))
    found = ChoiceAudit.of(CHOICES, weak, refined)
    assert (found.rows, found.as_weak) == (34, 0.0)
    assert found.shares["weak"] == ChoiceAudit.of(CHOICES, weak.take(np.arange(0, 100, 3)), refined).shares["weak"]


def test_without_gold_there_are_no_scores_and_everything_is_plain():
    found = checked(targets(WRONG), targets(GOLD))
    assert (found.scores, found.lower) == ({}, ())
    assert np.isnan(found.as_base)
    assert json.loads(json.dumps(found.to_json("icl", 0)))["choices"] == ["no", "yes"]


def test_other_choices_are_refused():
    with pytest.raises(DataError, match="do not have the task's choices"):
        ChoiceAudit.of(("a", "b", "c"), targets(WRONG), targets(GOLD))


@given(rows=st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=1, max_size=8))
def test_relative_entropies_lie_between_nothing_and_one(rows):
    probs = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
    entropies = relative_entropy(probs)
    assert ((entropies >= 0) & (entropies <= 1 + 1e-12)).all()
    np.testing.assert_allclose(relative_entropy(np.full((1, 3), 1 / 3)), 1)
