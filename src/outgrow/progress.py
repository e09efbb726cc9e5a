"""Progress of long steps: a bar on a terminal, plain lines elsewhere, nothing in library use.

Library code never prints: it gets a `Reporter`, which the command line chooses, and calls `step`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from outgrow.errors import visible

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Step(Protocol):
    """A running step."""

    def advance(self, amount: int = 1) -> None:
        """Add `amount` to what is done of the step's total."""


class Reporter(Protocol):
    """Shows the progress of long steps."""

    def step(self, name: str, total: int) -> AbstractContextManager[Step]:
        """Return a context manager around a step of `total` units."""

    def note(self, message: str) -> None:
        """Show a line that is not progress, such as a warning."""


class SilentReporter:
    """Shows nothing: the default of the library."""

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Step]:
        """Yield a step that ignores its progress."""
        yield _Ignored()

    def note(self, message: str) -> None:
        """Ignore the message."""


class _Ignored:
    def advance(self, amount: int = 1) -> None:
        pass


class PlainReporter:
    """Writes a line when a step starts, one every `every` seconds, and one at its end: for logs and pipes."""

    def __init__(self, stream: TextIO | None = None, *, every: float = 10.0) -> None:
        self._stream, self._every = stream, every

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Step]:
        """Write lines on a step."""
        counter = _PlainStep(self, name, total, self._every)
        self.note(f"{name}: started ({total})")
        yield counter
        self.note(f"{name}: done in {counter.elapsed():.1f} s")

    def note(self, message: str) -> None:
        """Write the message as a line."""
        print(visible(message), file=self._stream or sys.stderr, flush=True)


class _PlainStep:
    def __init__(self, reporter: PlainReporter, name: str, total: int, every: float) -> None:
        self._reporter, self._name, self._total, self._every = reporter, name, total, every
        self._start = self._last = time.monotonic()
        self._done = 0

    def elapsed(self) -> float:
        return time.monotonic() - self._start

    def advance(self, amount: int = 1) -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._last < self._every or not self._done:
            return
        self._last = now
        rate = self._done / self.elapsed()
        left = max(self._total - self._done, 0) / rate
        self._reporter.note(f"{self._name}: {self._done}/{self._total}, {rate:.3g}/s, {left:.0f} s left")


class RichReporter:
    """Shows bars with rate and time left on a terminal; made by `open`, which owns the live display."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[RichReporter]:
        """Show the live display on standard error while the context lasts."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            yield cls(progress)

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Step]:
        """Show a bar while the step runs."""
        task = self._progress.add_task(visible(name), total=total, rate="")
        yield _RichStep(self._progress, task)
        self._progress.update(task, completed=total)

    def note(self, message: str) -> None:
        """Print the message above the bars."""
        self._progress.console.print(visible(message), highlight=False, markup=False)


class _RichStep:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, amount: int = 1) -> None:
        self._progress.update(self._task, advance=amount)
        speed = next(task.speed for task in self._progress.tasks if task.id == self._task)
        self._progress.update(self._task, rate=f"{speed:.3g}/s" if speed else "")


@contextmanager
def reporter_for(stream: TextIO) -> Iterator[Reporter]:
    """Yield the reporter for a stream: bars on a terminal, plain lines elsewhere."""
    if stream.isatty():
        with RichReporter.open() as reporter:
            yield reporter
    else:
        yield PlainReporter(stream)
