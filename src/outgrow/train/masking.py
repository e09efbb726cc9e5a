"""Masked language modelling: which tokens are hidden, and the loss on them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from outgrow.models.classifier import Encoder
from outgrow.train.supervised import Gather

_HIDDEN, _REPLACED = 0.8, 0.1
"""Shares of the chosen tokens that are masked, and that become a random token; the rest stays (Devlin et al. 2019)."""


def maskable(
    tokens: Sequence[Mapping[str, list[int]]], special: Sequence[int], share: float
) -> list[Mapping[str, Any]]:
    """The texts that have tokens to hide, each with the places of these and a weight: how many will be hidden.

    Args:
        tokens: Token ids of every text, as `Encoder.tokenise` gives them.
        special: Ids that are no text.
        share: Share of a text's tokens to hide; at least one is.
    """
    rows: list[Mapping[str, Any]] = []
    for index, row in enumerate(tokens):
        places = [place for place, token in enumerate(row["input_ids"]) if token not in special]
        if places:
            count = max(1, round(share * len(places)))
            rows.append({"tokens": row, "row": index, "places": places, "weight": float(count)})
    return rows


def collate_masked(encoder: Encoder) -> Callable[[Sequence[Mapping[str, Any]]], dict[str, Tensor]]:
    """Turns rows into a batch in which nothing is hidden yet: tokens, and where and how many may be."""

    def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        batch = cast(dict[str, Tensor], dict(encoder.batch([row["tokens"] for row in rows])))
        places = torch.zeros(batch["input_ids"].shape, dtype=torch.bool)
        for index, row in enumerate(rows):
            places[index, row["places"]] = True
        counts, numbers = (torch.tensor([row[key] for row in rows]) for key in ("weight", "row"))
        return {**batch, "places": places, "counts": counts.long(), "rows": numbers, "weights": counts}

    return collate


def hide(
    ids: Tensor, places: Tensor, count: int, *, mask: int, vocabulary: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Hides tokens of one text: of those chosen, 80 % are masked, 10 % replaced at random, 10 % left as they are.

    Args:
        ids: Token ids, shape (T,).
        places: Which may be chosen, shape (T,).
        count: How many are.
        mask: Id of the mask token.
        vocabulary: Random tokens are below this id.
        generator: Source of the draws.

    Returns:
        The ids that the network sees and the positions it is asked about, shapes (T,) and (count,).

    Example:
        >>> seen, asked = hide(
        ...     torch.arange(10), torch.ones(10, dtype=torch.bool), 3, mask=99, vocabulary=10,
        ...     generator=torch.Generator().manual_seed(0),
        ... )
        >>> len(asked), bool((seen[asked] == 99).any())
        (3, True)
    """
    possible = torch.nonzero(places).flatten()
    chosen = possible[torch.randperm(len(possible), generator=generator)[:count]]
    fate = torch.rand(len(chosen), generator=generator)
    others = torch.randint(vocabulary, (len(chosen),), generator=generator)
    kept_or_other = torch.where(fate < _HIDDEN + _REPLACED, others, ids[chosen])
    seen = ids.clone()
    seen[chosen] = torch.where(fate < _HIDDEN, mask, kept_or_other)
    return seen, chosen


class MaskedLosses:
    """Mean loss of a text's hidden tokens; weighted by how many they are, a step's loss is the mean over tokens.

    What is hidden follows from seed, row and progress alone: it changes from epoch to epoch, but not with how a step's
    batch is cut into pieces or spread over processes, and an interrupted training goes on with the same masks.
    """

    def __init__(self, *, mask: int, vocabulary: int, seed: int) -> None:
        self._mask, self._vocabulary, self._seed = mask, vocabulary, seed

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], progress: float) -> Tensor:
        """Losses of shape (N,)."""
        ids, places = batch["input_ids"].cpu(), batch["places"].cpu()
        seen, texts, asked = ids.clone(), [], []
        for index, (row, count) in enumerate(zip(batch["rows"].tolist(), batch["counts"].tolist(), strict=True)):
            draw = self._draw(row, progress)
            seen[index], chosen = hide(
                ids[index], places[index], count, mask=self._mask, vocabulary=self._vocabulary, generator=draw
            )
            asked.append(chosen)
            texts.append(torch.full_like(chosen, index))
        device = batch["input_ids"].device
        text, place = torch.cat(texts).to(device), torch.cat(asked).to(device)
        inputs = {key: batch[key] for key in batch if key not in ("places", "counts", "rows", "weights")}
        logits = model(**{**inputs, "input_ids": seen.to(device)}).logits[text, place].float()
        losses = nn.functional.cross_entropy(logits, batch["input_ids"][text, place], reduction="none")
        return losses.new_zeros(len(ids)).index_add(0, text, losses) / batch["counts"]

    def _draw(self, row: int, progress: float) -> torch.Generator:
        digest = hashlib.blake2b(f"{self._seed} {row} {progress!r}".encode(), digest_size=7).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest))

    def begin_step(self, model: nn.Module, pieces: Sequence[dict[str, Tensor]], gather: Gather) -> None:
        """Nothing needs to be known of a step beforehand."""

    def state(self) -> Any:
        """Nothing."""
        return None

    def restore(self, state: Any) -> None:
        """Nothing."""
