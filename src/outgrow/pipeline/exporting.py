"""Training targets in the forms of fine-tuning providers, of Hugging Face's trl, and of classifiers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from outgrow.config import ExperimentConfig, ServerStrong
from outgrow.errors import ConfigError, StoreError, did_you_mean
from outgrow.files import replacing
from outgrow.labels import ChoiceTargets, Rows, TextTargets
from outgrow.pipeline.protocol import Pipeline
from outgrow.templates import asked_by, fill
from outgrow.train.targets import rows_of

FORMS: Mapping[str, str] = {
    "messages": "conversations in the `messages` form that trl and providers of fine-tuning read",
    "prompt-completion": "prompts with completions, as trl reads them",
    "labels": "texts with labels, by number and name, and the probabilities of all choices",
}
"""Forms of exported targets, and what each holds."""


def exported_lines(
    form: str, pipeline: Pipeline, config: ExperimentConfig, rows: Rows, method: str, *, seed: int, system: str | None
) -> Iterable[str]:
    """Return what the student of a method learns, a line of JSON for each target.

    Args:
        form: One of `FORMS`.
        pipeline: Makes the targets.
        config: The experiment.
        rows: All rows of its task.
        method: A method of the experiment, or `ceiling`.
        seed: The training seed whose labels these are.
        system: A system message in front of every conversation; by default that of a served strong model.

    Raises:
        ConfigError: There is no such form, or it does not fit the task.
    """
    if form not in FORMS:
        raise ConfigError(f"Targets have no form {form!r}.", fix=did_you_mean(form, FORMS))
    if system is not None and form != "messages":
        raise ConfigError(f"The form {form!r} has no system message.", fix="Export `messages`, or leave it out.")
    if form == "labels":
        return label_lines(pipeline.distributions(method, seed), rows)
    targets, strong = pipeline.targets(method, seed), config.strong
    served = isinstance(strong, ServerStrong)
    if rows.choices is None and not (served and form == "messages"):
        asked = dict(zip(rows.ids, rows.prompts, strict=True))
        targets = dataclasses.replace(targets, prompts=tuple(asked[row] for row in targets.ids))
    if form == "messages":
        # A served model will be asked as it is asked now.
        return message_lines(targets, system or (strong.system if served else None))
    return completion_lines(targets, asked_by(config.generate.template, chats=False))


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
    return [
        _line(messages=[*front, {"role": "user", "content": prompt}, {"role": "assistant", "content": text}])
        for prompt, text in _distinct(targets)
    ]


def completion_lines(targets: TextTargets, template: str) -> list[str]:
    """Return training targets as prompts and completions, a line of JSON for each distinct text of a row.

    Args:
        targets: The targets.
        template: How a model of plain text is asked, with the target's `{prompt}`.

    Source:
        The prompt-completion form of trl, which puts the completion right behind the prompt: it begins with a space.

    Example:
        >>> targets = TextTargets(("a",), ("Who sings?",), ("Mira",), (1.0,), ("weak",))
        >>> print(*completion_lines(targets, "Q: {prompt} A:"))
        {"prompt": "Q: Who sings? A:", "completion": " Mira"}
    """
    return [
        _line(prompt=fill(template, {"prompt": prompt}), completion=f" {text}") for prompt, text in _distinct(targets)
    ]


def label_lines(targets: ChoiceTargets, rows: Rows) -> Iterator[str]:
    """Return targets of some of the rows as texts with labels; those of weight 0 are left out, other weights not told.

    Raises:
        ConfigError: Every row has choices of its own.

    Example:
        >>> rows = Rows(("a", "b"), ("Dear sir", "You won!"), ("unlabelled",) * 2, (None,) * 2, ("mail", "spam"))
        >>> print(*label_lines(ChoiceTargets(("b",), np.array([[0.2, 0.8]]), np.ones(1)), rows))
        {"text": "You won!", "label": 1, "label_text": "spam", "probs": [0.2, 0.8]}
    """
    if rows.choices is None or rows.options is not None:
        raise ConfigError(
            "Every row has choices of its own, so rows have no labels in common.",
            fix="Export `messages` or `prompt-completion`.",
        )
    taught = targets.take(np.flatnonzero(targets.weights > 0))
    lines = zip(rows_of(rows, taught).prompts, taught.probs.argmax(axis=1), taught.probs, strict=True)
    return (
        _line(text=prompt, label=int(best), label_text=rows.choices[best], probs=own.tolist())
        for prompt, best, own in lines
    )


def _distinct(targets: TextTargets) -> list[tuple[str, str]]:
    columns = zip(targets.ids, targets.prompts, targets.texts, strict=True)
    distinct = dict.fromkeys((row, prompt, text.strip()) for row, prompt, text in columns)
    return [(prompt, text) for _, prompt, text in distinct if text]


def _line(**fields: Any) -> str:
    return json.dumps(fields, ensure_ascii=False)


def write_messages(lines: Iterable[str], path: Path) -> int:
    """Write the lines, all or nothing, and return their number; none at all is a StoreError."""
    count = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(f"{line}\n")
            count += 1
        if not count:
            fix = "Look at the supervisors' answers."
            raise StoreError("There is nothing to export: every text is empty.", fix=fix)
    return count
