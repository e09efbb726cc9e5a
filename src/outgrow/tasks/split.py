"""Assigning rows to the gold, validation, unlabelled and test parts without leakage between parts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from outgrow.config import Split
from outgrow.errors import DataError
from outgrow.labels import PARTS, Part, Rows

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
    return " ".join(_NO_WORD.sub(_kept, prompt.casefold()).split()) or prompt.strip()


def _kept(match: re.Match[str]) -> str:
    category = unicodedata.category(match[0])
    return match[0] if category in {"Mn", "Mc", "Sm", "Sc", "So"} else " "


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
    sizes = _sizes(split, len(prompts))
    order = np.random.default_rng(split.seed).permutation(cluster.max() + 1)
    members: list[list[int]] = [[] for _ in order]
    for row, own in enumerate(cluster):
        members[own].append(row)
    shuffled = [members[own] for own in order]
    covered = [True] * len(prompts) if voted is None else voted
    known = [answer is not None for answer in gold]
    outside = [rows for rows in shuffled if not any(covered[row] for row in rows)]
    inside = [own for rows in shuffled if (own := [row for row in rows if covered[row]])]
    without_gold = [rows for rows in inside if not all(known[row] for row in rows)]
    with_gold = [rows for rows in inside if all(known[row] for row in rows)]

    parts: list[Part | None] = [None] * len(prompts)
    if voted is None:
        with_gold = _fill(parts, "gold", with_gold, sizes["gold"])
    else:
        _fill(parts, "gold", [rows for rows in outside if all(known[row] for row in rows)], sizes["gold"])
    with_gold = _fill(parts, "test", with_gold, sizes["test"])
    with_gold = _fill(parts, "validation", with_gold, sizes["validation"])
    # Other parts may be smaller than asked for, where gold answers are few.
    size = len(prompts) if _is_rest(split.unlabelled) else sizes["unlabelled"]
    _fill(parts, "unlabelled", [*without_gold, *with_gold], size)
    return parts


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
    kept = [(row, part) for row, part in enumerate(parts) if part is not None]
    rows = Rows(
        ids=tuple(str(row) if ids is None else ids[row] for row, _ in kept),
        prompts=tuple(prompts[row] for row, _ in kept),
        parts=tuple(part for _, part in kept),
        gold=tuple(gold[row] for row, _ in kept),
        choices=choices,
        options=None if options is None else tuple(options[row] for row, _ in kept),
    )
    check_parts(rows, where=where, needs_gold=needs_gold)
    return rows


def check_parts(rows: Rows, *, where: str, needs_gold: bool = True) -> None:
    """Raise a `DataError` if a part is empty, a gold answer is missing, or a prompt is in two parts.

    Rows that are all test rows are a further test part, which needs no others. A task without any gold answer needs
    no test part.
    """
    known = any(answer is not None for answer in rows.gold)
    for part in ("unlabelled", "test") if {*rows.parts} != {"test"} else ():
        if part not in rows.parts and (part == "unlabelled" or known):
            advice = "Change task.split, or the column named by task.columns.part."
            raise DataError(
                f"The {part} part of {where} is empty.",
                found=", ".join(f"{name}: {rows.parts.count(name)}" for name in PARTS),
                fix=advice if known or part == "unlabelled" else "Give some rows a gold answer (task.columns.gold).",
            )
    for part in ("gold", "validation", "test"):
        unknown = sum(answer is None for own, answer in zip(rows.parts, rows.gold, strict=True) if own == part)
        if unknown and needs_gold:
            raise DataError(f"{unknown} rows of the {part} part of {where} have no gold answer.", wanted="gold for all")
    seen: dict[str, Part] = {}
    for prompt, part in zip(rows.prompts, rows.parts, strict=True):
        first = seen.setdefault(normalise(prompt), part)
        if first != part:
            raise DataError(
                f"The same prompt is in the {first} and the {part} part of {where}.",
                found=repr(prompt[:80]),
                wanted="parts that share no prompt (compared without case, white space and punctuation)",
                fix="Remove the duplicates, or let task.split assign the rows: it keeps duplicates together.",
            )


def shared_prompts(rows: Rows, tested: Rows) -> int:
    """Return how many of the rows `tested` have a prompt that a training row (of any part but `test`) has too."""
    trained = {normalise(prompt) for prompt, part in zip(rows.prompts, rows.parts, strict=True) if part != "test"}
    return sum(normalise(prompt) in trained for prompt in tested.prompts)


def shared_stems(rows: Rows) -> int:
    """Return how many test rows have a prompt that begins as one of another part does, as answers to one question do.

    The beginning has 30 characters or more, and more than half of both prompts, beyond what all prompts begin with.
    """
    found = sorted(zip(map(normalise, rows.prompts), rows.parts, strict=True))
    common = _shared(found[0][0], found[-1][0]) if found else 0
    count, run = 0, []
    for (prompt, part), (following, _) in zip(found, [*found[1:], ("", None)], strict=True):
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
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    keys: list[Sequence[Hashable]] = [[("prompt", normalise(prompt)) for prompt in prompts]]
    if groups is not None:
        keys.append([("group", group) for group in groups])
    number: dict[Hashable, int] = {}
    nodes = [number.setdefault(key, len(number)) for key in chain(*keys)]
    rows = np.tile(np.arange(len(prompts)), len(keys))
    size = len(prompts) + len(number)
    links = coo_array((np.ones(len(nodes)), (rows, np.array(nodes) + len(prompts))), shape=(size, size))
    _, labels = connected_components(links, directed=False)
    _, first, cluster = np.unique(labels[: len(prompts)], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[cluster]


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


def _fill(parts: list[Part | None], part: Part, clusters: list[list[int]], size: int) -> list[list[int]]:
    """Assign whole clusters to a part until it has `size` rows; return the clusters that are left."""
    left, count = [], 0
    for rows in clusters:
        if count + len(rows) <= size:
            for row in rows:
                parts[row] = part
            count += len(rows)
        else:
            left.append(rows)
    return left
