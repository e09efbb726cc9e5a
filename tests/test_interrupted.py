"""Killed at any moment and started again, a run gives the same numbers; two runs at once do not harm each other."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from outgrow.experiment import Experiment
from outgrow.pipeline.labelling import experiment_on, label
from outgrow.progress import SilentReporter
from outgrow.results import Results
from outgrow.run import Run
from outgrow.scale import generation
from outgrow.store import Store
from outgrow.students import predict, predicting
from outgrow.train import features
from tiny_models import WORDS, make_decoder, make_encoder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny encoder, a tiny decoder and two small data files."""
    root = tmp_path_factory.mktemp("interrupted")
    rng = np.random.default_rng(0)
    texts = sorted({" ".join(rng.choice(WORDS, size=5)) for _ in range(120)})
    with (root / "rows.jsonl").open("w") as file:
        for index, text in enumerate(texts):
            gold, weak = int("good" in text), int(("good" in text) != (index % 5 == 0))
            row = {"id": str(index), "text": text, "label": gold, "answer": text.split()[0], "p_weak": 0.1 + 0.8 * weak}
            file.write(json.dumps(row) + "\n")
    return {
        "rows": root / "rows.jsonl",
        "encoder": make_encoder(root / "encoder"),
        "decoder": make_decoder(root / "decoder"),
    }


def choice_settings(folders: dict[str, Path], where: Path) -> dict[str, Any]:
    """Fine-tuned supervisor and student, a votes table, the confidence loss with its window, checkpoints."""
    trainer = {"per_device_train_batch_size": 8, "num_train_epochs": 2, "save_steps": 3, "learning_rate": 1e-3}
    return {
        "task": {"path": str(folders["rows"]), "columns": {"id": "id"}, "choices": ["no", "yes"]},
        "supervisors": [
            {"model": str(folders["encoder"]), "train": trainer},
            {"votes": str(folders["rows"]), "task": "id", "probabilities": {"table": "p_weak"}},
        ],
        "strong": {"model": str(folders["encoder"])},
        "methods": {"naive": {}, "confidence": {"objective": {"name": "confidence", "window": 16}}},
        "trainer": trainer,
        "seeds": 1,
        "store": str(where / "store"),
        "output": str(where / "output"),
    }


def text_settings(folders: dict[str, Path], where: Path) -> dict[str, Any]:
    """Weak texts, refinement and fine-tuning on both."""
    return {
        "task": {"path": str(folders["rows"]), "columns": {"id": "id", "gold": "answer"}},
        "supervisors": [{"model": str(folders["decoder"]), "train": {"num_train_epochs": 2}}],
        "strong": {"model": str(folders["decoder"])},
        "methods": {"naive": {}, "refined": {"refine": {"name": "icl", "demonstrations": 1}}},
        "generate": {"max_new_tokens": 4, "template": "{prompt} a"},
        "trainer": {"per_device_train_batch_size": 8, "num_train_epochs": 2, "save_steps": 3},
        "seeds": 1,
        "store": str(where / "store"),
        "output": str(where / "output"),
    }


class KillsItself(SilentReporter):
    """Ends its own process with SIGKILL when it is told of progress for the `after`-th time."""

    def __init__(self, after: int) -> None:
        self.left = after

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Any]:
        self.advance()
        yield self

    def advance(self, amount: int = 1) -> None:
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


def in_a_child(work: Callable[[], object]) -> int:
    """Starts work in a forked process (so that nothing heavy is imported again); gives its process id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:
        os._exit(1)
    os._exit(0)


def was_killed(child: int) -> bool:
    """Waits for a child; True if it was killed, False if it ended well."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def same_numbers(first: Path, second: Path) -> bool:
    """Whether two outputs have the same scores, example by example and seed by seed."""
    one, other = Results.load(first), Results.load(second)
    return all(
        mine.name == yours.name and np.array_equal(mine.scores[metric], yours.scores[metric])
        for mine, yours in zip(one.models, other.models, strict=True)
        for metric in mine.scores
    )


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "SHARD_ROWS", 16)
    monkeypatch.setattr(generation, "SHARD_ROWS", 8)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("settings", [choice_settings, pytest.param(text_settings, marks=pytest.mark.slow)])
