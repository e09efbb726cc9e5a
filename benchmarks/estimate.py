"""`outgrow estimate` against the run that it foresees, both with an empty store, by processor time of one thread.

    python benchmarks/estimate.py examples/sentiment.yaml [KEY=VALUE…]

Clocks count processor time, which other work on the machine moves least.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

COMMAND = "import time; time.perf_counter = time.process_time; from outgrow.cli import main; main()"


def outgrow(*arguments: str) -> str:
    """Return what a command prints, run on processor time."""
    done = subprocess.run([sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def measure(*arguments: str) -> None:
    """Print estimate, actual time and their ratio for every kind of stage."""
    from outgrow.report.estimate import compared

    with tempfile.TemporaryDirectory() as folder:
        settings = [f"store={folder}/store", f"output={folder}/output"]
        print(outgrow("estimate", *arguments, *settings))
        outgrow("run", *arguments, *settings, "--quiet")
        about = json.loads((Path(folder) / "output" / "results.json").read_text(encoding="utf-8"))["provenance"]
    for row in compared(about):
        print("{:<20} {:>12} {:>30} {:>12} {:>6}".format(*row))


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    measure(*sys.argv[1:])
