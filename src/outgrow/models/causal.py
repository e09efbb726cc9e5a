"""Causal language models on token ids: log-probabilities of next tokens, with prefixes that texts share cached."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from outgrow.errors import ModelError
from outgrow.models.loading import context_length
from outgrow.models.tokens import common_length

LEAST_TOKENS = 16
"""Shortest shared prefix: below, copying its cache costs as much as computing it."""
LEAST_SHARE = 0.5
"""Smallest share of every text that the prefix must be, since batches become smaller."""

LEAST_FILLED = 0.25
"""Smallest share of a batch that different texts with one prefix must fill."""


@dataclass(frozen=True)
class _Prefix:
    tokens: tuple[int, ...]
    cache: Any

    def copies(self, count: int) -> Any:
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(count)
        return cache


def _repeatable(cache: Any) -> bool:
    # Only keys and values of every token can be copied for any number of texts: sliding windows count padding, and
    # recurrent states are not per token.
    return type(cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in cache.layers)


class CausalNetwork:
    """A causal language model of transformers without its tokenizer; it stays on its device and in its precision."""

    def __init__(self, model: Any, name: str) -> None:
        self.model, self.name = model, name
        parameters = inspect.signature(model.forward).parameters
        takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
        self._selects_logits = "logits_to_keep" in parameters or takes_any
        self._prefix: _Prefix | None = None

    @property
    def context(self) -> int | None:
        """Context length in tokens, or None if the configuration sets no limit."""
        return context_length(self.model)

    @property
    def device(self) -> torch.device:
        """Where token ids go. A model that is spread over devices moves them itself."""
        here: torch.device = self.model.device
        if here.type != "meta" or not hasattr(self.model, "_hf_hook"):
            return here
        # Weights that wait in memory or on a disk: accelerate's hooks say where they compute.
        hooks = [hook for module in self.model.modules() for hook in [getattr(module, "_hf_hook", None)] if hook]
        each = [one for hook in hooks for one in getattr(hook, "hooks", (hook,))]
        devices = [device for one in each if (device := getattr(one, "execution_device", None)) is not None]
        return torch.device(devices[0])

    def forget(self) -> None:
        """Free the prefix that is kept for the next batch."""
        self._prefix = None

    def ends(self, tokenizer: Any) -> set[int]:
        """Return all end-of-sequence tokens: those of the model's generation settings and of the tokenizer."""
        configured = getattr(self.model, "generation_config", None)
        ends = getattr(configured, "eos_token_id", None)
        several = ends if isinstance(ends, list) else [ends]
        return {token for token in (*several, tokenizer.eos_token_id) if isinstance(token, int)}

    def logprobs(self, texts: Sequence[Sequence[int]], *, keep: int, shared: int = 0) -> Tensor:
        """Return next-token log-probabilities at the last `keep` positions, shape (texts, keep, V), in fp32.

        `keep` is at most the length of the longest text after the `shared` first tokens, which are computed once.
        """
        prefix = self.prefix(texts, shared)
        ids, mask, positions = _after_prefix(prefix, texts, self.device)
        cache = {"past_key_values": prefix.copies(len(texts))} if prefix else {}
        output = self.forward(ids, mask, positions, keep, use_cache=bool(prefix), **cache)
        logprobs: Tensor = output.logits[:, -keep:].float().log_softmax(-1)
        return logprobs

    def prefix(self, texts: Sequence[Sequence[int]], shared: int) -> _Prefix | None:
        """Compute the first `shared` tokens of texts, or return None if their cache cannot be copied.

        The result is kept for the next batch until `inference` ends.
        """
        if not shared:
            return None
        tokens = tuple(texts[0][:shared])
        if self._prefix is None or self._prefix.tokens != tokens:
            ids, mask, positions = left_pad([tokens], self.device)
            cache = self.forward(ids, mask, positions, 1, use_cache=True).past_key_values
            self._prefix = _Prefix(tokens, cache)
        return self._prefix if _repeatable(self._prefix.cache) else None

    def mean_states(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Return the mean over tokens of each text's last hidden states, shape (texts, D)."""
        ids, mask, positions = left_pad(texts, self.device)
        backbone = self.model.base_model
        states = backbone(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).last_hidden_state
        weights = mask[..., None].to(states.dtype)
        means: NDArray[np.float64] = ((states * weights).sum(1) / weights.sum(1)).double().cpu().numpy()
        return means

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Disable gradients and dropout; the model's mode is restored, since it may be in the middle of training."""
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            self.forget()  # the weights may change before the next call
            self.model.train(training)

    def forward(self, ids: Tensor, mask: Tensor, positions: Tensor, keep: int, **options: Any) -> Any:
        """Run the model; logits at the last `keep` positions at least."""
        if self._selects_logits:  # a prompt's logits at vocabulary size can be larger than the model
            options["logits_to_keep"] = keep
        return self.model(input_ids=ids, attention_mask=mask, position_ids=positions, **options)


def _after_prefix(
    prefix: _Prefix | None, texts: Sequence[Sequence[int]], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    # The ids after the prefix, the mask of all tokens, and the positions of these ids.
    if prefix is None:
        return left_pad(texts, device)
    read = len(prefix.tokens)
    ids, mask, positions = left_pad([tokens[read:] for tokens in texts], device)
    return ids, torch.cat([mask.new_ones(len(texts), read), mask], dim=1), positions + read


def left_pad(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return token ids, attention mask and positions, each of shape (len(sequences), longest)."""
    longest = max(len(tokens) for tokens in sequences)
    ids = torch.tensor([[0] * (longest - len(tokens)) + list(tokens) for tokens in sequences], device=device)
    mask = torch.tensor([[0] * (longest - len(tokens)) + [1] * len(tokens) for tokens in sequences], device=device)
    return ids, mask, (mask.cumsum(1) - 1).clamp_min(0)


class Continuation:
    """Texts that grow by one token at a time; prompts, and their `shared` first tokens, are computed once."""

    def __init__(self, network: CausalNetwork, prompts: Sequence[Sequence[int]], shared: int = 0) -> None:
        self._network = network
        prefix = network.prefix(prompts, shared)
        self._ids, self._mask, self._positions = _after_prefix(prefix, prompts, network.device)
        self._last_position = (network.context or sys.maxsize) - 1
        self._cache: Any = prefix.copies(len(prompts)) if prefix else None

    def logprobs(self) -> Tensor:
        """Return log-probabilities of each text's next token, shape (texts, V), in fp32."""
        output = self._network.forward(
            self._ids, self._mask, self._positions, 1, past_key_values=self._cache, use_cache=True
        )
        self._cache = output.past_key_values
        logprobs: Tensor = output.logits[:, -1].float().log_softmax(-1)
        return logprobs

    def score(self, rows: Sequence[int], answers: Sequence[Sequence[int]]) -> list[list[float]] | None:
        """Return log-probabilities of the tokens of answers, each at least one, behind the prompts at `rows`.

        None where the model's cache cannot be copied. Ends the continuation.
        """
        first = self.logprobs()
        if not _repeatable(self._cache):
            return None
        self.select(rows)
        longest = max(map(len, answers))
        # Padding is on the right: what comes behind an answer does not change it.
        ids = torch.tensor([[*tokens, *[0] * (longest - len(tokens))] for tokens in answers], device=first.device)
        scores = first[list(rows)].gather(1, ids[:, :1])
        if longest > 1:
            steps = torch.arange(1, longest, device=first.device)
            positions = (self._positions[:, -1:] + steps).clamp_max(self._last_position)
            mask = torch.cat([self._mask, self._mask.new_ones(len(ids), longest - 1)], dim=1)
            output = self._network.forward(
                ids[:, :-1], mask, positions, longest - 1, past_key_values=self._cache, use_cache=True
            )
            logprobs = output.logits[:, 1 - longest :].float().log_softmax(-1)
            scores = torch.cat([scores, logprobs.gather(2, ids[:, 1:, None])[..., 0]], dim=1)
        return [own[: len(tokens)] for own, tokens in zip(scores.tolist(), answers, strict=True)]

    def select(self, rows: Sequence[int]) -> None:
        """Keep these texts, by their current rows; a row may occur several times."""
        if list(rows) == list(range(len(self._mask))):
            return
        index = torch.tensor(rows, device=self._mask.device)
        self._cache.reorder_cache(index)
        self._mask, self._positions = self._mask[index], self._positions[index]

    def append(self, tokens: Sequence[int]) -> None:
        """Append one token to each text."""
        self._ids = torch.tensor(tokens, device=self._mask.device)[:, None]
        # A finished text may run along with the others, but not beyond the table of positions.
        self._positions = (self._positions[:, -1:] + 1).clamp_max(self._last_position)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)


@dataclass(frozen=True)
class Batch:
    """Texts for one forward pass."""

    members: tuple[int, ...]
    """Their indices."""
    shared: int
    """Length of the prefix to compute once; 0 if that does not pay."""


def batches(sequences: Sequence[Sequence[int]], size: int, *, last: Sequence[int] | None = None) -> Iterator[Batch]:
    """Split texts into batches of at most `size`: those with a long common prefix together, the others by length.

    `last` is the longest prefix of each text that counts, by default all tokens but one.
    """
    limits = [len(tokens) - 1 for tokens in sequences] if last is None else list(last)
    order = sorted(range(len(sequences)), key=lambda index: list(sequences[index]))
    alone: list[int] = []
    for family, shared in _families(sequences, limits, order):
        # Smaller batches cost more than is saved; samples of one prompt share it anyway.
        if len({tuple(sequences[index]) for index in family}) < max(2, LEAST_FILLED * size):
            alone += family
            continue
        by_length = sorted(family, key=lambda index: len(sequences[index]))
        for start in range(0, len(family), size):
            yield Batch(tuple(by_length[start : start + size]), shared)
    by_length = sorted(sorted(alone), key=lambda index: len(sequences[index]))
    for start in range(0, len(by_length), size):
        yield Batch(tuple(by_length[start : start + size]), 0)


def _families(
    sequences: Sequence[Sequence[int]], limits: Sequence[int], order: Sequence[int]
) -> Iterator[tuple[list[int], int]]:
    # Runs of sorted texts with a prefix worth sharing, and its length.
    family: list[int] = []
    shared = longest = 0
    for index in order:
        if family:
            common = min(shared, limits[index], common_length(sequences[family[-1]], sequences[index]))
            longest = max(longest, len(sequences[index]))
            if common >= max(LEAST_TOKENS, LEAST_SHARE * longest):
                family.append(index)
                shared = common
                continue
            yield family, shared
        family, shared, longest = [index], limits[index], len(sequences[index])
    if family:
        yield family, shared


def check_number(value: float, name: str) -> None:
    """Raise a ModelError if a log-probability is NaN."""
    if value != value:
        raise ModelError(
            f"{name} gives NaN instead of log-probabilities.",
            fix="Its weights are damaged or its training diverged: load or train it again.",
        )
