"""`combine` takes votes in the forms people have them, and any registered combiner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from voting_worlds import METHODS, one_hot

from outgrow import registry
from outgrow.combine import Ballots, JointDecoding, Majority, Mean, combine
from outgrow.combine.result import Posterior, finished
from outgrow.errors import ConfigError, DataError
from outgrow.labels import ChoiceTargets, ChoiceVotes

LABELS = arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 4)), elements=st.integers(-1, 2))
TUPLES = [("a", "ann", "yes"), ("a", "bob", "yes"), ("a", "eve", "no"), ("b", "ann", "no"), ("b", "bob", None)]


def forms(labels: np.ndarray) -> dict[str, object]:
    """The same votes in every form; rows and supervisors are named in their order."""
    ids, people = (tuple(str(index) for index in range(size)) for size in labels.shape)
    # Abstentions keep rows and supervisors without votes in a long table, in their order.
    long = [(ids[n], people[m], "abc"[label] if label >= 0 else None) for (n, m), label in np.ndenumerate(labels)]
    frame = dict(zip(("task", "worker", "label"), map(list, zip(*long, strict=True)), strict=True))
    probs = np.where((labels >= 0)[..., None], one_hot(np.maximum(labels, 0), 3), np.nan)
    row, person = np.nonzero(labels >= 0)
    shape = {"rows": len(ids), "choices": 3, "names": people}
    return {
        "lists": labels.tolist(),
        "probabilities": probs,
        "record": ChoiceVotes(ids, people, probs),
        "ballots": Ballots.from_labels(row, person, labels[row, person], **shape),
        "tuples": long,
        "arrow": pa.table(frame),
        "pandas": pytest.importorskip("pandas").DataFrame(frame),
    }


@pytest.mark.parametrize("method", METHODS)
@given(labels=LABELS)
@settings(max_examples=8, deadline=None)
def test_the_same_votes_in_every_form_have_the_same_posterior(method: str, labels: np.ndarray) -> None:
    wanted = combine(labels, method, choices=3)
    for form, votes in forms(labels).items():
        named = "abc" if form in ("tuples", "arrow", "pandas") else 3
        found = combine(votes, method, choices=named)
        np.testing.assert_allclose(found.probs, wanted.probs, atol=1e-9, err_msg=form)
        np.testing.assert_allclose(found.weights, wanted.weights, atol=1e-9, err_msg=form)
        np.testing.assert_array_equal(found.usable, wanted.usable, err_msg=form)


def test_rows_and_choices_of_a_long_table_keep_their_names() -> None:
    combined = combine(TUPLES, "majority")
    assert (combined.rows, combined.choices) == (("a", "b"), ("no", "yes"))
    assert combined.diagnostics.names == ("ann", "bob", "eve")
    assert combined.diagnostics.votes.tolist() == [2, 1, 1]


def test_gold_and_weights_can_be_given_by_name() -> None:
    combined = combine(TUPLES, "mean", gold={"b": "yes"}, weights={"ann": 1, "bob": 1, "eve": 2})
    np.testing.assert_allclose(combined.probs, [[0.5, 0.5], [0, 1]])


def test_minus_one_abstains_unless_it_is_named_as_a_choice() -> None:
    votes = [("a", "x", 1), ("a", "y", -1), ("b", "x", 0)]
    assert combine(votes, "majority").probs.tolist() == [[0, 1], [1, 0]]
    assert combine(votes, "majority", choices=(-1, 0, 1)).probs.tolist() == [[0.5, 0, 0.5], [0, 1, 0]]


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        (pa.table({"task": [1], "label": ["a"]}), "lacks a column"),
        ([("a", "x")], "not .task, worker, label."),
        ([("a", None, "yes"), ("a", "x", "no")], "no task or no worker"),
        ([("a", "x", "yes")], "nothing to choose from"),
        (np.array([[0.5, 0.5]]), "wrong shape"),
        ([[0, -2]], "does not exist"),
    ],
)
def test_votes_of_no_known_form_are_refused(votes: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        combine(votes)


def test_labels_and_gold_outside_the_choices_are_refused() -> None:
    with pytest.raises(DataError, match=r"outside the choices(.|\n)*no"):
        combine(TUPLES, choices=("yes", "maybe"))
    with pytest.raises(DataError, match="does not occur"):
        combine(TUPLES, gold={"c": "yes"})


def test_a_configured_mean_brings_its_own_weights() -> None:
    labels = [[0, 1], [1, 0]]
    weights = {"supervisor 0": 3.0, "supervisor 1": 1.0}
    np.testing.assert_allclose(combine(labels, Mean(weights=weights)).probs, [[0.75, 0.25], [0.25, 0.75]])
    assert combine(labels, Mean(weights=weights, harden=True)).probs.tolist() == [[1, 0], [0, 1]]
    assert combine([[0, 0, 1]], Majority(harden=True)).probs.tolist() == [[1, 0]]


@dataclass(frozen=True)
class Tempered:
    """A combiner of a third party with a posterior of its own."""

    share: float = 0.5

    def choices(self, votes: ChoiceVotes, gold: object = None) -> ChoiceTargets:
        raise NotImplementedError

    def posterior(self, ballots: Ballots, *, gold: np.ndarray) -> Posterior:
        probs = np.full((ballots.rows, ballots.choices), (1 - self.share) / (ballots.choices - 1))
        probs[:, 0] = self.share
        return Posterior(finished(probs, ballots, gold))


def first(votes: ChoiceVotes, gold: object = None) -> ChoiceTargets:
    """Believes the first supervisor and leaves out the rows on which it abstains."""
    kept = np.flatnonzero(~np.isnan(votes.probs[:, 0]).any(axis=1))
    ids = tuple(votes.ids[row] for row in kept)
    return ChoiceTargets(ids, votes.probs[kept, 0], np.ones(len(kept)))


def test_a_registered_combiner_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {kind: {} for kind in registry.KINDS})
    registry.register("combiner", "tempered")(Tempered)
    registry.register("combiner", "first")(first)
    labels = [[0, 1], [1, 0], [-1, 1], [-1, -1]]
    assert combine(labels, "tempered").probs[:3].tolist() == [[0.5, 0.5]] * 3
    assert combine(labels, Tempered(0.75)).probs[0].tolist() == [0.75, 0.25]
    for method in ("first", first):
        found = combine(labels, method, gold=[-1, -1, -1, 1])
        assert found.probs.tolist() == [[1, 0], [0, 1], [0.5, 0.5], [0, 1]]
        assert found.usable.tolist() == [True, True, True, True]


def test_joint_decoding_pools_votes_by_their_logarithms() -> None:
    votes = np.array([[[0.2, 0.8], [0.9, 0.1]]])
    product = np.sqrt([0.2 * 0.9, 0.8 * 0.1])
    np.testing.assert_allclose(combine(votes, JointDecoding(pooling="log")).probs, [product / product.sum()])


def test_a_combiner_of_texts_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {kind: {} for kind in registry.KINDS})

    @registry.register("combiner", "writer")
    class Writer:
        def texts(self) -> None: ...

    with pytest.raises(ConfigError, match=r"'writer' cannot be used in a choice task(.|\n)*majority"):
        combine([[0, 1]], "writer")
