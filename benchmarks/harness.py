"""What all parts of `bench.py` share: cases, their ratios in one run, and the machine.

A part is a module with `cases(smoke)`. A case is one way to do something against another, in turns; its ratio is
the median over the rounds of the processor time of the one over that of the other. Other work on the machine moves
seconds, and ratios less.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("torch", "transformers", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Case:
    """One way to do something against another."""

    what: str
    """What is done."""
    run: Callable[[], object]
    """Our way."""
    against: str
    """What it is measured against."""
    other: Callable[[], object]
    """The other way."""
    memory: bool = False
    """Whether peak memory is compared too (Linux)."""
    check: Callable[[], object] | None = None
    """Raises an AssertionError where the two do not agree."""


def ratio(case: Case, rounds: int) -> tuple[float, float, float]:
    """Return median, least and largest ratio of processor time."""
    found = []
    for _ in range(rounds):
        other, own = processor_seconds(case.other), processor_seconds(case.run)
        found.append(own / max(other, 1e-9))
    return statistics.median(found), min(found), max(found)


def processor_seconds(run: Callable[[], object]) -> float:
    """Return the processor time of all threads and of the processes that were waited for."""
    before = _clock()
    run()
    return _clock() - before


def _clock() -> float:
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def extra_memory(run: Callable[[], object]) -> int:
    """Return peak resident memory beyond what is held before, in bytes; Linux only."""
    ctypes.CDLL(None).malloc_trim(0)  # what was freed before must not hide what this takes
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    run()
    return max(_resident("VmHWM") - before, 1)


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def machine() -> str:
    """Return cores, accelerator, commit and versions in one line."""
    import torch

    root = Path(__file__).parents[1]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    )
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores, {device}; commit {commit.stdout.strip() or 'unknown'}; Python "
        f"{platform.python_version()}, {versions}"
    )
