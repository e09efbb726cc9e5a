import numpy as np
import pytest

from outgrow.combine import Majority
from outgrow.errors import DataError
from outgrow.labels import ChoiceVotes
from outgrow.registry import create


def votes(*rows):
    return ChoiceVotes(tuple(map(str, range(len(rows)))), tuple("abcdef"[: len(rows[0])]), np.array(rows, dtype=float))


def test_only_the_favourite_of_a_vote_counts_not_its_strength():
    assert Majority().choices(votes([[0.9, 0.1], [0.4, 0.6]])).probs.tolist() == [[0.5, 0.5]]


def test_a_tied_vote_is_split():
    assert Majority().choices(votes([[0.5, 0.5], [1, 0]])).probs.tolist() == [[0.75, 0.25]]


def test_hardened_ties_share_the_probability():
    split = votes([[1, 0, 0], [0, 1, 0]])
    assert Majority(harden=True).choices(split).probs.tolist() == [[0.5, 0.5, 0]]


def test_a_row_nobody_voted_on_is_no_target():
    targets = Majority().choices(votes([[np.nan, np.nan]], [[1, 0]]))
    assert targets.ids == ("1",)


def test_no_vote_on_any_row_is_an_error():
    with pytest.raises(DataError, match="No row has a usable vote"):
        Majority().choices(votes([[np.nan, np.nan]]))


def test_an_experiment_file_can_name_it():
    assert create("combiner", "majority", {"harden": True}) == Majority(harden=True)
