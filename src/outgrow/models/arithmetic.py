"""Arithmetic of transformers: parameters, FLOPs and bytes from the configuration alone; no weights are loaded.

Source:
    Kaplan et al. 2020 (arXiv 2001.08361) for 2·P FLOPs a token and 6·P in training, with attention beside them;
    Korthikanti et al. 2022 (arXiv 2205.05198) for the bytes of activations; Hu et al. 2021 (arXiv 2106.09685) for LoRA.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from outgrow.models.loading import load_config, load_tokenizer

Trains = Literal["nothing", "adapter", "all"]
"""What of a model trains."""

_ADAM = 12
"""Bytes of a trained parameter beside its weight: a gradient and two moments in fp32."""
_ACTIVATIONS = 34
"""Bytes of activations for a token, layer and unit of width in 16 bits, without attention scores."""
_CHECKPOINTED = 2
"""The same with gradient checkpointing: the input of each layer."""
_ADAPTER_SHARE = 0.01
"""Share of the weights that LoRA adds; its rank changes this, and hardly the time."""


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a transformer.

    Example:
        >>> small = ModelShape(parameters=1000, multiplied=800, layers=2, width=8, keys=4, vocabulary=25)
        >>> small.flops(10)
        16000
        >>> small.flops(10, context=5)
        19200
        >>> small.flops(10, trains="all") / small.flops(10)
        3.0
    """

    parameters: int
    """All parameters."""
    multiplied: int
    """Parameters that every token is multiplied by: all but the table of embeddings, unless that is the head too."""
    layers: int
    """Number of layers."""
    width: int
    """Width of the hidden states."""
    keys: int
    """Width of the keys of all heads of a layer; that of the values is the same."""
    vocabulary: int
    """Number of tokens."""

    @classmethod
    def of(cls, config: Any, *, head: bool = True) -> ModelShape:
        """Return the sizes of a transformers configuration; the model is made without memory (`meta`).

        Args:
            config: A `PretrainedConfig`.
            head: Whether it is a language model; otherwise the network without head.
        """
        import torch
        from transformers import AutoModel, AutoModelForCausalLM

        with torch.device("meta"):
            network = (AutoModelForCausalLM if head else AutoModel).from_config(config)
        if head:
            network.tie_weights()
        total = sum(one.numel() for one in network.parameters())
        table, output = network.get_input_embeddings(), network.get_output_embeddings() if head else None
        looked_up = 0 if output is not None and output.weight is table.weight else table.weight.numel()
        own = config.get_text_config()
        heads = own.num_attention_heads
        size = getattr(own, "head_dim", None) or own.hidden_size // heads
        keys = size * (getattr(own, "num_key_value_heads", None) or heads)
        return cls(total, total - looked_up, own.num_hidden_layers, own.hidden_size, keys, own.vocab_size)

    def flops(self, tokens: float, *, context: float = 0, trains: Trains = "nothing") -> float:
        """Return the FLOPs of a forward pass, in training with its backward pass.

        A backward pass costs two forward passes; one where the weights are frozen and only an adapter trains.

        Args:
            tokens: Tokens, padding included.
            context: Mean number of tokens that each token attends to.
            trains: What trains.
        """
        passes = {"nothing": 1, "adapter": 2, "all": 3}[trains]
        return passes * tokens * (2 * self.multiplied + 4 * self.layers * self.width * context)

    def cache_bytes(self, tokens: float, *, bits: int = 16) -> float:
        """Return the bytes of keys and values of so many tokens."""
        return 2 * self.layers * self.keys * tokens * bits / 8

    def weight_bytes(self, *, bits: int = 16) -> float:
        """Return the bytes of the weights."""
        return self.parameters * bits / 8

    def training_bytes(
        self, tokens: float, *, learned: float | None = None, trains: Trains = "all", bits: int = 16,
        checkpointed: bool = False,
    ) -> float:  # fmt: skip
        """Return the bytes of weights, gradients, AdamW's moments, activations and logits of one step.

        Args:
            tokens: Tokens of the step at once on all devices.
            learned: Tokens with a loss, whose logits (fp32, with their gradient) are held; by default all.
            trains: What trains; trained weights are fp32.
            bits: Bits of frozen weights and activations.
            checkpointed: Gradient checkpointing: activations are computed again in the backward pass.
        """
        trained = self.parameters * {"nothing": 0.0, "adapter": _ADAPTER_SHARE, "all": 1.0}[trains]
        weights = self.weight_bytes(bits=bits) * (trains != "all") + trained * 4
        each = (_CHECKPOINTED if checkpointed else _ACTIVATIONS) * bits / 16
        logits = 2 * 4 * (tokens if learned is None else learned) * self.vocabulary
        return weights + trained * _ADAM + tokens * self.layers * self.width * each + logits


def padded(lengths: Sequence[int], size: int) -> int:
    """Return the tokens of texts, padding included, in batches as they come.

    Example:
        >>> padded([3, 1, 5, 5, 2], 2)
        18
    """
    parts = [lengths[start : start + size] for start in range(0, len(lengths), size)]
    return sum(len(part) * max(part) for part in parts)


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """Return `count` items at equal distances; all if there are fewer.

    Example:
        >>> spread("abcdefgh", 4)
        ['a', 'c', 'e', 'g']
    """
    return [items[place * len(items) // count] for place in range(count)] if len(items) > count else list(items)


@lru_cache(maxsize=16)
def shape_of(model: str, head: bool) -> ModelShape:
    """Return the sizes of a model folder or hub id, from its configuration."""
    return ModelShape.of(load_config(model), head=head)


@lru_cache(maxsize=16)
def tokenizer_of(model: str) -> Any:
    """Return the tokenizer of a model folder or hub id."""
    return load_tokenizer(model)


@lru_cache(maxsize=16)
def context_of(model: str) -> int | None:
    """Return the context length of a model, from its configuration."""
    found: int | None = getattr(load_config(model).get_text_config(), "max_position_embeddings", None)
    return found


def lengths_of(model: str, texts: Sequence[str], limit: int | None = None) -> list[int]:
    """Return the tokens of each text, at most `limit`, or the context of the model."""
    encoded, most = tokenizer_of(model)(list(texts), verbose=False)["input_ids"], limit or context_of(model)
    return [min(len(ids), most or len(ids)) for ids in encoded]
