"""Tasks: where rows come from, how they are dealt to parts, how answers are scored."""

from __future__ import annotations

from outgrow.tasks.protocol import DemandingTask, RatedTask, RemarkingTask, Task, TextTask, load_task
from outgrow.tasks.tables import read_records

__all__ = ["DemandingTask", "RatedTask", "RemarkingTask", "Task", "TextTask", "load_task", "read_records"]
