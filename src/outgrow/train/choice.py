"""Students and supervisors of choice tasks: fine-tuning a network with a fresh head, and predicting with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from outgrow.config import Named
from outgrow.models.adapters import Adapter
from outgrow.models.classifier import ChoiceNetwork, Encoder, by_length, load_choice_network
from outgrow.objectives import Objective
from outgrow.progress import Reporter
from outgrow.registry import create
from outgrow.store import read_json, replacing, write_json
from outgrow.train.lookahead import Lookahead
from outgrow.train.supervised import Gather, fit, training_arguments


class ChoiceLosses:
    """Row losses of an objective, which is told of the whole step where it wants to be."""

    def __init__(self, objective: Objective, targets: Tensor, weights: Tensor, lambdas: Tensor | None) -> None:
        self._objective, self._lookahead = objective, Lookahead(objective, targets, weights, lambdas)

    def begin_step(self, model: nn.Module, pieces: Sequence[dict[str, Tensor]], gather: Gather) -> None:
        """Looks at all rows of the step, of all processes, before the loss of any is computed.

        One more forward pass, without gradients, for objectives that harden predictions or learn whom to believe.
        """
        if not self._lookahead.needed:
            return
        training = model.training
        model.eval()
        with torch.no_grad():
            seen = [
                (torch.log_softmax(_logits(model, piece), -1), piece["targets"], piece["weights"]) for piece in pieces
            ]
        model.train(training)
        self._lookahead.look(*(torch.cat([gather(each) for each in column]) for column in zip(*seen, strict=True)))

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], progress: float) -> Tensor:
        """Losses of shape (N,)."""
        logits = _logits(model, batch)
        return self._objective(logits, batch["targets"], self._lookahead.context(progress, logits.device))

    def state(self) -> Any:
        """What is remembered from step to step."""
        return self._lookahead.state()

    def restore(self, state: Any) -> None:
        """Takes it back."""
        self._lookahead.restore(state)


def _logits(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    inputs = {key: value for key, value in batch.items() if key not in ("targets", "weights")}
    return cast(Tensor, model(**inputs)).float()


def train_choice(
    network: ChoiceNetwork,
    encoder: Encoder,
    prompts: Sequence[str],
    targets: NDArray[np.float64],
    objective: Objective,
    folder: Path,
    *,
    weights: NDArray[np.float64] | None = None,
    lambdas: NDArray[np.float64] | None = None,
    seed: int,
    trainer: Mapping[str, Any],
    early_stopping: int | None = None,
    reporter: Reporter | None = None,
    name: str = "train",
) -> ChoiceNetwork:
    """Fine-tunes a network on target distributions.

    Args:
        network: Trained in place.
        encoder: Turns prompts into tokens.
        prompts: N texts.
        targets: Shape (N, K), or votes (N, M, K) for an objective that takes them.
        objective: What to minimise.
        folder: Where checkpoints of an interrupted training are kept and looked for.
        weights: Row weights, shape (N,); by default all 1.
        lambdas: λ of each supervisor, shape (M,), where targets are votes.
        seed: Fixes the order of rows and dropout.
        trainer: TrainingArguments of the user.
        early_stopping: See `outgrow.train.supervised.fit`.
        reporter: Told of every optimiser step.
        name: What the step is called.
    """
    goals = torch.tensor(targets, dtype=torch.float32)
    shares = torch.ones(len(goals)) if weights is None else torch.tensor(weights, dtype=torch.float32)
    tokens = encoder.tokenise(prompts)
    rows = [{"tokens": tokens[index], "target": goals[index], "weight": shares[index]} for index in range(len(tokens))]

    def collate(batch: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        inputs = cast(dict[str, Tensor], dict(encoder.batch([row["tokens"] for row in batch])))
        targets, weights = (torch.stack([row[key] for row in batch]) for key in ("target", "weight"))
        return {**inputs, "targets": targets, "weights": weights}

    arguments = training_arguments(folder, trainer, seed=seed)
    voices = None if lambdas is None else torch.tensor(lambdas, dtype=torch.float32)
    losses = ChoiceLosses(objective, goals, shares, voices)
    fit(network, rows, collate, losses, arguments, early_stopping=early_stopping, reporter=reporter, name=name)
    return network


@torch.inference_mode()
def predict_logits(network: ChoiceNetwork, encoder: Encoder, prompts: Sequence[str], *, batch_size: int = 32) -> Tensor:
    """Logits (N, K) of a network, in the order of the prompts whatever the batches."""
    return by_length(network.eval(), encoder, prompts, batch_size=batch_size)


def new_network(model: str, adapter: Named, classes: int, *, seed: int) -> ChoiceNetwork:
    """A pretrained network with a fresh head, of which the adapter says what will train."""
    network = load_choice_network(model, classes, seed=seed)
    wrapper: Adapter = create("adapter", adapter.name, adapter.params, "wrap")
    network.backbone = wrapper.wrap(network.backbone)
    return network


def save_network(network: ChoiceNetwork, folder: Path, *, model: str, adapter: Named) -> None:
    """Writes what was trained (`weights.safetensors`) and what it was trained on top of (`network.json`)."""
    trained = {name: p.detach().contiguous() for name, p in network.named_parameters() if p.requires_grad}
    with replacing(folder / "weights.safetensors") as temporary:
        save_file(trained, temporary)
    about = {"model": model, "adapter": adapter.model_dump(), "classes": network.head.out_features}
    write_json(folder / "network.json", about)


def load_network(folder: Path, *, model: str | None = None) -> ChoiceNetwork:
    """The inverse of `save_network`.

    Args:
        folder: Where it was saved.
        model: The model it was trained on top of, by default from where it was then.
    """
    about = read_json(folder / "network.json")
    network = new_network(model or about["model"], Named(**about["adapter"]), about["classes"], seed=0)
    network.load_state_dict(load_file(folder / "weights.safetensors"), strict=False)
    return network
