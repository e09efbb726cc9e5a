"""Probes: a linear head on frozen, cached features. A plain loop, because a student is then a matter of a second."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from outgrow.config import Named
from outgrow.labels import ChoiceTargets, Rows, positions
from outgrow.models.adapters import Probe
from outgrow.models.classifier import Encoder, by_length, default_pooling, embed
from outgrow.models.loading import load_encoder, model_identity, short_name
from outgrow.objectives import Objective, StepContext
from outgrow.progress import Step
from outgrow.store import Artefact, replacing
from outgrow.train.learners import (
    in_shards,
    learned_hashes,
    make_objective,
    matrix_table,
    prompts_hash,
    read_matrix,
    rows_of,
)
from outgrow.train.window import window_for
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
    window = window_for(objective, targets, weights)
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps = settings.epochs * math.ceil(len(inputs) / settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    done = 0
    for _ in range(settings.epochs):
        for rows in torch.randperm(len(inputs), generator=generator).split(settings.batch_size):
            logits = head(inputs[rows])
            offsets = window.offsets(torch.log_softmax(logits.detach(), dim=-1)) if window else None
            context = StepContext(done / steps, offsets, lambdas)
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

    model: str
    """A folder or hub id."""
    settings: Probe
    """Epochs, learning rate and the like."""
    max_length: int | None
    """Cut prompts to so many tokens."""
    batch_size: int
    """Rows at once when embedding."""
    _cached: dict[str, Tensor] = field(default_factory=dict, compare=False)

    def train(
        self, rows: Rows, targets: ChoiceTargets, objective: Named, workspace: Workspace, *, seed: int, name: str
    ) -> Artefact:
        """See `ChoiceLearner.train`."""
        learned = rows_of(rows, targets)
        loss, about_loss = make_objective(objective)

        def make(folder: Path) -> None:
            features = self._features(rows, workspace)[positions(rows.ids, learned.ids)]
            learnt = targets.probs if targets.votes is None else targets.votes
            goals, weights = (torch.tensor(values, dtype=torch.float32) for values in (learnt, targets.weights))
            lambdas = None if targets.lambdas is None else torch.tensor(targets.lambdas, dtype=torch.float32)
            with workspace.reporter.step(name, total=self.settings.epochs) as step:
                head = train_probe(features, goals, weights, loss, self.settings, seed=seed, lambdas=lambdas, step=step)
            with replacing(folder / "probe.safetensors") as temporary:
                save_file({key: value.contiguous() for key, value in vars(head).items()}, temporary)

        recipe = {
            "model": model_identity(self.model),
            "probe": dataclasses.asdict(self.settings),
            "max_length": self.max_length,
            "objective": about_loss,
            "seed": seed,
        }
        return workspace.get("student", {**recipe, **learned_hashes(learned, targets)}, make)

    def logits(self, trained: Artefact, rows: Rows, workspace: Workspace, *, name: str) -> Tensor:
        """See `ChoiceLearner.logits`."""
        head = TrainedProbe(**load_file(trained.path / "probe.safetensors"))
        return head.logits(self._features(rows, workspace))

    def _features(self, rows: Rows, workspace: Workspace) -> Tensor:
        """Pooled states (N, D) of the frozen network; read once, since every student asks for them."""
        prompts = prompts_hash(rows)
        if prompts in self._cached:
            return self._cached[prompts]

        def make(folder: Path) -> None:
            network = load_encoder(self.model)
            encoder = Encoder.load(self.model, network, max_length=self.max_length)
            pooling = default_pooling(network)

            def work(prompts: Sequence[str]) -> pa.Table:
                return matrix_table(
                    by_length(
                        lambda **batch: embed(network, batch, pooling), encoder, prompts, batch_size=self.batch_size
                    )
                )

            name = f"embed with {short_name(self.model)}"
            in_shards(work, rows, folder, workspace, name=name)

        identity = model_identity(self.model)
        recipe = {"model": identity, "max_length": self.max_length, "prompts": prompts}
        self._cached[prompts] = read_matrix(workspace.get("features", recipe, make))
        return self._cached[prompts]
