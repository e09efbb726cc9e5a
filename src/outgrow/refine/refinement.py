"""The protocol of refiners, and what they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.errors import DataError
from outgrow.labels import ChoiceTargets, Completion, Note, Rows, Severity, TextLabels
from outgrow.labels.arrow import metadata, with_metadata
from outgrow.models.protocols import GenerateOptions, LanguageModel

NO_ANSWER = "its prompt is longer than the strong model's context"
"""Error of a row without a refined answer."""


@dataclass(frozen=True)
class Refinement:
    """The strong model's answers to the rows."""

    labels: TextLabels
    """Labels of one supervisor, named after the refiner; students learn the first text of each row."""
    agreement: tuple[float, ...]
    """For each row the share of its draws that gave the chosen answer; NaN without draws."""
    concepts: tuple[str, ...] = ()
    """The concept in each row's prompt; empty where the refiner infers none."""
    dropped: int = 0
    """Demonstrations left out, because they did not fit the model's context."""
    bare: int = 0
    """Prompts that lost all of their demonstrations."""

    def texts(self) -> list[str | None]:
        """Return the chosen text of each row, stripped; None where there is none."""
        best = [self.labels.best(row, 0) for row in range(len(self.labels.ids))]
        return [None if one is None else one.text.strip() for one in best]

    def notes(self, method: str, seed: int) -> list[Note]:
        """Return notes on what is missing from the refinement."""
        found: dict[str, dict[str, object]] = {}
        if self.dropped:
            found["demonstrations.dropped"] = {"dropped": self.dropped, "bare": self.bare}
        silent = sum(text is None for text in self.texts())
        if silent:
            reasons = Counter(self.labels.errors.values()).most_common(1)
            why = reasons[0][0] if reasons else NO_ANSWER
            found["refined.missing"] = {"missing": silent, "rows": len(self.labels.ids), "why": why}
        without = sum(not concept for concept in self.concepts)
        if without:
            found["concept.missing"] = {"missing": without, "rows": len(self.concepts)}
        return [Note(code, "caution", method, seed, values) for code, values in found.items()]

    def to_arrow(self) -> pa.Table:
        """Return one line per row: the labels' columns, `agreement`, and `concept` where there are any."""
        labels = self.labels.to_arrow()
        about = metadata(labels) | {"dropped": self.dropped, "bare": self.bare}
        table = labels.append_column("agreement", pa.array(self.agreement, pa.float64()))
        if self.concepts:
            table = table.append_column("concept", pa.array(self.concepts, pa.string()))
        return with_metadata(table, **about)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Refinement:
        """Return what `to_arrow` was called on."""
        about = metadata(table)
        concepts = table["concept"].to_pylist() if "concept" in table.column_names else []
        agreement = tuple(table["agreement"].to_pylist())
        return cls(TextLabels.from_arrow(table), agreement, tuple(concepts), about["dropped"], about["bare"])


@dataclass(frozen=True)
class ChoiceRefinement:
    """Refined targets of a choice task."""

    targets: ChoiceTargets
    """Targets of all rows or some; with a vote per draw where anything was drawn."""
    dropped: int = 0
    """Demonstrations left out, because they did not fit the model's context."""
    unread: int = 0
    """Rows without a target: they did not fit the model's context, or its answer named no choice."""
    agreement: tuple[float, float] | None = None
    """Cohen's κ of the weak labels and a student that learned them from other rows, and its standard error if the two
    are independent; None for refiners without such a student."""

    def notes(self, method: str, seed: int) -> list[Note]:
        """Return notes on what is missing from the refinement."""
        found = {"demonstrations.dropped": {"dropped": self.dropped, "bare": 0}} if self.dropped else {}
        if self.unread:
            found["refined.unread"] = {"rows": self.unread}
        notes = [Note(code, "caution", method, seed, values) for code, values in found.items()]
        if self.agreement is not None:
            kappa, error = self.agreement
            severity: Severity = "info" if kappa > 2 * error else "caution"
            notes.append(Note("refined.agreement", severity, method, seed, {"kappa": kappa, "error": error}))
        return notes

    def to_arrow(self) -> pa.Table:
        """Return the targets as a table, the counts as its metadata."""
        table = self.targets.to_arrow()
        about = {"dropped": self.dropped, "unread": self.unread, "agreement": self.agreement}
        return with_metadata(table, **{**metadata(table), **about})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> ChoiceRefinement:
        """Return what `to_arrow` was called on."""
        about = metadata(table)
        agreement = None if about.get("agreement") is None else tuple(about["agreement"])
        return cls(ChoiceTargets.from_arrow(table), about["dropped"], about["unread"], agreement)


