"""The evidential objective: a student that predicts a Dirichlet distribution, and so reports its evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from outgrow.errors import ConfigError, DataError
from outgrow.objectives.cross_entropy import Reduction, check_logits_and_targets, reduce
from outgrow.objectives.protocol import NO_CONTEXT, Objective, StepContext
from outgrow.objectives.special import unit_divergence
from outgrow.objectives.sweep import Evidence, Plan, evidence_of, sweep

Preset = Literal["default", "paper"]

REGULARIZATION = {"default": 0.1, "paper": 1e-4}
"""ρ of each preset. With 0.1 the best prediction for labels that are right with probability .6 to .99 lies within .02
of that probability (with 1 it is off by up to .15), and evidence for wrong answers is still reduced."""
PAPER_CEILING = 2e5
"""Concentrations are capped here in the regulariser of the `paper` preset."""


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
    - `paper`: α̃ = (α − 1)(1 − t) + 1, at most 2·10⁵, R as it is, ρ = 10⁻⁴.

    Logits z are (N, K), K ≥ 2, computed on in fp32 (float64 for float64 logits); targets class indices (N,) or
    probabilities (N, K); row weights (N,). `progress` is the share of training that is done. ρ ≥ 0 (`regularization`)
    None takes the preset's, 0 leaves R out. `reduction`: `none` gives (N,), `mean` the weighted mean.

    Raises:
        DataError: Shapes do not fit, or a parameter is out of range.

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
    problem = _problem(evidence, preset, regularization)
    if problem or choices < 2 or not progress >= 0:
        raise DataError(
            problem or "The evidential objective cannot be computed on this.",
            found=f"{choices} choices, progress {progress}",
            wanted="at least 2 choices, progress ≥ 0",
        )
    rho = REGULARIZATION[preset] if regularization is None else regularization
    strength = rho * min(1.0, progress)
    if preset == "paper":
        return Plan(evidence, strength, removal="shrunk", ceiling=PAPER_CEILING - 1)
    return Plan(evidence, strength * unit_divergence(2) / unit_divergence(choices))


def dirichlet_mean(logits: Tensor, evidence: Evidence) -> Tensor:
    """Return α/S, the prediction of a student trained with evidence; shape (N, K), rows sum to one.

    Example:
        >>> import torch
        >>> dirichlet_mean(torch.tensor([[2.0, 0.0]]), "relu").tolist()
        [[0.75, 0.25]]
    """
    alpha, _ = _scaled_alpha(logits, evidence)
    return alpha / alpha.sum(-1, keepdim=True)


def vacuity(logits: Tensor, evidence: Evidence) -> Tensor:
    """Return K/S, shape (N,): 1 where the student has no evidence at all, towards 0 as evidence grows.

    Example:
        >>> import torch
        >>> vacuity(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), "relu").tolist()
        [0.5, 1.0]
    """
    alpha, shift = _scaled_alpha(logits, evidence)
    return logits.shape[-1] / alpha.sum(-1) * (-shift.squeeze(-1)).exp()


def _scaled_alpha(logits: Tensor, evidence: Evidence) -> tuple[Tensor, Tensor]:
    """α·exp(−shift) and shift (N, 1), which keeps sums of exponentials in range."""
    z = logits.float() if logits.itemsize < 4 else logits
    if evidence == "exp":
        shift = z.amax(-1, keepdim=True).clamp(min=0)
        return (-shift).exp() + (z - shift).exp(), shift
    return 1 + evidence_of(z, evidence), z.new_zeros(len(z), 1)


def check_parameters(name: str, evidence: str, preset: str, regularization: float | None) -> None:
    """Raise `ConfigError` where a parameter of an experiment file is out of range."""
    problem = _problem(evidence, preset, regularization)
    if problem:
        raise ConfigError(f"The objective {name!r} has a parameter out of range.", found=problem)


def _problem(evidence: str, preset: str, regularization: float | None) -> str | None:
    if evidence not in get_args(Evidence):
        return f"Unknown evidence {evidence!r}; known: {', '.join(get_args(Evidence))}."
    if preset not in REGULARIZATION:
        return f"Unknown preset {preset!r}; known: {', '.join(REGULARIZATION)}."
    if regularization is not None and not (0 <= regularization < math.inf):
        return f"A regularization of {regularization}, which is not ≥ 0 and finite."
    return None


class DirichletStudent(Objective):
    """An objective whose students predict a Dirichlet distribution with α = evidence(z) + 1 and S = Σα."""

    evidence: Evidence
    """How logits become evidence: `exp`, `softplus` or `relu`."""

    def predict(self, logits: Tensor) -> Tensor:
        """Return α/S, shape (N, K)."""
        return dirichlet_mean(logits, self.evidence)

    def vacuity(self, logits: Tensor) -> Tensor:
        """Return K/S, shape (N,)."""
        return vacuity(logits, self.evidence)


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
        check_parameters("evidential", self.evidence, self.preset, self.regularization)
        if not 0 <= self.warmup <= 1:
            raise ConfigError("The warm-up of the evidential objective is outside [0, 1].", found=self.warmup)

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
