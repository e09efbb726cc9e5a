"""The section of the report on refined labels, before training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from outgrow.evaluate.wording import number_text, share_text

_SOURCES = ("weak", "refined", "base")
_TEXT_COLUMNS = ("as weak", "as base", "length", "empty or refusing", "worded as weak", "concept not adopted")
_CHOICE_COLUMNS = ("as weak", "as base", "labels", "confidence", "entropy", "draws agree")
_MOST_CHOICES = 3
"""Choices whose shares are shown."""


def refinement_section(audits: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the values of the template; None without audits.

    These are the JSON of `outgrow.refine.audit.Audit` or of `ChoiceAudit`, all of one kind, with `method` and `seed`.
    """
    if not audits:
        return None
    metrics = list(dict.fromkeys(metric for each in audits for metric in each["scores"]))
    of_choices = "choices" in audits[0]
    columns, cells = (_CHOICE_COLUMNS, _choice_cells) if of_choices else (_TEXT_COLUMNS, _text_cells)
    return {
        "columns": [*columns, *metrics],
        "rows": [
            {"name": str(each["method"]), "seed": each["seed"], "cells": [*cells(each), *_scores(each, metrics)]}
            for each in audits
        ],
        "concepts": [
            (f"{each['method']} (seed {each['seed']})", [(str(text), int(rows)) for text, rows in each["concepts"]])
            for each in audits
            if each.get("concepts")
        ],
        "of_choices": of_choices,
        "sample": max(int(each["sample"]) for each in audits),
    }


def audit_text(audit: Mapping[str, Any]) -> str:
    """Return an audit, as JSON, for a terminal: a line for each number that is known."""
    section = refinement_section([audit]) or {}
    [row] = section["rows"]
    known = {
        f"{column} ({', '.join(_SOURCES)})" if column in audit["scores"] else column: cell
        for column, cell in zip(section["columns"], row["cells"], strict=True)
        if cell != "—"
    }
    width = max(map(len, known))
    unit = "labels" if section["of_choices"] else "answers"
    compared = f"; {audit['sample']} of them looked at closely" if audit["sample"] else ""
    lines = [f"{column:<{width}}  {cell}" for column, cell in known.items()]
    # What a model inferred may hold anything, even what a terminal obeys.
    lines += [f"{rows} rows behind {text[:80]!r}" for _, concepts in section["concepts"] for text, rows in concepts]
    return "\n".join([f"{audit['rows']} refined {unit}{compared}", *lines])


def _text_cells(audit: Mapping[str, Any]) -> list[str]:
    return [
        _share(audit["as_weak"]),
        _share(audit["as_base"]),
        _number(audit["length"]),
        _share((audit["silent"] or 0) + (audit["refusals"] or 0)),
        _worded(audit.get("wording")),
        _share(audit.get("not_adopted")),
    ]


def _worded(wording: Mapping[str, float | None] | None) -> str:
    if wording is None or _share(wording["accuracy"]) == "—":
        return "—"
    share, *ends = (_share(wording[key]) for key in ("adopted", "low", "high"))
    return f"{share} [{', '.join(ends)}]" if share != "—" else f"cannot tell ({_share(wording['accuracy'])})"


def _choice_cells(audit: Mapping[str, Any]) -> list[str]:
    weak, refined = audit["shares"]["weak"], audit["shares"]["refined"]
    # Of many choices, those whose share changed most.
    shown = sorted(range(len(weak)), key=lambda k: -abs(refined[k] - weak[k]))[:_MOST_CHOICES]
    return [
        _share(audit["as_weak"]),
        _share(audit["as_base"]),
        ", ".join(f"{audit['choices'][k]} {_share(weak[k])} → {_share(refined[k])}" for k in sorted(shown)),
        _drift(audit["confidence"]),
        _drift(audit["entropy"]),
        _share(audit["agreement"]),
    ]


def _scores(audit: Mapping[str, Any], metrics: Sequence[str]) -> list[str]:
    found = [audit["scores"].get(metric) for metric in metrics]
    return [", ".join(_number(each.get(source), 3) for source in _SOURCES) if each else "—" for each in found]


def _drift(means: Mapping[str, float | None]) -> str:
    return f"{_number(means['weak'])} → {_number(means['refined'])}"


def _share(value: float | None) -> str:
    return "—" if value is None or math.isnan(value) else share_text(value)


def _number(value: float | None, decimals: int = 2) -> str:
    return "—" if value is None or math.isnan(value) else number_text(value, decimals=decimals)
