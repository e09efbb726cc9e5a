"""How long a user waits before anything happens: `outgrow --help`, `import outgrow`, against a bare interpreter.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 9
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import outgrow": [sys.executable, "-c", "import outgrow"],
    "outgrow --help": [str(Path(sys.executable).with_name("outgrow")), "--help"],
}


def seconds(command: list[str]) -> float:
    """Median wall time of a command, files in the page cache."""
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


if __name__ == "__main__":
    for name, command in COMMANDS.items():
        print(f"{name:<16} {seconds(command):6.3f} s")
