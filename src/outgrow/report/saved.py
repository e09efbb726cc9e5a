"""The types of `results.json`: a file from elsewhere of which a report, a comparison or a student can be made."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _Config(_Strict):
    """What reports, comparisons and lists read of an experiment file."""

    name: str = ""
    methods: dict[str, dict[str, Any]] | None = None
    task: dict[str, Any] | None = None
    strong: dict[str, Any] | None = None


class _Student(_Strict):
    """See `Run.keep`."""

    method: str
    seed: int
    artefact: str
    base: str


class _Choices(_Strict):
    names: list[str]
    by_row: bool


_Range = Annotated[list[float], Field(min_length=3, max_length=3)]


class _ExpectedStage(_Strict):
    kind: str
    seconds: _Range


class Expected(_Strict):
    """What a report reads of an estimate; see `outgrow.report.estimate`."""

    stages: list[_ExpectedStage]
    rest: _Range
    total: _Range


class _Note(_Strict):
    """See `Note`."""

    code: str
    who: str | None = None
    seed: int | None = None
    values: dict[str, Any] = {}


class _Provenance(_Strict):
    """See `Results.provenance`."""

    config: _Config | None = None
    versions: dict[str, str] | None = None
    seconds: dict[str, float] | None = None
    sizes: dict[str, int] | None = None
    hashes: dict[str, Any] | None = None
    best_supervisors: dict[str, str | None] | None = Field(None, alias="best supervisors")
    choices: _Choices | None = None
    students: list[_Student] | None = None
    refinement: list[dict[str, Any]] | None = None
    costs: list[dict[str, Any]] | None = None
    notes: list[_Note | str] | None = None
    advice: list[_Note] | None = None
    estimate: Expected | None = None
    plugins: list[Any] | None = None
    artefacts: list[str] | None = None
    seeds: list[int] | None = None
    started: str | None = None
    store: str | None = None


class _Model(_Strict):
    name: str
    role: str
    note: str
    metrics: list[str]
    weighted: list[str] = []
    certainty: list[str] = []


class SavedResults(_Strict):
    """The types in `results.json` from elsewhere, without which nothing could be made of it."""

    name: str
    chance: dict[str, float | None]
    models: list[_Model]
    tests: dict[str, Any] = {}
    provenance: _Provenance
