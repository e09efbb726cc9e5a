"""Diagnostics of a vote combination, as text for terminals and as JSON."""

from __future__ import annotations

import io
import textwrap
from typing import Any

import numpy as np

from outgrow.combine import Combined
from outgrow.evaluate.wording import estimate_text, number_text
from outgrow.report.table import DEFAULT_WIDTH

MOST_SHOWN = 30
"""Supervisors in the table; the ones with the most votes."""


def voting_text(combined: Combined, *, width: int = DEFAULT_WIDTH) -> str:
    """Return a line per supervisor, the effective number of supervisors, groups of copies, and notes."""
    from rich.console import Console
    from rich.table import Table

    about = combined.diagnostics
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("supervisor", no_wrap=True, max_width=width // 2)
    for title in ("votes", "estimated accuracy", "weight"):
        table.add_column(title, justify="right", no_wrap=True)
    for m in np.argsort(-about.votes, kind="stable")[:MOST_SHOWN]:
        accuracy = estimate_text(about.accuracy[m], about.accuracy_interval[m]) if about.votes[m] else "never voted"
        table.add_row(about.names[m], f"{about.votes[m]:,}", accuracy, number_text(float(combined.weights[m])))
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False, markup=False).print(table)
    lines = [stream.getvalue().rstrip()]
    if len(about.names) > MOST_SHOWN:
        lines.append(f"… and {len(about.names) - MOST_SHOWN} with fewer votes")
    usable = combined.usable
    confidence = float(combined.probs[usable].max(axis=1).mean()) if usable.any() else float("nan")
    facts = [
        f"{usable.sum():,} tasks, {about.votes.sum():,} votes, {len(about.names)} supervisors, effectively "
        f"{combined.effective_supervisors:.1f}; mean confidence {number_text(confidence)}.",
        *(f"Counted as one, because they copy each other: {', '.join(group)}." for group in about.copies),
        *(f"! {note}" for note in about.notes),
    ]
    lines.append("")
    lines += [textwrap.fill(fact, width, subsequent_indent="  ") for fact in facts]
    return "\n".join(lines)


def summary_of(combined: Combined) -> dict[str, Any]:
    """Return the diagnostics as JSON values; accuracy is None for supervisors that never voted."""
    about = combined.diagnostics
    return {
        "tasks": len(combined.usable),
        "usable_tasks": int(combined.usable.sum()),
        "effective_supervisors": combined.effective_supervisors,
        "supervisors": [
            {
                "name": name,
                "votes": int(about.votes[m]),
                "accuracy": float(about.accuracy[m]) if about.votes[m] else None,
                "accuracy_interval": about.accuracy_interval[m].tolist() if about.votes[m] else None,
                "weight": float(combined.weights[m]),
            }
            for m, name in enumerate(about.names)
        ],
        "copies": [list(group) for group in about.copies],
        "notes": list(about.notes),
    }
