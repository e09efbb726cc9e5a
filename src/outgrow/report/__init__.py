"""Summaries and notes as text, as figures, and as one self-contained HTML page."""

from outgrow.report.html import report_html
from outgrow.report.notes import NoteGroup, ranked, sentence
from outgrow.report.table import table_text

__all__ = ["NoteGroup", "ranked", "report_html", "sentence", "table_text"]
