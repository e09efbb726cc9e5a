"""Results of an experiment: per-example scores of all models, and the tables, files and reports made from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from outgrow.config.secrets import HIDDEN, is_secret, without_credentials
from outgrow.errors import DataError, StoreError, nearest_file
from outgrow.evaluate import Certainty, ModelScores, Summary, estimate_benchmark, find_sweeps, summarise
from outgrow.evaluate.advice import WIDTH, run_advice
from outgrow.evaluate.tiny import TinyEstimate
from outgrow.files import read_json, read_table, write_json, write_table
from outgrow.integrity import digest, first_damage
from outgrow.labels import Note, Rows
from outgrow.labels.notes import OTHER_VALUES
from outgrow.report.examples import Examples
from outgrow.report.refinement import refinement_section
from outgrow.report.saved import SavedResults
from outgrow.store import check_sum, with_sum

if TYPE_CHECKING:
    from outgrow.students import Student

FORMAT = 1
"""Raised when the format of saved results changes."""

_ANSWERS = {"test": "predictions.parquet", "unlabelled": "labels.parquet"}
"""File of the answers to each part of the examples."""
_TABLES = ("scores.parquet", "certainty.parquet", "rows.parquet", *_ANSWERS.values())
_NO_SCORES = pa.table({name: [] for name in ("role", "name", "metric", "seed", "example", "id", "score")})


@dataclass(frozen=True, eq=False)
class Results:
    """Results of one experiment.

    Example:
        >>> weak, student = ({"accuracy": np.arange(100)[None] < right} for right in (60, 75))
        >>> models = (ModelScores("tfidf", "supervisor", weak), ModelScores("naive", "student", student))
        >>> results = Results("example", models, {"accuracy": 0.5})
        >>> round(results.to_json()["summary"]["metrics"][0]["lines"][1]["gain_over_best"]["value"], 3)
        0.15
    """

    name: str
    """Name of the experiment."""
    models: Sequence[ModelScores]
    chance: Mapping[str, float]
    """Per metric the score of a blind guess, where known."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """`config` (resolved), `versions`, `seeds`, `hashes`, `seconds` per stage, `sizes` of the parts, `started`, `notes`
    (`Note`, its JSON, or a sentence), by metric the `best supervisors` on validation rows, `students` (method, seed,
    artefact and base model of each) with the `store` they lie in, `advice` on the votes; all optional. API keys and
    passwords in it are hidden in all output."""
    ids: Sequence[str] | None = None
    """Ids of the test examples, where known."""
    tests: Mapping[str, Results] = field(default_factory=dict)
    """Results of the same models on further test parts, by name; their `provenance` holds what is theirs only."""
    examples: Mapping[str, Examples] = field(default_factory=dict)
    """Rows and what was said of them, for the report: `test` (all answers; without a test part to the unlabelled rows)
    and `unlabelled` (votes or texts, labels, and answers of students)."""

    @cached_property
    def summary(self) -> Summary:
        """Means, intervals, gaps, tests, sweeps and notes; computed once."""
        methods = (self.provenance.get("config") or {}).get("methods") or {}
        return summarise(
            self.models, self.chance, sweeps=find_sweeps(methods), best=self.provenance.get("best supervisors")
        )

    @property
    def notes(self) -> tuple[Note, ...]:
        """Notes on the run, then notes on the summary."""
        return (*map(Note.from_json, self._provenance().get("notes") or ()), *self.summary.notes)

    def advice(self, width: float = WIDTH) -> list[Note]:
        """Return what to do next, for `outgrow.report.advice`; `width` is that wanted of the interval of PGR."""
        votes = [Note.from_json(note) for note in self._provenance().get("advice") or ()]
        return run_advice(self.summary, self.models, self.provenance, self.notes, votes, width=width)

    def table(self, color: bool = False, width: int | None = None) -> str:
        """Return the summaries of all test parts as aligned text, `width` columns wide (default 100)."""
        from outgrow.report.table import part_text, table_text

        texts = [table_text(self.summary, self.notes, color=color, width=width)]
        for name, own in self.tests.items():
            texts.append(part_text(name, own.summary, self._new_notes(own), color=color, width=width))
        return "\n".join(texts)

    def _new_notes(self, own: Results) -> tuple[Note, ...]:
        return tuple(note for note in own.notes if note not in self.notes)

    def benchmark(
        self, items: str | Path, *, mixing: float = 0.5, prior: float = 1.0
    ) -> dict[tuple[str, str], TinyEstimate]:
        """Estimate the models' scores on a whole benchmark, of which the test examples are the anchors.

        Args:
            items: A table with a row for each item of the benchmark: `id` (for a further test part without the name in
                front), `difficulty`, `discrimination` (a list of D numbers), and if wanted `weight`.
            mixing: See `estimate_benchmark`.
            prior: See `estimate_benchmark`.

        Returns:
            By role and name of a model its estimate on the first metric, from the means over seeds.

        Raises:
            DataError: A test example is no item, or the table does not fit; see `estimate_benchmark`.
        """
        from outgrow.tasks.tables import column, read_records

        table, where = read_records(str(items)), str(items)
        names, difficulty, discrimination = (
            column(table, name, where=where, setting="the column's name")
            for name in ("id", "difficulty", "discrimination")
        )
        place = {str(name): index for index, name in enumerate(names)}
        own = [name.removeprefix(f"{self.name}/") for name in self.ids or ()]
        unknown = [name for name in own if name not in place]
        if unknown or not own:
            raise DataError(f"{len(unknown)} test examples are not among the items of {where}.", found=unknown[:3])
        weights = np.array(table["weight"].to_pylist(), dtype=np.float64) if "weight" in table.column_names else None
        found: dict[tuple[str, str], TinyEstimate] = {}
        for each in self.models:
            results = np.full(len(names), np.nan)
            results[[place[name] for name in own]] = next(iter(each.scores.values())).mean(axis=0)
            found[each.role, each.name] = estimate_benchmark(
                results, discrimination, difficulty, weights, mixing=mixing, prior=prior
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """Return models, summary and provenance as JSON values; undefined numbers are None."""
        return {
            "format": FORMAT,
            "name": self.name,
            "chance": plain(self.chance),
            "models": [
                {
                    "name": each.name,
                    "role": each.role,
                    "note": each.note,
                    "metrics": list(each.scores),
                    "weighted": list(each.weights),
                    "certainty": list(each.certainty.arrays()) if each.certainty else [],
                }
                for each in self.models
            ],
            "evaluated": bool(self.summary.metrics),
            "summary": plain(self.summary.to_dict()),
            "tests": {name: own.to_json() for name, own in self.tests.items()},
            "provenance": self._provenance(),
        }

    def save(self, folder: str | Path) -> None:
        """Write `scores.parquet` (a line per example, seed, metric and model), `certainty.parquet` and `results.json`.

        `certainty.parquet` has a line per example, seed and model with probabilities, if there is one. The same files
        about further test parts are in `tests/<name>`.
        """
        folder = Path(folder)
        for name, own in self.tests.items():
            own.save(folder / "tests" / name)
        write_table(folder / "scores.parquet", self._scores())
        if self.examples:
            write_table(
                folder / "rows.parquet", pa.concat_tables(own.rows.to_arrow() for own in self.examples.values())
            )
        for part, (_, predictions) in self.examples.items():
            write_table(folder / _ANSWERS[part], predictions)
        (folder / "certainty.parquet").unlink(missing_ok=True)  # of an earlier run
        certainties = [self._block(each, each.certainty.arrays()) for each in self.models if each.certainty]
        if certainties:
            write_table(folder / "certainty.parquet", pa.concat_tables(certainties, promote_options="default"))
        # Last, so that its presence means that the results are complete.
        sums = {name: digest(folder / name) for name in _TABLES if (folder / name).is_file()}
        write_json(folder / "results.json", with_sum({**self.to_json(), "sha256": sums}))

    @classmethod
    def load(cls, folder: str | Path) -> Results:
        """Read a folder written by `save`."""
        folder = Path(folder)
        about, table = read_json(_existing(folder, "results.json")), read_table(_existing(folder, "scores.parquet"))
        try:
            check_sum(about)
            sums = {_existing(folder, name).name: own for name, own in about.get("sha256", {}).items()}
            if damaged := first_damage(folder, sums):
                raise ValueError(f"{damaged} is not what was written")
            if about["format"] != FORMAT:
                raise StoreError(
                    f"{folder / 'results.json'} was written by another version of outgrow.",
                    found=f"format {about['format']}",
                    wanted=f"format {FORMAT}",
                    fix="Run the experiment again; artefacts in its store are reused.",
                )
            SavedResults.model_validate(about)
            listed = about["models"]
            certain = any(each.get("certainty") for each in listed)
            certainty = read_table(_existing(folder, "certainty.parquet")) if certain else None
            models, ids = _models(listed, table, certainty)
            refinement_section(about["provenance"].get("refinement") or ())
            tests = {name: cls.load(folder / "tests" / name) for name in about.get("tests", ())}
            return cls(about["name"], models, about["chance"], about["provenance"], ids, tests, _examples(folder))
        except OTHER_VALUES as error:
            said = f"The results in {folder} are damaged: {error!r}"
            raise StoreError(said, fix="Run the experiment again.") from error

    def save_report(self, path: str | Path, *, examples: bool = True) -> None:
        """Write one self-contained HTML file, if it is not there already; without `examples` it holds no data row."""
        from outgrow.report.writing import write_report

        tests = {name: (own.summary, self._new_notes(own)) for name, own in self.tests.items()}
        further = {name: own.examples["test"] for name, own in self.tests.items() if "test" in own.examples}
        shown = {**self.examples, **further} if examples else {}
        about, advice = self._provenance(), self.advice()
        write_report(Path(path), self.name, self.summary, about, self.notes, tests, shown, advice)

    def save_student(self, method: str, folder: str | Path, *, seed: int | None = None, merge: bool = False) -> Student:
        """Write the student of a method as a folder that plain transformers load; see `outgrow.students.save_student`.

        Args:
            method: A method of the experiment, `ceiling` or `gold only`.
            folder: A folder that is not there yet.
            seed: Its training seed; by default the first.
            merge: Add a LoRA adapter to the weights of the base model; by default the folder holds the adapter alone.

        Raises:
            OutgrowError: There is no such student, or it or its base model is not where it was.
        """
        from outgrow.students.saving import save_student

        try:
            return save_student(self._provenance(), self.summary, method, Path(folder), seed=seed, merge=merge)
        except OTHER_VALUES as error:
            said = f"The student {method!r} cannot be saved from what these results say of it: {error!r}"
            raise StoreError(
                said, fix="Run the experiment again: what is in its store is not computed again."
            ) from error

    def _provenance(self) -> dict[str, Any]:
        about: dict[str, Any] = plain(self.provenance)
        if about.get("notes"):
            about["notes"] = [Note.from_json(each).to_json() for each in about["notes"]]
        return about

    def _scores(self) -> pa.Table:
        blocks = []
        for each in self.models:
            for metric, scores in each.scores.items():
                weights = {"weight": each.weights[metric]} if metric in each.weights else {}
                block = self._block(each, {"score": np.asarray(scores, dtype=np.float64), **weights})
                blocks.append(block.add_column(2, "metric", _repeated(metric, len(block))))
        return pa.concat_tables(blocks, promote_options="default") if blocks else _NO_SCORES

    def _block(self, model: ModelScores, arrays: Mapping[str, NDArray[np.float64]]) -> pa.Table:
        # Arrays of shape (seeds, examples) as columns, behind those with role and name of the model.
        seeds, examples = next(iter(arrays.values())).shape
        if self.ids is not None and len(self.ids) != examples:
            raise DataError("There are not as many ids as scores.", found=len(self.ids), wanted=examples)
        ids = list(self.ids) * seeds if self.ids is not None else [None] * (seeds * examples)
        about = {
            "role": _repeated(model.role, seeds * examples),
            "name": _repeated(model.name, seeds * examples),
            # The position among the runs; the seeds themselves are in the provenance.
            "seed": pa.array(np.repeat(np.arange(seeds), examples)),
            "example": pa.array(np.tile(np.arange(examples), seeds)),
            "id": pa.array(ids, pa.string()),
        }
        return pa.table(about | {name: pa.array(array.reshape(-1)) for name, array in arrays.items()})


def _repeated(text: str, times: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, dtype=np.int32)), pa.array([text], pa.string()))


def _existing(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        fix = (None if folder.is_dir() else nearest_file(folder)) or "Give the folder of a finished run."
        raise StoreError(f"There are no results in {folder}.", found=f"no {name}", fix=fix)
    return folder / name


def _examples(folder: Path) -> dict[str, Examples]:
    file = folder / "rows.parquet"
    if not file.is_file():
        return {}
    rows = Rows.from_arrow(read_table(file))
    parts = (
        {"test": rows.part("test"), "unlabelled": rows.part("unlabelled")} if "test" in rows.parts else {"test": rows}
    )
    return {
        part: Examples(own, read_table(_existing(folder, _ANSWERS[part]))) for part, own in parts.items() if len(own)
    }


def _models(
    about: Sequence[Mapping[str, Any]], table: pa.Table, certainty: pa.Table | None
) -> tuple[tuple[ModelScores, ...], tuple[str, ...] | None]:
    columns = {name: table[name].to_numpy() for name in table.column_names if name != "id"}
    sure = {name: certainty[name].to_numpy() for name in certainty.column_names if name != "id"} if certainty else {}
    models = []
    for each in about:
        scores = {metric: _runs(columns, each, "score", metric) for metric in each["metrics"]}
        weights = {metric: _runs(columns, each, "weight", metric) for metric in each.get("weighted", ())}
        arrays = {name: _runs(sure, each, name) for name in each.get("certainty", ())}
        certain = Certainty(**arrays) if arrays else None
        models.append(ModelScores(each["name"], each["role"], scores, each["note"], certain, weights))
    examples = max((scores.shape[1] for scores in models[0].scores.values()), default=0)
    ids = table["id"].slice(0, examples).to_pylist()
    return tuple(models), None if None in ids or not ids else tuple(ids)


def _runs(columns: Mapping[str, NDArray[Any]], model: Mapping[str, Any], name: str, metric: str | None = None) -> Any:
    own = (columns["role"] == model["role"]) & (columns["name"] == model["name"])
    if metric is not None:
        own &= columns["metric"] == metric
    return columns[name][own].reshape(int(columns["seed"][own].max()) + 1, int(columns["example"][own].max()) + 1)


def plain(value: Any) -> Any:
    """Return a JSON value without secrets; NaN and infinity become None."""
    if isinstance(value, Note):
        return plain(value.to_json())
    if isinstance(value, Mapping):
        return {str(key): HIDDEN if is_secret(key, own) else plain(own) for key, own in value.items()}
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    return without_credentials(str(value))
