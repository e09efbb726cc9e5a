"""Sweeps: students whose methods differ in a single number, such as 1, 2, 4 and 8 demonstrations.

Nobody has to announce one: the methods of an experiment say which numbers differ. What is found here are names only;
`outgrow.evaluate.compare.summarise` puts scores to them.
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
    """Students in the order of the one number that tells their methods apart."""

    setting: str
    """Where the number stands in a method, such as `refine.demonstrations`."""
    values: Mapping[str, float]
    """Student → number, smallest first."""
    reference: str | None
    """The student to compare them with: that of the same method without the part that the number belongs to, else the
    one named `naive`; None where there is neither."""


def find_sweeps(methods: Mapping[str, Any]) -> tuple[Sweep, ...]:
    """The sweeps among the methods of an experiment, in the order in which their numbers first occur.

    Of methods that are equal altogether the first one counts. Numbers that are left to their defaults are not seen.

    Args:
        methods: Name → settings, as mappings, lists and plain values.

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
    """The smallest number from which on every point is better than the reference; None where there is none.

    Better is a gain whose interval lies above 0; that of a single value is not corrected for how many there are.

    Args:
        points: The points of a sweep, smallest number first.

    Example:
        >>> from outgrow.evaluate.summary import Estimate
        >>> score, gains = Estimate(0.5, None), [(0.1, 0.3), (-0.1, 0.1), (0.0, 0.2), (0.1, 0.2)]
        >>> pays_from([SweepPoint(n, str(n), score, Estimate(sum(each) / 2, each)) for n, each in enumerate(gains)])
        3
    """
    smallest = None
    for point in reversed(points):
        if not point.better:
            break
        smallest = point.value
    return smallest


def _leaves(value: object, path: _Path = ()) -> Iterator[tuple[_Path, object]]:
    """What stands at the ends of nested settings; an empty mapping or list is an end."""
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
