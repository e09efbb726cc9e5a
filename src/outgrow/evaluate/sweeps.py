"""Sweeps: students whose methods differ in a single number, such as 1, 2, 4 and 8 demonstrations.

They are found in the methods of an experiment; `outgrow.evaluate.compare.summarise` adds the scores.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from outgrow.evaluate.summary import SweepPoint

_Path = tuple[str, ...]


@dataclass(frozen=True)
class Sweep:
    """Students whose methods differ in one number."""

    setting: str
    """Path of the number in a method, such as `refine.demonstrations`."""
    values: Mapping[str, float]
    """Student → number, smallest first."""
    reference: str | None
    """The student of the same method without the part that the number belongs to, else the one named `naive`; None
    where there is neither."""


def find_sweeps(methods: Mapping[str, Any]) -> tuple[Sweep, ...]:
    """Return the sweeps among the methods of an experiment (name → settings), in the order of first occurrence.

    Of equal methods the first one counts. Numbers left to their defaults are not found.

    Example:
        >>> shown = {f"icl-{n}": {"refine": {"name": "icl", "demonstrations": n}} for n in (4, 1, 2)}
        >>> find_sweeps({"naive": {}, "other": {"refine": "infer_and_respond"}, **shown})
        (Sweep(setting='refine.demonstrations', values={'icl-1': 1, 'icl-2': 2, 'icl-4': 4}, reference='naive'),)
    """
    leaves = {name: dict(_leaves(settings)) for name, settings in methods.items()}
    groups: dict[tuple[_Path, frozenset[tuple[_Path, str]]], dict[float, str]] = defaultdict(dict)
    for name, own in leaves.items():
        for path, value in own.items():
            if _is_number(value):
                others = frozenset((other, repr(each)) for other, each in own.items() if other != path)
                groups[path, others].setdefault(value, name)
    found = []
    for (path, _), names in groups.items():
        if len(names) > 1:
            values = {names[value]: value for value in sorted(names)}
            found.append(Sweep(".".join(path), values, _reference(leaves, list(values), path[:1])))
    return tuple(found)


def pays_from(points: Sequence[SweepPoint]) -> float | None:
    """Return the smallest number from which on every point is better than the reference; None without one.

    Better means a gain whose interval lies above 0, not corrected for the number of points. Points are sorted.
    """
    smallest = None
    for point in reversed(points):
        if point.sign <= 0:
            break
        smallest = point.value
    return smallest


def _leaves(value: object, path: _Path = ()) -> Iterator[tuple[_Path, object]]:
    """Paths and values of the leaves of nested settings; an empty mapping or list is a leaf."""
    if isinstance(value, Mapping) and value:
        for key, own in value.items():
            yield from _leaves(own, (*path, str(key)))
    elif isinstance(value, list | tuple) and value:
        for index, own in enumerate(value):
            yield from _leaves(own, (*path, str(index)))
    else:
        yield path, value


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _reference(leaves: Mapping[str, Mapping[_Path, Any]], swept: Sequence[str], part: _Path) -> str | None:
    def outside(name: str) -> dict[_Path, Any]:
        return {path: value for path, value in leaves[name].items() if path[:1] != part and path}

    def without(name: str) -> bool:
        inside = [value for path, value in leaves[name].items() if path[:1] == part]
        return all(value is None or value in ({}, [], ()) for value in inside)

    others = [name for name in leaves if name not in swept]
    same = (name for name in others if without(name) and outside(name) == outside(swept[0]))
    return next(same, "naive" if "naive" in others else None)
