"""Texts that models write and scores of given texts, kept in the store; one model in memory at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from outgrow.labels import Completion, TextLabels, with_leading_space
from outgrow.models.protocols import GenerateOptions, LanguageModel, logprobs, refusal
from outgrow.models.specs import ModelSpec
from outgrow.run import Run
from outgrow.store import content_hash

TOO_LONG = "its prompt is longer than the model's context"


def write(
    author: ModelSpec, ids: Sequence[str], prompts: Sequence[str], options: GenerateOptions, run: Run
) -> TextLabels:
    """Return a model's answers, as labels of one supervisor of its name.

    Args:
        author: The model.
        ids: Row ids, N of them.
        prompts: Prompts as the model sees them, N of them.
        options: How it generates. Several samples are ordered as `best_first` does, and a text is kept once.
        run: Store and progress.

    Raises:
        ModelError: As the model's `generate`; what was answered is kept.
    """
    name = author.name

    def make(model: LanguageModel, folder: Path) -> TextLabels:
        texts = [best_first(answers) for answers in model.generate(prompts, options)]
        errors = {
            (row, name): refusal(model, prompt, TOO_LONG)
            for row, prompt, cell in zip(ids, prompts, texts, strict=True)
            if not cell
        }
        return TextLabels(tuple(ids), (name,), tuple((cell,) for cell in texts), errors)

    recipe = {
        "name": name,
        "ids": content_hash(list(ids)),
        "prompts": content_hash(list(prompts)),
        "options": options.to_json(),
    }
    return run.stage("texts", recipe, make, TextLabels, model=author, step=f"generate with {name}")


def score(
    model: ModelSpec, ids: Sequence[str], prompts: Sequence[str], candidates: Sequence[Sequence[str]], run: Run
) -> TextLabels:
    """Return a model's token log-probabilities of given texts, end included, as labels of one supervisor of its name.

    Args:
        model: The model.
        ids: Row ids, N of them.
        prompts: Prompts as the model sees them, N of them.
        candidates: The texts of each row, in the order of the result; each begins with a space.
        run: Store and progress.

    Returns:
        Completions; one without log-probabilities is longer than the model's context.
    """
    pairs = [(prompt, text) for prompt, texts in zip(prompts, candidates, strict=True) for text in texts]

    def make(opened: LanguageModel, folder: Path) -> TextLabels:
        scored = iter(logprobs(opened, pairs, end=True, too_long="empty"))
        texts = tuple((tuple(next(scored) for _ in each),) for each in candidates)
        return TextLabels(tuple(ids), (model.name,), texts)

    recipe = {
        "name": model.name,
        "ids": content_hash(list(ids)),
        "pairs": content_hash([list(pair) for pair in pairs]),
    }
    return run.stage("scores", recipe, make, TextLabels, model=model, step=f"score with {model.name}")


def best_first(completions: Sequence[Completion]) -> tuple[Completion, ...]:
    """Return distinct texts by mean token log-probability, or without any by how often each was written.

    Of equal texts the most probable is kept.
    """
    written = [with_leading_space(one).text for one in completions]
    times = Counter(written)
    order = sorted(
        range(len(written)),
        key=lambda at: (-completions[at].score if completions[at].logprobs else math.inf, -times[written[at]]),
    )
    distinct: dict[str, Completion] = {}
    for at in order:
        distinct.setdefault(written[at], completions[at])
    return tuple(distinct.values())
