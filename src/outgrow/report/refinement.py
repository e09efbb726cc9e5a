"""The section of the report on what refinements did, before anything was trained on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from outgrow.evaluate.wording import number_text, share_text


def refinement_section(audits: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What the template needs to know of audits, as text; None where nothing was refined.

    Args:
        audits: As `outgrow.refine.audit.Audit.to_json` gives them, with `method` and `seed`; numbers that JSON lacks
            are None.

    Example:
        >>> audit = {"method": "icl", "seed": 0, "as_weak": 0.25, "as_base": None, "length": 1.2, "silent": 0.0}
        >>> section = refinement_section([audit | {"refusals": 0.0, "scores": {}, "concepts": [], "sample": 0}])
        >>> section["rows"][0]["cells"]
        ['25 %', '—', '1.20', '0 %', '—']
    """
    if not audits:
        return None
    metrics = list(dict.fromkeys(metric for each in audits for metric in each["scores"]))
    return {
        "columns": ["as weak", "as base", "length", "empty or refusing", "concept not adopted", *metrics],
        "rows": [_row(each, metrics) for each in audits],
        "concepts": [
            (f"{each['method']} (seed {each['seed']})", [(str(text), int(rows)) for text, rows in each["concepts"]])
            for each in audits
            if each["concepts"]
        ],
        "sample": max(int(each["sample"]) for each in audits),
    }


def _row(audit: Mapping[str, Any], metrics: Sequence[str]) -> dict[str, Any]:
    cells = [
        _share(audit["as_weak"]),
        _share(audit["as_base"]),
        _number(audit["length"]),
        _share((audit["silent"] or 0) + (audit["refusals"] or 0)),
        _share(audit.get("not_adopted")),
    ]
    for metric in metrics:
        who = audit["scores"].get(metric)
        cells.append(", ".join(number_text(who[name]) for name in ("weak", "refined", "base")) if who else "—")
    return {"name": str(audit["method"]), "seed": audit["seed"], "cells": cells}


def _share(value: float | None) -> str:
    return "—" if value is None or math.isnan(value) else share_text(value)


def _number(value: float | None) -> str:
    return "—" if value is None or math.isnan(value) else number_text(value, decimals=2)
