"""Probes: a linear head on frozen, cached features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outgrow import ranks
from outgrow._lazy import functional, torch
from outgrow.config import Named
from outgrow.errors import ConfigError
from outgrow.files import replacing
from outgrow.identity import identity
from outgrow.labels import ChoiceTargets, Rows, positions
from outgrow.labels.columns import MANY, forget_pages, slices
from outgrow.objectives import Objective
from outgrow.optimize import minimize
from outgrow.progress import Step
from outgrow.run import Run, untrained_model
from outgrow.store import Artefact
from outgrow.train.features import FrozenFeatures
from outgrow.train.targets import make_objective, rows_of, target_tensors, training_hashes

if TYPE_CHECKING:
    from torch import Tensor

HEAD = "probe.safetensors"
"""The file of a trained head."""
_MOST = 2**30
"""Bytes of features up to which they stay in memory during an epoch."""
_NEAR = 2**16
"""Bytes that are read with a row: its neighbours."""


@dataclass(frozen=True)
class Probe:
    """A linear head on frozen, cached features (`adapter: probe`): seconds per student. Choice tasks only.

    Features are standardised with the mean and standard deviation of the student's own training rows.
    """

    epochs: int = 20
    """Passes over the training rows."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW; it falls to zero along a cosine."""
    batch_size: int = 64
    """Rows per step."""
    weight_decay: float = 0.1
    """Decoupled weight decay of the head."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.learning_rate <= 0 or self.weight_decay < 0:
            raise ConfigError("A parameter of the probe is out of range.", found=self, wanted="positive numbers")

    def fit(
        self,
        features: Tensor,
        targets: Tensor,
        weights: Tensor,
        objective: Objective,
        *,
        seed: int,
        lambdas: Tensor | None = None,
        step: Step | None = None,
    ) -> dict[str, Tensor]:
        """Train a head that starts at zero.

        Args:
            features: Shape (N, D); or (N, K, D) for rows with K choices of their own, each scored by one shared head.
            targets: Target distributions, shape (N, K), or votes (N, M, K) for an objective that takes them.
            weights: Row weights, shape (N,).
            objective: What to minimise.
            seed: Seed of the row order.
            lambdas: λ of each supervisor, shape (M,), where targets are votes.
            step: Receives every finished epoch.

        Returns:
            `weight` (K, D) and `bias` (K,) of the head (K is 1 for a shared one), `mean` and `scale` (D,) of the
            features.
        """
        from torch.optim.lr_scheduler import CosineAnnealingLR

        from outgrow.train.step_context import StepContextTracker

        classes = targets.shape[-1] if features.dim() == 2 else 1
        mean, scale = _moments(features.reshape(-1, features.shape[-1]))
        # skip_init: a random initialisation would change the random state of the caller.
        head = torch.nn.utils.skip_init(torch.nn.Linear, features.shape[-1], classes)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        tracker = StepContextTracker(objective, targets, weights, lambdas)
        steps = self.epochs * math.ceil(len(features) / self.batch_size)

        def batches() -> Iterator[Tensor]:
            generator = torch.Generator().manual_seed(seed)
            for epoch in range(self.epochs):
                if step is not None and epoch:
                    step.advance()
                yield from torch.randperm(len(features), generator=generator).split(self.batch_size)

        numbered = enumerate(batches())
        large, every = features.nbytes > _MOST, max(1, _MOST // _NEAR // self.batch_size)

        def loss() -> Tensor:
            done, rows = next(numbered)
            if large and done % every == 0:
                forget_pages()
            logits = head((features[rows] - mean) / scale).reshape(len(rows), -1)
            if tracker.needed:
                tracker.update(torch.log_softmax(logits.detach(), dim=-1), targets[rows], weights[rows])
            losses = objective(logits, targets[rows], tracker.context(done / steps, logits.device))
            return (losses * weights[rows]).sum() / weights[rows].sum()

        minimize(
            head.parameters(),
            loss,
            lambda optimizer: CosineAnnealingLR(optimizer, T_max=steps),
            steps=steps,
            learning_rate=self.learning_rate,
            betas=(0.9, 0.999),
            weight_decay=self.weight_decay,
            clip=None,
        )
        if step is not None:
            step.advance()
        return {"weight": head.weight.detach(), "bias": head.bias.detach(), "mean": mean, "scale": scale}

    @staticmethod
    def logits(state: Mapping[str, Tensor], features: Tensor) -> Tensor:
        """Return logits (N, K) of features (N, D) or (N, K, D) by what `fit` returned."""
        found = []
        for block in _blocks(features):
            inputs = (block - state["mean"]) / state["scale"]
            found.append(functional.linear(inputs, state["weight"], state["bias"]).reshape(len(block), -1))
        return torch.cat(found)


def _moments(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column of (N, D), which need not fit into memory."""
    mean = sum((block.double().sum(0) for block in _blocks(inputs)), torch.zeros(())) / len(inputs)
    squares = (((block - mean) ** 2).sum(0) for block in _blocks(inputs))
    scale = (sum(squares, torch.zeros(())) / len(inputs)).sqrt().clamp_min(1e-6)
    return mean.float(), scale.float()


def _blocks(inputs: Tensor) -> Iterator[Tensor]:
    for block in inputs.split(MANY):
        yield block
        forget_pages()


@dataclass(frozen=True)
class ProbeLearner:
    """Training of a head on frozen features, which all students share; see `ChoiceLearner`."""

    features: FrozenFeatures
    """Input of the head."""
    adapter: Any
    """Trains the head; has `fit` and `logits`, like `Probe`."""

    @property
    def model(self) -> str:
        """The model whose features they are."""
        return self.features.model

    def train(
        self, rows: Rows, targets: ChoiceTargets, objective: Named, run: Run, *, seed: int, name: str
    ) -> Artefact:
        """Train on targets; see `ChoiceLearner.train`."""
        learned = rows_of(rows, targets)
        loss = make_objective(objective)

        def make(folder: Path) -> None:
            from safetensors.torch import save_file

            own = rows.take(rows.where(*{*learned.parts}))
            features = self.features(own, run)[slices(positions(own.ids, learned.ids))]
            goals, weights, lambdas = target_tensors(targets)
            with run.reporter.step(name, total=getattr(self.adapter, "epochs", 1)) as step:
                state = self.adapter.fit(features, goals, weights, loss, seed=seed, lambdas=lambdas, step=step)
            if ranks.first():
                with replacing(folder / HEAD) as temporary:
                    save_file({key: value.contiguous() for key, value in state.items()}, temporary)

        def blank(folder: Path) -> None:
            self.features(rows, run)
            untrained_model(folder / "model")

        recipe = {
            **self.features.recipe(),
            "probe": identity(self.adapter),
            "objective": identity(loss),
            "seed": seed,
        }
        recipe |= training_hashes(learned, targets)
        return run.stage("student", recipe, make, blank=blank, together=True)

    def logits(self, trained: Artefact, rows: Rows, run: Run, *, name: str) -> Tensor:
        """Return logits (N, K); see `ChoiceLearner.logits`."""
        from safetensors.torch import load_file

        features = self.features(rows, run)
        if not (trained.path / HEAD).is_file():  # a dry run
            return torch.zeros(len(rows), len(rows.choices or ()))
        logits: Tensor = self.adapter.logits(load_file(trained.path / HEAD), features)
        return logits
