"""The section `task` of an experiment file: rows, columns, parts, metrics."""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from outgrow import bounds
from outgrow.config.base import Choice, Frozen, Named
from outgrow.errors import ConfigError, did_you_mean
from outgrow.registry import lookup, parameters

_NOT_SHARED = frozenset({"config", "test_path", "tests", "split", "limit"})
"""Settings of a task that its further test parts do not take over."""


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
    choices: str | tuple[str, ...] | None = None
    """The choices of each row, where every row has its own: a column with a list of texts, or a column for each choice.
    Gold is then a choice's text, letter (A, B, …) or index."""


class VotesTable(Frozen):
    """A table with votes made elsewhere; only which rows it covers matters here."""

    path: str
    """A jsonl, csv, tsv or parquet file."""
    task: str = "task"
    """Its column that identifies the row of a vote."""
    key: Literal["id", "prompt"] = "id"
    """Content of that column: row ids or prompts."""


class Split(Frozen):
    """Sizes of the parts: fractions of the rows below 1, counts, or `1.0`, which is all that the other parts leave.

    A whole `1` is one row.
    """

    gold: int | float = 0.4
    """Rows that train the supervisors. Default: 0 where no supervisor and no setting uses them."""
    unlabelled: int | float = 0.4
    """Rows that the supervisors label and the student learns from. Default: 1.0 where `gold` is 0 by default."""
    test: int | float | Literal["all"] = 0.2
    """Rows for evaluation only; `all` makes every row with a gold answer a test row."""
    validation: int | float = 0
    """Gold rows that no model is trained on. Supervisors vote on them, and combiners estimate from these votes how
    reliable each supervisor is (`weights: calibrated`, gold anchors, temperatures)."""
    group: str | None = None
    """A column whose equal values stay in one part, such as the question of several answers."""
    seed: int = Field(default=0, ge=0, le=bounds.SEED.most)
    """Seed of the shuffle; the same for every training seed, so that all are compared on the same test rows."""
    voted: VotesTable | None = None
    """Votes made elsewhere. Only rows that they cover become unlabelled or test rows; the groups of these rows stay out
    of the gold part."""

    @field_validator("gold", "unlabelled", "test", "validation")
    @classmethod
    def _positive(cls, value: float | str) -> float | str:
        if isinstance(value, str):
            return value
        if not 0 <= value < 2**63 or (value > 1 and value != int(value)):
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
    """A built-in task (`sciq`, `cosmosqa`, `truthfulqa`, `sentiment`, `facts`, `slurp`, `snips`, `home`, `persona`,
    `explanation`, `gsm8k`, `math`), a plug-in, or `file` for any table."""
    path: str | None = None
    """A jsonl, csv, tsv (may be gzipped), parquet or xlsx file, a folder, or a hub data set id (`owner/name`, or
    `owner/name:split`); or a path with `*` for several files, such as `rows/part-*.parquet`. Every built-in task needs
    it; a plug-in may do without."""
    config: str | None = None
    """The configuration of a hub data set that has several, such as `main` of `openai/gsm8k`: the `name` of
    `datasets.load_dataset`. Of an Excel file the name of its sheet."""
    encoding: str | None = None
    """Encoding of `path` and `test_path`, such as `cp1252` or `latin-1`; a byte order mark wins. Default: UTF-8."""
    test_path: str | None = None
    """Another table of the same form, such as the data set's own test split, whose rows are the test part. The rows of
    `path` are then divided into the other parts, without those whose prompts are in the test part."""
    tests: dict[str, TaskConfig] = Field(default={})
    """Further test parts by name, each with a table of results of its own. One that names no task of its own takes what
    it leaves out from this section, but for `config`, `test_path`, `columns.part`, `split` and `limit`."""
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
    """Other prompts or scales for a judge, by metric (for `persona`, `explanation`, `gsm8k` and `math`)."""
    split: Split = Split()
    """Sizes of the gold, unlabelled, test and, if wanted, validation parts."""
    limit: int | None = Field(default=None, gt=0)
    """Use only this many rows, drawn at random with the split's seed."""

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        try:
            codecs.lookup(value or "utf-8")
        except LookupError as error:
            raise ValueError("an encoding is one that Python knows, such as utf-8, cp1252 or latin-1") from error
        return value

    @model_validator(mode="after")
    def _parameters_exist(self) -> TaskConfig:
        if self.params:
            own = parameters(lookup("task", self.name)).keys()
            for key in self.params.keys() - own:
                raise ValueError(f"unknown key {key!r}; {did_you_mean(key, own | type(self).model_fields.keys())}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _complete_tests(cls, value: Any) -> Any:
        # Here, so that a resolved file says the same when it is read again.
        if not isinstance(value, dict) or not isinstance(value.get("tests"), dict):
            return value
        shared = {key: own for key, own in value.items() if key not in _NOT_SHARED}
        if isinstance(shared.get("columns"), dict):
            shared["columns"] = {key: own for key, own in shared["columns"].items() if key != "part"}
        only_test = {"gold": 0, "unlabelled": 0, "test": "all"}
        tests = {**value["tests"]}
        for name, own in tests.items():
            if isinstance(own, dict) and isinstance(own.get("split", {}), dict):
                taken = {} if "name" in own else shared
                tests[name] = {**taken, **own, "split": {**only_test, **own.get("split", {})}}
        return {**value, "tests": tests}

    @field_validator("tests")
    @classmethod
    def _plain_names(cls, value: dict[str, TaskConfig]) -> dict[str, TaskConfig]:
        for name, own in value.items():
            if not re.fullmatch(r"\w[\w.-]*", name):  # it names a folder of the results
                raise ValueError(f"the name of a test part is letters, digits, _, . and -; found {name!r}")
            if name in Split.model_fields:
                raise ValueError(f"a further test part cannot be named {name!r}, as a part of the task is")
            if own.tests or own.test_path:
                raise ValueError(f"the test part {name!r} cannot have test parts itself")
        return value

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
