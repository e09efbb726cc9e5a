"""Array types and checks of settings for the whole lab; a check raises ConfigError with the name and the value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outgrow.errors import ConfigError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def above_zero(name: str, value: float, *, fix: str | None = None) -> None:
    """Refuse a number that is zero, negative or not finite."""
    if not (np.isfinite(value) and value > 0):
        raise ConfigError(f"{name} must be above 0.", found=value, fix=fix)


def at_least(name: str, value: int, least: int) -> None:
    """Refuse a count that is too small."""
    if value < least:
        raise ConfigError(f"{name} must be at least {least}.", found=value)


def positive_counts(name: str, values: Sequence[int]) -> None:
    """Refuse an empty list of counts, and counts below 1."""
    if not values or min(values) < 1:
        raise ConfigError(f"{name} must be at least 1.", found=values)


def probability(name: str, value: float) -> None:
    """Refuse a number that is not between 0 and 1."""
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} must be between 0 and 1.", found=value)


def distribution(name: str, values: ArrayLike, size: int) -> Floats:
    """Return probabilities of shape (size,), normalised.

    Raises:
        ConfigError: Another shape, a negative or missing value, or a sum that is not 1.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (size,):
        raise ConfigError(f"{name} has the wrong shape.", found=array.shape, wanted=f"one number for each of {size}")
    if not np.isfinite(array).all() or (array < 0).any():
        raise ConfigError(f"{name} has a negative or missing probability.", found=array.tolist())
    if abs(array.sum() - 1) > 1e-6:
        raise ConfigError(f"{name} does not sum to 1.", found=float(array.sum()))
    return np.asarray(array / array.sum())
