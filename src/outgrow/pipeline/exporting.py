"""What students learn, in the format in which providers of fine-tuning take it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from outgrow.errors import StoreError
from outgrow.labels import Rows, TextTargets
from outgrow.store import write_text


def message_lines(targets: TextTargets, rows: Rows, *, system: str | None = None) -> list[str]:
    r"""Training targets as chat messages, a line of JSON for each distinct text of a row.

    The question is the row's own prompt, without the template in which local models see it: a chat model has a template
    of its own. The format knows no weights, so texts of several supervisors count alike.

    Args:
        targets: What a student learns.
        rows: The rows that the targets are about.
        system: A system message in front of each, if any.

    Returns:
        `{"messages": [{"role": "user", …}, {"role": "assistant", …}]}`, in the order of the targets.

    Source:
        The `messages` form of OpenAI's fine-tuning files, which Hugging Face's trl reads too.

    Example:
        >>> rows = Rows(("a",), ('Who "sings"?',), ("unlabelled",), (None,))
        >>> targets = TextTargets(("a",), ("Question: …",), (" Arr, Mira!",), (1.0,), ("weak",))
        >>> print(*message_lines(targets, rows))
        {"messages": [{"role": "user", "content": "Who \"sings\"?"}, {"role": "assistant", "content": "Arr, Mira!"}]}
    """
    prompts: Mapping[str, str] = dict(zip(rows.ids, rows.prompts, strict=True))
    front = [] if system is None else [{"role": "system", "content": system}]
    pairs = dict.fromkeys((row, text.strip()) for row, text in zip(targets.ids, targets.texts, strict=True))
    return [
        json.dumps(
            {
                "messages": [
                    *front,
                    {"role": "user", "content": prompts[row]},
                    {"role": "assistant", "content": text},
                ]
            },
            ensure_ascii=False,
        )
        for row, text in pairs
        if text
    ]


def write_messages(lines: list[str], path: Path) -> None:
    """Writes the lines, all or nothing.

    Raises:
        StoreError: There are none, or the file cannot be written.
    """
    if not lines:
        raise StoreError("There is nothing to export: every text is empty.", fix="Look at the supervisors' answers.")
    write_text(path, "".join(f"{line}\n" for line in lines))
