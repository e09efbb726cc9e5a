"""Labels for a million new rows: time and peak memory of `outgrow predict`.

python benchmarks/predicting.py            # the student of `outgrow init crowd`: some 20 minutes
python benchmarks/predicting.py 20000
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from outgrow.starters.samples import messages

ROWS = 1_000_000
DIFFERENT = 750
COMMAND = """
import resource, sys
from outgrow.cli import app
app(standalone_mode=False)
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 2**10)
"""


def outgrow(*arguments: str) -> list[str]:
    """Run a command in a process of its own; return the lines that it printed, the last with CPU seconds and MiB."""
    done = subprocess.run([sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()


def measure(rows: int) -> None:
    """Print rows per second, CPU time and peak memory."""
    outgrow("init", "crowd", "votes")
    outgrow("run", "votes/experiment.yaml", "seeds=1", "--quiet")
    outgrow("save", "outgrow-runs/votes", "--method", "dependence", "-o", "student")
    with Path("new.csv").open("w", encoding="utf-8") as file:
        file.write("id,text\n")
        texts = [each["text"].replace('"', '""') for each in messages(DIFFERENT)]
        file.writelines(f'{row},"{texts[row % DIFFERENT]} ({row})"\n' for row in range(rows))
    start = time.perf_counter()
    cpu, peak = map(float, outgrow("predict", "student", "new.csv", "-o", "labels.csv", "--quiet")[-1].split())
    seconds = time.perf_counter() - start
    print(
        f"{rows:,} rows: {seconds:.0f} s, {rows / seconds:.0f} rows/s, {cpu:.0f} s of CPU time, {peak:.0f} MiB at most"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OUTGROW_STORE"] = f"{folder}/store"
        os.chdir(folder)
        measure(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
