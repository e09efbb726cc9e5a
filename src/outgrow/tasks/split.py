"""Assigning rows to the gold, validation, unlabelled and test parts without leakage between parts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.config import Split
from outgrow.errors import DataError
from outgrow.labels import PARTS, Part, Rows
from outgrow.labels.columns import packed, taken

_STEM = 30
"""Fewest characters of a beginning that two prompts do not share by chance."""
_NO_WORD = re.compile(r"[^\w\s]")


def normalise(prompt: str) -> str:
    """Return a key that is equal for prompts that differ only in case, white space or punctuation.

    Combining vowel signs and symbols that carry meaning (`+`, `<`, `€`, 😀) are kept.

    Example:
        >>> normalise("What is  H2O ?") == normalise("what is H2O")
        True
    """
    words = prompt.translate(_ASCII) if prompt.isascii() else _NO_WORD.sub(_kept, prompt.casefold())
    return " ".join(words.split()) or prompt.strip()


def _kept(match: re.Match[str]) -> str:
    category = unicodedata.category(match[0])
    return match[0] if category in {"Mn", "Mc", "Sm", "Sc", "So"} else " "


_ASCII = "".join(_NO_WORD.sub(_kept, chr(code).casefold()) for code in range(128))
"""What `normalise` makes of each character of a plain text, several times as fast."""


def _hashes(prompts: Sequence[str]) -> NDArray[np.int64]:
    # 64 bits of each: two of ten million prompts collide with probability 3·10⁻⁶, and then stay in one part.
    return np.fromiter((hash(normalise(prompt)) for prompt in prompts), np.int64, len(prompts))


def assign_parts(
    prompts: Sequence[str],
    gold: Sequence[object],
    split: Split,
    *,
    groups: Sequence[Hashable] | None = None,
    voted: Sequence[bool] | None = None,
) -> list[Part | None]:
    """Return the part of every row, or None for rows that are not used.

    Rows of one group, and rows whose prompts are equal after `normalise`, stay in one part. Rows without gold (None)
    can only be unlabelled. `voted` says which rows outside votes cover (see `Split.voted`). The assignment depends on
    the rows and on `split.seed` only.

    Raises:
        DataError: The parts ask for more rows than there are.

    Example:
        >>> assign_parts(["a", "b", "c", "d", "e"], [0, 1, 0, 1, None], Split(gold=2, unlabelled=2, test=1))
        ['test', 'unlabelled', 'gold', 'gold', 'unlabelled']
    """
    if not prompts:
        return []
    cluster = _clusters(prompts, groups)
    sizes, count = _sizes(split, len(prompts)), int(cluster.max()) + 1
    order = np.random.default_rng(split.seed).permutation(count)
    covered = np.ones(len(prompts), dtype=np.bool_) if voted is None else np.asarray(voted, dtype=np.bool_)
    known = np.fromiter((answer is not None for answer in gold), np.bool_, len(prompts))
    inside = np.bincount(cluster[covered], minlength=count)
    has_gold = np.bincount(cluster[covered & known], minlength=count) == inside
    outside = np.bincount(cluster[~covered], minlength=count)
    all_known = np.bincount(cluster[known], minlength=count) == inside + outside

    part_of = np.full(count, -1, dtype=np.int8)
    with_gold = order[(inside > 0)[order] & has_gold[order]]
    if voted is None:
        with_gold = _fill(part_of, "gold", with_gold, inside, sizes["gold"])
    else:
        _fill(part_of, "gold", order[(inside == 0)[order] & all_known[order]], outside, sizes["gold"])
    with_gold = _fill(part_of, "test", with_gold, inside, sizes["test"])
    with_gold = _fill(part_of, "validation", with_gold, inside, sizes["validation"])
    # Other parts may be smaller than asked for, where gold answers are few.
    size = len(prompts) if _is_rest(split.unlabelled) else sizes["unlabelled"]
    without_gold = order[(inside > 0)[order] & ~has_gold[order]]
    _fill(part_of, "unlabelled", np.concatenate([without_gold, with_gold]), inside, size)
    # Of a group that outside votes cover in part, the other rows are not used.
    codes = np.where(covered | (inside == 0)[cluster], part_of[cluster], -1)
    names: tuple[Part | None, ...] = (*PARTS, None)
    return [names[code] for code in codes]


def rows_in_parts(
    parts: Sequence[Part | None],
    *,
    prompts: Sequence[str],
    gold: Sequence[int | str | None],
    choices: tuple[str, ...] | None = None,
    options: Sequence[tuple[str, ...]] | None = None,
    ids: Sequence[str] | None = None,
    where: str = "the task",
    needs_gold: bool = True,
) -> Rows:
    """Return the rows that have a part, after `check_parts`.

    Arguments are the columns of `outgrow.labels.Rows` for N rows, of which those with the part None are left out. Ids
    are numbers by default; `where` names the data in error messages.
    """
    kept = np.flatnonzero(np.fromiter((part is not None for part in parts), np.bool_, len(parts)))
    rows = Rows(
        ids=packed(map(str, kept)) if ids is None else taken(ids, kept),
        prompts=taken(prompts, kept),
        parts=[part for part in parts if part is not None],
        gold=taken(gold, kept),
        choices=choices,
        options=None if options is None else taken(options, kept),
    )
    check_parts(rows, where=where, needs_gold=needs_gold)
    return rows


def check_parts(rows: Rows, *, where: str, needs_gold: bool = True) -> None:
    """Raise a `DataError` if a part is empty, a gold answer is missing, or a prompt is in two parts.

    Rows that are all test rows are a further test part, which needs no others. A task without any gold answer needs
    no test part.
    """
    known = rows.gold.count(None) < len(rows)
    for part in ("unlabelled", "test") if {*rows.parts} != {"test"} else ():
        if part not in rows.parts and (part == "unlabelled" or known):
            advice = "Change task.split, or the column named by task.columns.part."
            raise DataError(
                f"The {part} part of {where} is empty.",
                found=", ".join(f"{name}: {rows.parts.count(name)}" for name in PARTS),
                fix=advice if known or part == "unlabelled" else "Give some rows a gold answer (task.columns.gold).",
            )
    needing: tuple[Part, ...] = ("gold", "validation", "test")
    for part in needing:
        unknown = taken(rows.gold, rows.where(part)).count(None)
        if unknown and needs_gold:
            raise DataError(f"{unknown} rows of the {part} part of {where} have no gold answer.", wanted="gold for all")
    seen: dict[str, Part] = {}
    doubtful = _repeated(_hashes(rows.prompts))
    for prompt, part in zip(taken(rows.prompts, doubtful), taken(rows.parts, doubtful), strict=True):
        first = seen.setdefault(normalise(prompt), part)
        if first != part:
            raise DataError(
                f"The same prompt is in the {first} and the {part} part of {where}.",
                found=repr(prompt[:80]),
                wanted="parts that share no prompt (compared without case, white space and punctuation)",
                fix="Remove the duplicates, or let task.split assign the rows: it keeps duplicates together.",
            )


def _repeated(hashes: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Positions of the hashes that occur more than once."""
    in_order = np.sort(hashes)
    twice = np.unique(in_order[1:][in_order[1:] == in_order[:-1]])
    return np.flatnonzero(np.isin(hashes, twice)) if len(twice) else np.empty(0, dtype=np.intp)


