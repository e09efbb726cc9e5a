"""Objectives on the single votes of several supervisors: Bayesian, Dirichlet–multinomial, and RAVEN.

Logits are (N, K), votes probabilities (N, M, K) in which a row of NaN is an abstention. `reduction`: `none` gives (N,),
with loss 0 and no gradient for a row without a vote; `mean` the mean over the other rows.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from outgrow._lazy import torch
from outgrow.errors import DataError
from outgrow.objectives.cross_entropy import Reduction, cross_entropy, reduce
from outgrow.objectives.evidential import EVIDENTIAL, DirichletStudent, Preset, evidential_fits, evidential_plan
from outgrow.objectives.protocol import NO_CONTEXT, Objective, StepContext, check_parameters
from outgrow.objectives.special import wide
from outgrow.objectives.sweep import NARROW, Evidence, Plan, sweep

if TYPE_CHECKING:
    from torch import Tensor


def bayesian(
    logits: Tensor,
    votes: Tensor,
    *,
    weights: Tensor | None = None,
    gamma: float = 0.25,
    evidence: Evidence = "exp",
    preset: Preset = "default",
    progress: float = 1.0,
    regularization: float | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """(1 − γ) Σ_i λ_i Σ_k y_k⁽ⁱ⁾ L(z, e_k) + γ L(z, e_argmax z), with L the evidential loss of a single label e_k.

    The mean over labels is taken of the whole loss, regulariser included, so both presets are linear in the votes; they
    differ in ρ, in the scale of R and in the cap on its evidence (see `evidential`).

    Logits z are (N, K), votes y (N, M, K) with K NaNs for an abstention. λ ≥ 0 (`weights`, (M,) or per row (N, M)) is
    normalised over the supervisors that voted on the row; by default it is uniform. γ in [0, 1] (`gamma`) is the trust
    in the student's own answer. `evidence`, `preset`, `progress` and `regularization` are those of `evidential`.

    Source:
        Cui et al. 2025 (arXiv 2406.03199), eqs. 4–5.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [2.0, 0.0]])
        >>> nan = float("nan")
        >>> votes = torch.tensor([[[1.0, 0.0], [nan, nan]], [[nan, nan], [nan, nan]]])
        >>> [round(each, 3) for each in bayesian(logits, votes, regularization=0, reduction="none").tolist()]
        [0.214, 0.0]
    """
    if not 0 <= gamma <= 1:
        raise DataError("The trust γ in the student's own answer is outside [0, 1].", found=gamma)
    targets, voted = pooled_votes(logits, votes, weights)
    share = 1 / targets.sum(1, keepdim=True).clamp_min(torch.finfo(targets.dtype).tiny)
    targets = targets * share * (1 - gamma)
    targets.scatter_add_(1, logits.detach().argmax(1, keepdim=True), targets.new_full((len(targets), 1), gamma))
    plan = evidential_plan(logits.shape[1], evidence, preset, progress, regularization)
    losses = sweep(logits, targets, dataclasses.replace(plan, removal="expected"))
    return reduce(losses, None, reduction, voted)


def pooled_votes(logits: Tensor, votes: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return Σ_i λ_i y⁽ⁱ⁾ over the votes given, shape (N, K), and which rows have a vote, (N,); λ None: 1 each."""
    if votes.ndim != 3 or logits.ndim != 2 or (votes.shape[0], votes.shape[2]) != tuple(logits.shape):
        raise DataError(
            "Logits and votes do not fit together.",
            found=f"logits {tuple(logits.shape)}, votes {tuple(votes.shape)}",
            wanted="logits (N, K) and votes (N, M, K)",
        )
    n, m, _ = votes.shape
    if weights is None:
        weights = torch.ones(m)
    if tuple(weights.shape) not in {(m,), (n, m)} or not bool((weights >= 0).all()):
        raise DataError(
            "The supervisors' weights do not fit the votes.",
            found=f"shape {tuple(weights.shape)} for {m} supervisors",
            wanted=f"({m},) or ({n}, {m}), none negative",
        )
    exact = wide(logits.device) if logits.shape[1] <= NARROW else torch.promote_types(logits.dtype, torch.float32)
    votes = votes.detach().to(device=logits.device, dtype=exact)
    given = ~votes.isnan().any(2)
    trust = weights.detach().to(device=logits.device, dtype=exact).expand(n, m) * given
    pooled = torch.einsum("nm,nmk->nk", trust, torch.where(given[..., None], votes, 0.0))
    return pooled, trust.sum(1) > 0


