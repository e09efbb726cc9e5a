"""What an experiment asks of a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from outgrow.labels import Predictions


class Pipeline(Protocol):
    """Answers of everyone on the test part; whatever has been computed before comes from the store."""

    @property
    def chance(self) -> Mapping[str, float]:
        """Score of a blind guess, by metric, where there is such a thing."""

    def supervisors(self, seed: int) -> dict[str, Predictions]:
        """The floor: every supervisor by name."""

    def base(self) -> Predictions | None:
        """The untouched strong model, or None where nothing can be said of it."""

    def ceiling(self, seed: int) -> Predictions | None:
        """The strong model trained on gold answers of the unlabelled part, or None where it is trained elsewhere."""

    def student(self, method: str, seed: int) -> Predictions | None:
        """The strong model trained by a method of the experiment, or None where it is to be trained elsewhere."""