def shared_prompts(rows: Rows, tested: Rows) -> int:
    """Return how many of the rows `tested` have a prompt that a training row (of any part but `test`) has too."""
    keys = [*map(normalise, tested.prompts)]
    wanted = {*keys}
    trained = (normalise(prompt) for prompt, part in zip(rows.prompts, rows.parts, strict=True) if part != "test")
    found = {key for key in trained if key in wanted}
    return sum(key in found for key in keys)


def shared_stems(rows: Rows) -> int:
    """Return how many test rows have a prompt that begins as one of another part does, as answers to one question do.

    The beginning has 30 characters or more, and more than half of both prompts, beyond what all prompts begin with.
    """
    if not len(rows):
        return 0
    lowest = highest = normalise(rows.prompts[0])
    for key in map(normalise, rows.prompts):
        lowest, highest = min(lowest, key), max(highest, key)
    common = _shared(lowest, highest)
    # Only prompts that begin as a test row's count, so that memory grows with these alone.
    stem = common + _STEM
    tested = {normalise(prompt)[:stem] for prompt in taken(rows.prompts, rows.where("test"))}
    keys = zip(map(normalise, rows.prompts), rows.parts, strict=True)
    found = sorted((key, part) for key, part in keys if len(key) >= stem and key[:stem] in tested)
    count, run = 0, []
    for (prompt, part), (following, _) in pairwise([*found, ("", "test")]):
        run.append(part)
        stem = _shared(prompt, following) - common
        if stem < max(_STEM, (max(len(prompt), len(following)) - common) / 2):
            count += run.count("test") if len({*run}) > 1 else 0
            run = []
    return count


