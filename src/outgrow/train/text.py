"""Students and supervisors of text tasks: supervised fine-tuning with the loss on answer tokens only."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from outgrow.config import Named, weights_of
from outgrow.errors import ConfigError
from outgrow.identity import identity
from outgrow.labels import TextTargets
from outgrow.models.adapters import Adapter
from outgrow.models.loading import check_model, context_length, load_causal_lm, load_tokenizer, model_identity
from outgrow.objectives import StepContext, TokenObjective
from outgrow.objectives.tokens import largest_probabilities, pooled, student_split
from outgrow.registry import create, names
from outgrow.run import Run
from outgrow.store import Artefact, table_hash
from outgrow.train.answers import collate, tokenise
from outgrow.train.learners import Trainable
from outgrow.train.packing import attention_mask, pack, pays, reads_packed
from outgrow.train.supervised import Gather, fit, training_arguments


class TokenLosses:
    """Losses of the label tokens of a batch of texts."""

    def __init__(self, objective: TokenObjective) -> None:
        self._objective = objective

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], progress: float) -> Tensor:
        """Losses of shape (N, M, T − 1), zero where a token is not part of an answer."""
        learned = batch["weights"] > 0
        logits = answer_logits(model, batch["input_ids"], batch["attention_mask"], learned)
        losses = torch.zeros_like(batch["weights"])
        labels, log_s = batch["input_ids"][..., 1:][learned], batch["log_confidences"][learned]
        if "opinions" in batch:
            log_s = split_by_student(batch, learned, logits)[learned]
        losses[learned] = self._objective(logits, labels, log_s, StepContext(progress))
        return losses

    def begin_step(self, model: nn.Module, pieces: Sequence[dict[str, Tensor]], gather: Gather) -> None:
        """Nothing needs to be known of a step beforehand."""

    def state(self) -> Any:
        """Nothing."""
        return None

    def restore(self, state: Any) -> None:
        """Nothing."""


def split_by_student(batch: dict[str, Tensor], learned: Tensor, logits: Tensor) -> Tensor:
    """Log-confidences (N, M, T − 1) of which each segment's share of a token follows the student's doubt at it.

    Args:
        batch: See `outgrow.train.answers.collate`.
        learned: Whether each predicted token is learned, (N, M, T − 1).
        logits: Logits of the learned tokens, (positions, V).
    """
    confidence = torch.zeros_like(batch["weights"])
    confidence[learned] = largest_probabilities(logits).to(confidence)
    return pooled(student_split(batch["opinions"], batch["segments"], confidence[:, :, None]), batch["shares"])


def answer_logits(model: Any, ids: Tensor, mask: Tensor, learned: Tensor) -> Tensor:
    """The logits that predict learned tokens, shape (positions, V), text by text.

    Nothing is projected onto the vocabulary but these positions: the prompts' logits can be larger than the model. What
    the texts of a row have in common is read once where the model allows it and where it pays.

    Args:
        model: A causal language model, wrapped for several processes or not.
        ids: Token ids of N rows with M texts, (N, M, T), padded on the right; the first text of every row is there.
        mask: Attention mask (N, M, T); all 0 where a row has fewer texts.
        learned: Whether each predicted token is learned, (N, M, T − 1).
    """
    core = getattr(model, "module", model)
    row, text, time = learned.nonzero(as_tuple=True)
    packed = pack(ids, mask) if ids.shape[1] > 1 and reads_packed(core, ids.shape[-1]) else None
    if packed is not None and pays(ids, mask, packed):
        inputs = {"input_ids": packed.ids, "attention_mask": attention_mask(core, packed)}
        inputs["position_ids"] = packed.positions
        at = (row, packed.places[row, text, time])
    else:
        there = mask.any(-1)
        inputs = {"input_ids": ids[there], "attention_mask": mask[there]}
        at = ((there.flatten().cumsum(0) - 1).view(there.shape)[row, text], time)

    def select(module: nn.Module, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (states[0][at], *states[1:])

    handle = core.get_output_embeddings().register_forward_pre_hook(select)
    try:
        logits: Tensor = model(**inputs, use_cache=False).logits
    finally:
        handle.remove()
    return logits


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
        text_wrapper(self.adapter)
        training_arguments(Path(), self.trainer, seed=0)

    def train(self, targets: TextTargets, objective: Named, run: Run, *, seed: int, name: str) -> Artefact:
        """Trains on `(prompt, text)` targets; found in the store if it was done before.

        The artefact's folder `model` is a model folder like any other.

        Args:
            targets: What to answer; prompts are whole, as the model will see them. The texts of one row are learned in
                one batch, whose size counts rows.
            objective: What to minimise on every label token.
            run: Store and progress.
            seed: Fixes the order of rows and dropout.
            name: What the step is called.
        """
        loss = token_objective(objective)
        if not loss.confidences:
            targets = dataclasses.replace(targets, opinions=())

        def make(folder: Path) -> None:
            torch.manual_seed(seed)
            wrapper = text_wrapper(self.adapter)
            network: Any = wrapper.wrap(load_causal_lm(self.model))
            tokenizer = load_tokenizer(self.model)
            limit = min(filter(None, (self.max_length, context_length(network))), default=None)
            rows = tokenise(targets, tokenizer, limit=limit, cut=self.max_length is not None, bridging=loss.bridging)
            arguments = training_arguments(folder / "checkpoints", self.trainer, seed=seed)
            fit(
                network,
                rows,
                collate,
                TokenLosses(loss),
                arguments,
                early_stopping=self.early_stopping,
                reporter=run.reporter,
                name=name,
            )
            network.save_pretrained(folder / "model")
            tokenizer.save_pretrained(folder / "model")
            shutil.rmtree(folder / "checkpoints")

        recipe = {
            "model": model_identity(self.model),
            "adapter": identity(text_wrapper(self.adapter)),
            "max_length": self.max_length,
            "trainer": dict(self.trainer),
            "early_stopping": self.early_stopping,
            "objective": identity(loss),
            "targets": table_hash(targets.to_arrow()),
            "seed": seed,
        }
        return run.stage("text-student", recipe, make)


def text_learner(config: Trainable, trainer: Mapping[str, Any]) -> TextLearner:
    """The learner that an experiment file describes."""
    return TextLearner(weights_of(config.model), config.adapter, config.max_length, trainer, config.early_stopping)


def token_objective(config: Named) -> TokenObjective:
    """The objective that a configuration names, for the tokens of an answer.

    Raises:
        ConfigError: It is for choice tasks.
    """
    known = names("token_objective")
    if config.name not in known and config.name in names("objective"):
        raise ConfigError(f"The objective {config.name!r} is for choice tasks.", wanted=", ".join(known))
    objective: TokenObjective = create("token_objective", config.name, config.params)
    return objective


def text_wrapper(adapter: Named) -> Adapter:
    """Create the adapter of a causal language model.

    Raises:
        ConfigError: It is for choice tasks.
    """
    wrapper: Adapter = create("adapter", adapter.name, adapter.params, "wrap")
    return wrapper