class StrongReader(Protocol):
    """What a refiner of choices can use of the untrained strong model."""

    @property
    def model(self) -> LanguageModel:
        """The language model, for refiners with `reads_text`."""

    def features(self, rows: Rows) -> NDArray[np.float32]:
        """Return pooled last states of the network, shape (N, D)."""


class Refiner(Protocol):
    """Labels weakly labelled rows again with the strong model: texts with `texts`, choices with `choices`, or both.

    The weak label of a row must not influence its own new label; `ask_to_improve` and `in_the_loop` are exceptions.
    """

    reads_text: bool = False
    """Whether `choices` uses the strong model as a language model, and not its features."""
    takes_votes: bool = False
    """Whether `choices` uses the single votes behind the targets, where the combiner has `lambdas`."""

    def texts(
        self, rows: Rows, labels: TextLabels, model: LanguageModel, *, options: GenerateOptions, seed: int
    ) -> Refinement:
        """Return new texts for N rows.

        Args:
            rows: The rows.
            labels: The supervisors' texts.
            model: The strong model, untrained.
            options: Options of generation.
            seed: Seed of all draws.
        """

    @abstractmethod
    def base(self, rows: Rows, model: LanguageModel) -> NDArray[np.float64]:
        """Return the model's own distributions, shape (N, K), for the audit; optional."""

    def choices(self, rows: Rows, targets: ChoiceTargets, strong: StrongReader, *, seed: int) -> ChoiceRefinement:
        """Return new targets with the same weights.

        Args:
            rows: The rows of the targets, in the same order.
            targets: The combined weak targets.
            strong: The strong model, untrained.
            seed: Seed of all draws.
        """


class FeatureRefiner(ABC):
    """Base of refiners of choices by features."""

    @abstractmethod
    def __call__(self, features: NDArray[np.float32], targets: ChoiceTargets, *, seed: int = 0) -> ChoiceTargets:
        """Return new targets of the same rows, from their features (N, D)."""

    def choices(self, rows: Rows, targets: ChoiceTargets, strong: StrongReader, *, seed: int) -> ChoiceRefinement:
        """Return new targets; see `Refiner.choices`."""
        features = strong.features(rows)
        check_features(features, targets)
        return ChoiceRefinement(self(features, targets, seed=seed))


def check_features(features: NDArray[np.float32], targets: ChoiceTargets) -> None:
    """Check features (N, D) of the rows of targets.

    Raises:
        DataError: The number of rows differs, or a value is not finite.
    """
    if features.ndim != 2 or len(features) != len(targets.ids):
        raise DataError("Features have the wrong shape.", found=features.shape, wanted=f"({len(targets.ids)}, D)")
    if not np.isfinite(features).all():
        raise DataError("Features of the strong model are not finite.", fix="Check the model's weights.")


def weak_texts(rows: Rows, labels: TextLabels) -> list[list[str]]:
    """Return for each row the best text of every supervisor, stripped; without empty ones.

    Raises:
        DataError: The labels are about other rows.
    """
    if labels.ids != rows.ids:
        raise DataError(
            "The weak labels are not about the rows to be refined.",
            found=f"{len(labels.ids)} labelled rows, {len(rows)} rows",
            wanted="the same ids in the same order",
        )
    return [[one[0].text.strip() for one in cells if one and one[0].text.strip()] for cells in labels.texts]


def normal_questions(prompts: Sequence[str]) -> list[str]:
    """Return prompts without differences of case and spacing; rows with equal ones count as the same question."""
    return [" ".join(prompt.split()).casefold() for prompt in prompts]


def without_leading_space(completion: Completion) -> Completion:
    """Return a completion without the space that separates it from its prompt; spans move along.

    Example:
        >>> without_leading_space(Completion(" Paris", (-0.1,), ((0, 6),), finished=False))
        Completion(text='Paris', logprobs=(-0.1,), offsets=((0, 5),), finished=False)
    """
    if not completion.text.startswith(" "):
        return completion
    offsets = tuple((max(start - 1, 0), max(end - 1, 0)) for start, end in completion.offsets)
    return Completion(completion.text[1:], completion.logprobs, offsets, completion.finished)
