"""Placement of labels in figures without overlap; all measures in points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

Point = tuple[float, float]

_BESIDE, _ABOVE = 6.0, 3.0
"""Distances of a label from its point."""
_SIDESTEP = 20.0
"""Sideways step of labels that do not fit; upwards they move by their height."""
_MARK = 5.0
"""Half the width of a mark."""


class Box(NamedTuple):
    """An upright rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def grown(self, by: float) -> Box:
        """Return the box with a margin around it."""
        return Box(self.left - by, self.bottom - by, self.right + by, self.top + by)

    def distance(self, point: Point) -> float:
        """Return the distance of the nearest edge from a point; 0 inside."""
        x, y = point
        return math.hypot(max(self.left - x, x - self.right, 0.0), max(self.bottom - y, y - self.top, 0.0))

    def overlap(self, other: Box) -> float:
        """Return the area shared with another box."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)


def stack_levels(spans: Sequence[tuple[float, float]]) -> list[int]:
    """Return the lowest level for each label, given position and width, on which it is clear of the earlier ones.

    A label may stand on either side of its position, so both sides are kept free.
    """
    levels: list[int] = []
    for position, width in spans:
        taken = {
            level
            for (other, other_width), level in zip(spans, levels, strict=False)
            if abs(position - other) < width + other_width
        }
        levels.append(next(level for level in range(len(spans)) if level not in taken))
    return levels


def spread_apart(places: Sequence[float], gap: float, top: float) -> list[float]:
    """Move places in [0, top] apart, in their order, so that neighbours are at least `gap` apart.

    Places are moved up only as far as needed, and down again where they would exceed `top`.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = list(places)
    for below, above in itertools.pairwise(order):
        moved[above] = max(moved[above], moved[below] + gap)
    limit = top
    for index in reversed(order):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - gap
    return moved


def place_labels(
    points: Sequence[Point], sizes: Sequence[tuple[float, float]], bars: Sequence[Box], frame: Box
) -> list[Point]:
    """Return lower left corners for labels of the given sizes (width, height) beside their points.

    Each label in turn takes the place around its point that overlaps least with marks, bars, earlier labels and the
    outside of the frame; of equally good places the first, which is to the upper right.
    """
    obstacles = [Box(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in points] + list(bars)
    corners: list[Point] = []
    for (x, y), (width, height) in zip(points, sizes, strict=True):
        places = _places(x, y, width, height)
        best = min(places, key=lambda box: _cost(box, obstacles, frame))
        obstacles.append(best)
        corners.append((best.left, best.bottom))
    return corners


def _places(x: float, y: float, width: float, height: float) -> list[Box]:
    """Places around a cross, from near to far, upper right first."""
    steps = sorted(itertools.product(range(5), range(4)), key=lambda step: step[0] * height + step[1] * _SIDESTEP)
    corners = []
    for up, aside in steps:
        above, beside = _ABOVE + up * height, _BESIDE + aside * _SIDESTEP
        lefts = (x + beside, x - beside - width)
        corners += [(left, bottom) for bottom in (y + above, y - above - height) for left in lefts]
    return [Box(left, bottom, left + width, bottom + height) for left, bottom in corners]


def _cost(box: Box, obstacles: Sequence[Box], frame: Box) -> float:
    area = (box.right - box.left) * (box.top - box.bottom)
    # Outside the frame a label may be cut off, which is worse than a little crowding.
    outside = area - box.overlap(frame)
    return sum(box.overlap(other) for other in obstacles) + 3 * outside
