"""Asking a server: requests per second against one at a time, and how long a rerun from the cache takes.

transformers serve MODEL --port 8000 &
python benchmarks/server.py http://localhost:8000/v1 MODEL --api completions
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from outgrow.models.protocols import GenerateOptions
from outgrow.models.server import Limits, ServedModel, ServerLanguageModel


def main() -> None:
    """Prints one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("--api", choices=("chat", "completions"), default="chat")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=32)
    chosen = parser.parse_args()
    prompts = [f"What is {index} plus {index}?" for index in range(chosen.requests)]
    one_by_one = [f"What is {index} minus {index}?" for index in range(max(chosen.requests // 10, 1))]
    cache = Path(tempfile.mkdtemp()) / "responses.sqlite"

    def timed(asked: list[str], concurrency: int) -> float:
        model = ServerLanguageModel(
            ServedModel(chosen.model, chosen.api), chosen.url, limits=Limits(concurrency=concurrency), cache=cache
        )
        start = time.perf_counter()
        model.generate(asked, GenerateOptions(max_new_tokens=8))
        return time.perf_counter() - start

    timed(["Are you there?"], 1)  # imports, and the server's first request
    alone, together = timed(one_by_one, 1), timed(prompts, chosen.concurrency)
    print(f"one at a time               {len(one_by_one) / alone:8.1f} requests/s")
    print(f"{chosen.concurrency:3d} at once                 {len(prompts) / together:8.1f} requests/s")
    print(f"rerun of {len(prompts)} from the cache {timed(prompts, chosen.concurrency):8.3f} s")


if __name__ == "__main__":
    main()
