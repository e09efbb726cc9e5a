"""The example browser of a report: rows with every model's answer, as compressed JSON in the page."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.labels import Rows

MOST_ROWS = 10_000
"""Rows of a part in the page; of more, evenly spaced ones."""
LARGEST = 4_500_000
"""Characters of data in the page; beyond, rows are left out."""
LONGEST_TEXT = 5_000
"""Characters of a text in the page; longer ones are cut."""


class Examples(NamedTuple):
    """Rows of one part, and what all models answered."""

    rows: Rows
    predictions: pa.Table
    """`Predictions.to_arrow` of every model and seed, in the order of `rows`, with the columns `role`, `name`, `seed`.
    Roles are those of results, or `label` and `refined`: what the student of a method learned."""


def examples_data(
    parts: Mapping[str, Examples], best: Sequence[str], sizes: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the values of the template; None without rows.

    Args:
        parts: By name.
        best: Names of the best supervisor, combination and student, which are shown first.
        sizes: Rows of each part, of which `parts` may hold some only.
    """
    known = {name: own for name, own in parts.items() if len(own.rows) and own.predictions.num_rows}
    if not known:
        return None
    most = MOST_ROWS
    while True:
        kept = {name: spread(len(own.rows), most) for name, own in known.items()}
        sent = {"parts": [_part(name, own, kept[name]) for name, own in known.items()], "best": list(best)}
        text = json.dumps(sent, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        packed = base64.b64encode(gzip.compress(text, 6, mtime=0)).decode("ascii")
        if len(packed) <= LARGEST or most <= 1:
            break
        most = min(most, max(map(len, kept.values()))) * LARGEST * 9 // (len(packed) * 10) or 1
    shown = [(name, len(kept[name]), max(len(own.rows), sizes.get(name, 0))) for name, own in known.items()]
    return {"packed": packed, "cut": [each for each in shown if each[1] < each[2]]}


def spread(rows: int, most: int = MOST_ROWS) -> NDArray[np.int64]:
    """Return at most so many evenly spaced indices of rows, so that those left out are not of one kind.

    Example:
        >>> spread(10, 4).tolist()
        [0, 3, 6, 9]
    """
    return np.unique(np.linspace(0, max(rows - 1, 0), min(rows, most)).astype(np.int64))


def _part(name: str, examples: Examples, kept: NDArray[np.int64]) -> dict[str, Any]:
    rows = examples.rows.take(kept)
    gold = [-1 if answer is None else answer for answer in rows.gold] if rows.choices else list(rows.gold)
    return {
        "name": rows.parts[0] if name == "test" else name,  # without a test part, answers to unlabelled rows
        "choices": rows.choices,
        "options": rows.options,
        "metric": (_metric(examples.predictions) or "").removeprefix("score."),
        "ids": rows.ids,
        "prompts": [_cut(prompt) for prompt in rows.prompts],
        "gold": gold if rows.choices else [None if answer is None else _cut(str(answer)) for answer in gold],
        "models": list(_models(examples, kept)),
    }


def _models(examples: Examples, kept: NDArray[np.int64]) -> Iterator[dict[str, Any]]:
    rows, table = examples.rows, examples.predictions
    # The runs of a model are one block; each run has all rows.
    firsts = table.select(["role", "name"]).take(pa.array(np.arange(0, table.num_rows, len(rows)))).to_pylist()
    runs = Counter((one["role"], one["name"]) for one in firsts)
    start = 0
    for (role, name), count in runs.items():
        own, about = table.slice(start, count * len(rows)), {"role": role, "name": name}
        start += count * len(rows)
        if rows.choices is not None:
            yield about | _choice_answers(own, rows, kept)
            continue
        answers = own["answer"].slice(0, len(rows)).take(pa.array(kept)).to_pylist()
        yield about | {"answers": [_cut(answer) for answer in answers], "scores": _scores(own, kept, len(rows))}


def _choice_answers(table: pa.Table, rows: Rows, kept: NDArray[np.int64]) -> dict[str, Any]:
    # The mean of all seeds; hard votes need no probabilities.
    k = len(rows.choices or ())
    probs = table["probs"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, len(rows), k)
    probs = probs.mean(axis=0)[kept]
    silent = np.isnan(probs).any(axis=1)
    found: dict[str, Any] = {
        "answers": np.where(silent, -1, np.where(silent[:, None], 0, probs).argmax(axis=1)).tolist()
    }
    if (probs.max(axis=1)[~silent] < 1).any():
        found["probs"] = np.where(silent[:, None], 0, 100 * probs).round().astype(int).tolist()
    return found


def _metric(table: pa.Table) -> str | None:
    return next((column for column in table.column_names if column.startswith("score.")), None)


def _scores(table: pa.Table, kept: NDArray[np.int64], rows: int) -> list[float] | None:
    metric = _metric(table)
    if metric is None:
        return None
    scores: list[float] = table[metric].slice(0, rows).to_numpy()[kept].round(3).tolist()
    return scores


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} … ({len(text):,} characters)"
