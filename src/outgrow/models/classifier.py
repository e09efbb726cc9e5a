"""Classifiers on a transformers network, encoder or decoder, with a head initialized to zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from outgrow.config import HERE, Local
from outgrow.errors import DataError
from outgrow.models.loading import context_length, is_bidirectional, load_encoder, load_tokenizer

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

Pooling = Literal["mean", "last"]


def pool(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """Pool states (N, T, D) to (N, D): the mean over tokens, or the last token; `mask` (N, T) is 0 for padding."""
    if pooling == "mean":
        weights = mask.to(hidden.dtype).unsqueeze(-1)
        return (hidden * weights).sum(1) / weights.sum(1).clamp_min(1.0)
    positions = torch.arange(mask.shape[1], device=mask.device)
    last = torch.where(mask.bool(), positions, 0).max(dim=1).values
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


class ChoiceNetwork(nn.Module):
    """A pretrained network, pooling, and a linear head initialized to zero."""

    def __init__(self, backbone: PreTrainedModel, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = backbone.config
        self.pooling: Pooling = default_pooling(backbone)
        self.head = nn.Linear(backbone.config.get_text_config().hidden_size, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, **inputs: Tensor) -> Tensor:
        """Return logits (N, K) of tokenizer outputs (N, T).

        Outputs (N, K, T) are texts of K choices for each row, as in transformers' models for multiple choice: a head of
        one class scores every text.
        """
        shape = inputs["input_ids"].shape
        if len(shape) == 3:
            inputs = {name: value.flatten(0, 1) for name, value in inputs.items()}
        logits: Tensor = self.head(self.embed(**inputs).to(self.head.weight.dtype))
        return logits if len(shape) == 2 else logits.reshape(shape[:2]).clone()  # FSDP wants no view

    @property
    def _no_split_modules(self) -> list[str]:
        # Names of the layers that FSDP shards one by one, where accelerate looks for them.
        return list(self.backbone._no_split_modules or ())

    def activation_checkpointing_enable(self, **settings: Any) -> None:
        """Keep no activations of the layers for the backward pass; transformers' Trainer calls it."""
        self.backbone.activation_checkpointing_enable(**settings)

    def embed(self, **inputs: Tensor) -> Tensor:
        """Return pooled states (N, D)."""
        return embed(self.backbone, inputs, self.pooling)


def embed(backbone: nn.Module, inputs: dict[str, Tensor] | BatchEncoding, pooling: Pooling) -> Tensor:
    """Return pooled states (N, D) of a batch; with left padding, positions start at the first token."""
    mask = inputs["attention_mask"]
    extra: dict[str, Any] = {}
    if not bool(mask[:, 0].all()):
        extra["position_ids"] = (mask.cumsum(-1) - 1).clamp_min(0)
    return pool(backbone(**inputs, **extra).last_hidden_state, mask, pooling)


def default_pooling(backbone: PreTrainedModel) -> Pooling:
    """Return `last` for networks with causal attention, `mean` for others."""
    return "mean" if is_bidirectional(backbone.config) else "last"


class Encoder:
    """Tokenizes prompts for one model; texts are truncated only to `max_length`."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, limit: int | None, max_length: int | None = None) -> None:
        self._tokenizer, self._limit, self._max_length = tokenizer, limit, max_length
        if tokenizer.pad_token_id is None:
            # Any token will do: the attention mask marks padding.
            tokenizer.pad_token_id = tokenizer.eos_token_id or 0

    @classmethod
    def load(cls, model: str, backbone: PreTrainedModel, *, max_length: int | None) -> Encoder:
        """Load the encoder of a model folder or hub id."""
        limit = context_length(backbone)
        max_length = min(max_length, limit) if max_length and limit else max_length
        return cls(load_tokenizer(model), limit=limit, max_length=max_length)

    def tokenise(self, prompts: Sequence[str]) -> list[dict[str, list[int]]]:
        """Return the tokenizer's output for each prompt, not padded."""
        cut = {"truncation": True, "max_length": self._max_length} if self._max_length else {"truncation": False}
        encoded = self._tokenizer(list(prompts), padding=False, verbose=False, **cut)
        lengths = [len(ids) for ids in encoded["input_ids"]]
        too_long = [index for index, length in enumerate(lengths) if self._limit and length > self._limit]
        if too_long:
            longest = max(too_long, key=lambda index: lengths[index])
            raise DataError(
                f"{len(too_long)} prompt(s) are longer than the model can read.",
                found=f"up to {lengths[longest]} tokens, such as {prompts[longest][:60]!r}…",
                wanted=f"at most {self._limit} tokens",
                fix=f"Set max_length: {self._limit} on the model to cut them, or shorten the texts.",
            )
        empty = [index for index, length in enumerate(lengths) if length == 0]
        if empty:
            raise DataError(f"{len(empty)} prompt(s) have no tokens.", found=repr(prompts[empty[0]][:60]))
        return [{key: values[index] for key, values in encoded.items()} for index in range(len(prompts))]

    def batch(self, tokenised: Sequence[dict[str, list[int]]]) -> BatchEncoding:
        """Return a batch of tensors, padded on the right, where default positions are correct."""
        return self._tokenizer.pad(list(tokenised), padding_side="right", return_tensors="pt")


@torch.inference_mode()
def by_length(
    function: Any, network: nn.Module, encoder: Encoder, prompts: Sequence[str], *, batch_size: int
) -> Tensor:
    """Apply a function of a network to batches of prompts; shape (N, …) in the given order.

    Batches are sorted by length, for little padding.
    """
    tokens = encoder.tokenise(prompts)
    order = sorted(range(len(tokens)), key=lambda index: (len(tokens[index]["input_ids"]), index))
    pieces: dict[int, Tensor] = {}
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = encoder.batch([tokens[row] for row in rows])
        device = next(network.parameters()).device
        outputs = function(**{key: value.to(device) for key, value in batch.items()}).float().cpu()
        pieces.update(zip(rows, outputs, strict=True))
    return torch.stack([pieces[row] for row in range(len(tokens))])


def load_choice_network(model: str, classes: int, *, seed: int, local: Local = HERE) -> ChoiceNetwork:
    """Load a pretrained network with a new head in fp32; `seed` sets torch's random state."""
    torch.manual_seed(seed)
    network = ChoiceNetwork(load_encoder(model, local), classes)
    network.head.to(next(network.backbone.parameters()).device)
    return network
