"""From weak texts to targets."""

from __future__ import annotations

import numpy as np
import pytest

from outgrow.combine import JointDecoding, Mean, gold_targets, naive_targets, pool, score_matrices
from outgrow.combine.texts import Per
from outgrow.errors import ConfigError, DataError
from outgrow.labels import Completion, Rows, TextLabels


def said(text: str, *logprobs: float) -> Completion:
    spans = ((0, len(text)),) * len(logprobs)
    return Completion(text, logprobs, spans, finished=False)


def labels_of(*rows: tuple[tuple[Completion, ...], ...]) -> TextLabels:
    names = ("first", "second", "third")[: len(rows[0])]
    return TextLabels(tuple("abcdef"[: len(rows)]), names, rows)


def test_identical_best_texts_of_a_row_become_one_target_with_the_sum_of_their_weights() -> None:
    labels = labels_of(
        ((said(" yes"),), (said("yes"),)),
        ((said("yes"),), (said("no"),)),
        ((said(""),), ()),
        ((), ()),
    )
    targets = naive_targets(labels, ["p", "q", "r", "s"], {"first": 2.0, "second": 1.0})
    assert targets.texts == (" yes", " yes", " no", " ")
    assert targets.prompts == ("p", "q", "q", "r")
    assert targets.weights == (3.0, 2.0, 1.0, 2.0)
    assert targets.sources == ("first+second", "first", "second", "first")


def test_each_supervisor_s_opinion_goes_with_its_text() -> None:
    labels = labels_of(((said(" yes", -0.5),), (said("yes", -2.0),)))
    [opinions] = naive_targets(labels, ["p"], {"first": 2.0, "second": 1.0}).opinions
    assert [(one.weight, one.completion.logprobs) for one in opinions] == [(2.0, (-0.5,)), (1.0, (-2.0,))]
    assert {one.completion.text for one in opinions} == {" yes"}
    assert opinions[1].completion.offsets == ((0, 4),)


def test_a_supervisor_without_weight_teaches_nothing() -> None:
    labels = labels_of(((said("a"),), (said("b"),)))
    assert naive_targets(labels, ["p"], {"first": 0.0, "second": 1.0}).texts == (" b",)


def test_the_pool_of_a_row_has_every_text_once() -> None:
    labels = labels_of(((said(" a"), said("b")), (said("a"), said(" c"))), ((), ()))
    assert pool(labels) == [[" a", " b", " c"], []]


def test_the_target_is_what_all_supervisors_together_find_most_probable() -> None:
    labels = labels_of(((said("a"), said("b")), (said("c"), said("b"))), ((), ()))
    scored = labels_of(
        (
            (said(" a", -1.0, -1.0), said(" b", -2.0), said(" c", -9.0)),
            (said(" a", -9.0), said(" b", -2.0, -2.0), said(" c", -1.0)),
        ),
        ((), ()),
    )
    targets, lambdas = JointDecoding().texts(labels, ["p", "q"], lambda: scored)
    assert (targets.ids, targets.texts, targets.weights) == (("a",), (" b",), (1.0,))
    assert targets.sources == ("first+second",)
    assert lambdas.tolist() == [0.5, 0.5]
    assert [(one.weight, one.completion.logprobs) for one in targets.opinions[0]] == [
        (0.5, (-2.0,)),
        (0.5, (-2.0,) * 2),
    ]


def test_scores_are_means_over_tokens_and_unknown_for_what_could_not_be_read() -> None:
    scored = labels_of(((said("a", -1.0, -3.0), said("b")), (said("a", -4.0), said("b", -1.0))))
    [matrix] = score_matrices(scored)
    np.testing.assert_array_equal(matrix, [[-2.0, -4.0], [np.nan, -1.0]])


def test_scores_per_character_do_not_depend_on_how_many_tokens_a_supervisor_takes() -> None:
    scored = labels_of(((said("abcd", -1.0, -3.0), said("")), (said("abcd", -4.0), said("", -1.0))))
    [matrix] = score_matrices(scored, "character")
    np.testing.assert_array_equal(matrix, [[-1.0, -1.0], [np.nan, -1.0]])


@pytest.mark.parametrize(("per", "wanted"), [("token", " long text"), ("character", " no")])
def test_what_is_most_probable_may_differ_per_token_and_per_character(per: Per, wanted: str) -> None:
    labels = labels_of(((said("long text"), said("no")),))
    # Per token −1 and −1.2, per character −0.5 and −0.4.
    scored = labels_of(((said(" long text", -1.0, -1.0, -1.0, -1.0, -1.0), said(" no", -1.2)),))
    targets, _ = JointDecoding(scores=per).texts(labels, ["p"], lambda: scored)
    assert targets.texts == (wanted,)


def test_the_mean_asks_for_scores_only_where_its_weights_are_estimated() -> None:
    labels = labels_of(((said("a"),), (said("b"),), (said("a"),)))
    scored = labels_of(*[((said(" a", -1.0), said(" b", -2.0)),) * 3])
    given = {"first": 0.0, "second": 2.0, "third": 1.0}
    found = Mean(weights=given).texts(labels, ["p"], lambda: pytest.fail("nothing is to be scored"))
    assert (found.targets.texts, found.targets.weights, found.lambdas) == ((" b", " a"), (2.0, 1.0), None)
    mean = Mean(weights="estimated")
    assert mean.needs_scores
    targets, lambdas = mean.texts(labels, ["p"], lambda: scored)
    np.testing.assert_allclose(lambdas, [1 / 3] * 3)
    np.testing.assert_allclose(targets.weights, [2 / 3, 1 / 3])


def test_parameters_of_choice_tasks_are_refused_for_texts() -> None:
    for mean, message in ((Mean(harden=True), "is for choice tasks"), (Mean(weights="calibrated"), "need gold")):
        with pytest.raises(ConfigError, match=message):
            mean.check_texts(("a", "b"))
    Mean(weights="estimated").check_texts(("a", "b"))


def test_no_text_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="No unlabelled row has a text"):
        naive_targets(labels_of(((), ())), ["p"], {"first": 1.0, "second": 1.0})
    with pytest.raises(DataError, match="No unlabelled row has a text"):
        JointDecoding().texts(labels_of(((), ())), ["p"], lambda: labels_of(((), ())))


def test_gold_is_taken_as_certain() -> None:
    targets = gold_targets(Rows(("a",), ("p",), ("gold",), ("yes",)), ["asked"])
    assert (targets.texts, targets.prompts, targets.opinions) == ((" yes",), ("asked",), ())
