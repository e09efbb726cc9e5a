"""Probes: a linear head on frozen, cached features. A plain loop, because a student is then a matter of a second."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from outgrow.config import Named
from outgrow.identity import identity
from outgrow.labels import ChoiceTargets, Rows, positions
from outgrow.models.adapters import Probe
from outgrow.objectives import Objective
from outgrow.progress import Step
from outgrow.store import Artefact, replacing
from outgrow.train.features import FrozenFeatures
from outgrow.train.learners import learned_hashes, make_objective, rows_of
from outgrow.train.lookahead import Lookahead
from outgrow.workspace import Workspace


@dataclass(frozen=True)
class TrainedProbe:
    """A head and the standardisation it was trained with."""

    weight: Tensor
    """Shape (K, D)."""
    bias: Tensor
    """Shape (K,)."""
    mean: Tensor
    """Shape (D,), subtracted from features."""
    scale: Tensor
    """Shape (D,), divides features."""

    def logits(self, features: Tensor) -> Tensor:
        """Logits (N, K) of features (N, D)."""
        return nn.functional.linear((features - self.mean) / self.scale, self.weight, self.bias)


def train_probe(
    features: Tensor,
    targets: Tensor,
    weights: Tensor,
    objective: Objective,
    settings: Probe,
    *,
    seed: int,
    lambdas: Tensor | None = None,
    step: Step | None = None,
) -> TrainedProbe:
    """Trains a head that starts at zero.

    Args:
        features: Shape (N, D).
        targets: Target distributions, shape (N, K), or votes (N, M, K) for an objective that takes them.
        weights: Row weights, shape (N,).
        objective: What to minimise.
        settings: Epochs, learning rate and the like.
        seed: Fixes the order of the rows.
        lambdas: λ of each supervisor, shape (M,), where targets are votes.
        step: Told of every finished epoch.

    Returns:
        The trained head.
    """
    mean, scale = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
    inputs = (features - mean) / scale
    # Not initialised at random and then zeroed: that would draw from the random state of whoever calls.
    head = nn.utils.skip_init(nn.Linear, features.shape[1], targets.shape[-1])
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    generator = torch.Generator().manual_seed(seed)
    lookahead = Lookahead(objective, targets, weights, lambdas)
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps = settings.epochs * math.ceil(len(inputs) / settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    done = 0
    for _ in range(settings.epochs):
        for rows in torch.randperm(len(inputs), generator=generator).split(settings.batch_size):
            logits = head(inputs[rows])
            if lookahead.needed:
                lookahead.look(torch.log_softmax(logits.detach(), dim=-1), targets[rows], weights[rows])
            context = lookahead.context(done / steps, logits.device)
            losses = objective(logits, targets[rows], context) * weights[rows]
            optimizer.zero_grad()
            (losses.sum() / weights[rows].sum()).backward()
            optimizer.step()
            schedule.step()
            done += 1
        if step is not None:
            step.advance()
    return TrainedProbe(head.weight.detach(), head.bias.detach(), mean, scale)


@dataclass(frozen=True)
class ProbeLearner:
    """A linear head on frozen features, which are computed once and shared by all students."""

    features: FrozenFeatures
    """What the head reads."""
    settings: Probe
    """Epochs, learning rate and the like."""

    def train(
        self, rows: Rows, targets: ChoiceTargets, objective: Named, workspace: Workspace, *, seed: int, name: str
    ) -> Artefact:
        """See `ChoiceLearner.train`."""
        learned = rows_of(rows, targets)
        loss = make_objective(objective)

        def make(folder: Path) -> None:
            features = self.features(rows, workspace)[positions(rows.ids, learned.ids)]
            learnt = targets.probs if targets.votes is None else targets.votes
            goals, weights = (torch.tensor(values, dtype=torch.float32) for values in (learnt, targets.weights))
            lambdas = None if targets.lambdas is None else torch.tensor(targets.lambdas, dtype=torch.float32)
            with workspace.reporter.step(name, total=self.settings.epochs) as step:
                head = train_probe(features, goals, weights, loss, self.settings, seed=seed, lambdas=lambdas, step=step)
            with replacing(folder / "probe.safetensors") as temporary:
                save_file({key: value.contiguous() for key, value in vars(head).items()}, temporary)

        recipe = {
            **self.features.about(),
            "probe": identity(self.settings),
            "objective": identity(loss),
            "seed": seed,
        }
        return workspace.get("student", {**recipe, **learned_hashes(learned, targets)}, make)

    def logits(self, trained: Artefact, rows: Rows, workspace: Workspace, *, name: str) -> Tensor:
        """See `ChoiceLearner.logits`."""
        head = TrainedProbe(**load_file(trained.path / "probe.safetensors"))
        return head.logits(self.features(rows, workspace))
