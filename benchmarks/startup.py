"""A part of `bench.py`: what a user waits for before anything happens, and what the pipeline adds to its models."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

from harness import Case


def cases(smoke: bool) -> Iterator[Case]:
    """Commands against a bare interpreter."""

    def runs(*words: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)

    bare = runs("-c", "pass")
    yield Case("import outgrow", runs("-c", "import outgrow"), "python -c pass", bare)
    yield Case("outgrow --help", runs("-m", "outgrow", "--help"), "python -c pass", bare)
