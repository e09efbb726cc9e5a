"""Sections of judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from outgrow.config.base import Frozen, ModelName
from outgrow.config.local import Local
from outgrow.config.server import Served


class Sampling(Frozen):
    """Number and sampling of ratings."""

    samples: int = Field(default=10, gt=0)
    """Ratings of each answer, which are averaged."""
    temperature: float = Field(default=1.0, ge=0)
    """0 rates greedily, which goes with one sample only."""
    max_new_tokens: int = Field(default=128, gt=0)
    """Most tokens of a reply, which ends in the rating."""

    @model_validator(mode="after")
    def _samples_need_a_temperature(self) -> Sampling:
        if self.samples > 1 and not self.temperature:
            raise ValueError("several samples need a temperature above 0")
        return self


class LocalJudge(Sampling, Local):
    """A language model that rates answers: `{model: folder}`."""

    model: ModelName
    """A folder or a hub id; or a registered language model."""
    name: str | None = None
    """A name for notes; by default derived from the model."""
    batch_size: int = Field(default=32, gt=0)
    """Sequences at once."""


class ServerJudge(Sampling, Served):
    """A served language model that rates answers: `{server: URL, model: name}`; more keys as for every served model."""


class GivenRatings(Frozen):
    """Ratings that exist already: `{ratings: ratings.csv}`, a line for each rated answer, in whatever order.

    Each metric of the task (`content`, `concept`; `judged`) has a column of its name, if it was rated. Several lines on
    one answer are averaged; an empty cell is no rating.
    """

    ratings: str
    """A jsonl, csv, tsv, parquet or xlsx file."""
    task: str = "task"
    """The column with the id of the row that was answered."""
    text: str = "text"
    """The column with the answer that was rated, word for word."""
    name: str | None = None
    """A name for notes; by default that of the file."""


Judge = LocalJudge | ServerJudge | GivenRatings


def _kind(value: object) -> str:
    if isinstance(value, GivenRatings) or (isinstance(value, Mapping) and "ratings" in value):
        return "GivenRatings"
    served = "server" in value if isinstance(value, Mapping) else isinstance(value, ServerJudge)
    return "ServerJudge" if served else "LocalJudge"


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


_Judge = Annotated[
    Annotated[LocalJudge, Tag("LocalJudge")]
    | Annotated[ServerJudge, Tag("ServerJudge")]
    | Annotated[GivenRatings, Tag("GivenRatings")],
    Discriminator(_kind),
]
Judges = Annotated[tuple[_Judge, ...], BeforeValidator(_several, json_schema_input_type=_Judge | tuple[_Judge, ...])]