def _shared(one: str, other: str) -> int:
    """The number of characters that both begin with."""
    differences = (place for place, (left, right) in enumerate(zip(one, other, strict=False)) if left != right)
    return next(differences, min(len(one), len(other)))


def _clusters(prompts: Sequence[str], groups: Sequence[Hashable] | None) -> NDArray[np.int64]:
    """Number the clusters of rows that a prompt or group links, directly or not, in order of first appearance."""
    first = _first_of_equals(_hashes(prompts))
    if groups is not None:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        number: dict[Hashable, int] = {}
        nodes = np.fromiter((number.setdefault(group, len(number)) for group in groups), np.int64, len(prompts))
        size = len(prompts) + len(number)
        links = coo_array((np.ones(len(prompts)), (first, nodes + len(prompts))), shape=(size, size))
        _, labels = connected_components(links, directed=False)
        first = _first_of_equals(labels[first])
    rank = np.cumsum(first == np.arange(len(first))) - 1
    found: NDArray[np.int64] = rank[first]
    return found


def _first_of_equals(keys: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Position of the first of the keys that equal each one."""
    # Most occur once, and sorting all of them with their positions takes several times the memory.
    first, again = np.arange(len(keys)), _repeated(keys)
    _, place, group = np.unique(keys[again], return_index=True, return_inverse=True)
    first[again] = again[place[group]]
    return first


def size_of(share: float, rows: int) -> int:
    """Return the number of rows that a size of `Split` asks for, alone.

    Example:
        >>> [size_of(share, 200) for share in (0.5, 50, 1.0, 1)]
        [100, 50, 200, 1]
    """
    return rows if _is_rest(share) else round(share * rows) if share < 1 else int(share)


def _is_rest(share: float) -> bool:
    return isinstance(share, float) and share == 1


def _sizes(split: Split, rows: int) -> dict[Part, int]:
    if split.test == "all":
        return {part: rows if part == "test" else 0 for part in PARTS}
    shares = {part: getattr(split, part) for part in PARTS}
    exact = {part: share * rows if share < 1 else share for part, share in shares.items() if not _is_rest(share)}
    rest = max(0, rows - sum(exact.values()))
    exact |= {part: rest for part, share in shares.items() if _is_rest(share)}
    sizes: dict[Part, int] = {part: round(exact[part]) for part in PARTS}
    if sum(exact.values()) > rows + 1e-6:
        raise DataError(
            "The parts ask for more rows than there are.",
            found=f"{rows} rows",
            wanted=", ".join(f"{part}: {size}" for part, size in sizes.items()),
            fix="Lower the sizes in task.split.",
        )
    return sizes


def _fill(
    part_of: NDArray[np.int8], part: Part, clusters: NDArray[np.intp], sizes: NDArray[np.intp], most: int
) -> NDArray[np.intp]:
    """Assign whole clusters to a part, in their order, as long as it has at most so many rows; return the others."""
    waiting, count = clusters, 0
    while True:
        waiting = waiting[sizes[waiting] <= most - count]
        if not len(waiting):
            return clusters[part_of[clusters] < 0]
        running = count + np.cumsum(sizes[waiting])
        fitting = int(np.searchsorted(running, most, side="right"))
        part_of[waiting[:fitting]] = PARTS.index(part)
        waiting, count = waiting[fitting:], int(running[fitting - 1])
