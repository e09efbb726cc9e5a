"""Work in shards, by the processes of a run: an interrupted run redoes at most one shard of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from outgrow import ranks
from outgrow.files import read_table, write_table
from outgrow.integrity import is_sealed, seal_file
from outgrow.progress import Reporter

Item = TypeVar("Item")


def map_shards(
    work: Callable[[Sequence[Item]], pa.Table],
    items: Sequence[Item],
    folder: Path,
    *,
    shard_size: int,
    reporter: Reporter,
    name: str,
) -> Iterator[pa.Table]:
    """Apply `work` to consecutive slices of `items` and write each result to `folder/part-00000.parquet` and so on.

    Whole shards of an earlier, interrupted call are kept: the folder must belong to this work alone (see `Store.get`).
    Several processes (see `outgrow.ranks`) take turns, and each returns the whole.

    Args:
        work: Turns a slice of items into a table with one row per item.
        items: All items, in order.
        folder: Folder of the shards.
        shard_size: Items per shard.
        reporter: Receives every finished item.
        name: Name of the step in progress reports.

    Returns:
        The tables of all shards in order, each read when it is asked for.
    """
    with reporter.step(name, total=len(items)) as step:
        for index in range(math.ceil(len(items) / shard_size)):
            path = folder / f"part-{index:05d}.parquet"
            piece = items[index * shard_size : (index + 1) * shard_size]
            if index % ranks.world() == ranks.rank() and not is_sealed(path):
                if path.is_file():
                    reporter.note(f"{path.parent.name}/{path.name} is damaged or was cut off: it is made again")
                write_table(path, work(piece))
                seal_file(path)
            step.advance(len(piece))
        ranks.meet(f"shards of {folder.name}")
    return read_shards(folder)


def read_shards(folder: Path) -> Iterator[pa.Table]:
    """Return the tables of all shards of a folder in order, each read when it is asked for."""
    return map(read_table, sorted(folder.glob("part-*.parquet")))