def as_votes(targets: Tensor, weights: tuple[float, ...] | None, context: StepContext) -> tuple[Tensor, Tensor | None]:
    """Return votes (N, M, K) and λ; a combined target (N, K) is one vote, with λ already in it."""
    if targets.ndim == 2:
        return targets[:, None, :], None
    return targets, context.lambdas if weights is None else torch.tensor(weights)


@dataclass(frozen=True)
class Bayesian(DirichletStudent):
    """Learn a Dirichlet distribution from all supervisors' votes (`objective: bayesian`)."""

    gamma: float = 0.25
    """Trust in the student's own answer, in [0, 1]."""
    weights: tuple[float, ...] | None = None
    """λ of the supervisors in their order; None for equal weights."""
    evidence: Evidence = "exp"
    """How logits become evidence: `exp`, `softplus` or `relu`."""
    preset: Preset = "default"
    """`default`, or `paper` for the regulariser of Cui et al. 2025 as published."""
    regularization: float | None = None
    """ρ after the warm-up; None takes the preset's, 0 leaves the regulariser out."""
    warmup: float = 0.25
    """Share of training over which γ and ρ rise from 0."""

    takes_votes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        fits = evidential_fits(self.evidence, self.preset, self.regularization) and min(self.weights or (0.0,)) >= 0
        fits = fits and 0 <= self.gamma <= 1 and 0 <= self.warmup <= 1
        check_parameters(self, fits, f"0 ≤ gamma ≤ 1, 0 ≤ warmup ≤ 1, weights ≥ 0, {EVIDENTIAL}")

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext = NO_CONTEXT) -> Tensor:
        """Return the loss of each row, shape (N,), from votes (N, M, K) or one combined target per row (N, K)."""
        votes, weights = as_votes(targets, self.weights, context)
        progress = context.ramp(self.warmup)
        return bayesian(
            logits,
            votes,
            weights=weights,
            gamma=self.gamma * progress,
            evidence=self.evidence,
            preset=self.preset,
            progress=progress,
            regularization=self.regularization,
            reduction="none",
        )


def dirichlet_multinomial(
    logits: Tensor, counts: Tensor, *, evidence: Evidence = "softplus", reduction: Reduction = "mean"
) -> Tensor:
    """−log of the probability of opinions n_k, drawn one after another from π ~ Dir(α), in nats.

    lnΓ(S+n) − lnΓ(S) − Σ_k (lnΓ(α_k+n_k) − lnΓ(α_k)), with α = evidence(z) + 1, S = Σα, n = Σ n_k. With two opinions
    or more their disagreement identifies the concentration, so no regulariser is needed. With one it is the data term
    of `evidential`.

    Logits z and counts n ≥ 0, fractions allowed, are (N, K), K ≥ 2; no gradient flows into the counts.

    Source:
        Ours; the Pólya distribution as likelihood.

    Example:
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
    return reduce(losses, None, reduction, counts.sum(1) > 0)


@dataclass(frozen=True)
class DirichletMultinomial(DirichletStudent):
    """The exact likelihood of all supervisors' votes (`objective: dirichlet_multinomial`)."""

    evidence: Evidence = "softplus"
    """How logits become evidence: `exp`, `softplus` or `relu`."""
    weights: tuple[float, ...] | None = None
    """Number of opinions that each supervisor's vote counts for; None for one each. Choose less for copies."""

    takes_votes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        fits = evidential_fits(self.evidence, "default", None) and min(self.weights or (0.0,)) >= 0
        check_parameters(self, fits, "evidence `exp`, `softplus` or `relu`, weights ≥ 0")

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext = NO_CONTEXT) -> Tensor:
        """Return the loss of each row, shape (N,), from votes (N, M, K) or one combined target per row (N, K)."""
        votes, weights = as_votes(targets, self.weights, context)
        counts, _ = pooled_votes(logits, votes, weights)
        return dirichlet_multinomial(logits, counts, evidence=self.evidence, reduction="none")


