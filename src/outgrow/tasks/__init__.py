"""Tasks: where rows come from, how they are dealt to parts, how answers are scored."""

from __future__ import annotations

from outgrow.tasks.preferences import read_preferences, without_prompts_of, write_preferences
from outgrow.tasks.protocol import DemandingTask, RatedTask, RemarkingTask, Task, TextTask, load_task
from outgrow.tasks.tables import read_records

__all__ = [
    "DemandingTask",
    "RatedTask",
    "RemarkingTask",
    "Task",
    "TextTask",
    "load_task",
    "read_preferences",
    "read_records",
    "without_prompts_of",
    "write_preferences",
]
