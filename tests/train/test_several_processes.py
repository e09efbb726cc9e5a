"""Several processes (DDP, FSDP2) train like one: the same losses step by step, for every objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_checkpoints import Counting
from test_invariance import CHOICE_OBJECTIVES, ONE_PASS, soft_targets, text_targets, texts_and_targets
from test_preference_training import pairs_of
from transformers import AutoModelForCausalLM

from outgrow import ranks
from outgrow.config import Named
from outgrow.errors import ConfigError
from outgrow.files import read_json, write_json
from outgrow.labels import Rows
from outgrow.registry import names
from outgrow.run import Run
from outgrow.store import Store
from outgrow.train.choice import NetworkLearner
from outgrow.train.preference import PreferenceLearner
from outgrow.train.supervised import SupervisedTrainer, _check_sharding
from outgrow.train.text import TextLearner
from processes import fsdp_on_cpus, in_processes

FSDP = {"fsdp": True, "fsdp_config": {"version": 2}}
SETTINGS = {**ONE_PASS, "learning_rate": 1e-2, "logging_strategy": "steps", "logging_steps": 1}
NONE, LORA = Named(name="none"), Named.model_validate({"name": "lora", "rank": 4})
slow = pytest.mark.slow
Training = Callable[..., Any]
"""Trains a student, with a run and TrainingArguments."""


def choice_student(model: Path, objective: Named, run: Run, adapter: Named = NONE, **trainer: Any) -> Any:
    targets = soft_targets(objective)
    count = len(targets.ids)
    texts = tuple(texts_and_targets()[0])
    rows = Rows(targets.ids, texts, parts=("unlabelled",) * count, gold=(None,) * count, choices=("no", "yes"))
    learner = NetworkLearner(str(model), adapter, None, {**SETTINGS, **trainer})
    return learner.train(rows, targets, objective, run, seed=3, name="choice")


def text_student(model: Path, objective: Named, run: Run, adapter: Named = NONE, **trainer: Any) -> Any:
    learner = TextLearner(str(model), adapter, None, {**SETTINGS, **trainer})
    return learner.train(text_targets(), objective, run, seed=3, name="text")


def preference_student(model: Path, objective: Named, run: Run, adapter: Named = NONE, **trainer: Any) -> Any:
    texts, _ = texts_and_targets()
    pairs = pairs_of(*[("the film was", f" {one}", f" {other}") for one, other in pairwise(texts)])
    learner = PreferenceLearner(str(model), adapter, None, {**SETTINGS, **trainer})
    return learner.train(pairs, objective, run, seed=3, name="preference")


def every_training(encoder: Path, decoder: Path) -> dict[str, Training]:
    return {
        **{f"choice {each.name}": partial(choice_student, encoder, each) for each in CHOICE_OBJECTIVES},
        **{f"text {each}": partial(text_student, decoder, Named(name=each)) for each in names("token_objective")},
        **{f"prefer {each}": partial(preference_student, decoder, Named(name=each)) for each in names("preference")},
        "lora": partial(choice_student, encoder, NONE.model_copy(update={"name": "confidence"}), adapter=LORA),
        "lora text": partial(text_student, decoder, Named(name="cross_entropy"), adapter=LORA),
        "checkpointing": partial(choice_student, encoder, Named(name="cross_entropy"), activation_checkpointing=True),
    }


@contextmanager
def losses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The loss of every optimizer step, as the Trainer logs it."""
    curve: list[float] = []
    with monkeypatch.context() as patch:
        patch.setattr(
            SupervisedTrainer, "log", lambda self, logs, *_: curve.extend(logs[key] for key in logs if key == "loss")
        )
        yield curve


def curves(trainings: dict[str, Training], where: Path, monkeypatch: pytest.MonkeyPatch, **trainer: Any) -> Any:
    found = {}
    for name, train in trainings.items():
        with losses(monkeypatch) as curve:
            train(Run(Store(where / name)), **trainer)
        found[name] = list(curve)
    return found


