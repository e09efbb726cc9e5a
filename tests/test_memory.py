"""Memory does not grow with the rows' texts: `benchmarks/rows.py` in small."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "rows.py"


@pytest.mark.slow
def test_a_row_of_an_experiment_takes_less_than_400_bytes() -> None:
    few, many = 100_000, 400_000
    done = subprocess.run([sys.executable, BENCHMARK, str(few), str(many)], capture_output=True, text=True, check=True)
    peaks = [float(peak.replace(",", "")) for peak in re.findall(r"([\d,]+) MiB;", done.stdout)]
    assert (peaks[1] - peaks[0]) * 2**20 / (many - few) < 400
