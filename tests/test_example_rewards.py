"""Weak reward models on preference pairs."""

from __future__ import annotations

import doctest
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sparse
from numpy.typing import NDArray

from example_scripts import load_script
from outgrow.combine import DawidSkene, Mean
from outgrow.errors import ConfigError, DataError
from outgrow.labels import PreferencePairs

rewards = load_script("hh_harmless/rewards.py")
EncoderReward, TfidfReward = rewards.EncoderReward, rewards.TfidfReward
fit_bradley_terry, judged_pairs = rewards.fit_bradley_terry, rewards.judged_pairs
reward_margins, reward_votes = rewards.reward_margins, rewards.reward_votes


def pairs_of(chosen: Sequence[str], rejected: Sequence[str]) -> PreferencePairs:
    count = len(chosen)
    ids = tuple(map(str, range(count)))
    return PreferencePairs(ids, ("film",) * count, tuple(chosen), tuple(rejected), (1.0,) * count, (1.0,) * count)


GOOD = pairs_of(
    [" good film", " very good", " not bad", " good plot"] * 3, [" bad film", " very bad", " not good", " bad plot"] * 3
)


@dataclass(frozen=True)
class Lucky:
    """Is right about a share of all pairs, wherever the better text (which ends in !) stands."""

    name: str
    share: float

    def rewards(self, prompts: Sequence[str], answers: Sequence[str]) -> NDArray[np.float64]:
        found = []
        for answer in answers:
            luck = np.random.default_rng([hash_of(self.name), hash_of(answer.rstrip("!?"))]).random() < self.share
            found.append(0.5 if answer.endswith("!") == luck else -0.5)
        return np.array(found)


def hash_of(text: str) -> int:
    return int.from_bytes(text.encode()[:16], "big")


def contests(count: int) -> PreferencePairs:
    return pairs_of([f"{index}!" for index in range(count)], [f"{index}?" for index in range(count)])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_a_planted_reward_is_recovered(kind: type) -> None:
    rng = np.random.default_rng(0)
    weights = np.array([1.5, -1.0, 0.0])
    first, second = rng.standard_normal((2, 20_000, 3))
    better = rng.random(len(first)) < 1 / (1 + np.exp(-(first - second) @ weights))
    chosen, rejected = np.where(better[:, None], first, second), np.where(better[:, None], second, first)
    found = fit_bradley_terry(kind(chosen), kind(rejected), regularization=100.0)
    assert found.tolist() == pytest.approx(weights.tolist(), abs=0.06)


def test_fitted_weights_are_a_stationary_point_of_the_likelihood_of_pairs() -> None:
    rng = np.random.default_rng(1)
    chosen, rejected = rng.normal([[[0.3]], [[0.0]]], size=(2, 60, 4))
    found = fit_bradley_terry(chosen, rejected, regularization=0.5)
    difference = chosen - rejected
    wrong = 1 / (1 + np.exp(difference @ found))
    assert (0.5 * difference.T @ wrong).tolist() == pytest.approx(found.tolist(), abs=2e-3)


def test_words_of_better_texts_are_learned() -> None:
    judge = TfidfReward(min_count=1, regularization=10.0, ngrams=2).fit(GOOD)
    assert (reward_margins(judge, GOOD) > 0).all()
    assert judge.rewards(["film"] * 2, ["a good one", "a bad one"]).tolist()[0] > 0


def test_an_encoder_judges_prompt_and_answer_together(encoder_folder: Path) -> None:
    judge = EncoderReward(str(encoder_folder), regularization=100.0).fit(GOOD)
    assert (reward_margins(judge, GOOD) > 0).mean() > 0.7
    one, other = judge.rewards(["film", "plot"], [" good", " good"])
    assert one != other


def test_votes_are_probabilities_of_both_texts() -> None:
    judges = [TfidfReward(min_count=1).fit(GOOD, name="words"), Lucky("lucky", 1.0)]
    votes = reward_votes(judges, GOOD)
    assert votes.probs.shape == (12, 2, 2)
    assert votes.supervisors == ("words", "lucky")
    margins = reward_margins(judges[0], GOOD)
    assert votes.probs[:, 0, 0].tolist() == pytest.approx((1 / (1 + np.exp(-margins))).tolist())


def test_judged_pairs_are_those_of_the_ensemble_and_as_sure() -> None:
    right, wrong = Lucky("right", 1.0), Lucky("wrong", 0.0)
    pairs = contests(20)
    assert judged_pairs(pairs, [right], Mean()).chosen == pairs.chosen
    turned = judged_pairs(pairs, [wrong], Mean())
    assert turned.chosen == pairs.rejected
    assert turned.p_chosen == pytest.approx([1 / (1 + np.exp(-1.0))] * 20)
    # One against one is a toss-up, and teaches nothing.
    assert len(judged_pairs(pairs, [right, wrong], Mean(weights={"right": 1.0, "wrong": 1.0}))) == 0


def test_the_place_of_a_text_tells_a_combiner_nothing() -> None:
    pairs = contests(600)
    judges = [Lucky(name, 0.6) for name in ("one", "two", "three")]
    judged = judged_pairs(pairs, judges, DawidSkene())
    right = np.mean([chosen.endswith("!") for chosen in judged.chosen])
    # Three independent judges that are right in 60 of 100 cases allow .648.
    assert 0.55 < right < 0.7


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(DataError, match="two pairs at least"):
        fit_bradley_terry(np.ones((1, 2)), np.zeros((1, 2)))
    with pytest.raises(DataError, match="no words to count"):
        TfidfReward().fit(pairs_of(["!", "?"], [".", ","]))
    with pytest.raises(ConfigError, match="out of range"):
        TfidfReward(regularization=0.0)


def test_the_examples_in_docstrings_run() -> None:
    assert doctest.testmod(rewards).failed == 0
