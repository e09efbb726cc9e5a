"""The Dirichlet–multinomial objective: the exact likelihood of several votes on one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from outgrow.errors import ConfigError, DataError
from outgrow.objectives.bayesian import as_votes, mean_where, pooled_votes
from outgrow.objectives.cross_entropy import Reduction
from outgrow.objectives.evidential import DirichletStudent, check_parameters
from outgrow.objectives.protocol import NO_CONTEXT, StepContext
from outgrow.objectives.sweep import Evidence, Plan, sweep


def dirichlet_multinomial(
    logits: Tensor, counts: Tensor, *, evidence: Evidence = "softplus", reduction: Reduction = "mean"
) -> Tensor:
    """−log of the probability of opinions n_k, drawn one after another from π ~ Dir(α), in nats.

    lnΓ(S+n) − lnΓ(S) − Σ_k (lnΓ(α_k+n_k) − lnΓ(α_k)), with α = evidence(z) + 1, S = Σα, n = Σ n_k. With two opinions
    or more their disagreement identifies the concentration, so no regulariser is needed. With one it is the data term
    of `evidential`.

    Logits z are (N, K), K ≥ 2; counts n ≥ 0 are (N, K), fractions allowed, without gradient. `reduction`: `none` gives
    (N,), with 0 and no gradient for a row without an opinion; `mean` the mean over the other rows.

    Raises:
        DataError: Shapes do not fit, or counts are negative or not numbers.

    Source:
        Ours; the Pólya distribution as likelihood.

    Example:
        >>> import torch
        >>> logits = torch.zeros(1, 2)  # relu: no evidence, the uniform Dirichlet
        >>> round(dirichlet_multinomial(logits, torch.tensor([[1.0, 1.0]]), evidence="relu").exp().item(), 4)  # 1 in 6
        6.0
    """
    if logits.ndim != 2 or counts.shape != logits.shape or logits.shape[1] < 2:
        raise DataError(
            "Logits and counts do not fit together.",
            found=f"logits {tuple(logits.shape)}, counts {tuple(counts.shape)}",
            wanted="both (N, K), K ≥ 2",
        )
    if not bool(((counts >= 0) & counts.isfinite()).all()):
        raise DataError("Counts of opinions are negative or not numbers.", wanted="finite counts ≥ 0")
    counts = counts.detach().to(logits.device)
    losses = sweep(logits, counts, Plan(evidence, opinions=True))
    return mean_where(losses, counts.sum(1) > 0, reduction)


@dataclass(frozen=True)
class DirichletMultinomial(DirichletStudent):
    """The exact likelihood of all supervisors' votes (`objective: dirichlet_multinomial`)."""

    evidence: Evidence = "softplus"
    """How logits become evidence: `exp`, `softplus` or `relu`."""
    weights: tuple[float, ...] | None = None
    """Number of opinions that each supervisor's vote counts for; None for one each. Choose less for copies."""

    takes_votes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_parameters("dirichlet_multinomial", self.evidence, "default", None)
        if self.weights is not None:
            object.__setattr__(self, "weights", tuple(self.weights))
        if min(self.weights or (0.0,)) < 0:
            raise ConfigError("A weight of the dirichlet_multinomial objective is negative.", found=self.weights)

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext = NO_CONTEXT) -> Tensor:
        """Return the loss of each row, shape (N,), from votes (N, M, K) or one combined target per row (N, K)."""
        votes, weights = as_votes(targets, self.weights, context)
        counts, _ = pooled_votes(logits, votes, weights)
        return dirichlet_multinomial(logits, counts, evidence=self.evidence, reduction="none")
