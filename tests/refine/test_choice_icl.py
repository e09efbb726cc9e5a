"""Choices scored behind demonstrations: planted likings, planted knowledge, closed forms."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import DataError
from outgrow.labels import ChoiceTargets, Completion, Rows
from outgrow.refine.choice_icl import ChoiceICL, choice_scores

CHOICES = ("red", "green", "blue")


def rows_and_targets(labels) -> tuple[Rows, ChoiceTargets]:
    count = len(labels)
    ids = tuple(f"r{index}" for index in range(count))
    rows = Rows(ids, tuple(f"q{index}?" for index in range(count)), ("unlabelled",) * count, (None,) * count, CHOICES)
    return rows, ChoiceTargets(ids, np.eye(3)[labels], np.ones(count))


class Judge:
    """Scores choices by what it knows of a question and by how much it likes each choice anyway."""

    name = "judge"

    def __init__(self, known=None, likes=(0.0, 0.0, 0.0), room: int | None = None) -> None:
        self.known, self.likes, self.room, self.asked = known or {}, likes, room, []

    def generate(self, prompts, options):
        raise NotImplementedError

    def logprobs(self, pairs, *, end=False, too_long="error"):
        self.asked += [prompt for prompt, _ in pairs]
        return [self._score(*pair) for pair in pairs]

    def fits(self, prompts, new_tokens: int) -> list[bool]:
        return [self.room is None or len(prompt) + new_tokens <= self.room for prompt in prompts]

    def _score(self, prompt: str, text: str) -> Completion:
        if self.room is not None and len(prompt) + len(text) > self.room:
            return Completion(text, (), (), False)
        choice = CHOICES.index(text.strip())
        question = prompt.rpartition("Question: ")[2].partition("\n")[0]
        log = np.array(self.likes) + 2.0 * (np.arange(3) == self.known.get(question, -1))
        value = float(log[choice] - np.log(np.exp(log).sum()))
        return Completion(text, (value,), ((0, len(text)),), False)


def shown(prompt: str) -> list[tuple[int, str]]:
    return [(int(row), answer) for row, answer in re.findall(r"Question: q(\d+)\?\nAnswer: (\w+)", prompt)]


@pytest.mark.parametrize("select", ["random", "tfidf", "confidence", "stratified"])
@given(labels=st.lists(st.integers(0, 2), min_size=8, max_size=16), share=st.integers(1, 3), seed=st.integers(0, 99))
def test_no_row_sees_its_own_weak_label(select, labels, share, seed):
    rows, targets = rows_and_targets(labels)
    judge = Judge()
    ChoiceICL(demonstrations=3, select=select, share=share, draws=2).refine(rows, targets, judge, seed=seed)
    for prompt in judge.asked:
        question = prompt.rpartition("Question: ")[2].partition("\n")[0]
        others = shown(prompt)
        assert len(others) == 3
        assert all(f"q{row}?" != question for row, _ in others)
        assert all(answer == CHOICES[labels[row]] for row, answer in others)


def test_what_the_model_likes_anyway_is_divided_out_exactly():
    rows, targets = rows_and_targets([0, 1, 2] * 4)
    known = {f"q{index}?": index % 3 for index in range(12)}
    icl = ChoiceICL(demonstrations=2, share=4, draws=2)
    liking = icl.refine(rows, targets, Judge(known, likes=(1.0, -2.0, 0.5)), seed=0).targets
    neutral = icl.refine(rows, targets, Judge(known), seed=0).targets
    np.testing.assert_allclose(liking.probs, neutral.probs, atol=1e-12)
    np.testing.assert_allclose(neutral.probs[0], np.exp([2.0, 0, 0]) / np.exp([2.0, 0, 0]).sum())


def test_without_content_free_inputs_the_likings_stay():
    rows, targets = rows_and_targets([0, 1, 2] * 2)
    refined = ChoiceICL(demonstrations=1, content_free=()).refine(rows, targets, Judge(likes=(3.0, 0, 0)), seed=0)
    assert (refined.targets.probs[:, 0] > 0.9).all()


def test_the_strong_model_mends_the_labels_of_what_it_knows():
    truth = np.arange(30) % 3
    weak = np.where(np.arange(30) % 4 == 0, (truth + 1) % 3, truth)
    rows, targets = rows_and_targets(weak)
    known = {f"q{index}?": int(label) for index, label in enumerate(truth)}
    refined = ChoiceICL(demonstrations=4, share=8).refine(rows, targets, Judge(known), seed=0).targets
    np.testing.assert_array_equal(refined.probs.argmax(axis=1), truth)


def test_every_draw_is_a_vote_and_the_target_their_mean():
    class Moody(Judge):
        def _score(self, prompt, text):
            first = shown(prompt)[0][0]
            return Completion(text, (float((first * (1 + CHOICES.index(text.strip()))) % 5),), ((0, 1),), False)

    rows, targets = rows_and_targets([0, 1, 2] * 4)
    weights = np.linspace(0.5, 2, 12)
    targets = ChoiceTargets(targets.ids, targets.probs, weights)
    refined = ChoiceICL(demonstrations=2, draws=5, share=3).refine(rows, targets, Moody(), seed=0).targets
    assert refined.votes.shape == (12, 5, 3)
    assert refined.votes.std(axis=1).max() > 0
    np.testing.assert_allclose(refined.votes.mean(axis=1), refined.probs)
    np.testing.assert_allclose(refined.lambdas, 0.2)
    np.testing.assert_array_equal(refined.weights, weights)


def test_stratified_demonstrations_show_all_choices():
    rows, targets = rows_and_targets([0] * 20 + [1] * 4 + [2] * 4)
    judge = Judge()
    ChoiceICL(demonstrations=3, draws=1, share=2).refine(rows, targets, judge, seed=0)
    assert all({answer for _, answer in shown(prompt)} == set(CHOICES) for prompt in judge.asked)


def test_rows_of_weight_zero_are_labelled_but_not_shown():
    rows, targets = rows_and_targets([0, 1, 2] * 3)
    weights = np.ones(9)
    weights[4] = 0
    judge = Judge()
    targets = ChoiceTargets(targets.ids, targets.probs, weights)
    refined = ChoiceICL(demonstrations=2, share=1).refine(rows, targets, judge, seed=0).targets
    assert len(refined.ids) == 9
    assert all(row != 4 for prompt in judge.asked for row, _ in shown(prompt))


def test_what_is_too_long_is_dropped_whole_and_rows_that_do_not_fit_teach_nothing():
    rows, targets = rows_and_targets([0, 1, 2] * 3)
    prompts = ("q0? " + "long " * 50, *rows.prompts[1:])
    rows = Rows(rows.ids, prompts, rows.parts, rows.gold, CHOICES)
    refined = ChoiceICL(demonstrations=6, draws=1, share=1, select="random").refine(
        rows, targets, Judge(room=150), seed=0
    )
    assert refined.targets.ids == rows.ids[1:]
    assert (refined.unread, refined.dropped > 0) == (1, True)
    assert len(refined.notes("icl", 0)) == 2


def test_the_mean_over_tokens_does_not_favour_short_choices():
    class Long:
        name = "long"

        def logprobs(self, pairs, *, end=False, too_long="error"):
            return [Completion(text, (-1.0,) * len(text.split()), (), False) for _, text in pairs]

    assert choice_scores(Long(), ["q"], [["yes", "by no means"]]).tolist() == [[-1.0, -3.0]]
    assert choice_scores(Long(), ["q"], [["yes", "by no means"]], mean=True).tolist() == [[-1.0, -1.0]]


def test_very_small_log_probabilities_give_finite_targets():
    class Small(Judge):
        def _score(self, prompt, text):
            return Completion(text, (-2000.0,), ((0, len(text)),), False)

    rows, targets = rows_and_targets([0, 1, 2])
    refined = ChoiceICL(demonstrations=1, draws=1, share=1).refine(rows, targets, Small(), seed=0).targets
    np.testing.assert_allclose(refined.probs, 1 / 3)


def test_targets_of_other_rows_are_refused():
    rows, targets = rows_and_targets([0, 1, 2])
    with pytest.raises(DataError, match="not about the rows"):
        ChoiceICL().refine(rows.take([1, 0, 2]), targets, Judge(), seed=0)
