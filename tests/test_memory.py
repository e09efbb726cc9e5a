"""Memory hardly grows with the number of rows: `benchmarks/rows.py` in small."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "rows.py"


@pytest.mark.slow
def test_a_further_row_of_an_experiment_takes_less_than_200_bytes() -> None:
    # 65 to 140 in most runs; 260 if no column is mapped.
    done = subprocess.run([sys.executable, BENCHMARK, "100000", "1000000"], capture_output=True, text=True, check=True)
    found = re.search(r"and (-?\d+) bytes for each row", done.stdout)
    assert found is not None
    assert int(found[1]) < 200, done.stdout
