"""Long columns behave as tuples do, whether they are in memory or mapped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import DataError, StoreError
from outgrow.labels import ChoiceTargets, ChoiceVotes, Rows, columns, positions
from outgrow.labels.columns import Column, among, gathered, mapped_array, packed, picked, repeated, taken

values = st.lists(st.none() | st.text("abé", max_size=3), min_size=1, max_size=12)


@pytest.fixture(autouse=True, params=["in memory", "mapped"])
def few_are_many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MANY", 3)
    if request.param == "mapped":
        monkeypatch.setattr(columns, "IN_MEMORY", 0)


def long(own: Sequence[object]) -> Column[object]:
    chunks = [pa.array(own[start : start + 2], pa.string()) for start in range(0, len(own), 2)]
    return Column.of(chunks)


@given(values, st.data())
def test_a_column_is_what_a_tuple_is(own: list[str | None], data: st.DataObject) -> None:
    column, whole = long(own), tuple(own)
    one, other = (data.draw(st.integers(-len(own), len(own))) for _ in range(2))
    chosen = data.draw(st.lists(st.integers(0, len(own) - 1), max_size=9))
    assert column == whole == column[:]
    assert len(column) == len(whole)
    assert tuple(column[one:other]) == whole[one:other]
    assert tuple(column[::2]) == whole[::2]
    assert tuple(column.take(np.array(chosen, dtype=np.intp))) == tuple(own[index] for index in chosen)
    assert [column[index] for index in range(-len(own), len(own))] == [*whole, *whole]
    assert [column.count(each) for each in (*whole, None, "zz")] == [whole.count(each) for each in (*whole, None, "zz")]
    assert [each in column for each in (*whole, None, "zz")] == [each in whole for each in (*whole, None, "zz")]
    assert column + whole == (*whole, *whole) == whole + column


@given(st.lists(st.text("ab", max_size=3), unique=True, min_size=1, max_size=12), st.randoms())
def test_positions_are_found_in_any_order(own: list[str], random: object) -> None:
    some = own[::2]
    random.shuffle(some)  # type: ignore[attr-defined]
    for wanted in (some, own[::2], own[1:], own):
        assert [own[place] for place in positions(packed(own), packed(wanted))] == wanted
    assert among(packed(own), some).tolist() == [each in some for each in own]


@given(st.lists(st.text("ab", max_size=2), max_size=12))
def test_repeated_ids_are_found(own: list[str]) -> None:
    assert sorted(repeated(packed(own))) == sorted({each for each in own if own.count(each) > 1})


def some_rows(count: int) -> Rows:
    parts = ("gold", "unlabelled", "test")
    gold = tuple(None if row % 3 == 1 else row % 2 for row in range(count))
    own = tuple(parts[row % 3] for row in range(count))
    return Rows(tuple(f"r{row}" for row in range(count)), ("text",) * count, own, gold, ("no", "yes"))  # type: ignore[arg-type]


def test_rows_of_columns_are_the_rows() -> None:
    rows, few = some_rows(11), some_rows(2)
    assert isinstance(rows.ids, Column)
    assert few.ids == ("r0", "r1")
    assert Rows.from_arrow(rows.to_arrow()) == rows
    assert rows.part("test").ids == ("r2", "r5", "r8")
    assert rows.take([4, 0]).gold == (None, 0)
    assert rows.part("gold").gold_indices().tolist() == [0, 1, 0, 1]
    with pytest.raises(DataError, match="occur more than once"):
        rows.take([1, 2, 3, 4, 1])


def test_votes_and_targets_of_many_rows_come_back_unchanged() -> None:
    random, ids = np.random.default_rng(0), some_rows(10).ids
    probs = random.dirichlet([1, 1], size=(10, 2))
    probs[3, 1] = np.nan
    votes = ChoiceVotes(ids, ("a", "b"), probs)
    back = ChoiceVotes.from_arrow(votes.to_arrow())
    np.testing.assert_array_equal(back.probs, probs)
    assert back.ids == ids
    assert back.status.tolist() == votes.status.tolist()
    targets = ChoiceTargets(ids, probs[:, 0], np.arange(10.0), probs, np.ones(2))
    again = ChoiceTargets.from_arrow(targets.to_arrow())
    np.testing.assert_array_equal(again.probs, targets.probs)
    np.testing.assert_array_equal(again.votes, probs)
    assert taken(again.ids, np.array([9, 2])) == ("r9", "r2")


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.data())
def test_arrays_are_joined_and_picked_from_as_numpy_does(sizes: list[int], data: st.DataObject) -> None:
    arrays = [np.random.default_rng(size).normal(size=(size, 2)) for size in sizes]
    whole, joined = np.concatenate(arrays), gathered(iter(arrays))
    columns.forget_pages()
    np.testing.assert_array_equal(joined, whole)
    chosen = np.array(data.draw(st.lists(st.integers(0, max(sum(sizes) - 1, 0)), max_size=9 * (sum(sizes) > 0))), int)
    np.testing.assert_array_equal(picked(joined, chosen), whole[chosen])


def test_a_temporary_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "IN_MEMORY", 0)
    monkeypatch.setattr(columns.tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(StoreError, match="nowhere") as caught:
        long(["a", "b"])
    assert "TMPDIR" in str(caught.value)


def test_a_mapped_array_is_the_one_written(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    mapped = mapped_array(tmp_path / "m.npy")
    columns.forget_pages()
    assert mapped.tolist() == [[0, 1], [2, 3], [4, 5]]
