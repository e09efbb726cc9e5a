"""Small choice experiments with a planted truth, as files on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tiny_models import WORDS, make_decoder

FILLERS = [word for word in WORDS if word not in ("good", "bad")]


def planted_rows(count: int = 300, seed: int = 0) -> list[dict[str, Any]]:
    """Distinct texts; the label is 1 where `good` is among the words, 0 where `bad` is."""
    rng = np.random.default_rng(seed)
    texts: dict[str, int] = {}
    while len(texts) < count:
        label = len(texts) % 2
        words = [*rng.choice(FILLERS, size=4), ("bad", "good")[label]]
        texts.setdefault(" ".join(rng.permutation(words)), label)
    return [{"id": f"r{index}", "text": text, "label": label} for index, (text, label) in enumerate(texts.items())]


def noisy_votes(
    rows: list[dict[str, Any]], *, wrong: float = 0.3, seed: int = 1, missing: float = 0.0
) -> list[dict[str, Any]]:
    """Votes of one worker that are wrong at random."""
    rng = np.random.default_rng(seed)
    votes = []
    for row in rows:
        flipped, left_out = rng.random() < wrong, rng.random() < missing
        if not left_out:
            votes.append(
                {"task": row["id"], "worker": f"noisy{seed}", "label": 1 - row["label"] if flipped else row["label"]}
            )
    return votes


def write_lines(path: Path, lines: list[dict[str, Any]]) -> Path:
    """Writes JSON lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def write_experiment(folder: Path, model: Path, rows: list[dict[str, Any]] | None = None, **changed: Any) -> Path:
    """An experiment in probe mode with rows and votes in files beside it; `changed` replaces whole sections."""
    rows = planted_rows() if rows is None else rows
    write_lines(folder / "rows.jsonl", rows)
    if not (folder / "votes.jsonl").exists():
        write_lines(folder / "votes.jsonl", noisy_votes(rows))
    settings = {
        "task": {"path": "rows.jsonl", "columns": {"id": "id"}, "choices": ["no", "yes"]},
        "supervisors": [{"votes": "votes.jsonl"}],
        "strong": {"model": str(model), "adapter": {"name": "probe", "epochs": 5, "learning_rate": 0.02}},
        "methods": {"naive": {}},
        "seeds": 1,
        "gold_only": False,
        "store": "store",
        "output": "output",
        **changed,
    }
    path = folder / "trial.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def write_text_task(folder: Path) -> None:
    """A tiny decoder, `decoder`, and `rows.jsonl` of a text task with its parts beside it."""
    make_decoder(folder / "decoder")
    parts = ["gold", "unlabelled", "test"]
    rows = [
        {"id": str(index), "text": f"a plot {word}", "label": f"very {word}", "part": parts[index % 3]}
        for index, word in enumerate(WORDS)
    ]
    write_lines(folder / "rows.jsonl", rows)
