"""The evidential objective: a student that predicts a Dirichlet distribution, and so reports its evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from outgrow.errors import DataError
from outgrow.objectives.cross_entropy import Reduction, check_logits_and_targets, reduce
from outgrow.objectives.protocol import NO_CONTEXT, Objective, StepContext, check_parameters
from outgrow.objectives.special import unit_divergence
from outgrow.objectives.sweep import Evidence, Plan, evidence_of, sweep

if TYPE_CHECKING:
    from torch import Tensor

Preset = Literal["default", "paper"]

REGULARIZATION = {"default": 0.1, "paper": 1e-4}
"""ρ of each preset. With 0.1 the best prediction for labels that are right with probability .6 to .99 lies within .02
of that probability (with 1 it is off by up to .15), and evidence for wrong answers is still reduced."""
PAPER_CEILING = 2e5
"""Concentrations are capped here in the regulariser of the `paper` preset."""
EVIDENTIAL = "evidence `exp`, `softplus` or `relu`, preset `default` or `paper`, regularization ≥ 0 and finite"
"""Parameters of every evidential objective."""


def evidential(
    logits: Tensor,
    targets: Tensor,
    *,
    evidence: Evidence = "exp",
    preset: Preset = "default",
    progress: float = 1.0,
    regularization: float | None = None,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Σ_k t_k (log S − log α_k) + ρ·min(1, progress)·R, in nats, with α = evidence(z) + 1 and S = Σα.

    R is the divergence of Dir(α̃) from the uniform Dirichlet, α̃ being α without the label's evidence: it takes back
    evidence for wrong answers. No gradient flows into the targets.

    - `default`: for a soft target R is the mean over labels drawn from it, each without all of its label's evidence, so
      that the loss is linear in the target; R is divided by c(K)/c(2), c(K) being R at α̃ = 2 everywhere, so that ρ
      means the same for 2 choices and for 32,000 tokens. ρ = 0.1.
    - `paper`: α̃ = (α − 1)(1 − t) + 1, at most 2·10⁵ in each class, R as it is, ρ = 10⁻⁴. The code of Cui et al. clamps
      the input of R, which is α̃. With V = 32,000 and a wrong token at a logit of 30, R is then 4.9·10⁴; with R itself
      clamped it would be 2·10⁵, and without a clamp 6.1·10⁵.

    R and its gradient have a relative accuracy of about 10⁻⁷ (polynomials stand for lnΓ and ψ′), for float64 logits
    too; the data term has that of its type.

    Logits z (N, K), K ≥ 2, targets, `weights` and `reduction` are those of `cross_entropy`. `progress` is the share of
    training that is done. ρ ≥ 0 (`regularization`): None takes the preset's, 0 leaves R out.

    Source:
        Cui et al. 2025 (arXiv 2406.03199), after Sensoy et al. 2018 (arXiv 1806.01768); the default preset is ours.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0]])
        >>> round(evidential(logits, torch.tensor([0]), regularization=0).item(), 4)  # log((e² + 3) / (e² + 1))
        0.2138
        >>> round(evidential(logits, torch.tensor([0])).item(), 4)
        0.2331
    """
    check_logits_and_targets(logits, targets)
    plan = evidential_plan(logits.shape[1], evidence, preset, progress, regularization)
    return reduce(sweep(logits, targets, plan), weights, reduction)


def evidential_plan(
    choices: int, evidence: Evidence, preset: Preset, progress: float, regularization: float | None
) -> Plan:
    """Return what `evidential` computes; raises `DataError` where a parameter is out of range."""
    if not evidential_fits(evidence, preset, regularization) or choices < 2 or not progress >= 0:
        raise DataError(
            "The evidential objective cannot be computed on this.",
            found=f"{choices} choices, {evidence=}, {preset=}, {progress=}, {regularization=}",
            wanted=f"at least 2 choices, progress ≥ 0, {EVIDENTIAL}",
        )
    rho = REGULARIZATION[preset] if regularization is None else regularization
    strength = rho * min(1.0, progress)
    if preset == "paper":
        return Plan(evidence, strength, removal="shrunk", ceiling=PAPER_CEILING - 1)
    return Plan(evidence, strength * unit_divergence(2) / unit_divergence(choices))


def evidential_fits(evidence: str, preset: str, regularization: float | None) -> bool:
    """Return whether parameters of an evidential objective are as `EVIDENTIAL` says."""
    return evidence in get_args(Evidence) and preset in REGULARIZATION and 0 <= (regularization or 0.0) < math.inf


def _scaled_alpha(logits: Tensor, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """α·exp(−shift) and shift (N, 1), which keeps sums of exponentials in range."""
    z = logits.float() if logits.itemsize < 4 else logits
    if evidence == "exp":
        shift = z.amax(-1, keepdim=True).clamp(min=0)
        return (-shift).exp() + (z - shift).exp(), shift
    return 1 + evidence_of(z, evidence), z.new_zeros(len(z), 1)


class DirichletStudent(Objective):
    """An objective whose students predict a Dirichlet distribution with α = evidence(z) + 1 and S = Σα."""

    evidence: Evidence
    """How logits become evidence: `exp`, `softplus` or `relu`."""

    def predict(self, logits: Tensor) -> Tensor:
        """Return α/S, shape (N, K)."""
        alpha, _ = _scaled_alpha(logits, self.evidence)
        return alpha / alpha.sum(-1, keepdim=True)

    def vacuity(self, logits: Tensor) -> Tensor:
        """Return K/S, shape (N,): 1 where the student has no evidence at all, towards 0 as evidence grows."""
        alpha, shift = _scaled_alpha(logits, self.evidence)
        return logits.shape[-1] / alpha.sum(-1) * (-shift.squeeze(-1)).exp()


@dataclass(frozen=True)
class Evidential(DirichletStudent):
    """Learn a Dirichlet distribution per row (`objective: evidential`)."""

    evidence: Evidence = "exp"
    preset: Preset = "default"
    """`default`, or `paper` for the regulariser of Cui et al. 2025 as published."""
    regularization: float | None = None
    """ρ after the warm-up; None takes the preset's, 0 leaves the regulariser out."""
    warmup: float = 0.2
    """Share of training over which ρ rises."""

    def __post_init__(self) -> None:
        fits = evidential_fits(self.evidence, self.preset, self.regularization) and 0 <= self.warmup <= 1
        check_parameters(self, fits, f"{EVIDENTIAL}, 0 ≤ warmup ≤ 1")

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext = NO_CONTEXT) -> Tensor:
        """Return the loss of each row, shape (N,)."""
        return evidential(
            logits,
            targets,
            evidence=self.evidence,
            preset=self.preset,
            progress=context.ramp(self.warmup),
            regularization=self.regularization,
            reduction="none",
        )
