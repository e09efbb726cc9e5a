"""Files of preference pairs, in the form that trl reads and writes: `prompt`, `chosen`, `rejected`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from outgrow.errors import DataError
from outgrow.labels import PreferencePairs
from outgrow.store import write_text
from outgrow.tasks.split import normalise
from outgrow.tasks.tables import column, read_records


class ReadPairs(NamedTuple):
    """What a file of preference pairs holds."""

    pairs: PreferencePairs
    """Its pairs."""
    equal: int
    """Lines left out because both texts are the same."""


def read_preferences(path: str | Path, *, answer_after: str | None = None) -> ReadPairs:
    r"""Reads preference pairs.

    Args:
        path: A table as in `read_records`, with `chosen`, `rejected` and, if they are known, `prompt`, `id`,
            `p_chosen`, `weight`, `chosen_ended` and `rejected_ended`.
        answer_after: Where there is no `prompt`, both texts begin with it: it ends with the last place where both have
            this string, such as `"\n\nAssistant:"`. By default it ends before the last word that they share.

    Raises:
        DataError: The file cannot be read, a column is missing or of the wrong kind, or a pair shares no such string.
    """
    table = read_records(str(path))
    if "prompt" not in table.column_names:
        table = _with_prompts(table, str(path), answer_after)
    chosen, rejected = (column(table, name, where=str(path), setting="its columns") for name in ("chosen", "rejected"))
    different = [index for index, (a, b) in enumerate(zip(chosen, rejected, strict=True)) if a != b]
    numbered = table if "id" in table.column_names else table.append_column("id", _numbers(table.num_rows))
    return ReadPairs(PreferencePairs.from_arrow(numbered.take(different)), table.num_rows - len(different))


def write_preferences(path: str | Path, pairs: PreferencePairs) -> None:
    """Writes pairs as JSON lines, a field per column; trl reads `prompt`, `chosen`, `rejected`."""
    write_text(Path(path), preference_lines(pairs))


def preference_lines(pairs: PreferencePairs) -> str:
    """Pairs as JSON lines; see `write_preferences`.

    Example:
        >>> line = preference_lines(PreferencePairs(("a",), ("2+2=",), ("4",), ("5",), (0.9,), (1.0,)))
        >>> [*json.loads(line)]
        ['id', 'prompt', 'chosen', 'rejected', 'p_chosen', 'weight', 'chosen_ended', 'rejected_ended']
    """
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in pairs.records())


def without_prompts_of(pairs: PreferencePairs, *others: PreferencePairs) -> PreferencePairs:
    """The pairs whose prompts occur in none of the others; case and spacing make no difference.

    Example:
        >>> one = PreferencePairs(("a",), ("Is it?",), ("yes",), ("no",), (1.0,), (1.0,))
        >>> len(without_prompts_of(one, PreferencePairs(("b",), ("is  it?",), ("no",), ("yes",), (1.0,), (1.0,))))
        0
    """
    taken = {normalise(prompt) for other in others for prompt in other.prompts}
    return pairs.take([index for index, prompt in enumerate(pairs.prompts) if normalise(prompt) not in taken])


def _with_prompts(table: pa.Table, where: str, answer_after: str | None) -> pa.Table:
    texts = [column(table, name, where=where, setting="its columns") for name in ("chosen", "rejected")]
    split = [
        _split(chosen, rejected, row, answer_after) for row, (chosen, rejected) in enumerate(zip(*texts, strict=True))
    ]
    columns: Sequence[tuple[str, ...]] = list(zip(*split, strict=True))
    rest: dict[str, Any] = {name: table[name] for name in table.column_names if name not in ("chosen", "rejected")}
    return pa.table({**rest, **dict(zip(("prompt", "chosen", "rejected"), map(pa.array, columns), strict=True))})


def _split(chosen: object, rejected: object, row: int, answer_after: str | None) -> tuple[str, str, str]:
    """Prompt and answers of two texts that begin with the same prompt."""
    if not isinstance(chosen, str) or not isinstance(rejected, str):
        raise DataError(
            f"Preference pair {row} has no texts.",
            found=repr(rejected if isinstance(chosen, str) else chosen)[:120],
            wanted="texts (conversations are to be written out as the model sees them)",
        )
    shared = chosen[: sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(chosen, rejected, strict=False)))]
    if answer_after is None:
        end = max(shared.rfind(" "), 0)
    else:
        end = shared.rfind(answer_after) + len(answer_after)
        if answer_after not in shared:
            raise DataError(
                f"The texts of preference pair {row} do not share a prompt.",
                found=repr(shared[-60:]),
                wanted=f"the same text up to {answer_after!r}",
            )
    return shared[:end], chosen[end:], rejected[end:]


def _numbers(count: int) -> pa.Array:
    return pa.array([str(index) for index in range(count)])
