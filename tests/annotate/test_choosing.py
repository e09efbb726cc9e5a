from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from outgrow.annotate.choosing import Chooser, expected_gain

EVERYTHING = np.ones(4, dtype=bool)


def next_of(
    chooser: Chooser, among: np.ndarray = EVERYTHING, others: set[int] | None = None, turn: int = 0
) -> int | None:
    return chooser.next(among, others or set(), worker="zoe", turn=turn)


def blank(rows: int = 4, choices: int = 2) -> Chooser:
    return Chooser(np.full(rows, -1), choices)


def test_the_gain_is_the_mutual_information_of_answer_and_vote() -> None:
    probs, accuracy = np.array([0.6, 0.3, 0.1]), 0.7
    joint = np.array([[probs[y] * (accuracy if v == y else 0.15) for v in range(3)] for y in range(3)])
    information = sum(
        joint[y, v] * np.log(joint[y, v] / (joint[y].sum() * joint[:, v].sum())) for y, v in product(range(3), repeat=2)
    )
    assert expected_gain(probs[None], accuracy)[0] == pytest.approx(information)


def test_rows_without_a_vote_come_before_rows_with_one() -> None:
    chooser = blank()
    for row in (0, 1, 3):
        chooser.vote("ann", row, 1)
    assert next_of(chooser) == 2


def test_a_row_on_which_two_disagree_comes_before_rows_on_which_they_agree() -> None:
    chooser = blank()
    for row in range(4):
        chooser.vote("ann", row, 1)
        chooser.vote("ben", row, 0 if row == 1 else 1)
    assert next_of(chooser) == 1


def test_a_vote_that_was_taken_back_does_not_count() -> None:
    chooser = blank()
    for row in range(4):
        chooser.vote("ann", row, 1)
    chooser.withdraw("ann", 3)
    assert next_of(chooser) == 3


def test_a_row_that_somebody_else_looks_at_comes_later_and_one_that_is_not_allowed_never() -> None:
    assert {next_of(blank(), others={0, 1, 2}, turn=turn) for turn in range(20)} == {3}
    assert next_of(blank(), among=np.arange(4) == 2) == 2
    assert next_of(blank(), among=np.zeros(4, dtype=bool)) is None


def test_equal_rows_are_drawn_at_random_and_the_same_ones_again() -> None:
    drawn = [next_of(blank(), turn=turn) for turn in range(40)]
    assert {*drawn} == {0, 1, 2, 3}
    assert drawn == [next_of(blank(), turn=turn) for turn in range(40)]


def test_disagreement_with_a_reliable_annotator_leaves_less_doubt_than_with_an_unreliable_one() -> None:
    rows = 60
    chooser, random = blank(rows), np.random.default_rng(0)
    truth = random.integers(2, size=rows)
    for row in range(rows - 2):
        for who in ("ann", "ben", "cem"):
            chooser.vote(who, row, int(truth[row]))
        chooser.vote("guesser", row, int(random.integers(2)))
    for other, row in (("ben", rows - 2), ("guesser", rows - 1)):
        chooser.vote("ann", row, 1)
        chooser.vote(other, row, 0)
    among = np.arange(rows) >= rows - 2
    assert chooser.next(among, set(), worker="zoe", turn=0) == rows - 2


def test_labels_are_better_than_with_rows_in_order() -> None:
    """Ten annotators of different accuracy, four choices, three votes a row on average."""

    def accuracy(adaptive: bool, seed: int, rows: int = 200) -> float:
        random = np.random.default_rng(seed)
        truth, seen = random.integers(4, size=rows), np.zeros((10, rows), dtype=bool)
        chooser, right = blank(rows, choices=4), np.linspace(0.4, 0.8, 10)
        for turn in range(3 * rows):
            who, row = turn % 10, turn % rows
            while not adaptive and seen[who, row]:
                row = (row + 1) % rows
            if adaptive:
                row = next_of(chooser, ~seen[who], turn=turn) or 0
            seen[who, row] = True
            other = (truth[row] + random.integers(1, 4)) % 4
            chooser.vote(str(who), row, int(truth[row] if random.random() < right[who] else other))
        chooser._combine()
        return float((chooser._log_probs.argmax(axis=1) == truth).mean())

    gains = [accuracy(True, seed) - accuracy(False, seed) for seed in range(3)]
    assert np.mean(gains) > 0.02
