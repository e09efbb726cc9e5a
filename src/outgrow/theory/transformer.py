"""A decoder pretrained on regression prompts: refinement by a network that does not know Bayes' rule.

Position i of a prompt holds demonstration i − 1 and input i, and is trained to predict label i. The exact predictor
for comparison knows the concepts and their prior; the decoder has only seen prompts.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor

from outgrow.errors import ConfigError, DataError
from outgrow.progress import Reporter
from outgrow.theory.checks import Floats, at_least
from outgrow.theory.training import Schedule, Shape, decoder_config, device, fit
from outgrow.theory.world import RegressionWorld, log_likelihood


class RegressionDecoder(torch.nn.Module):
    """GPT-2's body between a linear layer that embeds examples and one that predicts labels."""

    def __init__(self, shape: Shape, *, dimension: int, points: int) -> None:
        from transformers import GPT2Model

        super().__init__()
        self.points = points
        self.read = torch.nn.Linear(2 * dimension + 1, shape.width)
        self.body: Any = GPT2Model(decoder_config(shape, positions=points, vocabulary=1))
        self.say = torch.nn.Linear(shape.width, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return predictions, shape (N, n), for inputs (N, n, d) given the examples before each; labels are (N, n)."""
        before = torch.cat([x, y[..., None]], dim=-1)[:, :-1]
        before = torch.nn.functional.pad(before, (0, 0, 1, 0))
        states = self.body(inputs_embeds=self.read(torch.cat([x, before], dim=-1))).last_hidden_state
        answers: Tensor = self.say(states)[..., 0]
        return answers


def pretrain_decoder(
    world: RegressionWorld, shape: Shape, schedule: Schedule, *, points: int, seed: int, reporter: Reporter
) -> RegressionDecoder:
    """Train a decoder on fresh prompts of the strong model's mixture.

    Args:
        world: Its components, prior and σ define the mixture; its weak supervisor is not used.
        shape: Shape of the decoder.
        schedule: Schedule of its training.
        points: n, examples in a prompt.
        seed: Seed of weights and prompts.
        reporter: Receives progress updates.

    Raises:
        ConfigError: The world draws a new basis in every repetition, which cannot be learned; or points < 1.

    Source:
        [TL] §4 assumes an exact posterior for the strong model. Pretraining on regression prompts: Garg et al. 2022
        (arXiv 2208.01066). That a position holds the example before it is ours: half the length, and one layer less to
        bring inputs and labels together.

    Example:
        >>> from outgrow.progress import SilentReporter
        >>> from outgrow.theory.world import orthonormal_world
        >>> world = orthonormal_world(dimension=2, concepts=2, kappa=1.0, rotated=False)
        >>> shape, schedule = Shape(width=8, layers=1, heads=1), Schedule(steps=2, batch=4, learning_rate=1e-3)
        >>> decoder = pretrain_decoder(world, shape, schedule, points=3, seed=0, reporter=SilentReporter())
        >>> decoder_predictions(decoder, np.zeros((5, 3, 2)), np.zeros((5, 3))).shape
        (5, 3)
    """
    at_least("points", points, 1)
    if world.rotated:
        raise ConfigError(
            "A decoder needs a fixed basis, and this world draws one per repetition.", fix="Use rotated=False."
        )
    mixture = pretraining_world(world)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        decoder = RegressionDecoder(shape, dimension=world.dimension, points=points).to(device())
    rng = np.random.default_rng([seed, schedule.steps])

    def loss() -> Tensor:
        x, y = (_tensor(array[:, 0]) for array in mixture.sample(rng, schedule.batch, 1, points))
        return torch.nn.functional.mse_loss(decoder(x, y), y)

    fit(decoder, loss, schedule, reporter=reporter, name="pretrain the decoder")
    return decoder


def pretraining_world(world: RegressionWorld) -> RegressionWorld:
    """Return the world of pretraining: one concept per prompt, from the prior, and unbiased labels with noise σ."""
    return dataclasses.replace(
        world, weak=world.components, target=world.prior, weak_noise=world.sigma, mixing="prompt"
    )


@torch.no_grad()
def decoder_predictions(decoder: RegressionDecoder, x: Floats, y: Floats, *, batch: int = 1000) -> Floats:
    """Return the decoder's predictions, shape (N, n), for inputs (N, n, d) given the examples before each.

    Raises:
        DataError: The prompts are longer than the decoder's context.
    """
    if x.shape[1] > decoder.points:
        raise DataError(
            "The prompts are longer than the decoder's context.",
            found=f"{x.shape[1]} examples",
            wanted=f"at most {decoder.points}",
            fix="Pretrain with more points.",
        )
    parts = [
        decoder(_tensor(x[first : first + batch]), _tensor(y[first : first + batch])).cpu().numpy()
        for first in range(0, len(x), batch)
    ]
    return np.concatenate(parts).astype(np.float64) if parts else np.empty(x.shape[:2])


def exact_predictions(world: RegressionWorld, x: Floats, y: Floats) -> Floats:
    """Return the Bayes prediction for each input given the examples before it.

    Inputs have shape (N, n, d), labels (N, n); the last label is not used.

    Returns:
        Σ_k w_k β_kᵀx with w_k ∝ α_k exp(−Σ_{j<i} (y_j − β_kᵀx_j)² / 2σ²), shape (N, n).

    Source:
        [TL] §2, reconstruction.

    Example:
        >>> from outgrow.theory.world import orthonormal_world
        >>> world = orthonormal_world(dimension=2, concepts=2, sigma=0.1, rotated=False)
        >>> exact_predictions(world, np.array([[[1.0, 0.0], [1.0, 0.0]]]), np.array([[1.0, 0.0]])).round(3).tolist()
        [[0.5, 1.0]]
    """
    each = log_likelihood(x, y, world.components, world.sigma)
    with np.errstate(divide="ignore"):
        before = np.cumsum(each, axis=1) - each + np.log(world.prior)
    return np.asarray((softmax(before, axis=-1) * (x @ world.components.T)).sum(axis=-1))


def _tensor(array: Floats) -> Tensor:
    return torch.from_numpy(array).to(device(), torch.float32)
