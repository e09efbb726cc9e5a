"""Students and supervisors of text tasks: supervised fine-tuning with the loss on answer tokens only."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from outgrow.config import ModelSupervisor, Named, Strong
from outgrow.errors import ConfigError, DataError
from outgrow.labels import TextTargets
from outgrow.models.adapters import FullFineTuning, LoRA
from outgrow.models.loading import check_model, context_length, load_causal_lm, load_tokenizer, model_identity
from outgrow.objectives import Objective, StepContext
from outgrow.registry import create
from outgrow.store import Artefact, table_hash
from outgrow.train.supervised import Gather, fit, training_arguments
from outgrow.workspace import Workspace

_TOKEN_OBJECTIVES = ("cross_entropy",)


class TokenLosses:
    """Losses of the label tokens of a batch of texts."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], progress: float) -> Tensor:
        """Losses of shape (N, T), zero where a token is not part of an answer."""
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
        answer = batch["weights"] > 0
        context = StepContext(progress)
        losses = torch.zeros_like(batch["weights"])
        losses[answer] = self._objective(logits[answer].float(), batch["input_ids"][:, 1:][answer], context)
        return losses

    def begin_step(self, model: nn.Module, pieces: Sequence[dict[str, Tensor]], gather: Gather) -> None:
        """Nothing needs to be known of a step beforehand."""

    def state(self) -> Any:
        """Nothing."""
        return None

    def restore(self, state: Any) -> None:
        """Nothing."""


@dataclass(frozen=True)
class TextLearner:
    """Fine-tuning a causal language model, wholly or through LoRA."""

    model: str
    """A folder or hub id."""
    adapter: Named
    """`none` or `lora` with its parameters."""
    max_length: int | None = None
    """Cut prompt and answer together to so many tokens; by default longer than the model is an error."""
    trainer: Mapping[str, Any] = field(default_factory=dict)
    """TrainingArguments of the user."""
    early_stopping: int | None = None
    """Patience in epochs, or None to train to the end."""

    def __post_init__(self) -> None:
        # Wrong settings are refused before anything is computed.
        check_model(self.model)
        _wrapper(self.adapter)
        training_arguments(Path(), self.trainer, seed=0)

    def train(self, targets: TextTargets, objective: Named, workspace: Workspace, *, seed: int, name: str) -> Artefact:
        """Trains on `(prompt, text)` targets; found in the store if it was done before.

        The artefact's folder `model` is a model folder like any other.

        Args:
            targets: What to answer; prompts are whole, as the model will see them.
            objective: What to minimise on every label token.
            workspace: Store and reporter.
            seed: Fixes the order of rows and dropout.
            name: What the step is called.
        """
        loss = token_objective(objective)

        def make(folder: Path) -> None:
            torch.manual_seed(seed)
            wrapper = _wrapper(self.adapter)
            network: Any = wrapper.wrap(load_causal_lm(self.model))
            tokenizer = load_tokenizer(self.model)
            limit = min(filter(None, (self.max_length, context_length(network))), default=None)
            rows = tokenise(targets, tokenizer, limit=limit, cut=self.max_length is not None)
            arguments = training_arguments(folder / "checkpoints", self.trainer, seed=seed)
            fit(
                network,
                rows,
                collate,
                TokenLosses(loss),
                arguments,
                early_stopping=self.early_stopping,
                reporter=workspace.reporter,
                name=name,
            )
            network.save_pretrained(folder / "model")
            tokenizer.save_pretrained(folder / "model")
            shutil.rmtree(folder / "checkpoints")

        recipe = {
            "model": model_identity(self.model),
            "adapter": self.adapter.model_dump(),
            "max_length": self.max_length,
            "trainer": dict(self.trainer),
            "early_stopping": self.early_stopping,
            "objective": {"name": objective.name, **vars(loss)},
            "targets": table_hash(targets.to_arrow()),
            "seed": seed,
        }
        return workspace.get("text-student", recipe, make)


def text_learner(config: Strong | ModelSupervisor, trainer: Mapping[str, Any]) -> TextLearner:
    """The learner that an experiment file describes."""
    return TextLearner(config.model, config.adapter, config.max_length, trainer, config.early_stopping)


def token_objective(config: Named) -> Objective:
    """The objective that a configuration names, for the tokens of an answer.

    Raises:
        ConfigError: It is for choice tasks.
    """
    if config.name not in _TOKEN_OBJECTIVES:
        raise ConfigError(f"The objective {config.name!r} is for choice tasks.", wanted=", ".join(_TOKEN_OBJECTIVES))
    objective: Objective = create("objective", config.name, config.params)
    return objective


def tokenise(targets: TextTargets, tokenizer: Any, *, limit: int | None, cut: bool) -> list[dict[str, Any]]:
    """Token ids of prompt, answer and end, and the weight of each *predicted* token: zero on the prompt.

    Prompt and answer are tokenised apart, as `LocalLanguageModel` does when it generates, so that training sees the
    very tokens that generation will.

    Args:
        targets: What to answer; the texts begin with the space that parts them from the prompt.
        tokenizer: The student's.
        limit: Most tokens of prompt, answer and end together.
        cut: Whether to cut longer ones from the right; an error otherwise.

    Raises:
        DataError: A target is too long, or cutting would leave nothing of an answer.
    """
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    rows, too_long = [], []
    for index, (prompt, text, weight) in enumerate(zip(targets.prompts, targets.texts, targets.weights, strict=True)):
        asked = tokenizer(prompt, verbose=False)["input_ids"]
        answer = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] + end
        if limit is not None and len(asked) + len(answer) > limit and (not cut or len(asked) >= limit):
            too_long.append(index)
        ids = (asked + answer)[:limit]
        weights = ([0.0] * (len(asked) - 1) + [weight] * len(answer))[: len(ids) - 1]
        rows.append({"input_ids": ids, "weights": weights})
    if too_long:
        raise DataError(
            f"{len(too_long)} training texts are longer than the model can read.",
            found=repr(targets.prompts[too_long[0]][:60]),
            wanted=f"at most {limit} tokens for prompt and answer together",
            fix="Set max_length to cut them, or shorten the texts.",
        )
    return rows


def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """A batch padded on the right; the mask says what is padding, whatever its token id."""
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    weights = torch.zeros(len(rows), longest - 1)
    for index, row in enumerate(rows):
        length = len(row["input_ids"])
        ids[index, :length] = torch.tensor(row["input_ids"])
        mask[index, :length] = 1
        weights[index, : length - 1] = torch.tensor(row["weights"])
    return {"input_ids": ids, "attention_mask": mask, "weights": weights}


def _wrapper(adapter: Named) -> FullFineTuning | LoRA:
    wrapper = create("adapter", adapter.name, adapter.params)
    if not isinstance(wrapper, FullFineTuning | LoRA):
        raise ConfigError(f"The adapter {adapter.name!r} is for choice tasks.", wanted="none or lora")
    return wrapper
