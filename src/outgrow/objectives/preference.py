"""Objectives on preference pairs, which may have a probability of being the wrong way round.

All start from log-probabilities of whole texts (sums over their tokens) under the student (`policy`) and under a fixed
reference, the model it started from, into which no gradient flows: of chosen and rejected texts, shape (N, 2), or of
single texts, (N,). A text's implicit reward is β times the difference of the two; a larger β keeps the student closer
to the reference. Row weights are (N,); the `reduction` `none` gives (N,), `mean` the weighted mean. Shapes that do not
fit and probabilities outside [0, 1] raise `DataError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from outgrow._lazy import functional, torch
from outgrow.errors import DataError
from outgrow.objectives.cross_entropy import Reduction, reduce
from outgrow.objectives.protocol import PreferenceObjective, check_parameters

if TYPE_CHECKING:
    from torch import Tensor


def dpo(
    policy: Tensor,
    reference: Tensor,
    *,
    beta: float = 0.1,
    epsilon: float | Tensor = 0.0,
    penalty: float = 0.0,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """−(1−ε) log σ(β(h − λ f_c)) − ε log σ(β(−h − λ f_r)), in nats, with the margin h of `preference_margins`.

    ε in [0, 1], a number or (N,), is the probability that the rejected text is the better one. At ε = 0 this is DPO,
    which has no minimum: the margin grows without bound. A constant ε > 0 is conservative DPO, an ε for each pair its
    Bayesian form; without a penalty the minimum is at h = log((1−ε)/ε)/β, where the student is as sure of the pair as
    its source was.

    A margin also grows where both texts become less probable, the better one less so, which happens in practice. The
    penalty λ ≥ 0 is on f = max(0, log ref − log π), the fall of the text taken for the better one.

    Source:
        Rafailov et al. 2023 (arXiv 2305.18290), eq. 7; conservative: Mitchell 2023, *A note on DPO with noisy
        preferences*; used by Cui et al. 2025 (arXiv 2406.03199) with β = 0.1; ε for each pair: ours. The penalty:
        Pal et al. 2024 (arXiv 2402.13228), DPO-positive; its expectation under an uncertain pair: ours.

    Example:
        >>> loss = dpo(torch.tensor([[-3.0, -5.0]]), torch.tensor([[-4.0, -4.0]]), beta=1.0)
        >>> round(loss.item(), 4)
        0.1269
    """
    margins = preference_margins(policy, reference)
    epsilon = _probability(epsilon, margins)
    falls = penalty * torch.relu(-log_ratios(policy, reference))
    losses = -(1 - epsilon) * functional.logsigmoid(beta * (margins - falls[:, 0]))
    losses = losses - epsilon * functional.logsigmoid(beta * (-margins - falls[:, 1]))
    return reduce(losses, weights, reduction)


def preference_margins(policy: Tensor, reference: Tensor) -> Tensor:
    """H = (log π(c) − log π(r)) − (log ref(c) − log ref(r)), shape (N,): the difference of implicit rewards over β.

    Example:
        >>> preference_margins(torch.tensor([[-3.0, -5.0]]), torch.tensor([[-4.0, -4.5]])).tolist()
        [1.5]
    """
    if policy.ndim != 2 or policy.shape[1] != 2:
        raise DataError("Pairs need two log-probabilities each.", found=tuple(policy.shape), wanted="shape (N, 2)")
    ratios = log_ratios(policy, reference)
    return ratios[:, 0] - ratios[:, 1]


def log_ratios(policy: Tensor, reference: Tensor) -> Tensor:
    """Return log π − log ref, of the same shape, in fp32 at least."""
    if policy.shape != reference.shape:
        raise DataError(
            "The log-probabilities of student and reference do not fit together.",
            found=f"{tuple(policy.shape)} and {tuple(reference.shape)}",
            wanted="the same texts",
        )
    precise = torch.promote_types(policy.dtype, torch.float32)
    return policy.to(precise) - reference.detach().to(precise)


def kto(
    policy: Tensor,
    reference: Tensor,
    desirable: Tensor,
    reference_point: Tensor,
    *,
    beta: float = 0.1,
    gain: float = 1.0,
    loss: float = 1.0,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """p·λ_D·(1 − σ(β(r − z))) + (1 − p)·λ_U·(1 − σ(β(z − r))), with r = log π − log ref of a single text.

    p (`desirable`, (N,)) is the probability that a text is a good one, 0 or 1 in the paper; z is the scalar of
    `kto_reference_point`; λ_D (`gain`) and λ_U (`loss`) weigh good and bad texts.

    Source:
        Ethayarajh et al. 2024 (arXiv 2402.01306), eq. 8; its expectation under an uncertain p is ours.

    Example:
        >>> ratio, zero = torch.tensor([2.0]), torch.zeros(1)
        >>> round(kto(ratio, zero, torch.ones(1), torch.tensor(0.0), beta=1.0).item(), 4)
        0.1192
    """
    ratios = log_ratios(policy, reference)
    desirable = _probability(desirable, ratios)
    above = beta * (ratios - reference_point.detach().to(ratios))
    # 1 − σ(x) = σ(−x), without the difference.
    losses = desirable * gain * torch.sigmoid(-above) + (1 - desirable) * loss * torch.sigmoid(above)
    return reduce(losses, weights, reduction)


def kto_reference_point(policy: Tensor, reference: Tensor, weights: Tensor) -> Tensor:
    """Z = max(0, weighted mean of log π − log ref) over N answers to other prompts, a scalar without gradient.

    Source:
        Ethayarajh et al. 2024 (arXiv 2402.01306), §4.1.

    Example:
        >>> kto_reference_point(torch.tensor([-1.0, -2.0]), torch.tensor([-2.0, -2.0]), torch.ones(2)).item()
        0.5
    """
    ratios = log_ratios(policy.detach(), reference)
    mass = weights.sum().clamp_min(torch.finfo(ratios.dtype).tiny)
    return ((ratios * weights).sum() / mass).clamp_min(0.0)


class _UncertainPairs(PreferenceObjective):
    beta: float
    epsilon: float | Literal["ensemble"] = 0.0
    penalty: float = 0.0

    def __post_init__(self) -> None:
        fits = self.beta > 0 and self.penalty >= 0 and (self.epsilon == "ensemble" or 0 <= self.epsilon < 0.5)
        check_parameters(self, fits, "beta > 0, penalty ≥ 0, and epsilon from 0 to below 0.5 or `ensemble`")

    @property
    def takes_doubt(self) -> bool:
        return self.epsilon == "ensemble"

    def __call__(
        self, policy: Tensor, reference: Tensor, wrong: Tensor | None = None, reference_point: Tensor | None = None
    ) -> Tensor:
        return dpo(
            policy, reference, beta=self.beta, epsilon=self._wrong(wrong), penalty=self.penalty, reduction="none"
        )

    def _wrong(self, wrong: Tensor | None) -> float | Tensor:
        return _given(wrong, "wrong") if self.epsilon == "ensemble" else self.epsilon


@dataclass(frozen=True)
class DPO(_UncertainPairs):
    """Direct preference optimisation, pairs taken as certain (`prefer: dpo`); see `dpo`."""

    beta: float = 0.1
    """How closely the student is held to the reference."""
    penalty: float = 0.0
    """λ, how much a fall of the chosen text's own probability costs (DPO-positive)."""


