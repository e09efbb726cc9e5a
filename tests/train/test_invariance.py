"""The loss of an optimiser step must not depend on how its batch is cut into pieces or spread over processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import TrainingArguments

from outgrow.config import Named
from outgrow.labels import ChoiceTargets, Completion, Opinion, TextTargets
from outgrow.models.classifier import ChoiceNetwork, Encoder
from outgrow.models.loading import load_causal_lm, load_encoder, load_tokenizer
from outgrow.models.rendering import Renderer
from outgrow.objectives import Objective, TokenObjective
from outgrow.progress import SilentReporter
from outgrow.registry import create, names
from outgrow.train.answers import collate, tokenise
from outgrow.train.arguments import training_arguments
from outgrow.train.batches import ShuffledRows
from outgrow.train.choice import train_choice
from outgrow.train.supervised import _shared, fit
from outgrow.train.text import TokenLosses
from tiny_models import WORDS, make_decoder, make_encoder

CROSS_ENTROPY = Named(name="cross_entropy")
CHOICE_OBJECTIVES = [
    Named.model_validate({"name": "confidence", "warmup": 0.1, "window": 24}),
    *(Named(name=name) for name in names("objective") if name != "confidence"),
]
ONE_PASS = {"num_train_epochs": 1, "per_device_train_batch_size": 5, "gradient_accumulation_steps": 3}
"""Settings of tests with two processes: three steps of 15 rows, which two cannot share evenly, the last one of 12."""
TEXT_OBJECTIVES = [CROSS_ENTROPY, Named.model_validate({"name": "bayesian", "preset": "paper"})]


def texts_and_targets() -> tuple[list[str], np.ndarray]:
    """42 texts: with steps of 16 rows the last one is uneven."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, size=rng.integers(2, 9))) for _ in range(42)]
    positive = rng.uniform(0.2, 0.9, size=42)
    return texts, np.stack([1 - positive, positive], axis=1)


def soft_targets(objective: Named) -> ChoiceTargets:
    """Targets of the 42 texts with uneven weights; with the votes of two supervisors where an objective weighs them."""
    texts, targets = texts_and_targets()
    votes = np.stack([targets, targets[::-1]], axis=1)
    weighs = hasattr(create("objective", objective.name, objective.params), "memory")
    ids, weights = tuple(map(str, range(len(texts)))), np.linspace(0.5, 1.5, len(texts))
    return ChoiceTargets(ids, targets, weights, votes if weighs else None, np.ones(2) if weighs else None)


def trained_weights(model: Path, folder: Path, objective: Named, **trainer: object) -> torch.Tensor:
    """All weights of a choice student, in one vector."""
    torch.manual_seed(0)
    network = ChoiceNetwork(load_encoder(str(model)), 2)
    encoder = Encoder.load(str(model), network.backbone, max_length=None)
    texts, _ = texts_and_targets()
    made: Objective = create("objective", objective.name, objective.params)
    settings = {"learning_rate": 1e-2, "num_train_epochs": 2, "save_strategy": "no", **trainer}
    arguments = training_arguments(folder, settings, seed=3)
    train_choice(network, encoder, texts, soft_targets(objective), made, arguments)
    return torch.cat([parameter.detach().reshape(-1) for parameter in network.parameters()])


def text_targets() -> TextTargets:
    """The 42 texts as answers, with uneven weights and a weak model's opinion on each."""
    texts, _ = texts_and_targets()
    count = len(texts)
    said = [
        Completion(f" {text}", (-1.0 - index / count,), ((0, len(text) + 1),), False)
        for index, text in enumerate(texts)
    ]
    return TextTargets(
        ids=tuple(map(str, range(count))),
        prompts=("the film was",) * count,
        texts=tuple(one.text for one in said),
        weights=tuple(np.linspace(0.5, 1.5, count)),
        sources=("weak",) * count,
        opinions=tuple((Opinion(1.0, one),) for one in said),
    )