def test_a_run_killed_again_and_again_gives_the_numbers_of_one_that_was_not(
    folders: dict[str, Path], tmp_path: Path, settings: Callable[..., dict[str, Any]]
) -> None:
    Experiment.from_dict(settings(folders, tmp_path / "calm")).run()
    chance = random.Random(7)
    troubled = Experiment.from_dict(settings(folders, tmp_path / "troubled"))
    kills = 0
    for _ in range(30):
        after = chance.randrange(8, 40)
        if not was_killed(in_a_child(lambda after=after: troubled.run(reporter=KillsItself(after)))):
            break
        kills += 1
        assert not (tmp_path / "troubled/output/results.json").exists()
    else:
        pytest.fail("30 attempts made no end: an interrupted run does not go on where it was")
    assert kills >= 3
    assert same_numbers(tmp_path / "calm/output", tmp_path / "troubled/output")


@pytest.mark.slow  # tests/hard kills before changes of files in its short form
@pytest.mark.usefixtures("small_shards")
def test_a_run_killed_at_any_instant_leaves_a_store_that_the_next_run_can_use(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    Experiment.from_dict(choice_settings(folders, tmp_path / "calm")).run()
    chance = random.Random(11)
    troubled = Experiment.from_dict(choice_settings(folders, tmp_path / "troubled"))
    for _ in range(4):
        child = in_a_child(troubled.run)
        time.sleep(chance.uniform(0.05, 0.8))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    troubled.run()
    assert same_numbers(tmp_path / "calm/output", tmp_path / "troubled/output")
    assert not list((tmp_path / "troubled").rglob("*.tmp"))


def test_a_prediction_killed_again_and_again_gives_the_answers_of_one_that_was_not(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = choice_settings(folders, tmp_path)
    strong = {**settings["strong"], "adapter": "probe"}
    quick = {**settings, "supervisors": settings["supervisors"][1:], "strong": strong, "methods": {"naive": {}}}
    Experiment.from_dict({**quick, "ceiling": False}).run().save_student("naive", tmp_path / "student")
    monkeypatch.setattr(predicting, "PIECE_ROWS", 3)
    asked = (tmp_path / "student", folders["rows"])
    count = predict(*asked, tmp_path / "calm.csv")
    chance, kills = random.Random(3), 0
    for _ in range(60):
        after, found = chance.randrange(2, 16), len(list(tmp_path.glob(".out.csv.parts/part-*")))
        work = partial(predict, *asked, tmp_path / "out.csv", reporter=KillsItself(found + after))
        if not was_killed(in_a_child(work)):
            break
        kills += 1
        assert len(list(tmp_path.glob(".out.csv.parts/part-*"))) == found + after  # nothing was done again
    assert kills >= 3
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "calm.csv").read_bytes()
    assert len((tmp_path / "out.csv").read_text().splitlines()) == count + 1
    assert not list(tmp_path.glob(".*"))


@pytest.mark.usefixtures("small_shards")
def test_rows_whose_labelling_was_killed_are_not_labelled_again(folders: dict[str, Path], tmp_path: Path) -> None:
    section = {"model": str(folders["decoder"]), "ask": {}}
    config = experiment_on(str(folders["rows"]), [section], choices=["no", "yes"])
    calm, chance, kills = label(config, Run(Store(tmp_path / "calm"))), random.Random(5), 0
    shards: set[Path] = set()
    for _ in range(60):
        run = Run(Store(tmp_path / "troubled"), KillsItself(len(shards) + chance.randrange(3, 12)))
        if not was_killed(in_a_child(partial(label, config, run))):
            break
        kills, found = kills + 1, set((tmp_path / "troubled").rglob("part-*.parquet"))
        assert found > shards  # every attempt goes on from the one before
        shards = found
    assert kills >= 2
    assert label(config, Run(Store(tmp_path / "troubled"))).equals(calm)


def test_two_runs_at_once_on_one_store_agree_and_share_the_work(folders: dict[str, Path], tmp_path: Path) -> None:
    settings = choice_settings(folders, tmp_path / "both")
    outputs = [tmp_path / "one", tmp_path / "two"]
    children = [in_a_child(Experiment.from_dict({**settings, "output": str(output)}).run) for output in outputs]
    killed = [was_killed(child) for child in children]
    assert killed == [False, False]
    assert same_numbers(*outputs)
    again = Experiment.from_dict({**settings, "output": str(tmp_path / "three")}).run()
    assert set(again.provenance["seconds"]) == {"total"}  # nothing was made anew
