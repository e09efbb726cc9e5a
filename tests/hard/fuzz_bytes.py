"""A coverage-guided fuzzer of one reader: `pip install atheris`, then `python -m hard.fuzz_bytes READER` in `tests`.

Options of libFuzzer follow, such as `-max_total_time=600 -rss_limit_mb=2000 CORPUS`. It ends with a traceback at the
first error that is not ours.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["outgrow"]):
    from hard.readers import READERS, read


def main() -> None:
    """Fuzzes the reader that the command line names."""
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in READERS:
        raise SystemExit(f"A reader is one of {', '.join(READERS)}.")
    folder = Path(tempfile.mkdtemp())
    atheris.Setup(sys.argv, lambda data: read(name, data, folder))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
