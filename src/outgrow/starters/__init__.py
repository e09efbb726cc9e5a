"""Starters: folders with an experiment that runs as it is, on a small made-up sample, to be changed into one's own."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from outgrow.errors import ConfigError, did_you_mean
from outgrow.files import new_folder
from outgrow.starters.encoder import make_encoder
from outgrow.starters.samples import messages, questions, replies, votes

STARTERS = {
    "crowd": "texts and the votes of several people",
    "rules": "regular expressions",
    "models": "weaker models, trained on a few known answers",
    "server": "a language model behind a server",
    "texts": "texts that exist already, for a language model to learn from",
    "sciq": "questions with four answers each",
}
"""Kinds, and what supervises in each."""

_ROWS, _NEW = 600, 50
"""Rows of the experiment, and rows that only `outgrow predict` sees."""


def write_starter(kind: str, folder: str | Path) -> Path:
    """Write a folder with `experiment.yaml` and the files that it reads; return the path of the experiment.

    Args:
        kind: One of `STARTERS`.
        folder: A folder that is not there yet; its name becomes that of the experiment.

    Raises:
        ConfigError: There is no such kind.
        StoreError: The folder is there already, or cannot be written.
    """
    if kind not in STARTERS:
        raise ConfigError(f"There is no starter {kind!r}.", fix=did_you_mean(kind, STARTERS))
    folder = Path(folder)
    text = Path(__file__).with_name(f"{kind}.yaml").read_text(encoding="utf-8")
    name = folder.resolve().name
    with new_folder(folder) as new:
        text = text.replace("name: $name", f"name: {json.dumps(name, ensure_ascii=False)}")  # any name, in quotes
        text = text.replace("$name", name).replace("$folder", folder.as_posix())
        (new / "experiment.yaml").write_text(text, encoding="utf-8")
        _write_sample(kind, new)
    return folder / "experiment.yaml"


def _write_sample(kind: str, folder: Path) -> None:
    if kind == "sciq":
        rows = questions(_ROWS)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "questions.jsonl").write_text(lines, encoding="utf-8")
        make_encoder(folder / "encoder", [row["question"] for row in rows])
        return
    sample = messages(_ROWS + _NEW)
    known, new = sample[:_ROWS], sample[_ROWS:]
    # Of a rare answer that is known, one row in four; where models are trained on them, every row.
    labels = {"rules": known[::4], "server": known[::4], "models": known}.get(kind, [])
    gold = {row["id"]: row["label"] for row in labels}
    columns = ("id", "text", "label") if gold else ("id", "text")
    _write_csv(folder / "texts.csv", [{**row, "label": gold.get(row["id"], "")} for row in known], columns)
    _write_csv(folder / "new.csv", new, ("id", "text"))
    if kind == "crowd":
        _write_csv(folder / "votes.csv", votes(known), ("task", "worker", "label"))
    if kind == "texts":
        _write_csv(folder / "replies.csv", replies(known), ("task", "text"))
    else:
        make_encoder(folder / "encoder", [row["text"] for row in known])


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
