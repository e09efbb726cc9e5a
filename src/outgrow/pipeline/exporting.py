"""Training targets in the format of fine-tuning providers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from outgrow.errors import StoreError
from outgrow.labels import TextTargets
from outgrow.store import write_text


def message_lines(targets: TextTargets, questions: Mapping[str, str], system: str | None = None) -> list[str]:
    r"""Return training targets as chat messages, a line of JSON for each distinct text of a row.

    The format knows no weights, so texts of several supervisors count alike.

    Args:
        targets: The targets.
        questions: Row id → the user message.
        system: A system message in front of each, if any.

    Returns:
        `{"messages": [{"role": "user", …}, {"role": "assistant", …}]}`, in the order of the targets.

    Source:
        The `messages` form of OpenAI's fine-tuning files, which Hugging Face's trl reads too.

    Example:
        >>> targets = TextTargets(("a",), ("Question: …",), (" Arr, Mira!",), (1.0,), ("weak",))
        >>> print(*message_lines(targets, {"a": 'Who "sings"?'}))
        {"messages": [{"role": "user", "content": "Who \"sings\"?"}, {"role": "assistant", "content": "Arr, Mira!"}]}
    """
    front = [] if system is None else [{"role": "system", "content": system}]
    pairs = dict.fromkeys((row, text.strip()) for row, text in zip(targets.ids, targets.texts, strict=True))
    return [
        json.dumps(
            {
                "messages": [
                    *front,
                    {"role": "user", "content": questions[row]},
                    {"role": "assistant", "content": text},
                ]
            },
            ensure_ascii=False,
        )
        for row, text in pairs
        if text
    ]


def write_messages(lines: list[str], path: Path) -> None:
    """Write the lines, all or nothing; none at all is a StoreError."""
    if not lines:
        raise StoreError("There is nothing to export: every text is empty.", fix="Look at the supervisors' answers.")
    write_text(path, "".join(f"{line}\n" for line in lines))
