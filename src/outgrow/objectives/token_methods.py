"""The objectives that an experiment file can choose for the tokens of a text task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from outgrow._lazy import torch
from outgrow.bridge import Bridging, Split, Where
from outgrow.objectives.cross_entropy import cross_entropy
from outgrow.objectives.evidential import Preset, evidential_fits
from outgrow.objectives.protocol import NO_CONTEXT, StepContext, TokenObjective, check_parameters
from outgrow.objectives.tokens import token_divergence, token_evidential

if TYPE_CHECKING:
    from torch import Tensor

_BRIDGES: dict[Preset, Bridging] = {"default": Bridging(), "paper": Bridging("words", "student")}


@dataclass(frozen=True)
class TokenCrossEntropy(TokenObjective):
    """Learn the tokens (`objective: cross_entropy`), or how sure the weak models were of them.

    Source:
        Cui et al. 2025 (arXiv 2406.03199), the naive method; with `confidences` on soft targets.
    """

    confidences: bool = False
    """Learn each token with the weak models' confidence instead of with certainty: see `token_divergence`."""
    bridge: Where = "characters"
    """Where texts are cut to carry confidences over to the student's tokens."""
    split: Split = "uniform"
    """How the log-probability between two cuts is shared out among the student's tokens."""

    @property
    def bridging(self) -> Bridging:
        """How confidences are carried over to the student's tokens."""
        return Bridging(self.bridge, self.split)

    def __call__(
        self, logits: Tensor, labels: Tensor, log_confidences: Tensor, context: StepContext = NO_CONTEXT
    ) -> Tensor:
        """Return the loss of each position, shape (N,)."""
        if self.confidences:
            return token_divergence(logits, labels, log_confidences, reduction="none")
        return cross_entropy(logits, labels, reduction="none")


@dataclass(frozen=True)
class TokenEvidential(TokenObjective):
    """Learn a Dirichlet distribution over the vocabulary at every position (`objective: evidential`)."""

    confidences: bool = True
    """Whether labels are only as sure as the weak models were of them."""
    preset: Preset = "default"
    """`default`, or `paper` for the regulariser and the bridge of Cui et al. 2025 as published."""
    regularization: float | None = None
    """ρ after the warm-up; None takes the preset's, 0 leaves the regulariser out."""
    warmup: float = 0.2
    """Share of training over which ρ rises."""
    bridge: Where | None = None
    """Where texts are cut to carry confidences over to the student's tokens; None takes the preset's: `characters`, or
    `words` in `paper`."""
    split: Split | None = None
    """How the log-probability between two cuts is shared out among the student's tokens; None takes the preset's:
    `uniform`, or `student` in `paper`."""

    @property
    def own_share(self) -> float:
        """Trust in the student's own choice after the warm-up."""
        return 0.0

    def __post_init__(self) -> None:
        fits = evidential_fits("exp", self.preset, self.regularization) and 0 <= self.own_share <= 1
        wanted = "warmup and gamma from 0 to 1, regularization ≥ 0 and finite, preset `default` or `paper`"
        check_parameters(self, fits and 0 <= self.warmup <= 1, wanted)

    @property
    def bridging(self) -> Bridging:
        """How confidences are carried over to the student's tokens."""
        preset = _BRIDGES[self.preset]
        return Bridging(self.bridge or preset.where, self.split or preset.split)

    def __call__(
        self, logits: Tensor, labels: Tensor, log_confidences: Tensor, context: StepContext = NO_CONTEXT
    ) -> Tensor:
        """Return the loss of each position, shape (N,)."""
        progress = context.ramp(self.warmup)
        return token_evidential(
            logits,
            labels,
            log_confidences if self.confidences else torch.zeros_like(log_confidences),
            own_share=self.own_share * progress,
            preset=self.preset,
            progress=progress,
            regularization=self.regularization,
            reduction="none",
        )


@dataclass(frozen=True)
class TokenBayesian(TokenEvidential):
    """Evidential learning from all supervisors' texts, and a little from the student itself (`objective: bayesian`).

    The sum over supervisors with their λ is in the targets' weights.

    Source:
        Cui et al. 2025 (arXiv 2406.03199), eqs. 4–5 for generation; as in its code, the trust in the student's own
        choice is mixed into the target.
    """

    warmup: float = 0.25
    """Share of training over which γ and ρ rise."""
    gamma: float = 0.25
    """Trust in the student's own choice after the warm-up, in [0, 1]."""

    @property
    def own_share(self) -> float:
        """γ."""
        return self.gamma
