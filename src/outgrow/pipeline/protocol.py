"""The pipeline of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from outgrow.combine import Combined
from outgrow.errors import ConfigError
from outgrow.labels import ChoiceTargets, Predictions, Rows, TextTargets

MOST_LABELLED = 100_000
"""With more unlabelled rows students answer the test rows alone, a report shows these alone, and advice on the votes is
of a sample of so many."""


class Pipeline(Protocol):
    """Predictions of all models on the test part; what has been computed before comes from the store."""

    @property
    def chance(self) -> Mapping[str, float]:
        """Score of a random guess, by metric, where defined; free text has none."""
        return {}

    def supervisors(self, seed: int) -> dict[str, Predictions]:
        """Return the predictions of every supervisor, by name."""

    @property
    def best_supervisors(self) -> Mapping[str, str]:
        """By metric the supervisor that is best on validation rows; empty without any."""
        return {}

    def combined(self, seed: int) -> dict[str, Predictions]:
        """Return those of the supervisors combined, by name of the combination; empty for a single supervisor."""
        return {}

    def votes(self) -> Combined | None:
        """Return the votes on the unlabelled rows, combined by `dependence`, for advice; None in a text task."""
        return None

    def gold_only(self, seed: int) -> Predictions | None:
        """Return those of the strong model trained on the gold rows alone, or None where it is not."""
        return None

    def base(self) -> Predictions | None:
        """Return those of the untouched strong model, or None where it has none."""

    def ceiling(self, seed: int) -> Predictions | None:
        """Return those of the strong model trained on gold answers, or None where it is trained elsewhere."""

    def student(self, method: str, seed: int) -> Predictions | None:
        """Return those of the strong model trained by a method, or None where it is trained elsewhere."""

    def labelled(self, rows: Rows) -> dict[tuple[str, str], Predictions]:
        """Return what was said of some unlabelled rows with the first seed, by role and name, after a run.

        Roles are `supervisor`, `combined`, `label` or `refined` (what the student of a method learned), and `student`.
        Everything comes from the store.
        """
        return {}

    def targets(self, method: str, seed: int) -> TextTargets:
        """Return the texts that the student of a method, or the `ceiling`, learns first, or the names of choices."""

    def distributions(self, method: str, seed: int) -> ChoiceTargets:
        """Return the distributions over choices that it learns.

        Raises:
            ConfigError: It learns texts.
        """
        raise ConfigError(
            "What students of text tasks learn are texts, not labels.",
            fix="Export `messages` or `prompt-completion`.",
        )
