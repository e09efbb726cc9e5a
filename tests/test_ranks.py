"""Processes that torchrun starts share a run: they wait for each other, and one decides and writes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from outgrow import ranks
from outgrow.errors import OutgrowError
from outgrow.experiment import Experiment
from outgrow.progress import SilentReporter
from outgrow.run import Run
from outgrow.scale import generation, local
from outgrow.scale.local import map_shards
from outgrow.store import Store, read_json, write_json
from outgrow.train import features
from processes import in_processes
from test_interrupted import choice_settings, folders, text_settings

__all__ = ["folders"]


def test_all_get_the_value_of_the_first_process_and_nobody_goes_on_before_all_are_there(tmp_path: Path) -> None:
    def work(rank: int) -> None:
        assert ranks.share({"from": rank}, "greeting") == {"from": 0}
        with ranks.alone():
            assert (ranks.rank(), ranks.world()) == (0, 1)
            assert ranks.share(rank, "own") == rank
        time.sleep(0.1 * rank)
        (tmp_path / str(rank)).touch()
        ranks.meet("done")
        assert len(list(tmp_path.iterdir())) == 3

    assert in_processes(work, 3) == [0, 0, 0]


def test_processes_that_go_different_ways_are_an_error_instead_of_a_wait() -> None:
    def work(rank: int) -> None:
        with pytest.raises(OutgrowError, match=r"labels/0; labels/1"):
            ranks.meet(f"labels/{rank}")
        if rank == 0:
            ranks.share(1, "student/0")
        else:
            with pytest.raises(OutgrowError, match=r"shards; student/0"):
                ranks.meet("shards")

    assert in_processes(work) == [0, 0]


def test_a_stage_is_made_by_the_first_process_and_read_by_all(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        nested = Run(Store(tmp_path)).stage("inner", {}, lambda inner: write_json(inner / "n.json", 7))
        write_json(folder / "who.json", [os.getpid(), read_json(nested.path / "n.json")])

    def work(rank: int) -> None:
        run = Run(Store(tmp_path))
        for _ in range(2):
            made = run.stage("numbers", {}, make)
            who, number = read_json(made.path / "who.json")
            assert ((who == os.getpid()), number) == (rank == 0, 7)

    assert in_processes(work) == [0, 0]


def squares(items: Sequence[int]) -> pa.Table:
    return pa.table({"square": [item * item for item in items], "made_by": [ranks.rank()] * len(items)})


def test_shards_are_made_in_turns_and_returned_whole(tmp_path: Path) -> None:
    def work(rank: int) -> None:
        def make(folder: Path) -> None:
            table = map_shards(squares, range(10), folder, shard_size=2, reporter=SilentReporter(), name="square")
            assert table["square"].to_pylist() == [item * item for item in range(10)]
            assert table["made_by"].to_pylist() == [0, 0, 1, 1] * 2 + [0, 0]

        made = Run(Store(tmp_path)).stage("squares", {}, make, together=True)
        assert len(read_json(made.path / "manifest.json")["files"]) == 5

    assert in_processes(work) == [0, 0]


def test_a_process_that_the_launcher_ends_says_so_even_while_it_waits_in_c(tmp_path: Path) -> None:
    def work(rank: int) -> None:
        ranks.follow_launcher(lambda: (tmp_path / f"farewell{rank}").touch())
        ranks.meet("both listen")
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()

    assert in_processes(work) == [ranks.STOPPED] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["farewell0"]


@pytest.mark.parametrize("settings", [choice_settings, text_settings])
def test_two_processes_end_with_the_results_of_one(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Callable[..., dict[str, Any]]
) -> None:
    monkeypatch.setattr(features, "SHARD_ROWS", 16)
    monkeypatch.setattr(generation, "SHARD_ROWS", 8)

    def experiment(where: str) -> Experiment:
        configured = settings(folders, tmp_path / where)
        configured["strong"]["early_stopping"] = 1
        return Experiment.from_dict(configured)

    def work(rank: int) -> None:
        shards = []
        write_table = local.write_table
        local.write_table = lambda path, table: (shards.append(path.name), write_table(path, table))
        experiment("two").run()
        (tmp_path / f"shards{rank}").write_text(str(len(shards)))

    experiment("one").run()
    assert in_processes(work) == [0, 0]
    assert min(int((tmp_path / f"shards{rank}").read_text()) for rank in (0, 1)) > 5
    one, two = (pq.read_table(tmp_path / where / "output/predictions.parquet") for where in ("one", "two"))
    assert one.schema.equals(two.schema)
    for column in one.column_names:
        alone, together = one[column].to_pylist(), two[column].to_pylist()
        if column == "probs":
            np.testing.assert_allclose(np.array(together, dtype=float), np.array(alone, dtype=float), atol=1e-5)
        else:
            assert alone == together, column
    students = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("store/*/*/**/*.safetensors")]
    common = [path for path in students if (tmp_path / "two" / path).is_file()]
    assert len(common) >= 2
    for path in common:
        alone, together = load_file(tmp_path / "one" / path), load_file(tmp_path / "two" / path)
        for name, weights in alone.items():
            np.testing.assert_allclose(together[name], weights, atol=1e-5)
