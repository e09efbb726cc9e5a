import numpy as np
import pytest
from voting_worlds import read_open_answers

from outgrow.combine import Ballots, combine
from outgrow.combine.open_answers import Candidates, is_open


def numbers(*, rows=600, people=5, answers=2000, popular=0.0, seed=0):
    """Labels (N, M) of people who are right with probability .4 to .9 and else give any number; and the truth.

    A share of the wrong answers is the same popular one.
    """
    random = np.random.default_rng(seed)
    truth = random.integers(0, answers, rows)
    wrong = random.integers(0, answers, (rows, people))
    wrong = np.where(random.random(wrong.shape) < popular, ((truth * 7919 + 13) % answers)[:, None], wrong)
    right = random.random(wrong.shape) < random.uniform(0.4, 0.9, people)
    return np.where(right, truth[:, None], wrong), truth


def answered(combined):
    """The most probable answer of each row, and the probability of a known one, which may be none of these."""
    best = combined.probs.argmax(axis=1)
    return combined.answers[np.arange(len(best)), best]


def probability(combined, truth):
    at = combined.answers == truth[:, None]
    return np.where(at.any(axis=1), (combined.probs * at).sum(axis=1), combined.probs[:, -1])


@pytest.mark.parametrize(("people", "popular"), [(5, 0.0), (8, 0.3)])
def test_who_is_right_among_thousands_of_answers_is_found_and_confidence_is_accuracy(people, popular):
    labels, truth = numbers(people=people, popular=popular)
    combined = combine(labels)
    right = (answered(combined) == truth).mean()
    assert right >= (answered(combine(labels, "majority")) == truth).mean() - 0.005
    assert combined.probs.max(axis=1).mean() == pytest.approx(right, abs=0.03)
    assert combined.diagnostics.shared_evidence == 0


def test_the_probability_of_none_of_these_is_the_share_of_rows_that_nobody_got_right():
    labels, truth = numbers(rows=3000, people=3)
    missed = (labels != truth[:, None]).all(axis=1).mean()
    assert combine(labels).probs[:, -1].mean() == pytest.approx(missed, abs=0.02)


def test_accuracies_are_recovered():
    random = np.random.default_rng(1)
    truth = random.integers(0, 5000, 2000)
    labels = np.stack(
        [np.where(random.random(2000) < a, truth, random.integers(0, 5000, 2000)) for a in (0.3, 0.6, 0.9)]
    )
    assert combine(labels.T).diagnostics.accuracy == pytest.approx([0.3, 0.6, 0.9], abs=0.03)


def test_a_gold_answer_holds_its_row_and_one_that_nobody_gave_is_none_of_these():
    labels, truth = numbers(rows=300)
    gold = np.full(300, -1)
    gold[0], gold[1] = labels[0, 0], 1 - truth[1] % 2
    labels[1] = [500, 501, 502, 503, 504]
    combined = combine(labels, gold=gold, choices=2000)
    assert probability(combined, gold)[:2].tolist() == [1.0, 1.0]
    assert combined.probs[1, -1] == 1.0


def test_the_order_of_votes_within_a_row_and_the_numbers_of_answers_change_nothing():
    labels, truth = numbers(rows=200)
    renamed = np.random.default_rng(0).permutation(2000)
    before, after = combine(labels, choices=2000), combine(renamed[labels], choices=2000)
    np.testing.assert_allclose(probability(before, truth), probability(after, renamed[truth]), atol=1e-9)


def test_of_many_answers_to_one_of_very_many_rows_the_rarest_are_dropped(monkeypatch):
    monkeypatch.setattr("outgrow.combine.open_answers._MOST_NUMBERS", 10)
    ballots = Ballots.from_labels(np.zeros(60, int), np.arange(60), [0, *range(59)], rows=1, choices=100)
    found = Candidates.of(ballots)
    assert found.answers.shape == (1, 31)
    assert found.answers[0, 0] == 0
    assert len(found.ballots.label) == 31


@pytest.mark.parametrize(
    ("rows", "choices", "expected"), [(100, 18, False), (100, 60, True), (5000, 64, False), (10**6, 300, True)]
)
def test_many_labels_for_the_rows_are_open_answers(rows, choices, expected):
    assert is_open(Ballots.from_labels([0], [0], [0], rows=rows, choices=choices)) == expected


@pytest.mark.parametrize(("name", "accuracy", "surprise"), [("GSM8K", 0.93, 0.35), ("date", 0.90, 0.4)])
def test_thirty_configurations_of_language_models_are_as_sure_as_they_are_right(name, accuracy, surprise):
    labels, truth = read_open_answers(name)
    combined = combine(labels)
    right = (answered(combined) == truth).mean()
    assert right >= accuracy
    assert combined.probs.max(axis=1).mean() == pytest.approx(right, abs=0.05)
    assert -np.log(np.maximum(probability(combined, truth), 1e-12)).mean() <= surprise
