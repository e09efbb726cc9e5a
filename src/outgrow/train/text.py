"""Students and supervisors of text tasks: supervised fine-tuning with the loss on answer tokens only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from outgrow.config import Named, weights_of
from outgrow.errors import ConfigError
from outgrow.labels import TextTargets
from outgrow.models.loading import context_length, load_causal_lm, load_tokenizer, text_identity
from outgrow.models.planning import Work
from outgrow.models.rendering import renderer
from outgrow.objectives import StepContext, TokenObjective
from outgrow.objectives.tokens import largest_probabilities, pooled, student_split
from outgrow.registry import create, names
from outgrow.run import Run
from outgrow.store import Artefact, table_hash
from outgrow.train.answers import collate, longest, tokenise
from outgrow.train.arguments import FineTuning
from outgrow.train.packing import attention_mask, pack, pays, reads_packed
from outgrow.train.supervised import RowLosses, fit, save_model

if TYPE_CHECKING:
    from outgrow.train.features import TrainedSection


class TokenLosses(RowLosses):
    """Losses of the answer tokens of a batch of texts."""

    def __init__(self, objective: TokenObjective) -> None:
        self._objective = objective

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], progress: float) -> Tensor:
        """Return losses of shape (N, M, T − 1), zero where a token is not part of an answer."""
        learned = batch["weights"] > 0
        logits = answer_logits(model, batch["input_ids"], batch["attention_mask"], learned)
        losses = torch.zeros_like(batch["weights"])
        labels, log_s = batch["input_ids"][..., 1:][learned], batch["log_confidences"][learned]
        if "opinions" in batch:
            log_s = split_by_student(batch, learned, logits)[learned]
        losses[learned] = self._objective(logits, labels, log_s, StepContext(progress))
        return losses


def split_by_student(batch: dict[str, Tensor], learned: Tensor, logits: Tensor) -> Tensor:
    """Return log-confidences (N, M, T − 1), each segment's split by the logits (positions, V) of the learned tokens."""
    confidence = torch.zeros_like(batch["weights"])
    confidence[learned] = largest_probabilities(logits).to(confidence)
    return pooled(student_split(batch["opinions"], batch["segments"], confidence[:, :, None]), batch["shares"])


def answer_logits(model: Any, ids: Tensor, mask: Tensor, learned: Tensor) -> Tensor:
    """Return the logits that predict learned tokens, shape (positions, V), text by text.

    Only these positions are projected onto the vocabulary: logits of the prompts can be larger than the model. The
    common beginning of a row's texts is read once where the model allows it and where it saves time.

    Args:
        model: A causal language model, wrapped for several processes or not.
        ids: Token ids of N rows with M texts, (N, M, T), padded on the right; the first text of every row exists.
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
class TextLearner(FineTuning):
    """Fine-tuning of a causal language model, wholly or through LoRA.

    With `max_length`, prompt and answer together are cut; without, texts longer than the model's context are an error.
    """

    early_stopping: int | None = None
    """Patience in epochs, or None to train to the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.local.system or self.local.chat != "auto":  # what cannot work is refused before anything is computed
            renderer(load_tokenizer(self.model), self.local.chat, self.local.system)

    def train(self, targets: TextTargets, objective: Named, run: Run, *, seed: int, name: str) -> Artefact:
        """Train on `(prompt, text)` targets; found in the store if it was done before.

        Args:
            targets: What to answer; prompts are whole, as the model will see them. The texts of one row are learned in
                one batch, whose size counts rows.
            objective: What to minimise on every answer token.
            run: Store and progress.
            seed: Seed of the row order and of dropout.
            name: Name of the step in progress reports.

        Returns:
            An artefact with the student in `model`, a folder that plain transformers load.
        """
        loss = token_objective(objective)
        if not loss.confidences:
            targets = dataclasses.replace(targets, opinions=())

        def make(folder: Path) -> None:
            torch.manual_seed(seed)
            network: Any = self.wrapper.wrap(load_causal_lm(self.model, self.loaded))
            tokenizer = load_tokenizer(self.model)
            speech = renderer(tokenizer, self.local.chat, self.local.system)
            limit = min(filter(None, (self.max_length, context_length(network))), default=None)
            rows = tokenise(targets, speech, limit=limit, cut=self.max_length is not None, bridging=loss.bridging)
            arguments = self.arguments(folder, seed=seed)
            patience = self.early_stopping
            losses = TokenLosses(loss)
            fit(
                network, rows, collate, losses, arguments, longest,
                early_stopping=patience, reporter=run.reporter, name=name,
            )  # fmt: skip
            save_model(network, tokenizer, folder / "model")

        recipe = {
            **self.recipe(loss, seed),
            "model": text_identity(self.model, self.local),
            "early_stopping": self.early_stopping,
            "targets": table_hash(targets.to_arrow()),
        }

        def work() -> Work:
            texts = [prompt + text for prompt, text in zip(targets.prompts, targets.texts, strict=True)]
            return self.work(texts, len(set(targets.ids)), answers=targets.texts)

        return run.stage("text-student", recipe, make, together=True, work=work)


def text_learner(config: TrainedSection, trainer: Mapping[str, Any]) -> TextLearner:
    """Return the learner that a section of an experiment file describes."""
    return TextLearner(
        weights_of(config.model), config.adapter, config.max_length, trainer, config.early_stopping, local=config.local
    )


def token_objective(config: Named) -> TokenObjective:
    """Create the objective of a text task.

    Raises:
        ConfigError: It is for choice tasks.
    """
    known = names("token_objective")
    if config.name not in known and config.name in names("objective"):
        raise ConfigError(f"The objective {config.name!r} is for choice tasks.", wanted=", ".join(known))
    objective: TokenObjective = create("token_objective", config.name, config.params)
    return objective