@dataclass(frozen=True)
class ConservativeDPO(_UncertainPairs):
    """DPO on pairs that may be the wrong way round (`prefer: cdpo`); see `dpo`."""

    beta: float = 0.1
    """How closely the student is held to the reference."""
    epsilon: float | Literal["ensemble"] = 0.1
    """Probability that a pair is the wrong way round, below ½; `ensemble` takes each pair's own."""
    penalty: float = 0.0
    """λ, how much a fall of the better text's own probability costs (DPO-positive)."""


@dataclass(frozen=True)
class KTO(_UncertainPairs):
    """Kahneman–Tversky optimisation: chosen texts are good, rejected ones bad, unpaired (`prefer: kto`); see `kto`.

    Source:
        Ethayarajh et al. 2024 (arXiv 2402.01306). The answers to other prompts for the reference point are drawn once
        for the whole training; the point is estimated in every step over its whole batch.
    """

    takes_mismatched: ClassVar[bool] = True

    beta: float = 0.1
    """How closely the student is held to the reference."""
    gain: float = 1.0
    """λ_D, how much chosen texts count."""
    loss: float = 1.0
    """λ_U, how much rejected texts count."""
    epsilon: float | Literal["ensemble"] = 0.0
    """Probability that a pair is the wrong way round, below ½; `ensemble` takes each pair's own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parameters(self, min(self.gain, self.loss) >= 0 < self.gain + self.loss, "gain and loss ≥ 0, not both 0")

    def __call__(
        self, policy: Tensor, reference: Tensor, wrong: Tensor | None = None, reference_point: Tensor | None = None
    ) -> Tensor:
        """Return the loss of each pair, shape (N,): the mean over its two texts."""
        epsilon = self._wrong(wrong)
        if isinstance(epsilon, float):
            precise = torch.promote_types(policy.dtype, torch.float32)
            epsilon = policy.new_full(policy.shape[:1], epsilon, dtype=precise)
        good = torch.stack([1 - epsilon, epsilon], dim=1).flatten()
        point = _given(reference_point, "reference_point")
        flat = policy.flatten(), reference.flatten(), good, point
        losses = kto(*flat, beta=self.beta, gain=self.gain, loss=self.loss, reduction="none")
        return losses.reshape(-1, 2).mean(1)


def _given(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise DataError(f"This preference objective needs `{name}`.", found="None")
    return value


def _probability(value: float | Tensor, like: Tensor) -> Tensor:
    given = torch.as_tensor(value, dtype=like.dtype, device=like.device).detach()
    if given.shape not in ((), like.shape) or not bool(((given >= 0) & (given <= 1)).all()):
        raise DataError(
            "The probabilities do not fit the texts.",
            found=f"shape {tuple(given.shape)}, {given.min().item():.4g} to {given.max().item():.4g}",
            wanted=f"one number in [0, 1], or {len(like)} of them",
        )
    return given.expand_as(like)
