from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.files import write_table
from outgrow.progress import SilentReporter
from outgrow.scale.local import map_shards


def squares(items: Sequence[int]) -> pa.Table:
    return pa.table({"square": [item * item for item in items]})


def in_turn(work):
    return lambda pieces: ((index, work(items)) for index, items in pieces)


def run(folder: Path, items: Sequence[int], size: int, work=squares) -> list[int]:
    shards = map_shards(in_turn(work), items, folder, shard_size=size, reporter=SilentReporter(), name="square")
    return pa.concat_tables([*shards])["square"].to_pylist()


@given(st.lists(st.integers(0, 99), min_size=1, max_size=30), st.integers(1, 12))
def test_results_come_in_order_whatever_the_size_of_shards(
    tmp_path_factory: pytest.TempPathFactory, items: list[int], size: int
) -> None:
    assert run(tmp_path_factory.mktemp("shards"), items, size) == [item * item for item in items]


def test_more_than_ten_shards_are_joined_in_order(tmp_path: Path) -> None:
    assert run(tmp_path, range(120), 1) == [item * item for item in range(120)]


def test_finished_shards_are_not_made_again(tmp_path: Path) -> None:
    seen: list[int] = []

    def fails_once(items: Sequence[int]) -> pa.Table:
        if 4 in items and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            raise RuntimeError("stopped")
        seen.extend(items)
        return squares(items)

    with pytest.raises(RuntimeError):
        run(tmp_path, range(6), 2, fails_once)
    assert run(tmp_path, range(6), 2, fails_once) == [0, 1, 4, 9, 16, 25]
    assert seen == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_bytes(b""), lambda path: path.write_bytes(path.read_bytes()[:-9])]
)
def test_a_damaged_shard_of_an_interrupted_call_is_made_again(tmp_path: Path, damage) -> None:
    run(tmp_path, range(6), 2)
    damage(tmp_path / "part-00001.parquet")
    assert run(tmp_path, range(6), 2) == [0, 1, 4, 9, 16, 25]


def test_a_shard_that_was_written_by_another_hand_is_made_again(tmp_path: Path) -> None:
    run(tmp_path, range(6), 2)
    write_table(tmp_path / "part-00001.parquet", pa.table({"square": [5, 10]}))
    assert run(tmp_path, range(6), 2) == [0, 1, 4, 9, 16, 25]


def test_every_item_is_told_to_the_reporter_even_if_it_was_done_before(tmp_path: Path) -> None:
    advanced: list[int] = []

    class Step:
        def __enter__(self) -> Step:
            return self

        def __exit__(self, *unused: object) -> None: ...

        def advance(self, amount: int = 1) -> None:
            advanced.append(amount)

    class Listening(SilentReporter):
        def step(self, name: str, total: int) -> Step:
            assert (name, total) == ("square", 5)
            return Step()

    write_table(tmp_path / "part-00000.parquet", squares([0, 1]))
    map_shards(in_turn(squares), range(5), tmp_path, shard_size=2, reporter=Listening(), name="square")
    assert advanced == [2, 2, 1]
