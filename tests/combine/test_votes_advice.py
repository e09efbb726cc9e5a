"""Advice on votes: the combiner, the expected accuracy, supervisors in doubt, and rows to label."""

import numpy as np
import pytest
from voting_worlds import accuracy, copies, independent

from outgrow.combine import combine
from outgrow.combine.advice import expected_accuracy, rows_to_label, votes_advice


def values_of(combined):
    return {note.code.removeprefix("advice."): note.values for note in votes_advice(combined)}


def severities_of(combined):
    return {note.code.removeprefix("advice."): note.severity for note in votes_advice(combined)}


def test_the_expected_accuracy_is_that_of_rows_without_gold_and_with_votes():
    world = independent([0.6, 0.7, 0.8], rows=2000)
    votes = np.concatenate([world.votes, np.full((500, 3, 2), np.nan)])
    gold = np.append(np.where(np.arange(2000) < 1000, world.truth, -1), np.full(500, -1))
    found = combine(votes, gold=gold)
    rest = found.probs[1000:2000]
    assert expected_accuracy(found) == pytest.approx(rest.max(axis=1).mean())
    assert expected_accuracy(found) == pytest.approx(accuracy(rest, world.truth[1000:]), abs=0.03)
    assert values_of(found)["votes"]["without_votes"] == 500


def test_a_supervisor_below_chance_is_named():
    found = combine(independent([0.9, 0.8, 0.8, 0.1]).votes)
    assert values_of(found)["supervisors"]["below_chance"] == ["supervisor 3"]
    assert severities_of(found)["supervisors"] == "caution"


def test_that_nobody_is_above_chance_is_cautioned():
    guesses = combine(np.random.default_rng(1).integers(0, 3, (300, 3)))
    for found, above in ((guesses, 0), (combine(independent([0.9, 0.8, 0.8, 0.1]).votes), 3)):
        about, votes = values_of(found)["supervisors"], values_of(found)["votes"]
        assert (about["above_chance"], votes["above_chance"]) == (above, above)
    assert severities_of(guesses)["supervisors"] == "caution"


def test_copies_count_as_one_supervisor():
    about = values_of(combine(copies().votes))["supervisors"]
    assert (about["supervisors"], about["independent"], about["copies"]) == (
        6,
        3,
        [[f"supervisor {m}" for m in range(4)]],
    )


def test_two_supervisors_are_too_few_to_tell_them_apart():
    assert severities_of(combine(independent([0.9, 0.6]).votes))["supervisors"] == "caution"


def test_good_votes_suffice_and_bad_ones_do_not():
    good, bad = (combine(independent([right] * 5).votes) for right in (0.95, 0.6))
    assert [values_of(each)["votes"]["verdict"] for each in (good, bad)] == ["enough", "short"]


def test_open_answers_have_an_expected_accuracy_where_somebody_is_right():
    random = np.random.default_rng(0)
    truth = random.integers(0, 500, 600)
    right = random.random((600, 5)) < 0.7
    found = combine(np.where(right, truth[:, None], random.integers(0, 500, (600, 5))))
    assert found.answers is not None
    best = found.answers[np.arange(600), found.probs.argmax(axis=1)]
    assert expected_accuracy(found) == pytest.approx((best == truth).mean(), abs=0.05)
    assert values_of(found)["supervisors"]["below_chance"] == []


def test_gold_for_every_row_leaves_nothing_to_expect_or_to_label():
    world = independent([0.7, 0.8, 0.9], rows=50)
    found = combine(world.votes, gold=world.truth)
    assert values_of(found)["votes"]["expected"] is None
    assert rows_to_label(found) == []


def test_one_supervisor_and_no_votes_at_all_are_advised_on():
    assert values_of(combine([[0], [1], [1]]))["supervisors"]["best"]["name"] == "supervisor 0"
    assert values_of(combine(np.full((4, 2), -1), choices=2))["supervisors"]["supervisors"] == 0


def test_rows_to_label_are_random_ones_then_the_least_certain_others():
    world = independent([0.6, 0.7, 0.8], rows=1000)
    gold = np.where(np.arange(1000) < 300, world.truth, -1)
    found = combine(world.votes, gold=gold)
    rows = rows_to_label(found, 50)
    measured, corrected = ([each for each in rows if each.use == use] for use in ("measure", "correct"))
    assert len({each.row for each in rows}) == len(rows) == 100
    assert min(each.row for each in rows) >= 300
    others = np.setdiff1d(np.arange(300, 1000), [each.row for each in rows])
    assert min(each.confidence for each in corrected) >= 0.5
    assert max(each.confidence for each in corrected) <= found.probs[others].max(axis=1).min() + 1e-9
    assert np.mean([each.confidence for each in measured]) > np.mean([each.confidence for each in corrected])
    assert rows == rows_to_label(found, 50)


def test_fewer_rows_than_asked_for_are_all_measured():
    rows = rows_to_label(combine([[0, 1], [1, 1], [0, 0]]), 5)
    assert sorted(each.row for each in rows) == [0, 1, 2]
    assert {each.use for each in rows} == {"measure"}
