"""A small experiment that uses every kind of file: shards, checkpoints, cached answers, artefacts, results, report."""

from __future__ import annotations

import json
import os
import signal
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from http_server import Answer, Asked, heard, reply
from outgrow import store as store_module
from outgrow.experiment import Experiment
from outgrow.results import Results
from small_experiments import noisy_votes, planted_rows, write_lines

ROWS = planted_rows(40)


async def crowd(asked: Asked) -> Answer:
    """Answers with a choice that depends on the question alone."""
    return Answer(reply(["no", "yes"][zlib.crc32(heard(asked).encode()) % 2]))


def settings(encoder: Path, url: str, folder: Path) -> dict[str, Any]:
    """A served supervisor, a votes table, a probe on cached features, and a student that writes checkpoints."""
    folder.mkdir(exist_ok=True)
    write_lines(folder / "rows.jsonl", ROWS)
    write_lines(folder / "votes.jsonl", noisy_votes(ROWS))
    trainer = {"per_device_train_batch_size": 8, "num_train_epochs": 1, "save_steps": 1, "learning_rate": 1e-3}
    return {
        "task": {"path": str(folder / "rows.jsonl"), "columns": {"id": "id"}, "choices": ["no", "yes"]},
        "supervisors": [
            {"votes": str(folder / "votes.jsonl")},
            {"server": url, "model": "small", "retries": 2, "concurrency": 4, "prices": {"input": 1.0, "output": 2.0}},
            {"model": str(encoder), "train": {}, "adapter": {"name": "probe", "epochs": 2}, "name": "probe"},
        ],
        "strong": {"model": str(encoder)},
        "methods": {"naive": {}},
        "trainer": trainer,
        "ceiling": False,
        "seeds": 1,
        "store": str(folder / "store"),
        "output": str(folder / "output"),
    }


def run(config: dict[str, Any]) -> Results:
    """Runs an experiment as another process would: with nothing checked yet."""
    store_module._whole.clear()
    return Experiment.from_dict(config).run()


def contents(config: dict[str, Any]) -> dict[str, Any]:
    """What a run leaves and must not depend on what happened on the way: artefacts that it used, results and costs."""
    results = Results.load(config["output"])
    found: dict[str, Any] = {}
    for name in results.provenance["artefacts"]:
        about = json.loads((Path(config["store"]) / name / "manifest.json").read_text())
        # How often a request was sent again is no part of a result.
        found[name] = {file: own for file, own in about["sha256"].items() if file != "usage.json"}
    found["summary"] = results.to_json()["summary"]
    found["costs"] = [{**one, "retried": 0} for one in results.provenance["costs"]]
    for model in results.models:
        for metric, scores in model.scores.items():
            found[f"{model.role} {model.name} {metric}"] = np.asarray(scores).tolist()
    return found


def same(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether contents are those of another run, which may have used more artefacts: what it made of them is there."""
    return {name: wanted.get(name) for name in found} == found


def left_over(config: dict[str, Any]) -> list[Path]:
    """Temporary files in store and output."""
    return [path for key in ("store", "output") for path in Path(config[key]).rglob("*.tmp")]


_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "os.truncate"}


def counting_changes(folder: Path, on_change: Callable[[int], None]) -> None:
    """Calls `on_change(n)` before the n-th call of this process that changes a file below a folder, from 0."""
    root, count = str(folder), 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in _CHANGES) and str(arguments[0]).startswith(root):
            count += 1
            on_change(count - 1)

    sys.addaudithook(hook)


def in_a_child(work: Callable[[], object]) -> int:
    """Runs work in a forked process; gives its exit code, negative after a signal."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(config: dict[str, Any], change: int) -> bool:
    """Runs an experiment in a child that is killed before its n-th change of a file; False if it came to its end."""

    def on_change(number: int) -> None:
        if number == change:
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        counting_changes(Path(config["store"]).parent, on_change)
        run(config)

    code = in_a_child(work)
    assert code in (0, -signal.SIGKILL)
    return code != 0


def changes_of(config: dict[str, Any], folder: Path) -> int:
    """Runs an experiment in a child; gives the number of its changes of files."""
    note = folder / "changes"

    def work() -> None:
        counting_changes(Path(config["store"]).parent, lambda number: numbers.append(number))
        run(config)
        note.write_text(str(len(numbers)))

    numbers: list[int] = []
    assert in_a_child(work) == 0
    return int(note.read_text())
