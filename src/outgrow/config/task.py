"""What an experiment file may say of the task: rows, columns, parts, metrics."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from outgrow.config.base import Choice, Frozen


def _several(value: object) -> object:
    return value if value is None or isinstance(value, list | tuple) else (value,)


class Columns(Frozen):
    """Which columns of a data file mean what."""

    prompt: str = "text"
    """The text to judge or to answer; not used where `task.template` is given."""
    gold: str | None = "label"
    """The right answer; null where there is none."""
    id: str | None = None
    """A unique name per row; by default rows are numbered."""
    part: str | None = None
    """A column that says `gold`, `validation`, `unlabelled` or `test`; without it `task.split` decides."""


class VotesTable(Frozen):
    """A table with votes made elsewhere, named only to know which rows it covers."""

    path: str
    """A jsonl, csv, tsv or parquet file."""
    task: str = "task"
    """Its column that says which row a vote is about."""
    key: Literal["id", "prompt"] = "id"
    """What that column holds: row ids or prompts."""


class Split(Frozen):
    """How rows are dealt to the parts. Shares below 1 are fractions, whole numbers are counts."""

    gold: int | float = 0.4
    """Rows that train the supervisors."""
    unlabelled: int | float = 0.4
    """Rows that the supervisors label and the student learns from."""
    test: int | float = 0.2
    """Rows that nobody trains on."""
    validation: int | float = 0
    """Gold rows that nobody trains on either and the supervisors vote on: combiners learn from them whom to believe
    (`weights: calibrated`, gold anchors, temperatures)."""
    group: str | None = None
    """A column whose equal values stay in one part, such as the question of several answers."""
    seed: int = 0
    """Seed of the shuffle; the same for every training seed, so that all are compared on the same test rows."""
    voted: VotesTable | None = None
    """Votes made elsewhere: only rows they cover become unlabelled or test rows, and the groups of these stay out of
    the gold part."""

    @field_validator("gold", "unlabelled", "test", "validation")
    @classmethod
    def _positive(cls, value: float) -> float:
        if value < 0 or (value > 1 and value != int(value)):
            raise ValueError("a part is a fraction from 0 to 1 or a whole number of rows")
        return value


class RubricConfig(Frozen):
    """Other words or another scale for what a judge is asked; what is left out stays as the task has it."""

    template: str | None = None
    """The prompt, with the places {question}, {answer}, {concept}, {gold}, {reference}, {low} and {high}."""
    low: int | None = None
    """The worst rating."""
    high: int | None = None
    """The best rating."""


class TaskConfig(Frozen):
    """What is to be learned, and from which rows."""

    name: str = "file"
    """A built-in task (`sciq`, `sentiment`, `facts`, `slurp`, `snips`, `home`, `persona`, `explanation`, `gsm8k`), a
    plug-in, or `file` for any table."""
    path: str
    """A jsonl, csv, tsv or parquet file (may be gzipped), a folder, or a hub data set id."""
    columns: Columns = Columns()
    """Which columns mean what (for `name: file`)."""
    template: str | None = None
    """The prompt from several columns: `"Q: {question} A: {answer}"`."""
    choices: tuple[str, ...] | Literal["auto"] | None = None
    """Names of the K answers; `auto` takes the distinct gold values in sorted order; null makes a text task."""
    metric: (
        Annotated[tuple[Choice, ...], BeforeValidator(_several, json_schema_input_type=Choice | tuple[Choice, ...])]
        | None
    ) = None
    """How texts are scored (for `name: file` without choices); the first of several is the headline. By default
    `exact_match`."""
    concept: str | None = None
    """What answers should be like, in words for a judge: the persona of `persona`, the technique of `explanation`."""
    rubrics: dict[str, RubricConfig] = Field(default={})
    """Other words or scales for a judge, by metric (for `persona`, `explanation` and `gsm8k`)."""
    split: Split = Split()
    """How rows are dealt to the gold, unlabelled, test and, if wanted, validation parts."""
    limit: int | None = Field(default=None, gt=0)
    """Use only this many rows, taken at random with the split's seed."""