class _LearnedWeights:
    """λ = softmax(θ), moved down the gradient of the step's loss by plain steps of size `rate` (`WeightMemory`).

    With ℓ_m the student's mean cross entropy against supervisor m, the loss Σ_m λ_m ℓ_m has the gradient
    λ_m (ℓ_m − Σ_j λ_j ℓ_j) in θ_m: supervisors that the student fits well gain weight. From a `start` (M,) of λ,
    supervisors with λ = 0 stay at 0.
    """

    def __init__(self, start: Tensor, rate: float) -> None:
        self._logits, self._rate = start.double().log(), rate

    def step(self, log_probs: Tensor, votes: Tensor, weights: Tensor) -> Tensor:
        given = ~votes.isnan().any(2)
        shares = weights[:, None] * given
        losses = -(torch.nan_to_num(votes) * log_probs[:, None, :]).sum(2)
        voted = shares.sum(0)
        mean = ((losses * shares).sum(0) / voted.clamp_min(1e-12)).double().cpu()
        lambdas = torch.softmax(self._logits, 0)
        voting = (voted > 0).cpu() & (lambdas > 0)
        average = (lambdas * mean)[voting].sum() / lambdas[voting].sum() if voting.any() else torch.zeros(())
        # The weight of a supervisor without a vote in this step does not change.
        self._logits = self._logits - self._rate * torch.where(voting, lambdas * (mean - average), 0.0)
        return torch.softmax(self._logits, 0).float()

    def state(self) -> list[float]:
        return [float(each) for each in self._logits]

    def restore(self, state: list[float]) -> None:
        self._logits = torch.tensor(state, dtype=torch.float64)


@dataclass(frozen=True)
class Raven(Objective):
    """Learn a mixture of the supervisors' votes together with the mixture's weights (`objective: raven`).

    The student's cross entropy against Σ_m λ_m y⁽ᵐ⁾ is minimised in the student and in λ. The first part of training
    uses only rows on which all supervisors agree.

    Source:
        Jeon, Sobotka, Choi & Brbić 2025 (arXiv 2510.21332); reconstruction: how λ is stepped and for how long easy rows
        come first are ours.
    """

    rate: float = 0.3
    """Step size of the logits of λ."""
    easy: float = 0.2
    """Share of training on only those rows on which all supervisors agree."""

    takes_votes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_parameters(self, self.rate >= 0 and 0 <= self.easy < 1, "rate ≥ 0, 0 ≤ easy < 1")

    def memory(self, lambdas: Tensor) -> _LearnedWeights:
        """Return the state that learns λ, starting from these (M,)."""
        return _LearnedWeights(lambdas, self.rate)

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext = NO_CONTEXT) -> Tensor:
        """Return the loss of each row, shape (N,), from votes (N, M, K) or one combined target per row (N, K)."""
        votes, weights = as_votes(targets, None, context)
        pooled, counted = pooled_votes(logits, votes, weights)
        if context.progress < self.easy:
            favourites = torch.where(votes.isnan(), -1.0, votes).argmax(2)
            given = ~votes.isnan().any(2)
            first = torch.where(given, favourites, favourites.max() + 1).min(1, keepdim=True).values
            counted = counted & ((favourites == first) | ~given).all(1).to(counted.device)
        mixture = pooled / pooled.sum(1, keepdim=True).clamp_min(torch.finfo(pooled.dtype).tiny)
        losses = cross_entropy(logits, mixture, reduction="none")
        return torch.where(counted, losses, torch.zeros_like(losses))
