"""A training that was interrupted goes on from its last whole checkpoint, with the same weights in the end."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter

from outgrow.errors import StoreError
from outgrow.labels import ChoiceTargets
from outgrow.models.classifier import ChoiceNetwork, Encoder
from outgrow.models.loading import load_encoder
from outgrow.progress import SilentReporter
from outgrow.registry import create
from outgrow.train.arguments import training_arguments
from outgrow.train.choice import train_choice
from tiny_models import WORDS

STEPS = 12
SAVED = {"num_train_epochs": 4, "learning_rate": 1e-2, "save_steps": 2}


class Counting(SilentReporter):
    """Counts steps, keeps notes, and stops after some steps like a killed process."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.steps, self.notes, self._stop = 0, list[str](), stop_after

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Any]:
        yield self

    def advance(self, amount: int = 1) -> None:
        self.steps += amount
        if self.steps > self._stop:
            raise KeyboardInterrupt

    def note(self, message: str) -> None:
        self.notes.append(message)


def weights(
    model: Path, folder: Path, reporter: SilentReporter, settings: dict[str, Any] | None = None, **options: Any
) -> torch.Tensor:
    torch.manual_seed(0)
    network = ChoiceNetwork(load_encoder(str(model)), 2)
    encoder = Encoder.load(str(model), network.backbone, max_length=None)
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, size=5)) for _ in range(42)]
    targets = ChoiceTargets(tuple(map(str, range(42))), np.eye(2)[rng.integers(2, size=42)], np.ones(42))
    arguments = training_arguments(folder, SAVED if settings is None else settings, seed=3)
    objective = create("objective", "cross_entropy", {})
    train_choice(network, encoder, texts, targets, objective, arguments, reporter=reporter, **options)
    return torch.cat([parameter.detach().reshape(-1) for parameter in network.parameters()])


@pytest.fixture(scope="module")
def whole(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    return weights(encoder_folder, tmp_path_factory.mktemp("whole"), SilentReporter())


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: list[tuple[str, Callable[[Path], object]]] = [
    ("state/shard-00001-model-00001-of-00001.safetensors", flip),
    ("scheduler.pt", lambda path: path.write_bytes(bytes(path.stat().st_size))),
    ("trainer_state.json", lambda path: path.write_bytes(b"")),
    ("outgrow.json", Path.unlink),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(encoder_folder, tmp_path, whole, name, damage) -> None:
    with pytest.raises(KeyboardInterrupt):
        weights(encoder_folder, tmp_path, Counting(stop_after=8))
    damage(tmp_path / "checkpoint-8" / name)
    again = Counting()
    assert torch.equal(weights(encoder_folder, tmp_path, again), whole)
    assert again.steps == STEPS - 6
    cut_off = name == "outgrow.json"  # as after a kill while it was written, which is nothing to report
    assert cut_off or "checkpoint-8 is damaged" in again.notes[0]


def test_without_a_whole_checkpoint_the_training_begins_anew(encoder_folder, tmp_path, whole) -> None:
    with pytest.raises(KeyboardInterrupt):
        weights(encoder_folder, tmp_path, Counting(stop_after=8))
    for path in tmp_path.glob("checkpoint-*/scheduler.pt"):
        flip(path)
    again = Counting()
    assert torch.equal(weights(encoder_folder, tmp_path, again), whole)
    assert again.steps == STEPS
    assert len(again.notes) == 2


def test_a_checkpoint_whose_best_weights_are_damaged_is_not_used(encoder_folder, tmp_path) -> None:
    early = {"early_stopping": 3}
    straight = weights(encoder_folder, tmp_path / "straight", SilentReporter(), **early)
    with pytest.raises(KeyboardInterrupt):
        weights(encoder_folder, tmp_path / "run", Counting(stop_after=11), **early)
    for path in (tmp_path / "run").glob("checkpoint-*/state/*"):
        if path.parents[1].name != "checkpoint-9":  # the last one
            flip(path)
    assert torch.equal(weights(encoder_folder, tmp_path / "run", Counting(), **early), straight)


def test_a_full_disk_under_a_checkpoint_is_said_with_a_way_out(encoder_folder, tmp_path, monkeypatch) -> None:
    def full(*unused: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(HuggingFaceStorageWriter, "write_data", full)
    with pytest.raises(StoreError, match="Free some space"):
        weights(encoder_folder, tmp_path, SilentReporter())


def test_a_checkpoint_is_written_by_time_and_not_at_all_in_a_short_training(encoder_folder, tmp_path) -> None:
    def saved(**trainer: Any) -> list[str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        weights(encoder_folder, folder, SilentReporter(), settings={"num_train_epochs": 1, **trainer})
        return sorted(path.parent.name for path in folder.glob("*/outgrow.json"))

    assert saved() == []
    assert saved(save_seconds=1e-9) == ["checkpoint-1", "checkpoint-2"]  # not of the last step
    assert saved(save_seconds=1e-9, save_strategy="no") == []
    assert saved(save_steps=2) == ["checkpoint-2", "checkpoint-3"]


def test_optimizer_state_that_is_no_tensor_is_taken_up(encoder_folder, tmp_path) -> None:
    settings = {**SAVED, "optim": "adafactor", "num_train_epochs": 2, "save_steps": 4}
    straight = weights(encoder_folder, tmp_path / "straight", SilentReporter(), settings=settings)
    with pytest.raises(KeyboardInterrupt):
        weights(encoder_folder, tmp_path / "run", Counting(stop_after=4), settings=settings)
    assert torch.equal(weights(encoder_folder, tmp_path / "run", SilentReporter(), settings=settings), straight)
