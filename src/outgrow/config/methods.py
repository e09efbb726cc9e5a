"""Sections of the strong model and of methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from outgrow.config.base import Choice, Frozen, ModelName, Named, named
from outgrow.config.local import Local
from outgrow.config.server import ServerStrong


class Strong(Local):
    """The strong model, trained here."""

    model: ModelName
    """A folder or a hub id; or a registered language model, which refines but is not trained."""
    adapter: Choice = Named(name="none")
    """What is trained: `none` (all weights), `lora` (extra `peft`) or `probe` (a head on frozen, cached features)."""
    max_length: int | None = Field(default=None, gt=0)
    """Cut prompts to this many tokens; by default a prompt that is too long is an error."""
    batch_size: int = Field(default=32, gt=0)
    """Rows at once when predicting, embedding or generating."""
    early_stopping: int | None = Field(default=None, gt=0)
    """Patience in epochs on a held-out tenth of the (weakly labelled) training rows; null trains to the end."""

    @property
    def trains(self) -> bool:
        """Whether it is trained here."""
        return isinstance(self.model, str)


def _where(value: object) -> str:
    served = "server" in value if isinstance(value, Mapping) else isinstance(value, ServerStrong)
    return "ServerStrong" if served else "Strong"


StrongModel = Annotated[
    Annotated[Strong, Tag("Strong")] | Annotated[ServerStrong, Tag("ServerStrong")], Discriminator(_where)
]
"""The strong model, here or behind a server."""


class Intermediate(Strong):
    """A model between the supervisors and the strong model."""

    early_stopping: int | None = Field(default=None, gt=0)
    """Patience in epochs on a held-out tenth of the rows it learns from; null trains to the end."""
    trainer: dict[str, Any] | None = None
    """TrainingArguments for it; by default those of the experiment."""
    folds: int | None = Field(default=None, ge=2)
    """Cross-fitting: each of so many folds is labelled by a model trained on the others; null trains one for all."""


class Pretune(Frozen):
    """Language modelling on the unlabelled prompts, before the task is learned."""

    mask: float = Field(default=0.15, gt=0, lt=1)
    """Share of a text's tokens that encoders have to fill in; decoders predict every next token."""
    trainer: dict[str, Any] = Field(default={})
    """Passed through to transformers' TrainingArguments; one epoch by default."""


class Filter(Frozen):
    """Keep the rows with the most confident targets: `0.5`, or `{keep: 0.5, per_class: true}`."""

    keep: float = Field(gt=0, le=1)
    """Share of rows to keep."""
    per_class: bool = False
    """Keep this share within each most probable choice."""


class Prefer(Named):
    """Preference training on a student's own samples: `cdpo`, or `{name: cdpo, epsilon: ensemble, candidates: 10}`.

    Other keys are parameters of the objective.
    """

    name: str
    """`dpo`, `cdpo` (pairs may be the wrong way round) or `kto`."""
    candidates: int = Field(default=10, gt=0)
    """Texts that the supervised student writes for each unlabelled row; equal ones are kept once."""
    temperature: float = Field(default=1.0, ge=0)
    """Of sampling them; 0 searches for the most probable ones with as many beams."""
    weights: dict[str, float] | Literal["uniform", "estimated"] = "uniform"
    """How much each supervisor's score of a candidate counts."""
    scale: Literal["standardise", "none"] = "standardise"
    """Whether the supervisors' scores (mean token log-probabilities) are brought to one spread before they are
    averaged; `none` averages them as they are (Cui et al. 2025)."""
    pairs: Literal["extremes", "all"] = "extremes"
    """The best candidate of a row against its worst, or every two of which one is better."""
    margin: float = Field(default=0.0, ge=0)
    """Two candidates make a pair only if their mean scores differ by more."""
    trainer: dict[str, Any] = Field(default={})
    """Passed through to transformers' TrainingArguments; one epoch at a learning rate of 5e-6 by default."""


def _share(value: object) -> object:
    return {"keep": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class Method(Frozen):
    """One choice per stage between labels and student; by default naive training."""

    calibrate: bool = False
    """Fit a temperature to every supervisor's votes on the validation part first (choice tasks)."""
    combine: Choice = Named(name="mean")
    """How several supervisors become one target (choice tasks)."""
    proportions: Literal["gold", "estimated"] | dict[str, float] | None = None
    """Class proportions that the combined targets should have in the mean (choice tasks): those of the `gold` part,
    those `estimated` from the targets if only the proportions have changed since then, or a share per choice."""
    pretune: Pretune | None = None
    """Let the strong model first go on with language modelling on the unlabelled prompts (choice tasks)."""
    filter: Annotated[Filter, BeforeValidator(_share, json_schema_input_type=float | Filter)] | None = None
    """Train on the surest share of the combined targets only (choice tasks)."""
    refine: Choice | None = None
    """How the strong model relabels the unlabelled rows itself before it is trained."""
    chain: tuple[Intermediate, ...] = ()
    """Intermediate models: each learns the labels of the one before and relabels all unlabelled rows for the next; the
    last does so for the strong model (choice tasks)."""
    objective: Choice = Named(name="cross_entropy")
    """What the student minimises, and every intermediate model."""
    prefer: Annotated[Prefer, BeforeValidator(named, json_schema_input_type=str | Prefer)] | None = None
    """Let the trained student learn once more, from which of its own samples the supervisors prefer (text tasks)."""
