"""What headers say about when to ask next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.models.server.pacing import LONGEST_HOLD, duration, retry_after, until_reset


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("120ms", 0.12),
        ("1m30.5s", 90.5),
        ("2h0m3s", 7203.0),
        ("1d", 86400.0),
        ("0", 0.0),
        ("12", 12.0),
        (" 0.25 ", 0.25),
        ("", None),
        ("soon", None),
        ("-1s", None),
        ("-1", None),
        ("nan", None),
        ("1s later", None),
        ("2026-11-21T00:00:00Z", None),
    ],
)
def test_times_are_read_in_every_usual_form(text, seconds):
    assert duration(text) == (None if seconds is None else pytest.approx(seconds))


def headers(**limits: tuple[str, str]) -> dict[str, str]:
    named = {f"x-ratelimit-remaining-{name}": left for name, (left, _) in limits.items()}
    return named | {f"x-ratelimit-reset-{name}": reset for name, (_, reset) in limits.items()}


def test_only_used_up_limits_hold_and_the_longest_of_them_counts():
    assert until_reset(headers(requests=("0", "2s"), tokens=("0", "6m0s"))) == 360.0
    assert until_reset(headers(requests=("0", "2s"), tokens=("17", "6m0s"))) == 2.0
    assert until_reset(headers(requests=("1", "2s"), tokens=("17", "6m0s"))) == 0.0


@pytest.mark.parametrize(
    "limit", [("0", "soon"), ("none", "2s"), ("0", ""), ("0", "1790000000"), ("0", f"{LONGEST_HOLD + 1}s")]
)
def test_what_cannot_be_understood_or_waited_for_is_ignored(limit):
    assert until_reset(headers(requests=limit)) == 0.0


def test_a_limit_without_a_time_is_ignored():
    assert until_reset({"x-ratelimit-remaining-requests": "0"}) == 0.0


@given(st.dictionaries(st.text(), st.text()), st.text(), st.text())
def test_no_header_whatever_makes_anyone_wait_longer_than_an_hour(others, left, reset):
    assert 0.0 <= until_reset(others | headers(requests=(left, reset))) <= LONGEST_HOLD


@pytest.mark.parametrize(
    "date",
    [
        "Thu, 01 Jan 99999 00:00:05 GMT",
        "Mon, 1 Jan 999999999999999 00:00:00 GMT",
        "Thu, 01 Jan 1970 00:00:05 +99999999999",
        "Thu, 99 Foo 1970",
        "1" * 5000,
    ],
)
def test_a_date_that_cannot_be_is_no_time_to_wait(date):
    assert retry_after({"retry-after": date}, now=0.0) == 0.0
