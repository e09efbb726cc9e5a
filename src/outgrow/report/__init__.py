"""Summaries and notes as text, as figures, and as one self-contained HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outgrow._lazy import lazy

if TYPE_CHECKING:
    from outgrow.report.html import report_html
    from outgrow.report.notes import NoteGroup, ranked, sentence
    from outgrow.report.table import table_text

__all__ = ["NoteGroup", "ranked", "report_html", "sentence", "table_text"]
_HOMES = {"html": ("report_html",), "notes": ("NoteGroup", "ranked", "sentence"), "table": ("table_text",)}
__getattr__ = lazy(__name__, {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names})
