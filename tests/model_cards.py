"""The code of a model card, run where outgrow cannot be imported."""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

_FRESH = multiprocessing.get_context("forkserver")
_FRESH.set_forkserver_preload(["peft", "transformers.models.auto.modeling_auto"])  # imported once for all processes


def in_fresh_process(folder: Path, function: str, calls: list[list[Any]]) -> list[Any]:
    """Results of the model card's own code, where outgrow cannot be imported."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]  # type: ignore[index]
    with ProcessPoolExecutor(1, _FRESH) as pool:
        return pool.submit(_results, folder, code, f"lambda *each: {function}", calls).result()


def _results(folder: Path, code: str, function: str, calls: list[list[Any]]) -> list[Any]:
    assert not any(name.partition(".")[0] == "outgrow" for name in sys.modules)
    sys.modules["outgrow"] = None  # type: ignore[assignment]  # an import of it would be an error
    os.chdir(folder)
    names: dict[str, Any] = {}
    exec(code, names)
    return [eval(function, names)(*each) for each in calls]
