"""The wording that refiners share, and a check of their parameters."""

from __future__ import annotations

from typing import Literal

from outgrow.errors import ConfigError

Preset = Literal["default", "paper"]
"""Whose prompts: our wording, or the structure that [TL] (arXiv 2405.16236) describes."""
BLOCK = "Question: {prompt}\nAnswer: {answer}\n\n"
"""How a weakly answered row is shown."""
QUERY = "Question: {prompt}\nAnswer:"
"""How a row is asked."""


def check_at_least(parameter: str, value: int, least: int, fix: str | None = None) -> None:
    """Checks a parameter that counts something.

    Raises:
        ConfigError: It is below `least`.
    """
    if value < least:
        raise ConfigError(
            f"A refiner's `{parameter}` is too small.",
            found=f"{parameter}: {value}",
            wanted=f"at least {least}",
            fix=fix,
        )
