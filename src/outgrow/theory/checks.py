"""Refusals that the rooms of the lab share."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import ConfigError


def above_zero(name: str, value: float, *, fix: str | None = None) -> None:
    """Refuses what is zero, negative or not finite.

    Raises:
        ConfigError: With the name and the value.
    """
    if not (np.isfinite(value) and value > 0):
        raise ConfigError(f"{name} must be above 0.", found=value, fix=fix)


def at_least(name: str, value: int, least: int) -> None:
    """Refuses a count that is too small.

    Raises:
        ConfigError: With the name, the value and the least.
    """
    if value < least:
        raise ConfigError(f"{name} must be at least {least}.", found=value)


def probability(name: str, value: float) -> None:
    """Refuses what is not between 0 and 1.

    Raises:
        ConfigError: With the name and the value.
    """
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} must be between 0 and 1.", found=value)


def distribution(name: str, values: ArrayLike, size: int) -> NDArray[np.float64]:
    """Checks probabilities.

    Args:
        name: What they are, for the message.
        values: Shape (K,).
        size: K.

    Raises:
        ConfigError: Another number of them, a negative or missing one, or a sum that is not 1.

    Example:
        >>> distribution("The prior", [0.5, 0.6], 2)
        Traceback (most recent call last):
        ...
        outgrow.errors.ConfigError: The prior does not sum to 1.
          found:  1.1
    """
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (size,):
        raise ConfigError(f"{name} has the wrong shape.", found=array.shape, wanted=f"one number for each of {size}")
    if not np.isfinite(array).all() or (array < 0).any():
        raise ConfigError(f"{name} has a negative or missing probability.", found=array.tolist())
    if abs(array.sum() - 1) > 1e-6:
        raise ConfigError(f"{name} does not sum to 1.", found=float(array.sum()))
    checked: NDArray[np.float64] = array / array.sum()
    return checked
