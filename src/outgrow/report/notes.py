"""Notes of a run, of which many say the same of another seed or model with other numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_NUMBER = re.compile(r"(?<![\w.-])[+−-]?\d+(?:[.,]\d+)*")
"""A number that is no part of a name such as `bpe512` or `icl-4`."""


@dataclass(frozen=True)
class Note:
    """A note, and those that say the same with other numbers."""

    text: str
    """The first one."""
    alike: tuple[str, ...] = ()
    """The others, in order."""

    @property
    def short(self) -> str:
        """The first one, and how many are like it."""
        return f"{self.text} (And {len(self.alike)} like it.)" if self.alike else self.text


def together(notes: Iterable[str]) -> list[Note]:
    """Notes that differ in numbers only, each such group where its first note stands.

    Example:
        >>> found = together(["bpe512, seed 0: 2 are empty.", "3 rows are left out.", "bpe512, seed 1: 5 are empty."])
        >>> [note.short for note in found]
        ['bpe512, seed 0: 2 are empty. (And 1 like it.)', '3 rows are left out.']
    """
    groups: dict[str, list[str]] = {}
    for text in dict.fromkeys(notes):
        groups.setdefault(_NUMBER.sub("#", text), []).append(text)
    return [Note(first, tuple(others)) for first, *others in groups.values()]
