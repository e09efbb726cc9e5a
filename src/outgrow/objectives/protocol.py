"""The seams between objectives and trainers, with the defaults of what an objective leaves out.

Built-in objectives inherit from these protocols. An objective of your own needs `__call__` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from outgrow.bridge import Bridging
from outgrow.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class StepContext:
    """What an objective may know of the optimizer step; the same for every piece of that step's batch."""

    progress: float = 1.0
    """Share of training that is done, from 0 to 1."""
    offsets: Tensor | None = None
    """Per-class offsets (K,) that make hardened predictions match the weak labels' class proportions."""
    lambdas: Tensor | None = None
    """λ of each supervisor (M,), where targets are votes."""

    def ramp(self, warmup: float) -> float:
        """Return min(1, progress / warmup), and 1 without a warm-up."""
        return min(1.0, self.progress / warmup) if warmup else 1.0


NO_CONTEXT = StepContext()
"""The context outside a trainer: warm-ups are over, and nothing is known of other rows."""


def check_parameters(objective: object, fits: bool, wanted: str) -> None:
    """Raise `ConfigError` where the parameters of an objective do not fit."""
    if not fits:
        raise ConfigError("A parameter of the objective is out of range.", found=objective, wanted=wanted)


class Objective(Protocol):
    """An objective of choice tasks: a frozen dataclass whose fields are its parameters (`objective:`).

    Objectives that report evidence also have `vacuity` (see `EvidentialObjective`). Those that learn the supervisors'
    weights together with the student have `memory(lambdas)`, which returns a `WeightMemory` that starts from λ (M,).
    """

    @property
    def window(self) -> int:
        """Number of recent predictions from which the trainer computes `StepContext.offsets`; 0 for none."""
        return 0

    @property
    def takes_votes(self) -> bool:
        """Whether targets are the supervisors' votes (N, M, K), rather than combined targets (N, K)."""
        return False

    def __call__(self, logits: Tensor, targets: Tensor, context: StepContext = NO_CONTEXT) -> Tensor:
        """Return the loss of each row, shape (N,), from logits (N, K) and targets (N, K) or votes (N, M, K)."""
        raise NotImplementedError

    def predict(self, logits: Tensor) -> Tensor:
        """Return the predicted distributions (N, K) of a student trained with this objective: softmax by default."""
        return logits.float().softmax(-1)


class EvidentialObjective(Objective, Protocol):
    """An objective whose students predict how much evidence they have."""

    def vacuity(self, logits: Tensor) -> Tensor:
        """Return the lack of evidence of each row, shape (N,): 1 for none, towards 0 for much."""


class WeightMemory(Protocol):
    """λ while they are learned; kept by the trainer, since objectives are frozen."""

    def step(self, log_probs: Tensor, votes: Tensor, weights: Tensor) -> Tensor:
        """Return λ (M,) for a step whose rows have log-probabilities (n, K), votes (n, M, K) and weights (n,)."""

    def state(self) -> Any:
        """Return what a resumed run needs, as JSON values."""

    def restore(self, state: Any) -> None:
        """Set the state that `state` returned."""


class TokenObjective(Protocol):
    """An objective of text tasks: a frozen dataclass whose fields are its parameters."""

    @property
    def confidences(self) -> bool:
        """Whether it uses the weak models' confidence in each token."""
        return False

    @property
    def bridging(self) -> Bridging:
        """How the weak models' log-probabilities are carried over to the student's tokens."""
        return Bridging()

    def __call__(
        self, logits: Tensor, labels: Tensor, log_confidences: Tensor, context: StepContext = NO_CONTEXT
    ) -> Tensor:
        """Return the loss of each position, shape (N,), from logits (N, V), token ids (N,) and log-confidences (N,)."""
        raise NotImplementedError


class PreferenceObjective(Protocol):
    """An objective of preference pairs: a frozen dataclass whose fields are its parameters (`prefer:`)."""

    @property
    def takes_mismatched(self) -> bool:
        """Whether it needs a reference point, estimated on answers that belong to other prompts."""
        return False

    @property
    def takes_doubt(self) -> bool:
        """Whether it uses each pair's own probability of being the wrong way round."""
        return False

    def __call__(
        self, policy: Tensor, reference: Tensor, wrong: Tensor | None = None, reference_point: Tensor | None = None
    ) -> Tensor:
        """Return the loss of each pair (N,) from log-probabilities of chosen and rejected texts, both (N, 2).

        Args:
            policy: Under the student.
            reference: Under the reference.
            wrong: Probability that the rejected text is the better one, shape (N,); needed if `takes_doubt`.
            reference_point: A scalar, see `kto_reference_point`; needed if `takes_mismatched`.
        """
        raise NotImplementedError
