"""What decoding needs of a transformers causal language model: next tokens' log-probabilities, and a cache."""

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


@dataclass(frozen=True)
class Opening:
    """The beginning that texts share, as a network has read it."""

    tokens: tuple[int, ...]
    """Its tokens."""
    cache: Any
    """Keys and values of each, for one text."""

    @property
    def repeatable(self) -> bool:
        """Whether the cache is nothing but keys and values of every token, and so the same behind any number of texts.

        Windows that slide count padding, and states of recurrent layers are no list of tokens.
        """
        return type(self.cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in self.cache.layers)

    def copies(self, count: int) -> Any:
        """A cache for so many texts that begin like this."""
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(count)
        return cache


class CausalNetwork:
    """A causal language model without its tokenizer: token ids in, log-probabilities out.

    Args:
        model: A transformers causal language model; it stays on its device and in its precision.
        name: What to call it in errors.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.model = model
        self.name = name
        parameters = inspect.signature(model.forward).parameters
        takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
        self._selects_logits = "logits_to_keep" in parameters or takes_any
        self._opening: Opening | None = None

    @property
    def context(self) -> int | None:
        """Longest sequence in tokens that the model takes, or None if its configuration sets no limit."""
        return context_length(self.model)

    def ends(self, tokenizer: Any) -> set[int]:
        """All tokens that end a text: those of the model's generation settings, and the tokenizer's own."""
        configured = getattr(self.model, "generation_config", None)
        ends = getattr(configured, "eos_token_id", None)
        several = ends if isinstance(ends, list) else [ends]
        return {token for token in (*several, tokenizer.eos_token_id) if token is not None}

    def logprobs(self, texts: Sequence[Sequence[int]], *, keep: int, shared: int = 0) -> Tensor:
        """Log-probabilities of the tokens that follow the last `keep` positions, shape (texts, keep, V), in fp32.

        Args:
            texts: Tokens of each text; padded on the left.
            keep: Positions, at most as many as the longest text has behind what is shared.
            shared: How many first tokens all texts share; they are computed once.
        """
        opening = self.opening(texts, shared)
        ids, mask, positions = behind(opening, texts, self.model.device)
        cache = {"past_key_values": opening.copies(len(texts))} if opening else {}
        output = self._forward(ids, mask, positions, keep, use_cache=bool(opening), **cache)
        logprobs: Tensor = output.logits[:, -keep:].float().log_softmax(-1)
        return logprobs

    def opening(self, texts: Sequence[Sequence[int]], shared: int) -> Opening | None:
        """What texts have in common, read once; kept for the next batch until `inference` ends.

        Args:
            texts: Tokens of each text.
            shared: How many first tokens all of them share.

        Returns:
            None where nothing is shared, or the network keeps of what it has read more than keys and values.
        """
        if not shared:
            return None
        tokens = tuple(texts[0][:shared])
        if self._opening is None or self._opening.tokens != tokens:
            ids, mask, positions = left_pad([tokens], self.model.device)
            cache = self._forward(ids, mask, positions, 1, use_cache=True).past_key_values
            self._opening = Opening(tokens, cache)
        return self._opening if self._opening.repeatable else None

    def mean_states(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """The mean over its tokens of each text's last hidden states, shape (texts, D)."""
        ids, mask, positions = left_pad(texts, self.model.device)
        backbone = self.model.base_model
        states = backbone(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).last_hidden_state
        weights = mask[..., None].to(states.dtype)
        means: NDArray[np.float64] = ((states * weights).sum(1) / weights.sum(1)).double().cpu().numpy()
        return means

    @contextmanager
    def inference(self) -> Iterator[None]:
        """No gradients and no dropout; the model's mode is restored, as it may be in the middle of its training."""
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            self._opening = None  # the weights may be others when it is asked again
            self.model.train(training)

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor, keep: int, **options: Any) -> Any:
        if self._selects_logits:  # a prompt's logits at vocabulary size can be larger than the model
            options["logits_to_keep"] = keep
        return self.model(input_ids=ids, attention_mask=mask, position_ids=positions, **options)


class Continuation:
    """Texts that grow token by token, all by one token at a time; prompts are read once.

    Args:
        network: Who continues.
        prompts: Tokens of each prompt; they are padded on the left with an arbitrary token.
        shared: How many first tokens all prompts share; they are read once.
    """

    def __init__(self, network: CausalNetwork, prompts: Sequence[Sequence[int]], shared: int = 0) -> None:
        self._network = network
        opening = network.opening(prompts, shared)
        self._ids, self._mask, self._positions = behind(opening, prompts, network.model.device)
        self._last_position = (network.context or sys.maxsize) - 1
        self._cache: Any = opening.copies(len(prompts)) if opening else None

    def logprobs(self) -> Tensor:
        """Log-probabilities of each text's next token, shape (texts, V), in fp32."""
        output = self._network._forward(
            self._ids, self._mask, self._positions, 1, past_key_values=self._cache, use_cache=True
        )
        self._cache = output.past_key_values
        logprobs: Tensor = output.logits[:, -1].float().log_softmax(-1)
        return logprobs

    def select(self, rows: Sequence[int]) -> None:
        """Goes on with these texts only, by their places so far; one may be taken several times."""
        if list(rows) == list(range(len(self._mask))):
            return
        index = torch.tensor(rows, device=self._mask.device)
        self._cache.reorder_cache(index)
        self._mask, self._positions = self._mask[index], self._positions[index]

    def append(self, tokens: Sequence[int]) -> None:
        """Gives each text its next token."""
        self._ids = torch.tensor(tokens, device=self._mask.device)[:, None]
        # A text that is done may run along with the others, but not out of the model's table of positions.
        self._positions = (self._positions[:, -1:] + 1).clamp_max(self._last_position)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)


def behind(
    opening: Opening | None, texts: Sequence[Sequence[int]], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """What is left to read behind an opening: token ids and positions (texts, longest), and the mask of all tokens."""
    if opening is None:
        return left_pad(texts, device)
    read = len(opening.tokens)
    ids, mask, positions = left_pad([tokens[read:] for tokens in texts], device)
    return ids, torch.cat([mask.new_ones(len(texts), read), mask], dim=1), positions + read


def left_pad(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, attention mask and positions, each of shape (len(sequences), longest)."""
    longest = max(len(tokens) for tokens in sequences)
    ids = torch.tensor([[0] * (longest - len(tokens)) + list(tokens) for tokens in sequences], device=device)
    mask = torch.tensor([[0] * (longest - len(tokens)) + [1] * len(tokens) for tokens in sequences], device=device)
    return ids, mask, (mask.cumsum(1) - 1).clamp_min(0)


def check_number(value: float, name: str) -> None:
    """Refuses NaN.

    Raises:
        ModelError: It is one.
    """
    if value != value:
        raise ModelError(
            f"{name} gives NaN instead of log-probabilities.",
            fix="Its weights are damaged or its training diverged: load or train it again.",
        )
