"""Writing the page, unless the same one is there already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from outgrow.evaluate.summary import Summary
from outgrow.files import write_text
from outgrow.labels import Note
from outgrow.report.examples import Examples
from outgrow.store import table_hash

_VOLATILE = ("seconds", "started", "artefacts")
"""Provenance that differs between two runs of which the second finds everything."""


def write_report(
    path: Path,
    name: str,
    summary: Summary,
    provenance: Mapping[str, Any],
    notes: Sequence[Note],
    tests: Mapping[str, tuple[Summary, Sequence[Note]]],
    examples: Mapping[str, Examples],
    advice: Sequence[Note],
) -> None:
    """Write the report; see `outgrow.report.html.report_html`.

    A page of the same results by the same code stays as it is, with the date and the times of its run: drawing takes
    longer than the rest of a run that finds everything in the store.
    """
    about = {key: value for key, value in provenance.items() if key not in _VOLATILE}
    further = [(test, own.to_dict(), _json(said)) for test, (own, said) in tests.items()]
    shown = [(part, table_hash(own.rows.to_arrow()), table_hash(own.predictions)) for part, own in examples.items()]
    values = [name, summary.to_dict(), about, _json(notes), further, shown, _json(advice), _code()]
    key = hashlib.sha256(json.dumps(values, default=repr).encode()).hexdigest()
    if path.is_file():
        page, _, mark = path.read_bytes().decode(errors="replace").rpartition("\n<!--")
        if f"\n<!--{mark}" == _mark(key, page):
            return

    from outgrow.report.html import report_html

    page = report_html(name, summary, provenance, notes, tests, examples, advice)
    write_text(path, page + _mark(key, page))


def _json(notes: Sequence[Note]) -> list[Any]:
    return [note.to_json() for note in notes]


def _code() -> list[tuple[str, int, int]]:
    """Name, size and time of every file of this package: what words and draws the page."""
    package = Path(__file__).parent.parent
    files = sorted(path for path in package.rglob("*") if path.suffix in (".py", ".jinja", ".js", ".css"))
    return [(str(path.relative_to(package)), own.st_size, own.st_mtime_ns) for path in files for own in [path.stat()]]


def _mark(key: str, page: str) -> str:
    return f"\n<!-- {key} {hashlib.sha256(page.encode()).hexdigest()} -->\n"
