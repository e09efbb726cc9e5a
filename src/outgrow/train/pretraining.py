"""Continued pretraining on a task's prompts, before a model learns the task."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from outgrow.config import Pretune
from outgrow.errors import DataError, ModelError
from outgrow.labels import Rows
from outgrow.models.classifier import Encoder
from outgrow.models.loading import (
    check_model,
    is_masked_lm,
    load_causal_lm,
    load_masked_lm,
    load_tokenizer,
    model_identity,
)
from outgrow.models.planning import Work
from outgrow.objectives import TokenCrossEntropy
from outgrow.run import Run, untrained_model
from outgrow.train.answers import certain_line, collate, longest
from outgrow.train.arguments import training_arguments
from outgrow.train.supervised import RowLosses, fit, save_model
from outgrow.train.targets import prompts_hash
from outgrow.train.text import TokenLosses

_DEFAULTS: dict[str, Any] = {"num_train_epochs": 1}
_MASKED, _REPLACED = 0.8, 0.1
"""Shares of the chosen tokens that are masked, and that become a random token; the rest stays (Devlin et al. 2019)."""


@dataclass(frozen=True)
class ContinuedPretraining:
    """Language modelling on the prompts of a task: masked for encoders, causal for decoders (`pretune:`).

    All weights train, whatever adapter the student uses later. An encoder whose folder has no masked-language-modelling
    head gets a fresh one, its output tied to the word embeddings. The head is dropped in the end.

    Source:
        Burns et al. 2023 (arXiv 2312.09390) §5.2.2, generative supervision; masking as in Devlin et al. 2019 (arXiv
        1810.04805), but drawn anew in every step, with a fixed number of tokens per text.
    """

    model: str
    """A folder or hub id."""
    max_length: int | None
    """Cut prompts to this many tokens."""
    settings: Pretune
    """Share of tokens to mask, and TrainingArguments."""

    def __post_init__(self) -> None:
        # Refuse wrong settings before anything is computed.
        check_model(self.model)
        training_arguments(Path(), self.settings.trainer, seed=0, **_DEFAULTS)
        if is_masked_lm(self.model) and load_tokenizer(self.model).mask_token_id is None:
            raise ModelError(
                f"The tokenizer of {self.model} has no mask token, so the model cannot learn from masked text.",
                fix="Remove `pretune`, or take another model.",
            )

    def __call__(self, rows: Rows, run: Run, *, seed: int, name: str) -> Path:
        """Return the folder of the model trained on the rows' prompts; found in the store if it was done before.

        Raises:
            DataError: A prompt is longer than the model's context and `max_length` is None, or no text has two tokens.
            ModelError: transformers knows no language-modelling head for the model.
        """
        masked = is_masked_lm(self.model)

        def make(folder: Path) -> None:
            arguments = training_arguments(folder / "checkpoints", self.settings.trainer, seed=seed, **_DEFAULTS)
            network, texts, batch, losses = self._masked(rows.prompts, seed) if masked else self._causal(rows.prompts)
            if not texts:
                found = f"{len(rows)} prompts, none of them long enough"
                raise DataError("There is no text to learn language from.", found=found, fix="Remove `pretune`.")
            length = _length if masked else longest
            fit(network, texts, batch, losses, arguments, length, reporter=run.reporter, name=name)
            save_model(network.base_model if masked else network, load_tokenizer(self.model), folder / "pretuned")

        recipe = {
            "model": model_identity(self.model),
            "max_length": self.max_length,
            "trainer": dict(self.settings.trainer),
            "mask": self.settings.mask if masked else None,
            "prompts": prompts_hash(rows),
            "seed": seed,
        }

        def blank(folder: Path) -> None:
            untrained_model(folder / "pretuned")

        def work() -> Work:
            arguments = training_arguments(Path(), self.settings.trainer, seed=seed, **_DEFAULTS)
            batch, epochs = arguments.per_device_train_batch_size, arguments.num_train_epochs
            return Work(
                self.model, rows.prompts, batch, epochs=epochs, trains="all", head=not masked, limit=self.max_length
            )

        made = run.stage("pretuned", recipe, make, blank=blank, together=True, work=work)
        return made.path / "pretuned"

    def _causal(self, prompts: Sequence[str]) -> tuple[Any, list[Mapping[str, Any]], Any, RowLosses]:
        """The network, its rows, their collate function and losses."""
        network = load_causal_lm(self.model)
        tokens = Encoder.load(self.model, network, max_length=self.max_length).tokenise(prompts)
        ids = [row["input_ids"] for row in tokens if len(row["input_ids"]) > 1]
        rows: list[Mapping[str, Any]] = [certain_line(each) for each in ids]
        return network, rows, collate, TokenLosses(TokenCrossEntropy())

    def _masked(self, prompts: Sequence[str], seed: int) -> tuple[Any, list[Mapping[str, Any]], Any, RowLosses]:
        torch.manual_seed(seed)  # of a fresh head
        network, tokenizer = load_masked_lm(self.model), load_tokenizer(self.model)
        encoder = Encoder.load(self.model, network, max_length=self.max_length)
        rows = maskable(encoder.tokenise(prompts), tokenizer.all_special_ids, self.settings.mask)
        losses = MaskedLosses(mask=tokenizer.mask_token_id, vocabulary=len(tokenizer), seed=seed)
        return network, rows, collate_masked(encoder), losses


def maskable(
    tokens: Sequence[Mapping[str, list[int]]], special: Sequence[int], share: float
) -> list[Mapping[str, Any]]:
    """Return the texts with tokens that are not `special`, each with their places, and as weight the number to mask.

    That number is a share of the text's tokens, but at least one.
    """
    rows: list[Mapping[str, Any]] = []
    for index, row in enumerate(tokens):
        places = [place for place, token in enumerate(row["input_ids"]) if token not in special]
        if places:
            count = max(1, round(share * len(places)))
            rows.append({"tokens": row, "row": index, "places": places, "weight": float(count)})
    return rows


def _length(row: Mapping[str, Any]) -> int:
    return len(row["tokens"]["input_ids"])


def collate_masked(encoder: Encoder) -> Callable[[Sequence[Mapping[str, Any]]], dict[str, Tensor]]:
    """Return a function from rows to a batch of unmasked tokens, with the places and number of those to mask."""

    def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        batch = cast(dict[str, Tensor], dict(encoder.batch([row["tokens"] for row in rows])))
        places = torch.zeros(batch["input_ids"].shape, dtype=torch.bool)
        for index, row in enumerate(rows):
            places[index, row["places"]] = True
        counts, numbers = (torch.tensor([row[key] for row in rows]) for key in ("weight", "row"))
        return {**batch, "places": places, "counts": counts.long(), "rows": numbers, "weights": counts}

    return collate


def mask_tokens(
    ids: Tensor, places: Tensor, count: int, *, mask: int, vocabulary: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Choose tokens of one text; 80 % of them are masked, 10 % replaced at random, 10 % left as they are.

    Args:
        ids: Token ids, shape (T,).
        places: Which may be chosen, shape (T,).
        count: How many are chosen.
        mask: Id of the mask token.
        vocabulary: Random tokens are below this id.
        generator: Source of the draws.

    Returns:
        The network's input ids (T,) and the chosen positions (count,), whose tokens it predicts.

    Example:
        >>> seen, asked = mask_tokens(
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
    kept_or_other = torch.where(fate < _MASKED + _REPLACED, others, ids[chosen])
    seen = ids.clone()
    seen[chosen] = torch.where(fate < _MASKED, mask, kept_or_other)
    return seen, chosen


class MaskedLosses(RowLosses):
    """Mean loss of a text's masked tokens; weighted by their number, a step's loss is the mean over tokens.

    The masks follow from seed, row and progress alone: they change from epoch to epoch, but do not depend on how a
    step's batch is cut into pieces or spread over processes, and a resumed training continues with the same masks.
    """

    def __init__(self, *, mask: int, vocabulary: int, seed: int) -> None:
        self._mask, self._vocabulary, self._seed = mask, vocabulary, seed

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], progress: float) -> Tensor:
        """Return losses of shape (N,)."""
        ids, places = batch["input_ids"].cpu(), batch["places"].cpu()
        seen, texts, asked = ids.clone(), [], []
        for index, (row, count) in enumerate(zip(batch["rows"].tolist(), batch["counts"].tolist(), strict=True)):
            draw = self._draw(row, progress)
            seen[index], chosen = mask_tokens(
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
