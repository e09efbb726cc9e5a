"""Slots as JSON: the format in which text tasks write slots, and a lenient reader of model answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from outgrow.evaluate.slu import Slot

Problem = Literal["empty", "unparsable", "unknown slots"]


@dataclass(frozen=True)
class Reading:
    """Slots read from an answer."""

    slots: tuple[Slot, ...]
    """Empty where the answer cannot be parsed."""
    problem: Problem | None
    """What is wrong, if anything. Slots of an unknown name are kept, and count as wrong."""


def write_slots(slots: Sequence[Slot]) -> str:
    """Return slots as JSON: a list of fillers for each type, in the order of first occurrence."""
    fillers: dict[str, list[str]] = {}
    for slot in slots:
        fillers.setdefault(slot["type"], []).append(slot["filler"])
    return json.dumps(fillers, ensure_ascii=False)


def read_slots(answer: str, schema: Sequence[str]) -> Reading:
    """Read the JSON object that an answer begins with; what follows it is ignored.

    A single filler may stand without its list. Fillers are tidied like gold (`tidy`). `schema` holds the valid types.
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
    """Return slots from pairs of type and filler."""
    return tuple({"type": name, "filler": filler} for name, filler in pairs)


def tidy(text: str) -> str:
    """Return a text in lower case, with single spaces."""
    return " ".join(text.lower().split())


class _Object(list[tuple[str, Any]]):
    """Pairs of a JSON object; unlike a dict it keeps repeated names."""
