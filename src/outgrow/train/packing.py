"""Texts that answer one prompt, packed behind a single copy of it.

Several weak texts of a prompt, or the two of a preference pair, have a common beginning, which a packed sequence holds
once. Every text follows it at its own positions and attends to it and to itself only, so the logits are those of
separate sequences.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

WORTH = 0.9
"""Texts are packed if that leaves at most this share of the tokens, padding included."""
MOST_MASK = 2**26
"""Largest attention mask, in elements: it grows with the square of the packed length."""
_LAYERS = {"full_attention", "sliding_attention"}


@dataclass(frozen=True)
class Packed:
    """N packed sequences of L tokens, each a prompt with its texts."""

    ids: Tensor
    """Tokens (N, L); 0 is padding."""
    positions: Tensor
    """Position of each token in its own text, (N, L)."""
    segments: Tensor
    """(N, L): 0 for the common beginning, m + 1 for text m, −1 for padding."""
    places: Tensor
    """Position in the packed sequence of each token of the texts, (N, M, T); arbitrary for padding."""

    def visible(self) -> Tensor:
        """Return which tokens (last axis) each token (third) attends to, (N, 1, L, L)."""
        seen, sees = self.segments[:, None, :], self.segments[:, :, None]
        earlier = self.positions[:, None, :] <= self.positions[:, :, None]
        return (earlier & ((seen == sees) | ((seen == 0) & (sees > 0))))[:, None]


def pack(ids: Tensor, mask: Tensor) -> Packed:
    """Pack the texts of every prompt behind their longest common beginning.

    Args:
        ids: Tokens (N, M, T), padded on the right; the first text of every row exists.
        mask: 1 where there is a token, (N, M, T).

    Example:
        >>> ids = torch.tensor([[[7, 8, 1, 2], [7, 8, 3, 0]]])
        >>> packed = pack(ids, (ids > 0).long())
        >>> packed.ids.tolist(), packed.positions.tolist(), packed.segments.tolist()
        ([[7, 8, 1, 2, 3]], [[0, 1, 2, 3, 2]], [[0, 0, 1, 1, 2]])
    """
    count, texts, length = ids.shape
    real = mask.bool()
    absent = ~real.any(-1, keepdim=True)
    alike = ((ids == ids[:, :1]) & real & real[:, :1] | absent).all(1)
    shared = alike.long().cumprod(-1).sum(-1)  # (N,)
    rest = (real.sum(-1) - shared[:, None]).clamp_min(0)  # (N, M)
    starts = shared[:, None] + rest.cumsum(-1) - rest
    time = torch.arange(length, device=ids.device).expand(count, texts, length)
    common = time < shared[:, None, None]
    places = torch.where(common, time, starts[..., None] + time - shared[:, None, None])
    width = int((shared + rest.sum(-1)).max())
    rows = torch.arange(count, device=ids.device)[:, None, None].expand_as(places)[real]
    own = torch.arange(1, texts + 1, device=ids.device)[None, :, None].expand_as(places)
    at = (rows, places[real])
    empty = ids.new_zeros(count, width)
    # What is common is written once for each text, always the same.
    return Packed(
        ids=empty.index_put(at, ids[real]),
        positions=empty.index_put(at, time[real]),
        segments=(empty - 1).index_put(at, torch.where(common, 0, own)[real]),
        places=places,
    )


def pays(ids: Tensor, mask: Tensor, packed: Packed) -> bool:
    """Return whether packing saves enough tokens, and its attention mask is not too large."""
    count, length = packed.ids.shape
    apart = int(mask.any(-1).sum()) * ids.shape[-1]
    return packed.ids.numel() <= WORTH * apart and count * length**2 <= MOST_MASK


def reads_packed(model: Any, length: int) -> bool:
    """Return whether a causal language model attends by positions and a mask alone, over a whole text.

    Recurrent states and distances counted in tokens would leak from text to text.
    """
    core = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = core.config
    window = getattr(config, "sliding_window", None)
    return (
        "position_ids" in inspect.signature(core.forward).parameters
        and getattr(config, "_attn_implementation", None) in ("sdpa", "eager")
        and not getattr(core, "_is_stateful", False)
        and not getattr(config, "alibi", False)
        and set(getattr(config, "layer_types", None) or _LAYERS) <= _LAYERS
        and (window is None or length <= window)
    )


def attention_mask(model: Any, packed: Packed) -> Tensor:
    """Return `Packed.visible` in the form that the model's attention takes."""
    visible = packed.visible()
    if model.config._attn_implementation == "sdpa":
        return visible
    dtype = model.dtype
    return torch.zeros_like(visible, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)
