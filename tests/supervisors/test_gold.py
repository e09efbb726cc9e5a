from __future__ import annotations

import pytest

from outgrow.errors import DataError
from outgrow.labels import Rows
from outgrow.supervisors.gold import judged_rows, training_rows

ROWS = Rows(
    tuple(map(str, range(40))),
    tuple(f"row {index}" for index in range(40)),
    tuple(("test", "gold", "unlabelled", "gold")[index % 4] for index in range(40)),
    tuple(index // 2 % 2 for index in range(40)),
    ("no", "yes"),
)


def test_only_gold_rows_train() -> None:
    assert training_rows(ROWS, None, seed=0, name="x") == ROWS.part("gold")


def test_every_seed_draws_gold_rows_of_its_own() -> None:
    drawn = [training_rows(ROWS, 10, seed=seed, name="x") for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0].ids)) == 10
    assert set(drawn[0].parts) == {"gold"}


@pytest.mark.parametrize("count", [None, 3])
def test_without_gold_rows_nothing_can_be_trained(count: int | None) -> None:
    rest = Rows(("a",), ("x",), ("test",), (1,), ("no", "yes"))
    with pytest.raises(DataError, match=r"supervisor weak has too few gold rows(.|\n)*found:  0 gold rows"):
        training_rows(rest, count, seed=0, name="weak")


def test_more_rows_than_there_are_are_refused() -> None:
    with pytest.raises(DataError, match=r"found:  20 gold rows(.|\n)*wanted: 21 rows"):
        training_rows(ROWS, 21, seed=0, name="weak")


def test_gold_rows_of_one_class_only_are_refused() -> None:
    same = Rows(("a", "b"), ("x", "y"), ("gold",) * 2, (1, 1), ("no", "yes"))
    with pytest.raises(DataError, match=r"one class only(.|\n)*2 gold rows, all yes"):
        training_rows(same, None, seed=0, name="weak")


def test_texts_may_all_be_the_same() -> None:
    same = Rows(("a", "b"), ("x", "y"), ("gold",) * 2, ("yes", "yes"))
    assert training_rows(same, None, seed=0, name="weak") == same


def test_judged_rows_are_the_unlabelled_and_then_the_test_rows() -> None:
    assert judged_rows(ROWS).parts == ("unlabelled",) * 10 + ("test",) * 10
