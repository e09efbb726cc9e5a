"""Waiting times in the headers of replies."""

from __future__ import annotations

import email.utils
import math
import re
from collections.abc import Mapping

LONGEST_HOLD = 3600.0
"""Longest wait, in seconds, that a server may ask for; a longer one ends the run, which can be continued later."""

_REMAINING, _RESET = "x-ratelimit-remaining-", "x-ratelimit-reset-"
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def retry_after(headers: Mapping[str, str], *, now: float) -> float:
    """Return the seconds that a reply asks to wait; 0 without a header, or one that cannot be parsed.

    `now` is in seconds since the epoch. Source: RFC 9110 section 10.2.3 (seconds or a date), and `retry-after-ms`.

    Example:
        >>> retry_after({"retry-after": "2"}, now=0.0)
        2.0
        >>> retry_after({"retry-after": "Thu, 01 Jan 1970 00:00:05 GMT"}, now=2.0)
        3.0
    """
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        wait = _number(headers.get(name, ""))
        if wait is not None:
            return wait * scale
    try:
        date = email.utils.parsedate_tz(headers.get("retry-after", ""))
        return max(0.0, email.utils.mktime_tz(date) - now) if date else 0.0
    except (ValueError, OverflowError, TypeError):  # a year, a zone or a number that none can be
        return 0.0


def until_reset(headers: Mapping[str, str]) -> float:
    """Return the seconds until every exhausted rate limit is reset; 0 if none is exhausted.

    A reset time that is missing or longer than `LONGEST_HOLD` (such as seconds since the epoch) is ignored; the server
    rejects requests that come too early.

    Source: `x-ratelimit-remaining-…` and `x-ratelimit-reset-…` of OpenAI's API; other servers use the same names.
    """
    waits = [0.0]
    for name, left in headers.items():
        if name.startswith(_REMAINING) and _number(left) == 0:
            wait = duration(headers.get(_RESET + name.removeprefix(_REMAINING), ""))
            waits.append(wait if wait is not None and wait <= LONGEST_HOLD else 0.0)
    return max(waits)


def duration(text: str) -> float | None:
    """Return the seconds in a duration such as `6m0s`, `120ms` or `1.5` (seconds); None if it is none."""
    text = text.strip().lower()
    if not _DURATION.fullmatch(text):
        return _number(text)
    return sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(text))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
