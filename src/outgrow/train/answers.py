"""From text targets to padded batches: the tokens to learn, how much each counts, and how sure the weak models were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outgrow.bridge import bridge_many
from outgrow.errors import DataError
from outgrow.labels import TextTargets
from outgrow.models.tokens import encode_answer


@dataclass(frozen=True)
class _Answer:
    """A text to learn, in the student's tokens, with the end-of-sequence token if there is one."""

    tokens: list[int]
    spans: list[tuple[int, int]]


def tokenise(targets: TextTargets, tokenizer: Any, *, limit: int | None, cut: bool) -> list[dict[str, Any]]:
    """One line per row: the texts to learn, each with its prompt, and what is known of every *predicted* token.

    Prompt and answer are tokenised apart, as `LocalLanguageModel` does when it generates, so that training sees the
    very tokens that generation will.

    Args:
        targets: What to answer; the texts begin with the space that parts them from the prompt.
        tokenizer: The student's.
        limit: Most tokens of prompt, answer and end together.
        cut: Whether to cut longer ones from the right; an error otherwise.

    Returns:
        Lines with `input_ids` (prompt, answer and end), `weights` (λ, zero on the prompt) and `log_confidences` (log s,
        zero where nobody said anything): a list per text, the last two one shorter, as they are about predictions.

    Raises:
        DataError: A target is too long, or cutting would leave nothing of an answer.
    """
    answers = [_answer(text, tokenizer) for text in targets.texts]
    log_s = log_confidences(targets, [one.spans for one in answers])
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    too_long = []
    for index, (answer, weight) in enumerate(zip(answers, targets.weights, strict=True)):
        asked = tokenizer(targets.prompts[index], verbose=False)["input_ids"]
        ids = asked + answer.tokens
        if limit is not None and len(ids) > limit and (not cut or len(asked) >= limit):
            too_long.append(index)
        ids = ids[:limit]
        before = [0.0] * (len(asked) - 1)
        line = lines.setdefault((targets.ids[index], targets.prompts[index]), {key: [] for key in _KEYS})
        line["input_ids"].append(ids)
        line["weights"].append((before + [weight] * len(answer.tokens))[: len(ids) - 1])
        line["log_confidences"].append((before + log_s[index].tolist())[: len(ids) - 1])
    if too_long:
        raise DataError(
            f"{len(too_long)} training texts are longer than the model can read.",
            found=repr(targets.prompts[too_long[0]][:60]),
            wanted=f"at most {limit} tokens for prompt and answer together",
            fix="Set max_length to cut them, or shorten the texts.",
        )
    return list(lines.values())


def certain_line(tokens: Sequence[int]) -> dict[str, Any]:
    """The line of a text without a prompt, of which every token is learned as certain.

    Example:
        >>> certain_line([5, 6, 7])
        {'input_ids': [[5, 6, 7]], 'weights': [[1.0, 1.0]], 'log_confidences': [[0.0, 0.0]]}
    """
    predicted = len(tokens) - 1
    return {"input_ids": [list(tokens)], "weights": [[1.0] * predicted], "log_confidences": [[0.0] * predicted]}


def log_confidences(targets: TextTargets, spans: Sequence[Sequence[tuple[int, int]]]) -> list[NDArray[np.float64]]:
    """How sure the weak models were of each of the student's tokens: log Σ_i λ_i s_i / Σ_i λ_i, with s_i by the bridge.

    Args:
        targets: Texts with the opinions on them.
        spans: Character spans of the student's tokens in each text; an empty one at the end is the end of sequence.

    Returns:
        One array per text; 0 where there is no opinion. A model that did not end a text itself, or does not
        say how sure it was to end it, says nothing of its end.
    """
    found = [np.zeros(len(own)) for own in spans]
    if not targets.opinions:
        return found
    jobs = [
        (index, opinion, len(own) if opinion.completion.end_scored else _visible(own, text))
        for index, (text, own) in enumerate(zip(targets.texts, spans, strict=True))
        for opinion in targets.opinions[index]
    ]
    jobs = [job for job in jobs if job[2] and job[1].completion.logprobs]
    bridged = bridge_many(
        [targets.texts[index] for index, _, _ in jobs],
        [opinion.completion.offsets for _, opinion, _ in jobs],
        [opinion.completion.logprobs for _, opinion, _ in jobs],
        [spans[index][:count] for index, _, count in jobs],
    )
    sums, mass = [np.zeros(len(own)) for own in spans], [0.0] * len(spans)
    for (index, opinion, count), result in zip(jobs, bridged, strict=True):
        sums[index][:count] += opinion.weight * np.exp(result.logprobs)
        sums[index][count:] += opinion.weight
        mass[index] += opinion.weight
    tiny = np.finfo(np.float64).tiny
    for index, total in enumerate(mass):
        if total > 0:
            found[index] = np.minimum(np.log(np.maximum(sums[index] / total, tiny)), 0.0)
    return found


def collate(lines: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """A batch of N rows with up to M texts each, padded on the right to T tokens.

    Returns:
        `input_ids` and `attention_mask` (N, M, T): the mask says what is padding, whatever its token id; `weights` and
        `log_confidences` (N, M, T − 1).
    """
    most = max(len(line["input_ids"]) for line in lines)
    longest = max(len(ids) for line in lines for ids in line["input_ids"])
    shape = (len(lines), most, longest)
    ids, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    weights, log_s = torch.zeros(*shape[:2], longest - 1), torch.zeros(*shape[:2], longest - 1)
    for row, line in enumerate(lines):
        for text, tokens in enumerate(line["input_ids"]):
            length = len(tokens)
            ids[row, text, :length] = torch.tensor(tokens)
            mask[row, text, :length] = 1
            weights[row, text, : length - 1] = torch.tensor(line["weights"][text])
            log_s[row, text, : length - 1] = torch.tensor(line["log_confidences"][text])
    return {"input_ids": ids, "attention_mask": mask, "weights": weights, "log_confidences": log_s}


_KEYS = ("input_ids", "weights", "log_confidences")


def _answer(text: str, tokenizer: Any) -> _Answer:
    tokens, spans = encode_answer(tokenizer, text)
    if tokenizer.eos_token_id is not None:
        tokens, spans = [*tokens, tokenizer.eos_token_id], [*spans, (len(text), len(text))]
    return _Answer(tokens, spans)


def _visible(spans: Sequence[tuple[int, int]], text: str) -> int:
    """How many tokens there are before the end-of-sequence token."""
    return len(spans) - (bool(spans) and spans[-1] == (len(text), len(text)))
