"""The code of a model card, run where outgrow cannot be imported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

FRESH = """\
import json, sys
sys.modules["outgrow"] = None  # an import of it would be an error
code = open(sys.argv[1], encoding="utf-8").read()
exec(code)
print(json.dumps([{}(*each) for each in json.loads(sys.argv[2])]))
"""


def in_fresh_process(folder: Path, function: str, calls: list[list[Any]]) -> list[Any]:
    """Results of the model card's own code, where outgrow cannot be imported."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    code = folder.parent / "code.py"
    code.write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], encoding="utf-8")  # type: ignore[index]
    program = FRESH.format(f"(lambda *each: {function})")
    done = subprocess.run(
        [sys.executable, "-c", program, str(code), json.dumps(calls)], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found
