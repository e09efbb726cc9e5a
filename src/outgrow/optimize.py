"""The training loop of small networks: AdamW down a loss, without what a trainer adds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


def minimize(
    parameters: Iterable[Parameter],
    loss: Callable[[], Tensor],
    schedule: Callable[[Optimizer], LRScheduler],
    *,
    steps: int,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.98),
    weight_decay: float = 0.01,
    clip: float | None = 1.0,
    advance: Callable[[], object] = lambda: None,
) -> None:
    """Train parameters in place by AdamW.

    Args:
        parameters: What is trained.
        loss: Draws a batch and returns its loss.
        schedule: Makes the scheduler of the learning rate, such as `lambda optimizer: LambdaLR(optimizer, factor)`.
        steps: Optimizer steps.
        learning_rate: Peak learning rate.
        betas: Decay rates of the moments.
        weight_decay: Decoupled weight decay.
        clip: Largest norm of the gradient; None does not clip.
        advance: Called after every step.

    Example:
        >>> import torch
        >>> x = torch.nn.Parameter(torch.zeros(()))
        >>> constant = torch.optim.lr_scheduler.ConstantLR
        >>> minimize([x], lambda: (x - 3).square(), lambda o: constant(o, 1.0), steps=300, learning_rate=0.05)
        >>> round(x.item(), 1)
        3.0
    """
    import torch

    trained = list(parameters)
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, betas=betas, weight_decay=weight_decay)
    rates = schedule(optimizer)
    for _ in range(steps):
        loss().backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(trained, clip)
        optimizer.step()
        optimizer.zero_grad()
        rates.step()
        advance()
