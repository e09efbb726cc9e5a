"""Tasks: where rows come from, which part each belongs to, and how text answers are scored."""

from __future__ import annotations

from outgrow.tasks.preferences import read_preferences, without_prompts_of, write_preferences
from outgrow.tasks.protocol import Task, load_task, read_task, read_tests, scores_texts
from outgrow.tasks.split import assign_parts, rows_in_parts, shared_prompts, shared_stems
from outgrow.tasks.tables import read_records

__all__ = [
    "Task",
    "assign_parts",
    "load_task",
    "read_preferences",
    "read_records",
    "read_task",
    "read_tests",
    "rows_in_parts",
    "scores_texts",
    "shared_prompts",
    "shared_stems",
    "without_prompts_of",
    "write_preferences",
]
