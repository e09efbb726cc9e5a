"""Work in shards, by the processes of a run: an interrupted run redoes at most one shard of each."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from outgrow import ranks
from outgrow.files import read_table, write_table
from outgrow.integrity import is_sealed, seal_file
from outgrow.progress import Reporter
from outgrow.scale.executor import Apply, Executor, Piece, R


@dataclass(frozen=True)
class LocalExecutor(Executor):
    """One model in this process; under torchrun one in each (`executor: local`)."""

    together = True

    @contextmanager
    def open(
        self, load: Callable[[], Any], *, seen: Callable[[], Any], say: Callable[[str], object]
    ) -> Iterator[Apply]:
        """Yield what applies a function to pieces; see `Executor.open`."""
        model = functools.cache(load)

        def apply(work: Callable[[Any, Sequence[Any]], R], pieces: Iterable[Piece]) -> Iterator[tuple[int, R]]:
            return ((index, work(model(), items)) for index, items in pieces)

        yield apply
        if model.cache_info().currsize:
            for note in getattr(model(), "notes", ()):
                say(note)


def map_shards(
    made: Callable[[Iterable[Piece]], Iterable[tuple[int, pa.Table]]],
    items: Sequence[Any],
    folder: Path,
    *,
    shard_size: int,
    reporter: Reporter,
    name: str,
) -> Iterator[pa.Table]:
    """Write what is made of consecutive slices of `items` to `folder/part-00000.parquet` and so on.

    Whole shards of an earlier, interrupted call are kept: the folder must belong to this work alone (see `Store.get`).
    Several processes (see `outgrow.ranks`) take turns, and each returns the whole.

    Args:
        made: Turns numbered slices of items into numbered tables with one row per item, in any order.
        items: All items, in order.
        folder: Folder of the shards.
        shard_size: Items per shard.
        reporter: Receives every finished item.
        name: Name of the step in progress reports.

    Returns:
        The tables of all shards in order, each read when it is asked for.
    """
    with reporter.step(name, total=len(items)) as step:

        def missing() -> Iterator[Piece]:
            for index in range(math.ceil(len(items) / shard_size)):
                path, piece = _part(folder, index), items[index * shard_size : (index + 1) * shard_size]
                if index % ranks.world() == ranks.rank() and not is_sealed(path):
                    if path.is_file():
                        reporter.note(f"{path.parent.name}/{path.name} is damaged or was cut off: it is made again")
                    yield index, piece
                else:
                    step.advance(len(piece))

        for index, table in made(missing()):
            write_table(_part(folder, index), table)
            seal_file(_part(folder, index))
            step.advance(len(table))
        ranks.meet(f"shards of {folder.name}")
    return read_shards(folder)


def _part(folder: Path, index: int) -> Path:
    return folder / f"part-{index:05d}.parquet"


def read_shards(folder: Path) -> Iterator[pa.Table]:
    """Return the tables of all shards of a folder in order, each read when it is asked for."""
    return map(read_table, sorted(folder.glob("part-*.parquet")))
