"""Files of preference pairs in the format of trl: `prompt`, `chosen`, `rejected`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from outgrow.errors import DataError
from outgrow.files import write_text
from outgrow.labels import PreferencePairs
from outgrow.tasks.split import normalise
from outgrow.tasks.tables import column, read_records


class ReadPairs(NamedTuple):
    """The content of a file of preference pairs."""

    pairs: PreferencePairs
    """Pairs of different texts."""
    equal: int
    """Number of lines left out because both texts are the same."""


def read_preferences(path: str | Path, *, answer_after: str | None = None) -> ReadPairs:
    r"""Read preference pairs.

    Args:
        path: A table as in `read_records`, with the columns `chosen` and `rejected`, and optionally `prompt`, `id`,
            `p_chosen`, `weight`, `chosen_ended` and `rejected_ended`.
        answer_after: Without a column `prompt`, the prompt is the common beginning of both texts, up to and including
            the last occurrence of this string, such as `"\n\nAssistant:"`. Default: up to the last shared space.

    Raises:
        DataError: The file cannot be read, a column is missing or of the wrong kind, or a pair does not share
            `answer_after`.
    """
    where = str(path)
    table = read_records(where)
    chosen, rejected = (column(table, name, where=where, setting="its columns") for name in ("chosen", "rejected"))
    fields = {name: table[name] for name in table.column_names}
    if "prompt" not in fields:
        split = [_split(*texts, row, answer_after) for row, texts in enumerate(zip(chosen, rejected, strict=True))]
        columns: list[Sequence[str]] = list(zip(*split, strict=True))
        fields |= {name: pa.array(one) for name, one in zip(("prompt", "chosen", "rejected"), columns, strict=True)}
    fields.setdefault("id", pa.array([str(row) for row in range(table.num_rows)]))
    different = [row for row, (a, b) in enumerate(zip(chosen, rejected, strict=True)) if a != b]
    return ReadPairs(PreferencePairs.from_arrow(pa.table(fields).take(different)), table.num_rows - len(different))


def write_preferences(path: str | Path, pairs: PreferencePairs) -> None:
    """Write pairs as JSON lines that `read_preferences` and trl read, one field per column of the record."""
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in pairs.records())
    write_text(Path(path), "".join(lines))


def without_prompts_of(pairs: PreferencePairs, *others: PreferencePairs) -> PreferencePairs:
    """Return the pairs whose prompts are not among those of `others`, compared as in `outgrow.tasks.split.normalise`.

    Example:
        >>> one = PreferencePairs(("a",), ("Is it?",), ("yes",), ("no",), (1.0,), (1.0,))
        >>> len(without_prompts_of(one, PreferencePairs(("b",), ("is  it?",), ("no",), ("yes",), (1.0,), (1.0,))))
        0
    """
    taken = {normalise(prompt) for other in others for prompt in other.prompts}
    return pairs.take([index for index, prompt in enumerate(pairs.prompts) if normalise(prompt) not in taken])


def _split(chosen: object, rejected: object, row: int, answer_after: str | None) -> tuple[str, str, str]:
    if not isinstance(chosen, str) or not isinstance(rejected, str):
        raise DataError(
            f"Preference pair {row} has no texts.",
            found=repr(rejected if isinstance(chosen, str) else chosen)[:120],
            wanted="texts (render conversations to the text that the model reads)",
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
