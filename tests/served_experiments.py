"""A small experiment in which everyone is behind a server, and that server."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from http_server import Answer, Asked, heard, reply
from tiny_models import WORDS

PRICES = {"input": 1.0, "output": 2.0}


async def crowd(asked: Asked) -> Answer:
    """Everyone answers in words of their own; the judge rates."""
    model = asked.body["model"]
    if model == "judge":
        return Answer(reply("Fine. [[5]]"))
    return Answer(reply(f"{model} says {zlib.crc32(heard(asked).encode())}"))


def settings_in(folder: Path, url: str, **changes: Any) -> dict[str, Any]:
    """A persona experiment with a judge; `changes` replaces whole sections."""
    rows = [
        {"question": f"a plot {word}", "gold": f"very {word}", "part": ["unlabelled", "test"][index % 2]}
        for index, word in enumerate(WORDS)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    server = {"server": url, "retries": 0, "logprobs": False, "prices": PRICES}
    columns = {"part": "part", "gold": "gold"}
    return {
        "task": {"name": "persona", "path": str(folder / "rows.jsonl"), "columns": columns, "concept": "a pirate"},
        "supervisors": [{**server, "model": "weak"}],
        "strong": {**server, "model": "strong", "tuned": {"refined": "ft:strong"}},
        "judge": {**server, "model": "judge", "samples": 2, "max_new_tokens": 8},
        "methods": {
            "naive": {},
            "refined": {"refine": {"name": "icl", "demonstrations": 2}},
            "inferred": {"refine": {"name": "infer_and_respond", "batch": 2}},
        },
        "generate": {"max_new_tokens": 3},
        "seeds": 2,
        "store": str(folder / "store"),
        "output": str(folder / "output"),
        **changes,
    }
