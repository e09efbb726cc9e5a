"""The section `task` of an experiment file: rows, columns, parts, metrics."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from outgrow.config.base import Choice, Frozen, Named
from outgrow.errors import ConfigError, did_you_mean
from outgrow.registry import lookup, parameters


def _several(value: object) -> object:
    return value if value is None or isinstance(value, list | tuple) else (value,)


class Columns(Frozen):
    """Names of the columns of a data file."""

    prompt: str = "text"
    """The text to classify or to answer; not used if `task.template` is set."""
    gold: str | None = "label"
    """The gold answer; null if there is none."""
    id: str | None = None
    """A unique name per row; by default rows are numbered."""
    part: str | None = None
    """The part of each row: `gold`, `validation`, `unlabelled` or `test`. Default: `task.split` decides."""


class VotesTable(Frozen):
    """A table with votes made elsewhere; only which rows it covers matters here."""

    path: str
    """A jsonl, csv, tsv or parquet file."""
    task: str = "task"
    """Its column that identifies the row of a vote."""
    key: Literal["id", "prompt"] = "id"
    """Content of that column: row ids or prompts."""


class Split(Frozen):
    """Sizes of the parts. Numbers below 1 are fractions of the rows, whole numbers are counts."""

    gold: int | float = 0.4
    """Rows that train the supervisors."""
    unlabelled: int | float = 0.4
    """Rows that the supervisors label and the student learns from."""
    test: int | float = 0.2
    """Rows for evaluation only."""
    validation: int | float = 0
    """Gold rows that no model is trained on. Supervisors vote on them, and combiners estimate from these votes how
    reliable each supervisor is (`weights: calibrated`, gold anchors, temperatures)."""
    group: str | None = None
    """A column whose equal values stay in one part, such as the question of several answers."""
    seed: int = 0
    """Seed of the shuffle; the same for every training seed, so that all are compared on the same test rows."""
    voted: VotesTable | None = None
    """Votes made elsewhere. Only rows that they cover become unlabelled or test rows; the groups of these rows stay out
    of the gold part."""

    @field_validator("gold", "unlabelled", "test", "validation")
    @classmethod
    def _positive(cls, value: float) -> float:
        if value < 0 or (value > 1 and value != int(value)):
            raise ValueError("a part is a fraction from 0 to 1 or a whole number of rows")
        return value


class RubricConfig(Frozen):
    """Another prompt or scale for a judge; what is left out keeps the task's default."""

    template: str | None = None
    """The prompt, with the placeholders {question}, {answer}, {concept}, {gold}, {reference}, {low} and {high}."""
    low: int | None = None
    """The worst rating."""
    high: int | None = None
    """The best rating."""


class TaskConfig(Named):
    """The task and its rows. Further keys are parameters of a plug-in task."""

    name: str = "file"
    """A built-in task (`sciq`, `sentiment`, `facts`, `slurp`, `snips`, `home`, `persona`, `explanation`, `gsm8k`), a
    plug-in, or `file` for any table."""
    path: str | None = None
    """A jsonl, csv, tsv or parquet file (may be gzipped), a folder, or a hub data set id. Every built-in task needs it;
    a plug-in may do without."""
    columns: Columns = Columns()
    """Names of the columns (for `name: file`)."""
    template: str | None = None
    """The prompt from several columns: `"Q: {question} A: {answer}"`."""
    choices: tuple[str, ...] | Literal["auto"] | None = None
    """Names of the K answers; `auto` takes the distinct gold values in sorted order; null makes a text task."""
    metric: (
        Annotated[tuple[Choice, ...], BeforeValidator(_several, json_schema_input_type=Choice | tuple[Choice, ...])]
        | None
    ) = None
    """Metrics of text answers (for `name: file` without choices); the first one is the headline. Default:
    `exact_match`."""
    concept: str | None = None
    """The style that answers should have, described to a judge: the persona of `persona`, the technique of
    `explanation`."""
    rubrics: dict[str, RubricConfig] = Field(default={})
    """Other prompts or scales for a judge, by metric (for `persona`, `explanation` and `gsm8k`)."""
    split: Split = Split()
    """Sizes of the gold, unlabelled, test and, if wanted, validation parts."""
    limit: int | None = Field(default=None, gt=0)
    """Use only this many rows, drawn at random with the split's seed."""

    @model_validator(mode="after")
    def _parameters_exist(self) -> TaskConfig:
        if self.params:
            own = parameters(lookup("task", self.name)).keys()
            for key in self.params.keys() - own:
                raise ValueError(f"unknown key {key!r}; {did_you_mean(key, own | type(self).model_fields.keys())}")
        return self

    @property
    def source(self) -> str:
        """The path.

        Raises:
            ConfigError: The experiment file has none.
        """
        if self.path is None:
            raise ConfigError(
                f"The task {self.name!r} reads its rows from a file or folder, and none is named.", fix="Set task.path."
            )
        return self.path
