"""Training targets in the format of fine-tuning providers."""

from __future__ import annotations

import json
from pathlib import Path

from outgrow.errors import StoreError
from outgrow.labels import TextTargets
from outgrow.store import write_text


def message_lines(targets: TextTargets, system: str | None = None) -> list[str]:
    r"""Return training targets as chat messages, a line of JSON for each distinct text of a row.

    The format knows no weights, so texts of several supervisors count alike.

    Args:
        targets: The targets; their prompts are the user messages.
        system: A system message in front of each, if any.

    Returns:
        `{"messages": [{"role": "user", …}, {"role": "assistant", …}]}`, in the order of the targets.

    Source:
        The `messages` form of OpenAI's fine-tuning files, which Hugging Face's trl reads too.

    Example:
        >>> targets = TextTargets(("a",), ('Who "sings"?',), (" Arr, Mira!",), (1.0,), ("weak",))
        >>> print(*message_lines(targets))
        {"messages": [{"role": "user", "content": "Who \"sings\"?"}, {"role": "assistant", "content": "Arr, Mira!"}]}
    """
    front = [] if system is None else [{"role": "system", "content": system}]
    columns = zip(targets.ids, targets.prompts, targets.texts, strict=True)
    distinct = dict.fromkeys((row, prompt, text.strip()) for row, prompt, text in columns)
    return [
        json.dumps(
            {
                "messages": [
                    *front,
                    {"role": "user", "content": prompt},
                    {"role": "assistant", "content": text},
                ]
            },
            ensure_ascii=False,
        )
        for _, prompt, text in distinct
        if text
    ]


def write_messages(lines: list[str], path: Path) -> None:
    """Write the lines, all or nothing; none at all is a StoreError."""
    if not lines:
        raise StoreError("There is nothing to export: every text is empty.", fix="Look at the supervisors' answers.")
    write_text(path, "".join(f"{line}\n" for line in lines))
