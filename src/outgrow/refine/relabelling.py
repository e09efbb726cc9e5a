"""Relabelling of choice tasks: which kinds of refinement there are, and what they have in common."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from outgrow.config import Named
from outgrow.errors import ConfigError, DataError
from outgrow.labels import ChoiceTargets
from outgrow.refine.choice_icl import ChoiceICL
from outgrow.registry import create, names

_TASK = {"refiner": "text", "relabeller": "choice"}


class Relabeller(Protocol):
    """A frozen dataclass whose fields are its parameters: gives rows new targets from the strong model's features.

    The rule all of them keep: the label of a row has no say in its own new label.
    """

    def __call__(self, features: NDArray[np.float32], targets: ChoiceTargets, *, seed: int) -> ChoiceTargets:
        """New targets for the same rows, with the same weights; one opinion each, so without votes.

        Args:
            features: Of the rows that the targets are about, shape (N, D).
            targets: The combined weak labels.
            seed: Of whatever is drawn.
        """


def make_relabeller(config: Named) -> Relabeller | ChoiceICL:
    """The relabeller that a configuration names.

    Raises:
        ConfigError: It is for text tasks, does not exist, or refuses its parameters.
    """
    check_refine(config, "relabeller")
    relabeller: Relabeller | ChoiceICL = create("relabeller", config.name, config.params)
    return relabeller


def check_refine(config: Named, kind: Literal["refiner", "relabeller"]) -> None:
    """Checks that what `refine` names is not for the other kind of task.

    Raises:
        ConfigError: It is.
    """
    other = "refiner" if kind == "relabeller" else "relabeller"
    if config.name in names(other) and config.name not in names(kind):
        raise ConfigError(
            f"`refine: {config.name}` is for {_TASK[other]} tasks, and this is a {_TASK[kind]} task.",
            wanted=", ".join(names(kind)),
            fix="Name one of these, or remove `refine`.",
        )


def check_features(features: NDArray[np.float32], targets: ChoiceTargets) -> None:
    """Checks that features (N, D) are of the rows of targets.

    Raises:
        DataError: Another number of rows, or a value that is not finite.
    """
    if features.ndim != 2 or len(features) != len(targets.ids):
        raise DataError("Features have the wrong shape.", found=features.shape, wanted=f"({len(targets.ids)}, D)")
    if not np.isfinite(features).all():
        raise DataError("Features of the strong model are not finite.", fix="Check the model's weights.")
