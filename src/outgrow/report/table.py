"""A summary as tables of plain text, for terminals and logs."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from outgrow.evaluate.gap import Gap
from outgrow.evaluate.summary import Estimate, Line, MetricSummary, Summary
from outgrow.evaluate.wording import estimate_text, number_text
from outgrow.labels.notes import Note
from outgrow.report.notes import MOST_SHOWN, ranked
from outgrow.report.sweeps import sweep_sentences
from outgrow.report.words import LEGEND, folded_lines, headline, ordered_lines

if TYPE_CHECKING:
    from rich.table import Table

DEFAULT_WIDTH = 100
"""Default width of a table in characters."""

_NAME_WIDTH = 14
"""Longer names are broken over lines where space is short."""
_GUTTER = 2
"""Columns between columns."""
_STYLES: dict[str, str] = {
    "supervisor": "",
    "combined": "",
    "base": "dim",
    "gold": "dim",
    "student": "bold",
    "ceiling": "dim",
}


class Column(NamedTuple):
    """One column of numbers."""

    title: str
    cell: Callable[[Line, str], str]
    """Text for a line, given the separator of number and interval."""


def number_columns(metric: MetricSummary) -> tuple[Column, ...]:
    """Return the columns for which the metric has numbers: PGR needs a ceiling, the gain over base a base."""
    columns = [Column("score", lambda line, separator: _estimate(line.score, separator))]
    students = metric.of("student")
    if any(line.against_best for line in students):
        several = len(metric.of("supervisor")) > 1
        best = Column("PGR (best)" if several else "PGR", lambda line, separator: _pgr(line.against_best, separator))
        columns.append(best)
        if several:
            columns.append(Column("PGR (mean)", lambda line, separator: _pgr(line.against_mean, separator)))
    if any(line.against_combined for line in students):
        columns.append(Column("PGR (comb.)", lambda line, separator: _pgr(line.against_combined, separator)))
    if any(line.gain_over_base for line in students):
        columns.append(
            Column("gain over base", lambda line, separator: _estimate(line.gain_over_base, separator, signed=True))
        )
    return tuple(columns)


def metric_title(metric: MetricSummary) -> str:
    """Return the name of the metric with numbers of examples and seeds, and chance."""
    seeds = max((line.seeds for line in metric.of("student")), default=0)
    parts = [f"{metric.examples:,} test example{'s' * (metric.examples != 1)}"]
    parts += [f"{seeds} seed{'s' * (seeds != 1)}"] if seeds else []
    parts += [f"chance {number_text(metric.chance)}"] if metric.chance is not None else []
    return f"{metric.metric}: {', '.join(parts)}"


def table_text(
    summary: Summary, notes: Sequence[Note] | None = None, *, color: bool = False, width: int | None = None
) -> str:
    """Return the gravest note, all metrics as aligned tables, legend, and the other notes.

    `notes` (by default those of the summary) are in any order. Where `width` is short, intervals move under their
    numbers; numbers are never cut, so tables need about 70 columns.
    """
    width = width or DEFAULT_WIDTH
    remarks = [
        f"{line.name}: {line.note}" for metric in summary.metrics[:1] for line in ordered_lines(metric) if line.note
    ]
    groups = ranked(summary.notes if notes is None else notes)
    grave = [f"! {group.short}" for group in groups if group.severity != "info"]
    folded = len(folded_lines(summary.metrics[0])) if summary.metrics else 0
    between = [f"{folded} supervisors between the best and the worst are in the report only."] if folded else []
    mild = [f"- {text}" for text in (*sweep_sentences(summary), *between, *remarks)]
    info = [f"- {group.short}" for group in groups if group.severity == "info"]
    more = [f"- … and {len(info) - MOST_SHOWN} more notes on the run, in its report."] if len(info) > MOST_SHOWN else []
    legend = [LEGEND] if summary.metrics else []
    first, below = grave[:1], [*grave[1:], *mild, *info[:MOST_SHOWN], *more]
    above, wrapped = (
        [textwrap.fill(text, width, subsequent_indent="" if text == LEGEND else "  ") for text in texts]
        for texts in (first, legend + below)
    )
    return _stacked([*above, *[""] * len(above), *_tables(summary, color=color, width=width), *wrapped])


def part_text(
    name: str, summary: Summary, notes: Sequence[Note], *, color: bool = False, width: int | None = None
) -> str:
    """Return the tables of a further test part under its headline, with notes that are about it only."""
    width = width or DEFAULT_WIDTH
    title = textwrap.fill(f"Test part “{name}”: {headline(summary)}", width)
    below = [f"{'!' if group.severity != 'info' else '-'} {group.short}" for group in ranked(notes)[:MOST_SHOWN]]
    wrapped = [textwrap.fill(text, width, subsequent_indent="  ") for text in below]
    return _stacked([title, "", *_tables(summary, color=color, width=width), *wrapped])


def columns_text(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts as aligned columns under their titles.

    Example:
        >>> print(columns_text(["kind", "bytes"], [["labels", "12"], ["student", "3"]]))
        kind     bytes
        labels   12
        student  3
    """
    every = [titles, *rows]
    widths = [max(len(row[column]) for row in every) + _GUTTER for column in range(len(titles))]
    lines = ("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in every)
    return "\n".join(lines)


def _tables(summary: Summary, *, color: bool, width: int) -> list[str]:
    return [_render(metric, color=color, width=width) for metric in summary.metrics]


def _stacked(blocks: Sequence[str]) -> str:
    return "\n".join(line.rstrip() for line in "\n".join(blocks).splitlines()) + "\n"


def _render(metric: MetricSummary, *, color: bool, width: int) -> str:
    # Intervals stand beside their numbers where they fit, else below them.
    from rich.console import Console
    from rich.text import Text

    beside = _rows(metric, " ")
    longest = max(len(row[0]) for row in beside)
    rows = beside if _needed(beside) + min(longest, _NAME_WIDTH) <= width else _rows(metric, "\n")
    name_width = min(longest, max(_NAME_WIDTH, width - _needed(rows)))
    console = Console(
        file=io.StringIO(),
        width=max(width, _needed(rows) + name_width),
        force_terminal=color,
        color_system="standard" if color else None,
        emoji=False,
    )
    with console.capture() as capture:
        console.print(Text(metric_title(metric), style="bold"))
        console.print(_table(metric, rows, name_width))
    return capture.get()


def _rows(metric: MetricSummary, separator: str) -> list[list[str]]:
    columns, lines = number_columns(metric), ordered_lines(metric)
    head = ["", "role", *(column.title for column in columns)]
    return [head] + [[line.name, line.role, *(column.cell(line, separator) for column in columns)] for line in lines]


def _needed(rows: Sequence[Sequence[str]]) -> int:
    # The width of all columns right of the names; numbers are never broken.
    widths = [max(len(part) for cell in column for part in cell.split("\n")) for column in zip(*rows, strict=True)]
    return sum(widths[1:]) + _GUTTER * len(widths[1:])


def _table(metric: MetricSummary, rows: Sequence[Sequence[str]], name_width: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("", width=name_width, overflow="fold")
    for title in rows[0][1:]:
        table.add_column(title, no_wrap=True)
    for line, cells in zip(ordered_lines(metric), rows[1:], strict=True):
        # Text objects, not strings: square brackets in a name must not be taken for markup.
        table.add_row(*(Text(cell) for cell in cells), style=_STYLES[line.role])
    return table


def _estimate(estimate: Estimate | None, separator: str, *, signed: bool = False) -> str:
    return "" if estimate is None else estimate.text(signed=signed, separator=separator)


def _pgr(gap: Gap | None, separator: str) -> str:
    if gap is None or gap.pgr is None:
        return "" if gap is None else "undefined"
    return estimate_text(gap.pgr, gap.pgr_interval, decimals=2, separator=separator)
