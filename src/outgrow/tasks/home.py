"""The world of a house that listens, as a task: a command in, JSON of its slots out.

One row: `{"text": "play bach", "slots": [{"type": "music", "filler": "bach"}]}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from outgrow.evaluate.slot_json import slots_of, tidy
from outgrow.tasks.slots import SlotTask, Utterance
from outgrow.worlds.home import SCHEMA


@dataclass(frozen=True)
class Home(SlotTask):
    """`task: {name: home, path: …}`: a folder that `outgrow.worlds.home.build` has made."""

    files: ClassVar[tuple[str, ...]] = ("train", "test")
    schema: ClassVar[tuple[str, ...]] = SCHEMA

    def utterance(self, row: Mapping[str, Any]) -> Utterance:
        """One row."""
        return Utterance(tidy(row["text"]), slots_of((slot["type"], tidy(slot["filler"])) for slot in row["slots"]))