@slow  # the next test, and tests/test_ranks.py, are the quick ones
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_two_processes_have_the_losses_of_one_with_ddp_and_with_fsdp2(
    encoder_folder: Path, decoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = every_training(encoder_folder, decoder_folder)
    alone = curves(trainings, tmp_path / "one", monkeypatch)

    def work(rank: int) -> None:
        for kind, settings in (("ddp", {}), ("fsdp", FSDP)):
            with fsdp_on_cpus():
                found = curves(trainings, tmp_path / kind, monkeypatch, **settings)
            if ranks.first():
                write_json(tmp_path / f"{kind}.json", found)

    assert in_processes(work, longest=600) == [0, 0]
    for kind in ("ddp", "fsdp"):
        found = read_json(tmp_path / f"{kind}.json")
        for name, curve in alone.items():
            assert len(curve) == 3
            np.testing.assert_allclose(found[name], curve, atol=1e-5, rtol=0, err_msg=f"{kind} {name}")


@pytest.fixture(autouse=True, scope="module")
def _imported_once() -> None:
    import torch._dynamo  # FSDP takes seconds to import it: not in every forked process
    import torch.distributed.fsdp  # noqa: F401


@pytest.mark.parametrize(
    ("before", "after"),
    [("fsdp", "one"), pytest.param("one", "fsdp", marks=slow), pytest.param("fsdp", "ddp", marks=slow)],
)
def test_a_training_goes_on_with_another_number_of_processes(
    decoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    """It is stopped within its second epoch, whose order the others must take up."""
    train = partial(text_student, decoder_folder, Named(name="cross_entropy"))
    saving = {"num_train_epochs": 2, "save_steps": 2}
    straight = curves({"student": train}, tmp_path / "straight", monkeypatch, **saving)["student"]

    def part(kind: str, stop: int) -> Any:
        def work(rank: int) -> None:
            with fsdp_on_cpus(), losses(monkeypatch) as curve, suppress(KeyboardInterrupt):
                made = train(Run(Store(tmp_path), Counting(stop)), **saving, **(FSDP if kind == "fsdp" else {}))
                write_json(tmp_path / "made.json", str(made.path))
            if ranks.first():
                write_json(tmp_path / f"{kind}.json", list(curve))

        count = 1 if kind == "one" else 2
        assert in_processes(work, count) == [0] * count
        return read_json(tmp_path / f"{kind}.json")

    np.testing.assert_allclose(part(before, stop=4), straight[:4], atol=1e-5, rtol=0)
    (checkpoint,) = tmp_path.glob("text-student/*/checkpoints/checkpoint-4")
    assert len(list((checkpoint / "state").iterdir())) == (1 if before == "one" else 2)  # a shard of each process
    np.testing.assert_allclose(part(after, stop=100), straight[4:], atol=1e-5, rtol=0)
    together = AutoModelForCausalLM.from_pretrained(Path(read_json(tmp_path / "made.json")) / "model")
    (alone,) = tmp_path.glob("straight/student/text-student/*/model")
    for name, weights in AutoModelForCausalLM.from_pretrained(alone).state_dict().items():
        torch.testing.assert_close(together.state_dict()[name], weights, atol=1e-5, rtol=0)


@slow
def test_bf16_computes_alike_and_keeps_fp32_weights_in_several_processes(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = {"choice": partial(choice_student, encoder_folder, Named(name="cross_entropy"))}
    alone = curves(trainings, tmp_path / "one", monkeypatch, bf16=True)["choice"]

    def work(rank: int) -> None:
        for kind, settings in (("ddp", {}), ("fsdp", FSDP)):
            with fsdp_on_cpus():
                found = curves(trainings, tmp_path / kind, monkeypatch, bf16=True, **settings)["choice"]
            np.testing.assert_allclose(found, alone, atol=1e-2, rtol=0)

    assert in_processes(work) == [0, 0]
    for kind in ("ddp", "fsdp"):
        (weights,) = tmp_path.glob(f"{kind}/choice/student/*/weights.safetensors")
        assert {str(value.dtype) for value in load_file(weights).values()} == {"torch.float32"}


def test_fsdp_that_would_not_work_is_refused(decoder_folder: Path, tmp_path: Path) -> None:
    def refused(match: str, **trainer: Any) -> None:
        with pytest.raises(ConfigError, match=match):
            text_student(decoder_folder, Named(name="cross_entropy"), Run(Store(tmp_path)), **trainer)

    refused("but all processes predict", fsdp=True, fsdp_config={"cpu_ram_efficient_loading": True})
    assert in_processes(lambda _: refused("accelerate has FSDP for GPUs only", **FSDP)) == [0, 0]
    first = SimpleNamespace(
        accelerator=SimpleNamespace(state=SimpleNamespace(fsdp_plugin=SimpleNamespace(fsdp_version=1)))
    )
    with pytest.raises(ConfigError, match="Only FSDP2"):
        _check_sharding(first)
