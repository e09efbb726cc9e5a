"""What decoding needs of a transformers causal language model: next tokens' log-probabilities, and a cache."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from outgrow.errors import ModelError
from outgrow.models.loading import context_length


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

    def logprobs(self, ids: Tensor, mask: Tensor, positions: Tensor, *, keep: int) -> Tensor:
        """Log-probabilities of the tokens that follow the last `keep` positions, shape (rows, keep, V), in fp32."""
        output = self._forward(ids, mask, positions, keep, use_cache=False)
        logprobs: Tensor = output.logits[:, -keep:].float().log_softmax(-1)
        return logprobs

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
    """

    def __init__(self, network: CausalNetwork, prompts: Sequence[Sequence[int]]) -> None:
        self._network = network
        self._ids, self._mask, self._positions = left_pad(prompts, network.model.device)
        self._last_position = (network.context or sys.maxsize) - 1
        self._cache: Any = None

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
