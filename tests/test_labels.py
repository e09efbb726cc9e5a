"""Records check themselves and go to and from Arrow unchanged."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import DataError
from outgrow.files import read_table, write_table
from outgrow.labels import (
    PARTS,
    ChoiceTargets,
    ChoiceVotes,
    Completion,
    Opinion,
    Predictions,
    Rows,
    TextLabels,
    TextTargets,
    check_probabilities,
)

TEXT = st.text(max_size=12)
IDS = st.lists(TEXT, min_size=1, max_size=5, unique=True).map(tuple)
NUMBER = st.floats(-1e6, 0)


def distribution(draw: st.DrawFn, choices: int) -> list[float]:
    weights = draw(st.lists(st.integers(0, 9), min_size=choices, max_size=choices).filter(any))
    return [weight / sum(weights) for weight in weights]


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    ids = draw(IDS)
    n = len(ids)
    columns = [tuple(draw(st.lists(kind, min_size=n, max_size=n))) for kind in (TEXT, st.sampled_from(PARTS))]
    choices = draw(st.none() | st.lists(TEXT, min_size=2, max_size=4).map(tuple))
    answer = TEXT if choices is None else st.integers(0, len(choices) - 1)
    gold = tuple(draw(st.lists(st.none() | answer, min_size=n, max_size=n)))
    return Rows(ids, columns[0], columns[1], gold, choices)


@st.composite
def votes(draw: st.DrawFn) -> ChoiceVotes:
    ids, supervisors = draw(IDS), draw(st.lists(TEXT, min_size=1, max_size=3, unique=True).map(tuple))
    k = draw(st.integers(2, 4))
    probs = np.array([[distribution(draw, k) for _ in supervisors] for _ in ids])
    status = np.full(probs.shape[:2], "ok", dtype=object)
    errors = {}
    for n, m in np.ndindex(*status.shape):
        status[n, m] = draw(st.sampled_from(["ok", "abstained", "failed", "missing"]))
        if status[n, m] != "ok":
            probs[n, m] = np.nan
        if status[n, m] == "failed":
            errors[ids[n], supervisors[m]] = draw(TEXT)
    return ChoiceVotes(ids, supervisors, probs, status, errors)


@st.composite
def completions(draw: st.DrawFn) -> Completion:
    count = draw(st.integers(0, 4))
    offsets = tuple(draw(st.tuples(st.integers(0, 9), st.integers(0, 9))) for _ in range(count))
    return Completion(draw(TEXT), tuple(draw(NUMBER) for _ in range(count)), offsets, draw(st.booleans()))


@st.composite
def text_labels(draw: st.DrawFn) -> TextLabels:
    ids, supervisors = draw(IDS), draw(st.lists(TEXT, min_size=1, max_size=3, unique=True).map(tuple))
    n_best = st.lists(completions(), max_size=2).map(tuple)
    texts = tuple(tuple(draw(n_best) for _ in supervisors) for _ in ids)
    errors = {(ids[0], supervisors[0]): draw(TEXT)} if draw(st.booleans()) else {}
    return TextLabels(ids, supervisors, texts, errors)


def through_a_file(table: pa.Table, folder_factory: pytest.TempPathFactory) -> pa.Table:
    path = folder_factory.mktemp("table") / "table.parquet"
    write_table(path, table)
    return read_table(path)


def same_votes(one: ChoiceVotes, other: ChoiceVotes) -> bool:
    arrays = np.array_equal(one.probs, other.probs, equal_nan=True) and np.array_equal(one.status, other.status)
    return arrays and (one.ids, one.supervisors, one.errors) == (other.ids, other.supervisors, other.errors)


@given(rows())
def test_rows_go_to_arrow_and_back_unchanged(made: Rows) -> None:
    assert Rows.from_arrow(made.to_arrow()) == made


@given(votes())
def test_votes_go_to_arrow_and_back_unchanged_with_what_was_not_given(made: ChoiceVotes) -> None:
    assert same_votes(ChoiceVotes.from_arrow(made.to_arrow()), made)


@given(text_labels())
def test_text_labels_go_to_arrow_and_back_unchanged_with_empty_lists(made: TextLabels) -> None:
    assert TextLabels.from_arrow(made.to_arrow()) == made


def test_votes_survive_a_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    probs = np.array([[[0.1, 0.9], [np.nan, np.nan]], [[np.nan, np.nan], [1 / 3, 2 / 3]]])
    made = ChoiceVotes(("ä", "\u2028"), ("x", "y"), probs, errors={("ä", "y"): "no answer"})
    assert same_votes(ChoiceVotes.from_arrow(through_a_file(made.to_arrow(), tmp_path_factory)), made)


def test_answers_are_best_texts_without_their_space_and_empty_where_there_is_none() -> None:
    best, other = (Completion(text, (), ((0, 2),), finished=True) for text in (" a", " b"))
    made = TextLabels(("a", "b"), ("x", "y"), (((best, other), ()), ((), (other,))))
    assert made.answers() == ("a", "")
    assert made.answers(1) == ("", "b")


def test_text_labels_survive_a_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = Completion("", (-0.5,), ((0, 0),), finished=True)
    made = TextLabels(("a", "b"), ("x",), (((empty,),), ((),)), {("b", "x"): "timeout"})
    assert TextLabels.from_arrow(through_a_file(made.to_arrow(), tmp_path_factory)) == made


def test_text_targets_go_to_arrow_and_back_unchanged() -> None:
    made = TextTargets(("a", "a"), ("p", "p"), (" x", " y"), (0.25, 0.75), ("one", "one+two"))
    assert TextTargets.from_arrow(made.to_arrow()) == made


def test_opinions_on_texts_go_to_arrow_and_back_unchanged() -> None:
    opinion = Opinion(0.25, Completion(" x", (-0.5, -0.1), ((0, 2), (2, 2)), finished=True))
    made = TextTargets(("a", "a"), ("p", "p"), (" x", " y"), (0.25, 0.75), ("one", "two"), ((opinion,), ()))
    assert TextTargets.from_arrow(made.to_arrow()) == made


@pytest.mark.parametrize("opinions", [((),), ((), (Opinion(1.0, Completion("z", (), (), finished=False)),))])
def test_opinions_that_do_not_belong_to_the_texts_are_refused(opinions: tuple[tuple[Opinion, ...], ...]) -> None:
    with pytest.raises(DataError, match="opinions do not belong"):
        TextTargets(("a", "b"), ("p", "p"), ("x", "y"), (1.0, 1.0), ("one", "two"), opinions)


@pytest.mark.parametrize(
    ("text", "finished", "status"),
    [
        ("Paris", True, "finished"),
        ("Paris is", False, "open"),
        (" \n", True, "empty"),
        ("", False, "empty"),
        ("well, well, well, well, ", False, "repeating"),
        ("aaaaaaaaaaaaaaaa", False, "repeating"),
        ("no no no no no no", True, "finished"),
        ("it costs 1000000", False, "open"),
        ("to be or not to be", False, "open"),
    ],
)
def test_the_status_of_a_text_says_what_became_of_it(text: str, finished: bool, status: str) -> None:
    assert Completion(text, (-1.0,), ((0, len(text)),), finished).status == status


def test_one_text_is_as_unsure_as_its_tokens() -> None:
    one = Completion("ab", (-1.0, -3.0), ((0, 1), (1, 2)), finished=False)
    labels = TextLabels(("a",), ("x", "y"), (((one,), ()),))
    assert labels.entropies()[0, 0] == pytest.approx(2.0)
    assert np.isnan(labels.entropies()[0, 1])


def test_the_entropy_of_all_texts_of_one_length_is_that_of_their_distribution() -> None:
    probs = np.array([0.5, 0.3, 0.2])
    cell = tuple(Completion(text, (float(np.log(p)),), ((0, 1),), True) for text, p in zip("abc", probs, strict=True))
    assert TextLabels(("a",), ("x",), ((cell,),)).entropies()[0, 0] == pytest.approx(-(probs @ np.log(probs)))


def test_labels_of_one_supervisor_keep_its_errors_only() -> None:
    made = TextLabels(("a",), ("x", "y"), (((), ()),), {("a", "x"): "late", ("a", "y"): "lost"})
    assert made.of(1) == TextLabels(("a",), ("y",), (((),),), {("a", "y"): "lost"})


def test_choice_targets_go_to_arrow_and_back_unchanged() -> None:
    made = ChoiceTargets(("a", "b"), np.array([[0.1, 0.9], [1 / 3, 2 / 3]]), np.array([1.0, 0.5]))
    back = ChoiceTargets.from_arrow(made.to_arrow())
    assert back.ids == made.ids
    assert np.array_equal(back.probs, made.probs)
    assert np.array_equal(back.weights, made.weights)


def test_predictions_go_to_arrow_and_back_unchanged() -> None:
    probs = np.array([[0.1, 0.9], [np.nan, np.nan]])
    made = Predictions(("a", "b"), ("yes", ""), {"accuracy": np.array([1.0, 0.5])}, probs)
    back = Predictions.from_arrow(made.to_arrow())
    assert (back.ids, back.answers) == (made.ids, made.answers)
    assert np.array_equal(back.scores["accuracy"], made.scores["accuracy"])
    assert back.probs is not None
    assert np.array_equal(back.probs, probs, equal_nan=True)


def test_predictions_with_vacuity_go_to_arrow_and_back_unchanged() -> None:
    vacuity = np.array([0.25, 1.0])
    made = Predictions(("a", "b"), ("yes", "no"), {}, np.full((2, 2), 0.5), vacuity)
    back = Predictions.from_arrow(made.to_arrow())
    assert back.vacuity is not None
    assert np.array_equal(back.vacuity, vacuity)


def test_predictions_with_weighted_scores_go_to_arrow_and_back_unchanged() -> None:
    made = Predictions(("a", "b"), ("", ""), {"f1": np.ones(2)}, weights={"f1": np.array([2.0, 0.0])})
    back = Predictions.from_arrow(made.to_arrow())
    assert {name: own.tolist() for name, own in back.weights.items()} == {"f1": [2.0, 0.0]}
    assert list(back.scores) == ["f1"]


def test_predictions_without_vacuity_have_none_in_a_table_of_several_models_either() -> None:
    with_it = Predictions(("a",), ("yes",), {}, np.full((1, 2), 0.5), np.array([0.25]))
    without = Predictions(("a",), ("yes",), {}, np.full((1, 2), 0.5))
    both = pa.concat_tables([with_it.to_arrow(), without.to_arrow()], promote_options="default")
    assert Predictions.from_arrow(both.slice(1)).vacuity is None


def test_rows_with_repeated_ids_are_refused_and_the_ids_named() -> None:
    with pytest.raises(DataError, match=r"1 row id\(s\) occur more than once(.|\n)*found:  a\n"):
        Rows(("a", "b", "a"), ("x", "y", "z"), ("gold",) * 3, (None,) * 3)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="different lengths"):
        Rows(("a",), ("x", "y"), ("gold",), (None,))


def test_a_part_keeps_the_order_of_its_rows() -> None:
    made = Rows(("a", "b", "c"), ("x", "y", "z"), ("test", "gold", "test"), (1, 0, None), ("no", "yes"))
    assert made.part("test") == Rows(("a", "c"), ("x", "z"), ("test", "test"), (1, None), ("no", "yes"))


def test_gold_that_is_unknown_is_not_made_up() -> None:
    with pytest.raises(DataError, match="1 of 2 rows have no gold answer"):
        Rows(("a", "b"), ("x", "y"), ("gold",) * 2, (1, None), ("no", "yes")).gold_indices()


def test_gold_shares_count_choices_that_nobody_chose_and_need_rows() -> None:
    rows = Rows(("a", "b", "c", "d"), ("x",) * 4, ("gold",) * 4, (2, 0, 2, 2), ("no", "maybe", "yes"))
    assert rows.gold_shares().tolist() == [0.25, 0.0, 0.75]
    with pytest.raises(DataError, match="There are no rows"):
        rows.take([]).gold_shares()


def test_a_vote_left_empty_is_an_abstention() -> None:
    made = ChoiceVotes(("a", "b"), ("x",), np.array([[[np.nan, np.nan]], [[0.5, 0.5]]]))
    assert made.status.tolist() == [["abstained"], ["ok"]]


@pytest.mark.parametrize(
    ("vote", "said"),
    [
        ([np.nan, 1.0], "NaN among the probabilities"),
        ([-0.1, 1.1], "outside"),
        ([0.4, 0.4], "do not sum to one"),
    ],
)
def test_a_vote_that_is_no_distribution_is_refused(vote: list[float], said: str) -> None:
    with pytest.raises(DataError, match=said):
        ChoiceVotes(("a",), ("x",), np.array([[vote]]))


def test_rounding_in_a_file_is_no_mistake() -> None:
    check_probabilities(np.array([[0.333, 0.333, 0.3335]]), "votes")


def test_two_supervisors_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match="share a name"):
        ChoiceVotes(("a",), ("x", "x"), np.full((1, 2, 2), 0.5))


def test_stacked_votes_keep_each_supervisor_where_it_was() -> None:
    one = ChoiceVotes(("a", "b"), ("x",), np.array([[[0.1, 0.9]], [[0.2, 0.8]]]))
    two = ChoiceVotes(("a", "b"), ("y",), np.full((2, 1, 2), np.nan), errors={("a", "y"): "down"})
    both = ChoiceVotes.stack([one, two])
    assert both.supervisors == ("x", "y")
    assert np.array_equal(both.probs[:, 0], one.probs[:, 0])
    assert both.status.tolist() == [["ok", "abstained"]] * 2
    assert both.errors == two.errors


def test_votes_on_other_rows_cannot_be_stacked() -> None:
    one, two = (ChoiceVotes((row,), (row,), np.full((1, 1, 2), 0.5)) for row in "ab")
    with pytest.raises(DataError, match="different rows"):
        ChoiceVotes.stack([one, two])


def test_taking_votes_takes_their_errors_along() -> None:
    errors = {("a", "x"): "down", ("b", "x"): "late"}
    made = ChoiceVotes(("a", "b"), ("x",), np.full((2, 1, 2), np.nan), errors=errors)
    assert made.take([1]).errors == {("b", "x"): "late"}


def test_text_labels_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(DataError, match="wrong shape"):
        TextLabels(("a", "b"), ("x",), (((),),))


def test_targets_that_are_no_distributions_are_refused() -> None:
    with pytest.raises(DataError, match="targets"):
        ChoiceTargets(("a",), np.array([[0.9, 0.9]]), np.ones(1))


def test_votes_on_no_rows_are_joined_as_others_are() -> None:
    joined = ChoiceVotes.stack([ChoiceVotes((), (name,), np.zeros((0, 1, 2))) for name in ("ann", "bob")])
    assert (joined.supervisors, joined.probs.shape) == (("ann", "bob"), (0, 2, 2))
