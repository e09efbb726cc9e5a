"""Work in shards, in this process: what is done is on disk, and an interrupted run redoes at most one batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from outgrow.progress import Reporter
from outgrow.store import read_table, write_table

Item = TypeVar("Item")


def map_shards(
    work: Callable[[Sequence[Item]], pa.Table],
    items: Sequence[Item],
    folder: Path,
    *,
    shard_size: int,
    reporter: Reporter,
    name: str,
) -> pa.Table:
    """Applies `work` to consecutive slices of `items`, each result a Parquet file `part-00000.parquet` in `folder`.

    Files of an earlier, interrupted attempt are read instead of made again: the caller gives a folder that belongs to
    exactly this work (see `Store.get`).

    Args:
        work: Turns a slice of items into a table with one line per item.
        items: All items, in order.
        folder: Where the shards are.
        shard_size: Items per shard.
        reporter: Told of every finished item.
        name: What the step is called.

    Returns:
        The tables of all shards, joined in order.
    """
    with reporter.step(name, total=len(items)) as step:
        for index in range(math.ceil(len(items) / shard_size)):
            path = folder / f"part-{index:05d}.parquet"
            piece = items[index * shard_size : (index + 1) * shard_size]
            if not path.is_file():
                write_table(path, work(piece))
            step.advance(len(piece))
    return read_shards(folder)


def read_shards(folder: Path) -> pa.Table:
    """The tables of all shards of a folder, joined in order."""
    return pa.concat_tables([read_table(path) for path in sorted(folder.glob("part-*.parquet"))])
