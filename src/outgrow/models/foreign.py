"""Files of model folders from elsewhere: read within bounds, before a library makes a network of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from outgrow import bounds
from outgrow.errors import ModelError

_PARTS = re.compile(r"layer|expert|head|depth|block")
_FIXED = re.compile(rb'"(?:Fixed|pad_to_multiple_of)"\s*:\s*([0-9]+)')


def read_about(folder: Path, name: str) -> dict[str, Any]:
    """Return the JSON object in a file of a model folder; empty if it is not there; a ModelError if it is none."""
    path = folder / name
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > bounds.CONFIG_BYTES.most:
            raise ValueError(f"more than {bounds.CONFIG_BYTES}")
        about = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(about, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {first_line(error)}", fix="Copy the whole model folder.") from error
    return about


def check_numbers(about: Any, folder: Path, key: str = "") -> None:
    """Raise a ModelError for a configuration whose network could not even be built."""
    if isinstance(about, dict):
        for name, value in about.items():
            check_numbers(value, folder, name)
    elif isinstance(about, list):
        for value in about:
            check_numbers(value, folder, key)
    elif isinstance(about, int | float):
        bound = bounds.MODEL_PARTS if _PARTS.search(key) else bounds.MODEL_SIZE
        if not abs(about) <= bound.most and not isinstance(about, float):
            found = f"{key}: {about:.3g}" if abs(about) < 1e300 else key
            raise ModelError(
                f"The configuration in {folder} describes a model that cannot be built.", found=found, wanted=str(bound)
            )


def check_padding(folder: Path) -> None:
    """Raise a ModelError for a tokenizer that pads every text until memory is full."""
    path = folder / "tokenizer.json"
    lengths = _FIXED.findall(path.read_bytes()) if path.is_file() else []
    if any(len(length) > 10 or int(length) > bounds.PADDING.most for length in lengths):
        found = f"Fixed: {max(lengths, key=len).decode()[:20]}"
        raise ModelError(f"The tokenizer in {folder} pads texts too far.", found=found, wanted=str(bounds.PADDING))


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says; its type if it says nothing."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
