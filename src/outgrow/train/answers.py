"""From text targets to padded batches: the tokens to learn, how much each counts, and how sure the weak models were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outgrow.bridge import Bridging, bridge_many
from outgrow.errors import DataError
from outgrow.labels import TextTargets
from outgrow.models.tokens import encode_answer

_KEYS = ("input_ids", "weights", "log_confidences")
_UNIFORM = Bridging()


@dataclass(frozen=True)
class _Answer:
    """A text to learn, in the student's tokens, with the end-of-sequence token if there is one."""

    tokens: list[int]
    spans: list[tuple[int, int]]


class Heard(NamedTuple):
    """An opinion on a text, on the student's J tokens."""

    share: float
    """λ of the weak model over the sum of all that have an opinion on the text."""
    log_s: NDArray[np.float64]
    """Log-probability of each token, shape (J,)."""
    segments: NDArray[np.int64]
    """The first token of the segment that each token is in, shape (J,)."""


def tokenise(
    targets: TextTargets, tokenizer: Any, *, limit: int | None, cut: bool, bridging: Bridging = _UNIFORM
) -> list[dict[str, Any]]:
    """One line per row: the texts to learn, each with its prompt, and what is known of every *predicted* token.

    Prompt and answer are tokenised apart, as `LocalLanguageModel` does when it generates, so that training sees the
    very tokens that generation will.

    Args:
        targets: What to answer; the texts begin with the space that parts them from the prompt.
        tokenizer: The student's.
        limit: Most tokens of prompt, answer and end together.
        cut: Whether to cut longer ones from the right; an error otherwise.
        bridging: How the weak models' log-probabilities come to the student's tokens.

    Returns:
        Lines with `input_ids` (prompt, answer and end), `weights` (λ, zero on the prompt) and `log_confidences` (log s,
        zero where nobody said anything): a list per text, the last two one shorter, as they are about predictions. If
        the student is to split log-probabilities itself, also `opinions`: a list of `Heard` per text.

    Raises:
        DataError: A target is too long, or cutting would leave nothing of an answer.
    """
    answers = [_answer(text, tokenizer) for text in targets.texts]
    heard = opinions(targets, [one.spans for one in answers], bridging)
    log_s = [confidences(own, len(one.spans)) for own, one in zip(heard, answers, strict=True)]
    split_later = bridging.split == "student" and bool(targets.opinions)
    keys = [*_KEYS, "opinions"] if split_later else _KEYS
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    too_long = []
    for index, (answer, weight) in enumerate(zip(answers, targets.weights, strict=True)):
        asked = tokenizer(targets.prompts[index], verbose=False)["input_ids"]
        ids = asked + answer.tokens
        if limit is not None and len(ids) > limit and (not cut or len(asked) >= limit):
            too_long.append(index)
        ids = ids[:limit]
        before = [0.0] * (len(asked) - 1)
        line = lines.setdefault((targets.ids[index], targets.prompts[index]), {key: [] for key in keys})
        line["input_ids"].append(ids)
        line["weights"].append((before + [weight] * len(answer.tokens))[: len(ids) - 1])
        line["log_confidences"].append((before + log_s[index].tolist())[: len(ids) - 1])
        if split_later:
            line["opinions"].append([_behind(len(before), one, len(ids) - 1) for one in heard[index]])
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


