"""From text targets to padded batches: answer tokens, their weights and the weak models' confidence in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outgrow.bridge import Bridging, bridge_many
from outgrow.errors import DataError
from outgrow.labels import TextTargets
from outgrow.models.rendering import Renderer

_KEYS = ("input_ids", "weights", "log_confidences")
_UNIFORM = Bridging()


class BridgedOpinion(NamedTuple):
    """A weak model's opinion on a text, carried over to the student's J tokens."""

    share: float
    """λ of the weak model over the sum of all with an opinion on the text."""
    log_s: NDArray[np.float64]
    """Log-probability of each token, shape (J,)."""
    segments: NDArray[np.int64]
    """Index of the first token of each token's segment, shape (J,)."""


def tokenise(
    targets: TextTargets, renderer: Renderer, *, limit: int | None, cut: bool, bridging: Bridging = _UNIFORM
) -> list[dict[str, Any]]:
    """Return one line per row, with the tokens of its prompt and texts and what is known of every *predicted* token.

    The renderer is that of `LocalLanguageModel.generate`, so that training and generation see the same tokens.

    Args:
        targets: Texts to learn; they begin with the space that separates them from the prompt.
        renderer: Makes tokens of the student's prompts and answers.
        limit: Most tokens of prompt, answer and end-of-sequence token together.
        cut: Whether to cut longer ones from the right; an error otherwise.
        bridging: How the weak models' log-probabilities are carried over to the student's tokens.

    Returns:
        Lines with `input_ids` (prompt, answer and end), `weights` (λ, zero on the prompt) and `log_confidences` (log s,
        zero without an opinion): a list per text, the last two one token shorter, as they describe predictions. If the
        student splits log-probabilities itself, also `opinions`: a list of `BridgedOpinion` per text.

    Raises:
        DataError: A target is too long, or cutting would leave nothing of an answer.
    """
    answers = [_answer(text, renderer) for text in targets.texts]
    bridged = opinions(targets, [spans for _, spans in answers], bridging)
    log_s = [confidences(own, len(tokens)) for own, (tokens, _) in zip(bridged, answers, strict=True)]
    split_later = bridging.split == "student" and bool(targets.opinions)
    keys = [*_KEYS, "opinions"] if split_later else _KEYS
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    too_long = []
    for index, ((tokens, _), weight) in enumerate(zip(answers, targets.weights, strict=True)):
        prompt = renderer.prompt(targets.prompts[index])
        ids = prompt + tokens
        if limit is not None and len(ids) > limit and (not cut or len(prompt) >= limit):
            too_long.append(index)
        ids = ids[:limit]
        before = [0.0] * (len(prompt) - 1)
        line = lines.setdefault((targets.ids[index], targets.prompts[index]), {key: [] for key in keys})
        line["input_ids"].append(ids)
        line["weights"].append((before + [weight] * len(tokens))[: len(ids) - 1])
        line["log_confidences"].append((before + log_s[index].tolist())[: len(ids) - 1])
        if split_later:
            line["opinions"].append([_after_prompt(len(before), one, len(ids) - 1) for one in bridged[index]])
    if too_long:
        raise DataError(
            f"{len(too_long)} training texts are longer than the model can read.",
            found=repr(targets.prompts[too_long[0]][:60]),
            wanted=f"at most {limit} tokens for prompt and answer together",
            fix="Set max_length to cut them, or shorten the texts.",
        )
    return list(lines.values())


def certain_line(tokens: Sequence[int]) -> dict[str, Any]:
    """Return the line of a text without a prompt, whose tokens all have weight and confidence 1.

    Example:
        >>> certain_line([5, 6, 7])
        {'input_ids': [[5, 6, 7]], 'weights': [[1.0, 1.0]], 'log_confidences': [[0.0, 0.0]]}
    """
    predicted = len(tokens) - 1
    return {"input_ids": [list(tokens)], "weights": [[1.0] * predicted], "log_confidences": [[0.0] * predicted]}


def opinions(
    targets: TextTargets, spans: Sequence[Sequence[tuple[int, int]]], bridging: Bridging = _UNIFORM
) -> list[list[BridgedOpinion]]:
    """Carry the opinions on each text over to the student's tokens.

    Args:
        targets: Texts with the opinions on them.
        spans: Character spans of the student's tokens in each text; an empty one at the end is the end of sequence.
        bridging: The bridge. With `split: student`, log-probabilities are split evenly here.

    Returns:
        A list per text. Where a model has no log-probability for the end of a text, the end counts as certain.
    """
    found: list[list[BridgedOpinion]] = [[] for _ in spans]
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
        found[index].append(BridgedOpinion(opinion.weight / float(mass[index]), log_s, segments))
    return found


def confidences(opinions: Sequence[BridgedOpinion], tokens: int) -> NDArray[np.float64]:
    """Return the weak models' log-confidence in each token, log Σ_i λ_i s_i / Σ_i λ_i; 0 without an opinion."""
    if not opinions:
        return np.zeros(tokens)
    mean = np.sum([one.share * np.exp(one.log_s) for one in opinions], axis=0)
    logs: NDArray[np.float64] = np.minimum(np.log(np.maximum(mean, np.finfo(np.float64).tiny)), 0.0)
    return logs


def longest(line: Mapping[str, Any]) -> int:
    """Return the number of tokens of a row's longest text."""
    return max(map(len, line["input_ids"]))


def collate(lines: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Return a batch of N rows with up to M texts each, padded on the right to T tokens.

    Returns:
        `input_ids` and `attention_mask` (N, M, T), `weights` and `log_confidences` (N, M, T − 1). If the student splits
        log-probabilities itself, also up to O opinions on each text: `shares` (N, M, O), zero where there is none;
        `opinions` (N, M, O, T − 1), log-probabilities; and `segments` of the same shape, the first token of each
        token's segment, where a token without an opinion is a segment of its own.
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
    most = max((len(opinions) for line in lines for opinions in line["opinions"]), default=0)
    shape_all = (*shape[:2], max(most, 1), shape[2])
    shares, logs = torch.zeros(shape_all[:3]), torch.zeros(shape_all)
    segments = torch.arange(shape[2]).expand(shape_all).clone()
    for row, line in enumerate(lines):
        for text, opinions in enumerate(line["opinions"]):
            for number, one in enumerate(opinions):
                at = (row, text, number)
                shares[at] = one.share
                logs[at][: len(one.log_s)] = torch.from_numpy(one.log_s)
                segments[at][: len(one.segments)] = torch.from_numpy(one.segments)
            if not opinions:
                shares[row, text, 0] = 1.0
    return {"shares": shares, "opinions": logs, "segments": segments}


def _after_prompt(prompt: int, one: BridgedOpinion, length: int) -> BridgedOpinion:
    """The opinion on `length` predicted tokens of which the first `prompt` belong to the prompt."""
    log_s = np.concatenate([np.zeros(prompt), one.log_s])[:length]
    return BridgedOpinion(one.share, log_s, np.concatenate([np.arange(prompt), one.segments + prompt])[:length])


def _answer(text: str, renderer: Renderer) -> tuple[list[int], list[tuple[int, int]]]:
    """Tokens and character spans of a text, with the token that ends an answer if there is one."""
    tokens, spans = renderer.answer(text)
    if renderer.end is not None:
        return [*tokens, renderer.end], [*spans, (len(text), len(text))]
    return tokens, spans


def _visible(spans: Sequence[tuple[int, int]], text: str) -> int:
    """Number of tokens before the end-of-sequence token."""
    return len(spans) - (bool(spans) and spans[-1] == (len(text), len(text)))
