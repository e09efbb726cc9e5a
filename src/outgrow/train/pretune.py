"""Language modelling on a task's own text, before a model is taught anything about the task."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

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
from outgrow.objectives import TokenCrossEntropy
from outgrow.run import Run
from outgrow.train.answers import certain_line, collate
from outgrow.train.learners import prompts_hash
from outgrow.train.masking import MaskedLosses, collate_masked, maskable
from outgrow.train.supervised import RowLosses, fit, training_arguments
from outgrow.train.text import TokenLosses

_DEFAULTS = {"num_train_epochs": 1}


@dataclass(frozen=True)
class Pretuner:
    """Goes on with what a model was pretrained for, on the prompts of a task.

    Encoders fill in masked tokens, decoders predict the next token. All weights train, whatever adapter the student
    uses later. Where a folder holds an encoder without its masked-language-modelling head, a fresh one is drawn with
    the seed, its output tied to the word embeddings; like a stored one it is left behind in the end.

    Source:
        Burns et al. 2023 (arXiv 2312.09390) §5.2.2, generative supervision; masking as in Devlin et al. 2019 (arXiv
        1810.04805), but drawn anew for every step, and a fixed number of tokens per text.
    """

    model: str
    """A folder or hub id."""
    max_length: int | None
    """Cut prompts to so many tokens."""
    settings: Pretune
    """Share of tokens to mask, and TrainingArguments."""

    def __post_init__(self) -> None:
        # Wrong settings are refused before anything is computed.
        check_model(self.model)
        training_arguments(Path(), self.settings.trainer, seed=0, **_DEFAULTS)
        if is_masked_lm(self.model) and load_tokenizer(self.model).mask_token_id is None:
            raise ModelError(
                f"The tokenizer of {self.model} has no mask token, so the model cannot learn from masked text.",
                fix="Remove `pretune`, or take another model.",
            )

    def __call__(self, rows: Rows, run: Run, *, seed: int, name: str) -> Path:
        """The folder of the model after training on the rows' prompts; found in the store if it was done before.

        Args:
            rows: Rows whose prompts are read; never their labels.
            run: Store and progress.
            seed: Fixes the order of rows, dropout, masks and a fresh head.
            name: What the step is called.

        Raises:
            DataError: A prompt is longer than the model and no `max_length` is set, or no text has two tokens.
            ModelError: The model has no language-modelling head of a kind known to transformers.
        """
        masked = is_masked_lm(self.model)

        def make(folder: Path) -> None:
            arguments = training_arguments(folder / "checkpoints", self.settings.trainer, seed=seed, **_DEFAULTS)
            network, texts, batch, losses = self._masked(rows.prompts, seed) if masked else self._causal(rows.prompts)
            if not texts:
                found = f"{len(rows)} prompts, none of them long enough"
                raise DataError("There is no text to learn language from.", found=found, fix="Remove `pretune`.")
            fit(network, texts, batch, losses, arguments, reporter=run.reporter, name=name)
            (network.base_model if masked else network).save_pretrained(folder / "pretuned")
            load_tokenizer(self.model).save_pretrained(folder / "pretuned")
            shutil.rmtree(folder / "checkpoints")

        recipe = {
            "model": model_identity(self.model),
            "max_length": self.max_length,
            "trainer": dict(self.settings.trainer),
            "mask": self.settings.mask if masked else None,
            "prompts": prompts_hash(rows),
            "seed": seed,
        }
        return run.stage("pretuned", recipe, make).path / "pretuned"

    def _causal(self, prompts: Sequence[str]) -> tuple[Any, list[Mapping[str, Any]], Any, RowLosses]:
        """A decoder, its rows, how they become a batch, and its losses."""
        network = load_causal_lm(self.model)
        tokens = Encoder.load(self.model, network, max_length=self.max_length).tokenise(prompts)
        ids = [row["input_ids"] for row in tokens if len(row["input_ids"]) > 1]
        rows: list[Mapping[str, Any]] = [certain_line(each) for each in ids]
        return network, rows, collate, TokenLosses(TokenCrossEntropy())

    def _masked(self, prompts: Sequence[str], seed: int) -> tuple[Any, list[Mapping[str, Any]], Any, RowLosses]:
        """An encoder, its rows, how they become a batch, and its losses."""
        torch.manual_seed(seed)  # of a fresh head
        network, tokenizer = load_masked_lm(self.model), load_tokenizer(self.model)
        encoder = Encoder.load(self.model, network, max_length=self.max_length)
        rows = maskable(encoder.tokenise(prompts), tokenizer.all_special_ids, self.settings.mask)
        losses = MaskedLosses(mask=tokenizer.mask_token_id, vocabulary=len(tokenizer), seed=seed)
        return network, rows, collate_masked(encoder), losses
