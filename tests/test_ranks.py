"""Processes that torchrun starts share a run: they wait for each other, and one decides and writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.numpy import load_file

from http_server import serving
from outgrow import ranks
from outgrow.errors import OutgrowError
from outgrow.experiment import Experiment
from outgrow.files import read_json, write_json
from outgrow.progress import SilentReporter
from outgrow.run import Run
from outgrow.scale import generation, local
from outgrow.scale.local import LocalExecutor, map_shards
from outgrow.store import Store
from outgrow.train import features
from processes import in_processes
from served_experiments import crowd, settings_in
from test_interrupted import choice_settings, folders, text_settings
from test_run import UNKNOWN

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


def test_what_is_not_kept_for_later_runs_is_seen_by_all_processes(tmp_path: Path) -> None:
    def work(rank: int) -> None:
        run = Run(Store(tmp_path / "store"))
        made = run.stage("student", UNKNOWN, lambda folder: write_json(folder / "n.json", 7))
        assert read_json(made.path / "n.json") == 7
        ranks.meet("read")

    assert in_processes(work) == [0, 0]


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.set_device", lambda device: None)

    def work(rank: int) -> None:
        if rank == 0:
            ranks.share(1, "the first has a GPU")
        else:
            with pytest.raises(OutgrowError, match="More processes were started on this machine than it has GPUs"):
                ranks.meet("somewhere")

    assert in_processes(work) == [0, 0]


def squares(_: None, items: Sequence[int]) -> pa.Table:
    return pa.table({"square": [item * item for item in items], "made_by": [ranks.rank()] * len(items)})


def test_shards_are_made_in_turns_and_returned_whole(tmp_path: Path) -> None:
    def work(rank: int) -> None:
        def make(folder: Path) -> None:
            with LocalExecutor().open(lambda: None, seen=int, say=print) as apply:
                made = partial(apply, squares)
                shards = map_shards(made, range(10), folder, shard_size=2, reporter=SilentReporter(), name="square")
            table = pa.concat_tables([*shards])
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


@pytest.mark.parametrize("settings", [choice_settings, pytest.param(text_settings, marks=pytest.mark.slow)])
def test_two_processes_end_with_the_results_of_one(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Callable[..., dict[str, Any]]
) -> None:
    monkeypatch.setattr(features, "SHARD_ROWS", 16)
    monkeypatch.setattr(generation, "SHARD_ROWS", 8)

    def experiment(where: str) -> Experiment:
        configured = settings(folders, tmp_path / where)
        configured["strong"]["early_stopping"] = 1
        configured["ceiling"] = False
        return Experiment.from_dict(configured)

    def work(rank: int) -> None:
        shards = []
        write_table = local.write_table
        local.write_table = lambda path, table: (shards.append(path.name), write_table(path, table))
        experiment("two").run()
        assert experiment("two").estimate() == []
        (tmp_path / f"shards{rank}").write_text(str(len(shards)))

    experiment("one").run()
    assert in_processes(work) == [0, 0]
    assert min(int((tmp_path / f"shards{rank}").read_text()) for rank in (0, 1)) > 5
    assert_same_predictions(tmp_path / "one", tmp_path / "two")
    one, two = (
        {path.relative_to(store): path for path in store.glob("*student/*/**/*.safetensors")}
        for store in (tmp_path / "one/store", tmp_path / "two/store")
    )
    assert len(one) == len(two)
    assert one.keys() & two.keys()  # such as the supervisor; labels that differ by 1e-8 make another key
    for path in one.keys() & two.keys():
        alone, together = load_file(one[path]), load_file(two[path])
        for name, weights in alone.items():
            np.testing.assert_allclose(together[name], weights, atol=1e-5)


def assert_same_predictions(one: Path, two: Path) -> None:
    alone, together = (pq.read_table(where / "output/predictions.parquet") for where in (one, two))
    assert alone.schema.equals(together.schema)
    for column in alone.column_names:
        expected, found = alone[column].to_pylist(), together[column].to_pylist()
        if column == "probs":
            np.testing.assert_allclose(np.array(found, dtype=float), np.array(expected, dtype=float), atol=1e-5)
        else:
            assert found == expected, column


def test_servers_are_asked_by_one_process(tmp_path: Path) -> None:
    with serving(crowd) as server:
        for where in ("one", "two"):
            (tmp_path / where).mkdir()
        Experiment.from_dict(settings_in(tmp_path / "one", server.url)).run()
        alone = len(server.asked)
        two = settings_in(tmp_path / "two", server.url)
        assert in_processes(lambda _: Experiment.from_dict(two).run()) == [0, 0]
        assert len(server.asked) == 2 * alone
    assert_same_predictions(tmp_path / "one", tmp_path / "two")


DIES = """
import os, signal
from outgrow.train import supervised

steps, on_step_end = 0, supervised._StepCallback.on_step_end

def dying(self, *args, **options):
    global steps
    steps += 1
    if os.environ["RANK"] == "1" and steps == 19:  # of twelve each of supervisor and ceiling
        os.kill(os.getpid(), signal.SIGKILL)
    on_step_end(self, *args, **options)

supervised._StepCallback.on_step_end = dying
"""


@pytest.mark.slow
def test_torchrun_ends_when_a_process_is_killed_and_continues_with_the_numbers_of_one_process(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "dies.py").write_text(DIES)
    settings = choice_settings(folders, tmp_path / "two")
    (tmp_path / "trial.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d"]
    command += ["--rdzv-endpoint", "localhost:0", "-m", "outgrow", "run", str(tmp_path / "trial.yaml")]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], capture_output=True, text=True, timeout=300, check=False)

    killed = run("--plugin", str(tmp_path / "dies.py"))
    assert killed.returncode == 1
    assert killed.stderr.count("Stopped: Ended by the launcher") == 1
    assert "Finished work is kept" in killed.stderr
    assert "[rank0]:" not in killed.stderr  # no traceback of the one that survived
    assert not killed.stdout
    done = run()
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Report: ") == 1
    assert "train encoder" not in done.stderr
    assert done.stderr.count("train ceiling, seed 0: started") == 1
    Experiment.from_dict(choice_settings(folders, tmp_path / "one")).run()
    assert_same_predictions(tmp_path / "one", tmp_path / "two")
    wrong = run("strong.adapter=lo")
    assert wrong.returncode == 1
    assert wrong.stderr.count("There is no adapter named 'lo'.") == 1
