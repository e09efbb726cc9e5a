"""Texts of models and what models think of texts, kept in the store; one model in memory at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from outgrow.labels import Completion, TextLabels
from outgrow.labels.text import TextStatus
from outgrow.models.protocols import GenerateOptions, LanguageModel, logprobs, refusal
from outgrow.models.tokens import with_leading_space
from outgrow.refine.audit import refuses
from outgrow.store import content_hash, read_table, write_table
from outgrow.supervisors.respondents import LocalRespondent, Respondent, answered
from outgrow.workspace import Workspace

_STATUSES: dict[TextStatus, str] = {
    "finished": "with an end of their own",
    "open": "cut at the length or a stop string",
    "repeating": "cut while repeating",
    "empty": "empty",
}
_SURE = 0.005
"""Nats a token below which an entropy would be shown as zero."""
TOO_LONG = "its prompt is longer than the model's context"


def write(
    author: Respondent, ids: Sequence[str], prompts: Sequence[str], options: GenerateOptions, workspace: Workspace
) -> TextLabels:
    """What a model answers, as labels of one supervisor of its name.

    Args:
        author: The model.
        ids: Row ids, N of them.
        prompts: What the model sees, N of them.
        options: How it generates. Several samples are ordered as `best_first` does, and a text is kept once.
        workspace: Store and reporter.

    Raises:
        ModelError: As the model's `generate`; what was answered is kept.
    """
    name = author.name

    def make(model: LanguageModel, folder: Path) -> None:
        write_table(folder / "texts.parquet", texts_of(model, name, ids, prompts, options).to_arrow())

    recipe = {
        "name": name,
        "ids": content_hash(list(ids)),
        "prompts": content_hash(list(prompts)),
        "options": options.to_json(),
    }
    found = answered(author, "texts", recipe, workspace, make, step=f"generate with {name}")
    return TextLabels.from_arrow(read_table(found / "texts.parquet"))


def texts_of(
    model: LanguageModel, name: str, ids: Sequence[str], prompts: Sequence[str], options: GenerateOptions
) -> TextLabels:
    """What a model at work answers, as labels of one supervisor of this name; see `write`."""
    texts = [best_first(answers) for answers in model.generate(prompts, options)]
    errors = {
        (row, name): refusal(model, prompt, TOO_LONG)
        for row, prompt, cell in zip(ids, prompts, texts, strict=True)
        if not cell
    }
    return TextLabels(tuple(ids), (name,), tuple((cell,) for cell in texts), errors)


def score(
    judge: LocalRespondent,
    ids: Sequence[str],
    prompts: Sequence[str],
    candidates: Sequence[Sequence[str]],
    workspace: Workspace,
) -> TextLabels:
    """What a model thinks of given texts, end included, as labels of one supervisor of its name.

    Args:
        judge: The model.
        ids: Row ids, N of them.
        prompts: What the model sees, N of them.
        candidates: The texts of each row, in the order of the result; each begins with a space.
        workspace: Store and reporter.

    Returns:
        Completions; one without log-probabilities is longer than the model's context.
    """
    pairs = [(prompt, text) for prompt, texts in zip(prompts, candidates, strict=True) for text in texts]

    def make(model: LanguageModel, folder: Path) -> None:
        scored = iter(logprobs(model, pairs, end=True, too_long="empty"))
        texts = tuple((tuple(next(scored) for _ in each),) for each in candidates)
        write_table(folder / "texts.parquet", TextLabels(tuple(ids), (judge.name,), texts).to_arrow())

    recipe = {
        "name": judge.name,
        "ids": content_hash(list(ids)),
        "pairs": content_hash([list(pair) for pair in pairs]),
    }
    found = answered(judge, "scores", recipe, workspace, make, step=f"score with {judge.name}")
    return TextLabels.from_arrow(read_table(found / "texts.parquet"))


def best_first(completions: Sequence[Completion]) -> tuple[Completion, ...]:
    """Distinct texts, by mean token log-probability, or without any by how often each was written.

    Of equal texts the most probable is kept.
    """
    said = [with_leading_space(one).text for one in completions]
    times = Counter(said)
    distinct: dict[str, Completion] = {}
    order = sorted(
        range(len(said)),
        key=lambda index: (-completions[index].score if completions[index].logprobs else math.inf, -times[said[index]]),
    )
    for index in order:
        distinct.setdefault(said[index], completions[index])
    return tuple(distinct.values())


def remarks(labels: TextLabels) -> list[str]:
    """What a reader should know of every supervisor's best texts: how many rows have none, or none worth reading."""
    found = []
    for m, name in enumerate(labels.supervisors):
        best = [labels.best(row, m) for row in range(len(labels.ids))]
        kinds = ["none" if one is None else one.status for one in best]
        reasons = Counter(reason for (_, who), reason in labels.errors.items() if who == name)
        why = "".join(f": {reason}" for reason, _ in reasons.most_common(1))
        for kind, what in (
            ("none", f"have no answer of {name}{why}"),
            ("empty", f"have an empty answer of {name}"),
            ("repeating", f"have an answer of {name} that repeats itself without an end"),
        ):
            if kinds.count(kind):
                found.append(f"{kinds.count(kind)} of {len(kinds)} rows {what}.")
        refusals = sum(one is not None and refuses(one.text) for one in best)
        if refusals:
            found.append(f"{refusals} of {len(kinds)} rows have an answer of {name} that refuses.")
    return found


def census(labels: TextLabels) -> list[str]:
    """What became of every supervisor's best texts, and how unsure it is of them.

    A line for each that wrote any; none for one that ended all of them and was sure of every one.

    The entropy is that of `TextLabels.entropies`; where nothing but one greedy text is known, its mean token surprise.
    """
    entropies = labels.entropies()
    found = []
    for m, name in enumerate(labels.supervisors):
        best = [labels.best(row, m) for row in range(len(labels.ids))]
        kinds = Counter(one.status for one in best if one is not None)
        if not kinds:
            continue
        doubt = _unsure(entropies[:, m])
        if doubt or set(kinds) != {"finished"}:
            counts = ", ".join(f"{kinds[kind]} {what}" for kind, what in _STATUSES.items() if kinds[kind])
            found.append(f"the best texts of {name}: {counts}{doubt}.")
    return found


def _unsure(entropies: NDArray[np.float64]) -> str:
    known = entropies[~np.isnan(entropies)]
    if not len(known):
        return ""
    low, middle, high = np.quantile(known, (0.25, 0.5, 0.75))
    if high < _SURE:
        return ""
    return f"; its entropy is {middle:.2f} nats a token in the median, {low:.2f} to {high:.2f} in half of the rows"
