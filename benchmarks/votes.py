"""A part of `bench.py`: combining votes, against numpy's majority and crowd-kit's Dawid–Skene (CROWDKIT_PYTHON)."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

import combine as crowds
from harness import Case
from outgrow.combine import combine
from outgrow.combine.ballots import Ballots

_FIT = """
import sys, numpy as np, pandas as pd
from crowdkit.aggregation import DawidSkene
found = np.load(sys.argv[1])
DawidSkene(n_iter=100).fit_predict_proba(pd.DataFrame({name: found[name] for name in ("task", "worker", "label")}))
"""


def cases(smoke: bool) -> Iterator[Case]:
    """Two methods on the votes of 100 people; the time of crowd-kit includes its start."""
    rows = 200 if smoke else crowds.ROWS
    _, task, worker, label = crowds.crowd(100, rows)

    def ours(method: str) -> object:
        return combine(Ballots.from_labels(task, worker, label, rows=rows, choices=2), method)

    def majority() -> object:
        return np.bincount(task * 2 + label, minlength=2 * rows).reshape(-1, 2).argmax(1)

    for method in ("dawid_skene", "dependence"):
        yield Case(f"combine, {method}", partial(ours, method), "majority in numpy", majority)
    if python := os.environ.get("CROWDKIT_PYTHON"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "votes.npz"
            np.savez(path, task=task, worker=worker, label=label)
            yield Case("combine, dawid_skene", partial(ours, "dawid_skene"), "crowd-kit", _crowdkit(python, path))


def _crowdkit(python: str, path: Path) -> Callable[[], object]:
    return lambda: subprocess.run([python, "-c", _FIT, str(path)], check=True)
