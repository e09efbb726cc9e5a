"""Slots as JSON: how a text task writes the slots of an utterance, and how it reads whatever a model answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from outgrow.evaluate.slu import Slot

Problem = Literal["empty", "unparsable", "unknown slots"]


@dataclass(frozen=True)
class Reading:
    """What an answer says."""

    slots: tuple[Slot, ...]
    """Its slots; none where it cannot be read."""
    problem: Problem | None
    """What is wrong with it, if anything. Slots of an unknown name are kept: they are wrong, and count as such."""


def write_slots(slots: Sequence[Slot]) -> str:
    """Slots as JSON: a list of fillers for each type, types in the order in which they first occur.

    Example:
        >>> write_slots([{"type": "room", "filler": "hall"}, {"type": "room", "filler": "attic"}])
        '{"room": ["hall", "attic"]}'
    """
    fillers: dict[str, list[str]] = {}
    for slot in slots:
        fillers.setdefault(slot["type"], []).append(slot["filler"])
    return json.dumps(fillers, ensure_ascii=False)


def read_slots(answer: str, schema: Sequence[str]) -> Reading:
    """Reads the JSON object that an answer begins with; what follows it does not matter.

    A single filler may stand without its list. Fillers are lower-cased, with one space between two words, as gold is.

    Args:
        answer: The answer of a model, which may be anything.
        schema: The names that slots may have.

    Example:
        >>> read_slots('{"date": ["today"], "time": "10  AM"} or so', ["date", "time"]).slots[1]
        {'type': 'time', 'filler': '10 am'}
        >>> read_slots('{"date": [tod', ["date"])
        Reading(slots=(), problem='unparsable')
    """
    if not answer.strip():
        return Reading((), "empty")
    try:
        pairs, _ = json.JSONDecoder(object_pairs_hook=_Object).raw_decode(answer.strip())
    except (ValueError, RecursionError):
        return Reading((), "unparsable")
    if not isinstance(pairs, _Object):
        return Reading((), "unparsable")
    given = [(name, filler) for name, value in pairs for filler in (value if type(value) is list else [value])]
    if not all(isinstance(filler, str) for _, filler in given):
        return Reading((), "unparsable")
    slots = slots_of((name, tidy(filler)) for name, filler in given)
    return Reading(slots, "unknown slots" if any(slot["type"] not in schema for slot in slots) else None)


def slots_of(pairs: Iterable[tuple[str, str]]) -> tuple[Slot, ...]:
    """Slots from types and fillers.

    Example:
        >>> slots_of([("room", "hall")])
        ({'type': 'room', 'filler': 'hall'},)
    """
    return tuple({"type": name, "filler": filler} for name, filler in pairs)


def tidy(text: str) -> str:
    """Lower case, one space between two words.

    Example:
        >>> tidy(" Turn  ON ")
        'turn on'
    """
    return " ".join(text.lower().split())


class _Object(list[tuple[str, Any]]):
    """A JSON object as its pairs, so that a name given twice is not lost."""
