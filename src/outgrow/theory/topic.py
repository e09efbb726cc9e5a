"""What a topic of the theory lab is: settings that can be called, and the finding they return.

A topic is a frozen dataclass, registered under the kind `topic`; `--set key=value` changes its fields. Its numbers are
one tidy table of `Point`s, from which the CSV file, the summary and the figure are made.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, NamedTuple, Protocol

from outgrow.progress import Reporter
from outgrow.theory.regression import Risk

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Point(NamedTuple):
    """One row of a topic's table: a point of a curve."""

    panel: str
    """Title of the axes that show it; a panel that the figure does not have is in the CSV file only."""
    series: str
    """Curves of one series have one colour."""
    kind: str
    """`measured`, the estimator, or the name of a formula."""
    x: float | str | None
    """Number of demonstrations, or what else the panel varies; `None` where the value does not depend on it."""
    value: float
    standard_error: float | None
    """`None` for computed values and where it is unknown."""


def curve(
    panel: str, series: str, kind: str, xs: Iterable[float | str | None], values: Iterable[object]
) -> list[Point]:
    """Return the points of one curve, with a `Risk` (measured) or a number (computed) for each position in `xs`."""
    points = []
    for x, value in zip(xs, values, strict=True):
        risk = value if isinstance(value, Risk) else Risk(float(value), math.nan)  # type: ignore[arg-type]
        error = None if math.isnan(risk.standard_error) else risk.standard_error
        points.append(Point(panel, series, kind, x, risk.mean, error))
    return points


@dataclass(frozen=True)
class Table:
    """Named columns and rows of numbers or words."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]

    def csv(self) -> str:
        """Return CSV with all digits; `None` is an empty cell."""
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([["" if value is None else value for value in row] for row in self.rows])
        return written.getvalue()

    def markdown(self) -> str:
        """Return a Markdown table with four significant digits."""
        lines = [self.columns, ["---"] * len(self.columns), *self._cells()]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def text(self) -> str:
        """Return aligned text with four significant digits: the first column left-aligned, the others right-aligned."""
        lines = [self.columns, *self._cells()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                [
                    line[0].ljust(widths[0]),
                    *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
                ]
            ).rstrip()
            for line in lines
        )

    def _cells(self) -> list[list[str]]:
        return [
            ["–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value) for value in row]
            for row in self.rows
        ]


def tidy(points: Sequence[Point], *, x: str = "n", value: str = "excess risk") -> Table:
    """Return the table of a topic: one row per point, with names for the columns of `x` and `value`."""
    return Table(("panel", "series", "kind", x, value, "standard error"), points)


def pivot(
    points: Iterable[Point],
    by: Mapping[str, str],
    at: Sequence[float | str],
    *,
    x: str = "n = {}",
    cell: Callable[[Point], object] = lambda point: point.value,
) -> Table:
    """Return a summary of the points: one row per curve, one column for each position `at`.

    `by` are the fields of `Point` that tell the curves apart, with the names of their columns; `x` is the format of the
    other column names. A value that does not depend on x is repeated for all positions.
    """
    rows: dict[tuple[object, ...], dict[object, object]] = {}
    for point in points:
        rows.setdefault(tuple(getattr(point, field) for field in by), {})[point.x] = cell(point)
    columns = (*by.values(), *(x.format(position) for position in at))
    return Table(columns, [(*key, *(row.get(one, row.get(None)) for one in at)) for key, row in rows.items()])


def mean_and_interval(digits: int = 3) -> Callable[[Point], object]:
    """Return a `cell` for `pivot`: the mean and half of its 95 % interval; computed values stay numbers."""
    return lambda point: (
        point.value if point.standard_error is None else Risk(point.value, point.standard_error).text(digits)
    )


@dataclass(frozen=True)
class Finding:
    """Result of a topic: numbers, a figure of them, and a page that explains them."""

    summary: Table
    """The main numbers, printed on the terminal."""
    data: Table
    """All numbers, written as CSV; the figure shows nothing else."""
    draw: Callable[[Figure, Table], None]
    """Draws `data` onto an empty figure, such as `outgrow.theory.figures.Chart`."""
    page: str
    """Markdown; the figure lies beside it as `NAME.svg` and `NAME.png`."""
    size: tuple[float, float] = (6.4, 3.8)
    """Width and height of the figure in inches."""

    @property
    def title(self) -> str:
        """Heading of the page."""
        return self.page.partition("\n")[0].removeprefix("# ")


class Topic(Protocol):
    """A question of the theory with its settings."""

    def __call__(self, reporter: Reporter) -> Finding:
        """Compute the finding; long steps report their progress."""


def page(name: str, topic: Topic, table: Table, **facts: str) -> str:
    """Fill settings, facts and the table into the template `pages/NAME.md`, which has `$$` for a dollar sign.

    `$key` is a fact or, where there is none, the topic's field of that name.

    Raises:
        KeyError: The template has a placeholder without a value.
    """
    template = files("outgrow.theory").joinpath("pages", f"{name}.md").read_text(encoding="utf-8")
    settings = {key: _setting(value) for key, value in vars(topic).items()}
    return Template(template).substitute(settings | facts, table=table.markdown())


def _setting(value: object) -> str:
    if isinstance(value, tuple):
        return " / ".join(map(_setting, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