def text_student(model: Path, folder: Path, objective: Named, **trainer: object) -> torch.Tensor:
    """All weights of a student of texts with opinions on them, in one vector."""
    network, tokenizer = load_causal_lm(str(model)), load_tokenizer(str(model))
    arguments = training_arguments(folder, {"learning_rate": 1e-2, "save_strategy": "no", **trainer}, seed=1)
    made: TokenObjective = create("token_objective", objective.name, objective.params)
    rows = tokenise(text_targets(), Renderer(tokenizer), limit=32, cut=False, bridging=made.bridging)
    fit(network, rows, collate, TokenLosses(made), arguments)
    return torch.cat([parameter.detach().reshape(-1) for parameter in network.parameters()])


@pytest.mark.parametrize("objective", CHOICE_OBJECTIVES, ids=lambda named: named.name)
def test_sixteen_rows_at_once_train_like_four_times_four(tmp_path: Path, objective: Named) -> None:
    model = make_encoder(tmp_path / "model")
    whole = trained_weights(model, tmp_path / "a", objective, per_device_train_batch_size=16)
    pieces = trained_weights(
        model, tmp_path / "b", objective, per_device_train_batch_size=4, gradient_accumulation_steps=4
    )
    before = torch.cat([parameter.reshape(-1) for parameter in load_encoder(str(model)).parameters()])
    assert (whole[: len(before)] - before).abs().max() > 1e-2
    torch.testing.assert_close(whole, pieces, atol=2e-5, rtol=0)


@given(rows=st.integers(1, 40), pieces=st.integers(1, 12), world=st.integers(1, 9))
def test_processes_share_the_pieces_of_a_step_and_then_the_rows_of_a_piece(rows: int, pieces: int, world: int) -> None:
    given_alone = {"per_device_train_batch_size": rows, "gradient_accumulation_steps": pieces}
    own = _shared(cast(TrainingArguments, SimpleNamespace(**given_alone, world_size=world)))
    slots = own.gradient_accumulation_steps * world
    assert own.per_device_train_batch_size * slots >= rows * pieces > (own.per_device_train_batch_size - 1) * slots
    assert own.per_device_train_batch_size <= rows  # it fits into memory
    assert own.gradient_accumulation_steps == 1 or slots < pieces + world
    if world == 1:
        assert vars(own) == {**given_alone, "world_size": 1}


def test_bf16_training_moves_every_weight_at_a_small_step(tmp_path: Path) -> None:
    """In pure bf16 a step of 1e-5 is lost on any weight of 0.0039 or more; fp32 master weights keep it."""
    model = make_encoder(tmp_path / "model")
    settings = {"learning_rate": 1e-5, "max_steps": 3, "bf16": True, "lr_scheduler_type": "constant"}
    after = trained_weights(model, tmp_path / "bf16", CROSS_ENTROPY, **settings)
    still = trained_weights(model, tmp_path / "still", CROSS_ENTROPY, **{**settings, "learning_rate": 0.0})
    assert after.dtype == torch.float32
    large = still.abs() > 0.0039
    assert (after != still)[large].float().mean() > 0.6


@pytest.mark.parametrize("objective", TEXT_OBJECTIVES, ids=lambda named: named.name)
def test_text_students_with_answers_of_many_lengths_train_alike_in_pieces(tmp_path: Path, objective: Named) -> None:
    """A mean of the pieces' means would weigh the tokens of short answers more."""
    model = make_decoder(tmp_path / "model")
    whole, pieces = (
        text_student(
            model,
            tmp_path / f"run{cuts}",
            objective,
            per_device_train_batch_size=16 // cuts,
            gradient_accumulation_steps=cuts,
        )
        for cuts in (1, 4)
    )
    torch.testing.assert_close(whole, pieces, atol=2e-5, rtol=0)


