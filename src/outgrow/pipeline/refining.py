"""Refinement of weak labels by the untouched strong model, kept in the store and audited before it is learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.config import Named, ServerStrong, Strong, StrongModel, weights_of
from outgrow.errors import ConfigError
from outgrow.identity import identity
from outgrow.labels import ChoiceTargets, Rows, TextLabels, positions
from outgrow.models.loading import is_masked_lm
from outgrow.models.protocols import LanguageModel
from outgrow.models.specs import ModelSpec, model_spec
from outgrow.pipeline.auditing import audited, audited_choices, report_audit
from outgrow.pipeline.scoring import Scorer
from outgrow.pipeline.served_choices import ChoosingModel
from outgrow.refine.refinement import ChoiceRefinement, Refinement, Refiner
from outgrow.registry import can, create
from outgrow.run import Run
from outgrow.store import table_hash
from outgrow.supervisors.protocol import Asking
from outgrow.supervisors.server import as_asked, choice_options
from outgrow.supervisors.texts import write
from outgrow.train.features import FrozenFeatures
from outgrow.train.targets import rows_of


def make_refiner(refine: Named, ability: str, *, method: str, defaults: Mapping[str, Any] | None = None) -> Refiner:
    """Create the refiner of a method.

    Args:
        refine: Its name and parameters.
        ability: `texts` or `choices`.
        method: The method, for errors.
        defaults: Parameters that hold where the configuration says nothing.

    Raises:
        ConfigError: It does not exist, refuses its parameters, or cannot be used for this kind of task.
    """
    params = {**(defaults or {}), **refine.params}
    refiner: Refiner = create("refiner", refine.name, params, ability, door=f"methods.{method}.refine")
    return refiner


def check_choice_refiner(refine: Named, strong: StrongModel, *, method: str, own_choices: bool) -> None:
    """Refuse a refiner of choices that cannot work, before anything is computed.

    Raises:
        ConfigError: A parameter is wrong, an encoder would have to continue a text, a served model would have to give
            features, or labels of other rows would have to be averaged where every row has its own choices.
    """
    refiner = make_refiner(refine, "choices", method=method)
    if own_choices and not refiner.reads_text:
        raise ConfigError(
            f"methods.{method}: `refine: {refine.name}` needs the same choices for all rows, and every row has choices "
            "of its own.",
            fix="Use `icl`, with a causal language model as the strong model.",
        )
    if isinstance(strong, ServerStrong):
        check_served_refiner(refine, method)
        if not refiner.reads_text:
            raise ConfigError(
                f"methods.{method}: `refine: {refine.name}` uses the strong model's features, and a model behind a "
                "server gives none.",
                fix="Use `icl`, or take a strong model that runs here.",
            )
    elif refiner.reads_text and is_masked_lm(weights_of(strong.model)):
        raise ConfigError(
            f"`refine: {refine.name}` of a choice task needs a causal language model.",
            found=f"{strong.model}, an encoder",
            fix="Use `neighbours`, `linear` or `in_the_loop`, which refine by an encoder's features.",
        )


def check_served_refiner(refine: Named, method: str) -> None:
    """Raise a ConfigError if a refiner needs more of a served model than answers."""
    if refine.params.get("select") == "embedding":
        raise ConfigError(
            f"methods.{method}: a model behind a server does not embed texts.",
            found="select: embedding",
            fix="Choose demonstrations by `tfidf`.",
        )


def refined_texts(
    refiner: Refiner, strong: ModelSpec, rows: Rows, labels: TextLabels, asking: Asking, scorer: Scorer, run: Run,
    *, seed: int, method: str,
) -> Refinement:  # fmt: skip
    """Return what a refiner makes of the weak texts of rows, after its audit.

    Args:
        refiner: The refiner.
        strong: The untrained strong model.
        rows: The rows.
        labels: The supervisors' texts.
        asking: The strong model's prompts and generation options.
        scorer: Scores answers for the audit.
        run: Store, progress and notes.
        seed: Seed of whatever is drawn.
        method: The method, for notes.
    """
    options = asking.options

    def make(model: LanguageModel, folder: Path) -> Refinement:
        return refiner.texts(rows, labels, model, options=options, seed=seed)

    recipe = {
        "refiner": identity(refiner),
        "labels": table_hash(labels.to_arrow()),
        "rows": table_hash(rows.to_arrow()),
        "options": options.to_json(),
        "seed": seed,
    }
    step = f"refine for {method}, seed {seed}"
    found = run.stage("refined", recipe, make, Refinement, model=strong, step=step)

    def base(sample: Rows) -> list[str]:
        """Answers of the untouched strong model."""
        answered = write(strong, sample.ids, asking.prompts(sample, chats=strong.chats), options, run)
        return [text.strip() for text in answered.answers()]

    audit = audited(rows, labels, found, base, scorer)
    run.add(*found.notes(method, seed))
    report_audit(audit, method, seed, run)
    return found


def refined_choices(
    refine: Named, strong: StrongModel, targets: ChoiceTargets, rows: Rows, run: Run, *, seed: int, method: str
) -> ChoiceTargets:
    """Return what a refiner makes of targets about some of `rows`, after its audit.

    Args:
        refine: The refiner's name and parameters.
        strong: The untrained model whose features, continuations or answers it uses.
        targets: The combined weak labels.
        rows: The unlabelled and the test rows.
        run: Store, progress and notes.
        seed: Seed of whatever is drawn.
        method: The method, for notes.
    """
    refiner = make_refiner(refine, "choices", method=method)
    language_model = model_spec(strong, "strong model") if refiner.reads_text else None
    chat = strong if isinstance(strong, ServerStrong) and strong.api == "chat" else None
    if chat is not None:  # a chat endpoint scores no texts, so it is asked for its choice
        rows = as_asked(chat.template, rows)
    options = {} if chat is None else {"options": choice_options(chat).to_json()}
    own, step = rows_of(rows, targets), f"refine for {method}, seed {seed}"

    def chooser(opened: LanguageModel) -> LanguageModel:
        return opened if chat is None else ChoosingModel(opened, chat, run.dry)

    def make(opened: LanguageModel, folder: Path) -> ChoiceRefinement:
        return refiner.choices(own, targets, _Reader(strong, rows, run, chooser(opened)), seed=seed)

    def by_features(folder: Path) -> ChoiceRefinement:
        with run.reporter.step(step, total=1) as progress:
            found = refiner.choices(own, targets, _Reader(strong, rows, run), seed=seed)
            progress.advance()
        return found

    recipe = {
        "refiner": identity(refiner),
        "features": FrozenFeatures.of(cast(Strong, strong)).recipe() if language_model is None else None,
        "rows": table_hash(own.to_arrow()),
        "targets": table_hash(targets.to_arrow()),
        "seed": seed,
        **options,
    }
    if language_model is None:
        kept = ChoiceRefinement(targets)
        found = run.stage("refined", recipe, by_features, ChoiceRefinement, blank=lambda _: kept, together=True)
    else:
        found = run.stage("refined", recipe, make, ChoiceRefinement, model=language_model, step=step)

    def base(sample: Rows) -> NDArray[np.float64]:
        """Distributions of the untouched strong model, shape (n, K)."""
        probs = run.stage(
            "scores",
            {"refiner": identity(refiner), "rows": table_hash(sample.to_arrow()), **options},
            lambda opened, folder: _Matrix(refiner.base(sample, chooser(opened))),
            _Matrix,
            model=language_model,
            step=f"base for {step}",
        )
        return probs.values

    asked = base if language_model is not None and can(refiner, "base") else None
    report_audit(audited_choices(rows, targets, found.targets, asked), method, seed, run)
    run.add(*found.notes(method, seed))
    return found.targets


@dataclass(frozen=True)
class _Reader:
    """See `outgrow.refine.refinement.StrongReader`."""

    strong: StrongModel
    rows: Rows
    run: Run
    opened: LanguageModel | None = None

    @property
    def model(self) -> LanguageModel:
        if self.opened is None:
            raise ConfigError("A refiner that uses the strong model's texts must say `reads_text = True`.")
        return self.opened

    def features(self, rows: Rows) -> NDArray[np.float32]:
        if isinstance(self.strong, ServerStrong):
            raise ConfigError("A model behind a server has no features.", fix="Refine by its texts alone.")
        every: NDArray[np.float32] = FrozenFeatures.of(self.strong)(self.rows, self.run).numpy()
        return every[positions(self.rows.ids, rows.ids)]


@dataclass(frozen=True)
class _Matrix:
    """A matrix (N, K) as a record."""

    values: NDArray[np.float64]

    def to_arrow(self) -> pa.Table:
        return pa.table({"values": self.values.tolist()})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> _Matrix:
        return cls(np.array(table["values"].to_pylist(), dtype=np.float64))
