"""A self-contained HTML page about an experiment: no external resources, all data escaped, one script of its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from outgrow.evaluate.summary import Line, MetricSummary, Summary
from outgrow.evaluate.wording import probability_text
from outgrow.labels.notes import Note
from outgrow.report.advice import findings
from outgrow.report.calibration import calibration_section
from outgrow.report.estimate import compared
from outgrow.report.examples import Examples, examples_data
from outgrow.report.notes import MOST_SHOWN, ranked
from outgrow.report.plots import dot_plot, plane
from outgrow.report.refinement import refinement_section
from outgrow.report.settings import changed_settings, with_names
from outgrow.report.sweeps import sweep_section
from outgrow.report.table import metric_title, number_columns
from outgrow.report.words import (
    best_student,
    details,
    duration_text,
    folded_lines,
    headline,
    ordered_lines,
    split_cell,
    typeset,
)

if TYPE_CHECKING:
    import jinja2

_AXES = ("content", "concept")
"""The metrics of the plane, where both are there."""
_KNOWN = {  # shown elsewhere, or only of use to programs, which read results.json
    "config", "versions", "seeds", "hashes", "seconds", "sizes", "started", "notes", "refinement", "store", "choices",
    "students", "artefacts", "advice", "estimate",
}  # fmt: skip


def report_html(
    name: str,
    summary: Summary,
    provenance: Mapping[str, Any],
    notes: Sequence[Note] | None = None,
    tests: Mapping[str, tuple[Summary, Sequence[Note]]] | None = None,
    examples: Mapping[str, Examples] | None = None,
    advice: Sequence[Note] = (),
) -> str:
    """Return the report as HTML text; for `provenance` see `Results`, for `notes` `table_text`.

    `tests` holds summary and notes of further test parts, by name; `examples` rows that can be read, by part.
    """
    from markupsafe import Markup

    config = provenance.get("config") or {}
    groups = ranked(summary.notes if notes is None else notes)
    graver = sum(group.severity != "info" for group in groups)
    folded = {line.name for metric in summary.metrics for line in folded_lines(metric)}
    sizes = provenance.get("sizes") or {"test": max((metric.examples for metric in summary.metrics), default=0)}
    best = [best_student(summary)]
    for metric in summary.metrics:
        combined = sorted(metric.of("combined"), key=lambda line: line.score.value)[-1:]
        best += [metric.best_supervisor, *(line.name for line in combined)]
    browser = examples_data(examples or {}, [name for name in best if name], provenance.get("sizes") or {})
    script = files("outgrow.report").joinpath("templates", "examples.js").read_text(encoding="utf-8")
    return _template().render(
        name=name,
        headline=typeset(headline(summary)),
        details=[typeset(text) for text in details(summary)],
        examples=browser,
        script=Markup(script),  # the one thing that runs; it is the same in all reports
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        doubt=groups[:graver][0] if graver else None,
        notes=groups[bool(graver) :],
        shown=max(graver - 1, 0) + MOST_SHOWN,
        typeset=typeset,
        sizes=[f"{size:,} {part}" if isinstance(size, int) else f"{size} {part}" for part, size in sizes.items()],
        setting=_yaml(changed_settings(config)) if config else "",
        metrics=[_metric(metric, f"plot{index}") for index, metric in enumerate(summary.metrics)],
        plane=_plane(summary),
        tests=[
            _part(name, own, notes, f"part{index}") for index, (name, (own, notes)) in enumerate((tests or {}).items())
        ],
        sweeps=[sweep_section(summary, sweep, f"sweep{index}") for index, sweep in enumerate(summary.sweeps)],
        advice=findings(advice),
        estimate=compared(provenance),
        refinement=refinement_section(provenance.get("refinement") or ()),
        calibration=calibration_section(summary.calibration, folded) if summary.calibration else None,
        resamples=summary.resamples,
        started=_moment(provenance.get("started")),
        provenance=list(_provenance(provenance)),
        yaml=_yaml(with_names(config)) if config else "",
    )


@cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("outgrow.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja")


def _part(name: str, summary: Summary, notes: Sequence[Note], prefix: str) -> dict[str, Any]:
    return {
        "name": name,
        "id": prefix,
        "headline": typeset(headline(summary)),
        "metrics": [_metric(metric, f"{prefix}plot{index}") for index, metric in enumerate(summary.metrics)],
        "notes": ranked(notes),
    }


def _metric(metric: MetricSummary, prefix: str) -> dict[str, Any]:
    from markupsafe import Markup

    columns = number_columns(metric)
    compared = any(line.comparison for line in metric.lines)
    return {
        "id": prefix.replace("plot", "table"),
        "title": metric_title(metric),
        "name": metric.metric,
        "compared": compared,
        "columns": [column.title for column in columns] + (["better / worse"] if compared else []),
        "rows": [
            {
                "name": line.name,
                "role": line.role,
                "note": line.note,
                "cells": [split_cell(column.cell(line, "\n")) for column in columns]
                + ([_comparison(line)] if compared else []),
            }
            for line in ordered_lines(metric)
        ],
        "folded": [(line.name, *split_cell(line.score.text(separator="\n"))) for line in folded_lines(metric)],
        # matplotlib escapes the text of its figures; nothing else is marked as safe.
        "plot": Markup(dot_plot(metric, prefix)),
        "alternative": "; ".join(f"{line.name} ({line.role}) {line.score.text()}" for line in ordered_lines(metric)),
    }


def _plane(summary: Summary) -> dict[str, Any] | None:
    # Content against concept, or the only two metrics, if they share a model.
    from markupsafe import Markup

    named = {metric.metric: metric for metric in summary.metrics}
    axes = [named[axis] for axis in _AXES] if named.keys() >= set(_AXES) else summary.metrics
    if len(axes) != 2:
        return None
    first, second = axes
    if not {(line.role, line.name) for line in first.lines} & {(line.role, line.name) for line in second.lines}:
        return None
    return {"first": first.metric, "second": second.metric, "plot": Markup(plane(first, second, "plane"))}


def _comparison(line: Line) -> tuple[str, str]:
    if line.comparison is None:
        return "", ""
    test = line.comparison
    return f"{test.wins} / {test.losses}", typeset(f"{probability_text(test.corrected)} against {test.against}")


def _yaml(settings: Mapping[str, Any]) -> str:
    import yaml

    # Lists and short mappings on one line, as people write them.
    text: str = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    return text


def _short(value: object) -> str:
    # Without unset values: {"refine": {"name": "icl", "demonstrations": 4}, "combine": None} is
    # `refine icl (demonstrations 4)`.
    if isinstance(value, Mapping):
        head = str(value["name"]) if value.get("name") else ""
        given = [(key, own) for key, own in value.items() if own not in (None, {}, [], "")]
        parts = ", ".join(f"{key} {_nested(own)}" for key, own in given if not (head and key == "name"))
        return f"{head} ({parts})" if head and parts else head or parts
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_nested(each) for each in value)
    return str(value)


def _nested(value: object) -> str:
    text = _short(value)
    return f"({text})" if isinstance(value, Mapping) and not value.get("name") else text


def _provenance(provenance: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    if provenance.get("versions"):
        yield "Versions", [(str(name), str(version)) for name, version in provenance["versions"].items()]
    if provenance.get("seeds"):
        yield "Seeds", [("", ", ".join(str(seed) for seed in provenance["seeds"]))]
    if provenance.get("hashes"):
        yield "Hashes", [(str(name), str(digest)) for name, digest in provenance["hashes"].items()]
    seconds = provenance.get("seconds") or {}
    if seconds:
        yield "Time", [(str(stage), duration_text(float(time))) for stage, time in seconds.items()]
    for key, value in provenance.items():
        if key not in _KNOWN and value not in (None, {}, [], ""):
            yield str(key).capitalize(), [("", _short(value))]


def _moment(started: object) -> str:
    try:
        return datetime.fromisoformat(str(started)).strftime("%Y-%m-%d %H:%M %Z").strip() if started else ""
    except ValueError:  # no ISO time
        return str(started)
