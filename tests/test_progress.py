from __future__ import annotations

import io
import time

import pytest

from outgrow import progress
from outgrow.progress import PlainReporter, RichReporter, SilentReporter, reporter_for


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_stream_that_is_no_terminal_gets_plain_lines() -> None:
    stream = io.StringIO()
    with reporter_for(stream) as reporter, reporter.step("label", total=7):
        pass
    first, last = stream.getvalue().splitlines()
    assert first == "label: started (7)"
    assert last.startswith("label: done in ")


def test_a_terminal_gets_bars() -> None:
    with reporter_for(Terminal()) as reporter:
        assert isinstance(reporter, RichReporter)
        with reporter.step("label", total=7) as step:
            step.advance(3)
        reporter.note("a [bracket] is text")


def test_plain_lines_tell_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 20.0, 20.0, 30.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    with PlainReporter(stream, every=10).step("label", total=100) as step:
        step.advance(40)
    assert stream.getvalue().splitlines()[1] == "label: 40/100, 2/s, 30 s left"


def test_plain_lines_do_not_come_faster_than_asked_for() -> None:
    stream = io.StringIO()
    with PlainReporter(stream, every=3600).step("label", total=100) as step:
        for _ in range(100):
            step.advance()
    assert len(stream.getvalue().splitlines()) == 2


def test_a_step_that_fails_is_not_called_done() -> None:
    stream = io.StringIO()
    with pytest.raises(KeyError), PlainReporter(stream).step("label", total=1):
        raise KeyError
    assert "done" not in stream.getvalue()


def test_the_silent_reporter_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with SilentReporter().step("label", total=1) as step:
        step.advance()
    SilentReporter().note("not heard")
    assert capfd.readouterr() == ("", "")


def test_telling_progress_costs_next_to_nothing() -> None:
    started = time.perf_counter()
    with PlainReporter(io.StringIO()).step("label", total=10_000) as step:
        for _ in range(10_000):
            step.advance()
    assert time.perf_counter() - started < 1