def opinions(
    targets: TextTargets, spans: Sequence[Sequence[tuple[int, int]]], bridging: Bridging = _UNIFORM
) -> list[list[Heard]]:
    """The opinions on each text, carried over to the student's tokens.

    Args:
        targets: Texts with the opinions on them.
        spans: Character spans of the student's tokens in each text; an empty one at the end is the end of sequence.
        bridging: The bridge. What the student itself is to split is split evenly until it does.

    Returns:
        A list per text. A model that did not end a text itself, or does not say how sure it was to end it, says nothing
        of its end: it is as good as certain.
    """
    found: list[list[Heard]] = [[] for _ in spans]
    if not targets.opinions:
        return found
    jobs = [
        (index, opinion, len(own) if opinion.completion.end_scored else _visible(own, text))
        for index, (text, own) in enumerate(zip(targets.texts, spans, strict=True))
        for opinion in targets.opinions[index]
    ]
    jobs = [job for job in jobs if job[2] and job[1].completion.logprobs and job[1].weight > 0]
    bridged = bridge_many(
        [targets.texts[index] for index, _, _ in jobs],
        [opinion.completion.offsets for _, opinion, _ in jobs],
        [opinion.completion.logprobs for _, opinion, _ in jobs],
        [spans[index][:count] for index, _, count in jobs],
        split="uniform" if bridging.split == "student" else bridging.split,
        where=bridging.where,
    )
    mass = np.bincount(
        [index for index, _, _ in jobs], [opinion.weight for _, opinion, _ in jobs], minlength=len(spans)
    )
    for (index, opinion, count), result in zip(jobs, bridged, strict=True):
        log_s, segments = np.zeros(len(spans[index])), np.arange(len(spans[index]))
        log_s[:count] = result.logprobs
        segments[:count] = np.repeat(result.segments[:, 2], result.segments[:, 3] - result.segments[:, 2])
        found[index].append(Heard(opinion.weight / float(mass[index]), log_s, segments))
    return found


def confidences(heard: Sequence[Heard], tokens: int) -> NDArray[np.float64]:
    """How sure the weak models were of each token: log Σ_i λ_i s_i / Σ_i λ_i, shape (tokens,); 0 without an opinion."""
    if not heard:
        return np.zeros(tokens)
    mean = np.sum([one.share * np.exp(one.log_s) for one in heard], axis=0)
    logs: NDArray[np.float64] = np.minimum(np.log(np.maximum(mean, np.finfo(np.float64).tiny)), 0.0)
    return logs


def collate(lines: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """A batch of N rows with up to M texts each, padded on the right to T tokens.

    Returns:
        `input_ids` and `attention_mask` (N, M, T): the mask says what is padding, whatever its token id; `weights` and
        `log_confidences` (N, M, T − 1); and what `_collate_opinions` adds if the student is to split log-probabilities.
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
    batch = {"input_ids": ids, "attention_mask": mask, "weights": weights, "log_confidences": log_s}
    return batch | (_collate_opinions(lines, (*shape[:2], longest - 1)) if "opinions" in lines[0] else {})


def _collate_opinions(lines: Sequence[Mapping[str, Any]], shape: tuple[int, int, int]) -> dict[str, Tensor]:
    """Up to O opinions on each text of a batch, for texts of shape (N, M, T − 1).

    Returns:
        `shares` (N, M, O), zero where there is no opinion; `opinions` (N, M, O, T − 1), log-probabilities; and
        `segments` of the same shape, the first token of each token's segment, where every token that nobody has an
        opinion on is a segment of its own.
    """
    most = max((len(heard) for line in lines for heard in line["opinions"]), default=0)
    shape_all = (*shape[:2], max(most, 1), shape[2])
    shares, logs = torch.zeros(shape_all[:3]), torch.zeros(shape_all)
    segments = torch.arange(shape[2]).expand(shape_all).clone()
    for row, line in enumerate(lines):
        for text, heard in enumerate(line["opinions"]):
            for number, one in enumerate(heard):
                at = (row, text, number)
                shares[at] = one.share
                logs[at][: len(one.log_s)] = torch.from_numpy(one.log_s)
                segments[at][: len(one.segments)] = torch.from_numpy(one.segments)
            if not heard:
                shares[row, text, 0] = 1.0
    return {"shares": shares, "opinions": logs, "segments": segments}


def _behind(prompt: int, one: Heard, length: int) -> Heard:
    """An opinion on the tokens behind a prompt, cut to so many predicted tokens of both together."""
    log_s = np.concatenate([np.zeros(prompt), one.log_s])[:length]
    return Heard(one.share, log_s, np.concatenate([np.arange(prompt), one.segments + prompt])[:length])


def _answer(text: str, tokenizer: Any) -> _Answer:
    tokens, spans = encode_answer(tokenizer, text)
    if tokenizer.eos_token_id is not None:
        tokens, spans = [*tokens, tokenizer.eos_token_id], [*spans, (len(text), len(text))]
    return _Answer(tokens, spans)


def _visible(spans: Sequence[tuple[int, int]], text: str) -> int:
    """How many tokens there are before the end-of-sequence token."""
    return len(spans) - (bool(spans) and spans[-1] == (len(text), len(text)))