def test_early_stopping_ends_training_and_keeps_the_best_weights(tmp_path: Path) -> None:
    """A student that overfits random labels: its held-out loss rises after the first epochs."""
    torch.manual_seed(0)
    network = ChoiceNetwork(load_encoder(str(make_encoder(tmp_path / "model"))), 2)
    encoder = Encoder.load(str(tmp_path / "model"), network.backbone, max_length=None)
    texts, _ = texts_and_targets()
    random_labels = np.eye(2)[np.random.default_rng(1).integers(2, size=len(texts))]
    steps: list[int] = []

    class Counting(SilentReporter):
        @contextmanager
        def step(self, name: str, total: int) -> Iterator[Any]:
            yield self

        def advance(self, amount: int = 1) -> None:
            steps.append(amount)

    train_choice(
        network,
        encoder,
        texts,
        ChoiceTargets(tuple(map(str, range(len(texts)))), random_labels, np.ones(len(texts))),
        create("objective", "cross_entropy", {}),
        training_arguments(tmp_path / "run", {"num_train_epochs": 40, "learning_rate": 1e-2}, seed=0),
        early_stopping=1,
        reporter=Counting(),
    )
    per_epoch = 3  # 38 of 42 rows in batches of 16
    assert per_epoch < len(steps) < 40 * per_epoch
    last = json.loads(max((tmp_path / "run").glob("checkpoint-*/trainer_state.json"), key=epoch_of).read_text())
    assert last["best_global_step"] < last["global_step"]
    (best,) = map(load_file, (tmp_path / "run" / f"checkpoint-{last['best_global_step']}" / "state").iterdir())
    assert all(torch.equal(best[name], value) for name, value in network.state_dict().items())


def epoch_of(state: Path) -> int:
    """The optimiser step of a checkpoint, from its folder's name."""
    return int(state.parent.name.rpartition("-")[2])


@given(rows=st.integers(1, 60), step=st.integers(1, 20), epoch=st.integers(0, 3))
def test_a_step_is_sorted_by_length_and_keeps_its_rows(rows: int, step: int, epoch: int) -> None:
    lengths = np.random.default_rng(rows).integers(1, 50, size=rows).tolist()

    def steps(lengths: list[int] | None, *, groups: bool = False) -> list[list[int]]:
        order = ShuffledRows(rows, lengths, groups=groups, step=step, padded=None, seed=5)
        order.set_epoch(epoch)
        everything = list(order)
        return [everything[start : start + step] for start in range(0, rows, step)]

    for plain, ordered in zip(steps(None), steps(lengths), strict=True):
        assert sorted(plain) == sorted(ordered)
        assert [lengths[row] for row in ordered] == sorted((lengths[row] for row in plain), reverse=True)
    grouped = steps(lengths, groups=True)
    assert sorted(row for own in grouped for row in own) == list(range(rows))
    apart = sorted(([lengths[row] for row in own] for own in grouped), reverse=True)
    assert [length for own in apart for length in own] == sorted(lengths, reverse=True)


def test_every_epoch_has_an_order_of_its_own(tmp_path: Path) -> None:
    seen: list[int] = []

    def remembering_collate(rows: list[dict[str, int]]) -> dict[str, torch.Tensor]:
        seen.extend(row["number"] for row in rows)
        return {"weights": torch.ones(len(rows))}

    class Nothing:
        def __call__(self, model: torch.nn.Module, batch: dict[str, torch.Tensor], progress: float) -> torch.Tensor:
            return model(torch.ones(len(batch["weights"]), 1)).squeeze(-1)

        def begin_step(self, model: object, pieces: object, gather: object) -> None: ...

        def state(self) -> None: ...

        def restore(self, state: object) -> None: ...

    rows = [{"number": number} for number in range(20)]
    arguments = training_arguments(tmp_path, {"num_train_epochs": 2, "save_strategy": "no"}, seed=0)
    fit(torch.nn.Linear(1, 1), rows, remembering_collate, Nothing(), arguments)
    first, second = seen[:20], seen[20:]
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second != list(range(20))
