"""A decoder pretrained on regression prompts: refinement by a network that does not know Bayes' rule.

Position i of a prompt holds demonstration i − 1 and input i, and is trained to predict label i.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor

from outgrow.errors import ConfigError
from outgrow.progress import Reporter
from outgrow.theory.checks import Floats, at_least
from outgrow.theory.training import Schedule, Shape, check_context, decoder_config, device, fit
from outgrow.theory.world import RegressionWorld, log_likelihood


class RegressionDecoder(torch.nn.Module):
    """GPT-2's body, with a linear layer before it for examples and one after it for labels."""

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
    """Train a decoder on fresh prompts of `points` examples from the strong model's mixture, see `pretraining_world`.

    Raises:
        ConfigError: The world draws a new basis in every repetition, which cannot be learned.

    Source:
        [TL] §4 assumes an exact posterior for the strong model. Pretraining on regression prompts: Garg et al. 2022
        (arXiv 2208.01066). That a position holds the example before it is ours: half the length, and one layer less to
        bring inputs and labels together.
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
    """Return the decoder's predictions, shape (N, n), for inputs (N, n, d) given the examples before each."""
    check_context(x.shape[1], decoder.points)
    found = np.empty(x.shape[:2])
    for first in range(0, len(x), batch):
        part = slice(first, first + batch)
        found[part] = decoder(_tensor(x[part]), _tensor(y[part])).cpu().numpy()
    return found


def exact_predictions(world: RegressionWorld, x: Floats, y: Floats) -> Floats:
    """Return the Bayes prediction, shape (N, n), for inputs (N, n, d) and labels (N, n) of the examples before.

    It is Σ_k w_k β_kᵀx with w_k ∝ α_k exp(−Σ_{j<i} (y_j − β_kᵀx_j)² / 2σ²); the last label is not used.

    Source:
        [TL] §2, reconstruction.
    """
    each = log_likelihood(x, y, world.components, world.sigma)
    with np.errstate(divide="ignore"):
        before = np.cumsum(each, axis=1) - each + np.log(world.prior)
    return np.asarray((softmax(before, axis=-1) * (x @ world.components.T)).sum(axis=-1))


def _tensor(array: Floats) -> Tensor:
    return torch.from_numpy(array).to(device(), torch.float32)
