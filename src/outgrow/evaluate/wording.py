"""Number formats of tables, notes and reports: scores with three decimals, PGR with two, intervals in brackets."""

from __future__ import annotations

Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval."""


def number_text(value: float, *, decimals: int = 3, signed: bool = False) -> str:
    """Return a number without the zero before the decimal point."""
    # Adding zero turns the -0.0 that rounding leaves behind into 0.0.
    rounded = round(value, decimals) + 0.0
    text = f"{rounded:{'+' if signed and rounded else ''}.{decimals}f}"
    return text.replace("0.", ".", 1) if abs(rounded) < 1 else text


def estimate_text(
    value: float, interval: Interval | None, *, decimals: int = 3, signed: bool = False, separator: str = " "
) -> str:
    """Return a number with its interval, if any; only the number itself gets the sign of a difference."""
    text = number_text(value, decimals=decimals, signed=signed)
    if interval is None:
        return text
    low, high = (number_text(end, decimals=decimals) for end in interval)
    return f"{text}{separator}[{low}, {high}]"


def probability_text(p: float) -> str:
    """Return a p-value in the usual notation."""
    return "p < .001" if p < 0.001 else f"p = {number_text(p)}"


def share_text(share: float) -> str:
    """Return a share in per cent; small shares above zero are `< 1 %`."""
    return "< 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
