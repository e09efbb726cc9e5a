"""What a refiner is, and what it returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from outgrow.errors import DataError
from outgrow.labels import Completion, Rows, TextLabels
from outgrow.labels.arrow import metadata, with_metadata
from outgrow.models.protocols import GenerateOptions, LanguageModel

NO_ANSWER = "its prompt is longer than the strong model's context"
"""What went wrong where a row has no refined answer."""


@dataclass(frozen=True)
class Refinement:
    """The strong model's own answers to the rows, and how they came about."""

    labels: TextLabels
    """Labels of one supervisor, named after the refiner; the first text of each row is the one to learn."""
    agreement: tuple[float, ...]
    """For each row the share of its draws that gave the chosen answer; NaN where there was none."""
    concepts: tuple[str, ...] = ()
    """The sentence that each row was answered under; nothing at all where none was inferred."""
    dropped: int = 0
    """Demonstrations left out, whole, because the model's context had no room for them."""
    bare: int = 0
    """Prompts that lost all of their demonstrations that way."""

    def texts(self) -> list[str | None]:
        """The chosen text of each row without space around it; None where there is none."""
        best = [self.labels.best(row, 0) for row in range(len(self.labels.ids))]
        return [None if one is None else one.text.strip() for one in best]

    def remarks(self) -> list[str]:
        """What a reader should know, in whole sentences; nothing where all is well."""
        found = []
        if self.dropped:
            bare = f", {self.bare} prompts have none left" if self.bare else ""
            found.append(f"{self.dropped} demonstrations were left out whole: the context has no room for them{bare}.")
        silent = sum(text is None for text in self.texts())
        if silent:
            reasons = Counter(self.labels.errors.values()).most_common(1)
            why = reasons[0][0] if reasons else NO_ANSWER
            found.append(f"{silent} of {len(self.labels.ids)} rows have no refined answer: {why}.")
        without = sum(not concept for concept in self.concepts)
        if without:
            found.append(f"no concept could be inferred for {without} of {len(self.concepts)} rows.")
        return found

    def to_arrow(self) -> pa.Table:
        """One line per row: the labels' columns, `agreement`, and `concept` where there are any."""
        labels = self.labels.to_arrow()
        about = metadata(labels) | {"dropped": self.dropped, "bare": self.bare}
        table = labels.append_column("agreement", pa.array(self.agreement, pa.float64()))
        if self.concepts:
            table = table.append_column("concept", pa.array(self.concepts, pa.string()))
        return with_metadata(table, **about)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Refinement:
        """The inverse of `to_arrow`."""
        about = metadata(table)
        concepts = table["concept"].to_pylist() if "concept" in table.column_names else []
        agreement = tuple(table["agreement"].to_pylist())
        return cls(TextLabels.from_arrow(table), agreement, tuple(concepts), about["dropped"], about["bare"])


class Refiner(Protocol):
    """A frozen dataclass whose fields are its parameters: the strong model labels weakly labelled rows again."""

    def __call__(
        self, rows: Rows, labels: TextLabels, model: LanguageModel, *, options: GenerateOptions, seed: int
    ) -> Refinement:
        """New labels for the rows.

        Args:
            rows: The rows to label, N of them.
            labels: What the supervisors wrote for them.
            model: The strong model, untrained.
            options: How it generates.
            seed: Seed of whatever is drawn.
        """


def weak_texts(rows: Rows, labels: TextLabels) -> list[list[str]]:
    """For each row the best text of every supervisor that wrote anything but space, without space around it.

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
    """Prompts without differences of case and spacing: rows with the same one ask the same."""
    return [" ".join(prompt.split()).casefold() for prompt in prompts]


def without_leading_space(completion: Completion) -> Completion:
    """The completion without the space that separates it from its prompt; spans move along.

    Example:
        >>> without_leading_space(Completion(" Paris", (-0.1,), ((0, 6),), finished=False))
        Completion(text='Paris', logprobs=(-0.1,), offsets=((0, 5),), finished=False)
    """
    if not completion.text.startswith(" "):
        return completion
    offsets = tuple((max(start - 1, 0), max(end - 1, 0)) for start, end in completion.offsets)
    return Completion(completion.text[1:], completion.logprobs, offsets, completion.finished)
