"""What a topic of the theory lab is: settings that can be called, and what comes of it.

A topic is a frozen dataclass, registered under the kind `topic`: its fields are what `--set key=value` changes.
Called, it computes and gives a `Finding`; drawing is left to the end, so that numbers need no matplotlib.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Protocol

from outgrow.progress import Reporter

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """Named columns and rows of numbers or words.

    Example:
        >>> table = Table(("n", "excess risk"), [(1, 0.2731), (64, None)])
        >>> print(table.text())
        n   excess risk
        1        0.2731
        64            –
    """

    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]

    def csv(self) -> str:
        """All digits, for machines."""
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([["" if value is None else value for value in row] for row in self.rows])
        return written.getvalue()

    def markdown(self) -> str:
        """Four significant digits, for a page."""
        lines = [self.columns, ["---"] * len(self.columns), *([_cell(value) for value in row] for row in self.rows)]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def text(self) -> str:
        """Four significant digits, for a terminal: the first column to the left, the others to the right."""
        lines = [self.columns, *([_cell(value) for value in row] for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.columns))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )


@dataclass(frozen=True)
class Finding:
    """What a topic has found: numbers, a figure of them, and a page that explains them."""

    title: str
    summary: Table
    """The few numbers that matter: printed on the terminal."""
    data: Table
    """Everything in the figure: written as CSV."""
    draw: Callable[[Figure], None]
    """Draws onto an empty figure; see `outgrow.theory.figures`."""
    page: str
    """Markdown; the figure lies beside it as `NAME.svg` and `NAME.png`."""
    size: tuple[float, float] = (6.4, 3.8)
    """Width and height of the figure in inches."""


class Topic(Protocol):
    """A question of the theory with its settings."""

    def __call__(self, reporter: Reporter) -> Finding:
        """Computes; long steps tell the reporter how far they are."""


def page(name: str, *, table: Table, facts: Mapping[str, str]) -> str:
    """Fills a page of `outgrow/theory/pages` with what was measured.

    Args:
        name: The topic: the template is `pages/NAME.md`, with `$$` for a dollar sign.
        table: Takes the place of `$table`.
        facts: Take the places of `$key`.

    Raises:
        KeyError: The template has a place for which there is no fact.
    """
    template = files("outgrow.theory").joinpath("pages", f"{name}.md").read_text(encoding="utf-8")
    return Template(template).substitute(facts, table=table.markdown())


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
