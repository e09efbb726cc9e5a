"""An experiment, from its file to its results."""

from __future__ import annotations

import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from outgrow import ranks
from outgrow.config import ExperimentConfig, ServerStrong, load_config, parse_config
from outgrow.config.reading import read_mapping
from outgrow.errors import ConfigError, DataError, StoreError, did_you_mean
from outgrow.evaluate.summary import Role
from outgrow.files import translate_os_errors, write_table, write_text
from outgrow.labels import PARTS, Predictions, Rows
from outgrow.models.planning import Plan, Speed
from outgrow.models.server.costs import planned_costs
from outgrow.models.specs import model_spec
from outgrow.pipeline.advising import ROWS, advise_pipeline, write_rows
from outgrow.pipeline.evaluating import chance_of, model_scores, prediction_table, scored_table
from outgrow.pipeline.exporting import FORMS, exported_lines, write_messages
from outgrow.pipeline.gaps import not_evaluated
from outgrow.pipeline.judging import without_full_ratings
from outgrow.pipeline.protocol import MOST_LABELLED, Pipeline
from outgrow.pipeline.scoring import Scorer
from outgrow.progress import Reporter, SilentReporter
from outgrow.registry import loaded_plugins
from outgrow.report.estimate import RunEstimate, keep_estimate, kept_estimate
from outgrow.report.examples import Examples, spread
from outgrow.report.notes import sentence
from outgrow.results import Results, plain
from outgrow.run import Run
from outgrow.scale.executor import executor_of
from outgrow.scale.generation import conversations
from outgrow.store import Store, content_hash, table_hash
from outgrow.students.card import labels_card
from outgrow.tasks import Task, read_task, read_tests, scores_texts, shared_prompts, shared_stems

_PACKAGES = ("outgrow", "torch", "transformers", "accelerate", "scikit-learn", "numpy", "scipy", "pyarrow")

_STEMS_BY_CHANCE = 0.05
"""Share of test rows that may begin as a row of another part does without a note."""


@dataclass(frozen=True)
class Experiment:
    """A configured experiment.

    Example:
        >>> import outgrow as og
        >>> results = og.Experiment.from_yaml("examples/sentiment.yaml", ["seeds=1"]).run()  # doctest: +SKIP
        >>> print(results.table())  # doctest: +SKIP
        >>> results.save_report("report.html")  # doctest: +SKIP
    """

    config: ExperimentConfig
    """What to do."""

    @classmethod
    def from_yaml(cls, path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
        """Read an experiment file.

        Args:
            path: A YAML file; paths in it are relative to its folder.
            overrides: `key=value` pairs such as `seeds=5`, with paths relative to the current folder; or YAML files of
                such keys, with paths relative to the file.

        Raises:
            ConfigError: The file, a key or a value is wrong.
        """
        return cls(load_config(path, overrides))

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Experiment:
        """Take the same settings as a mapping."""
        return cls(parse_config(settings))

    @property
    def output(self) -> Path:
        """Folder of the results."""
        return Path(self.config.output or Path("outgrow-runs") / self.config.name)

    def run(self, *, reporter: Reporter | None = None) -> Results:
        """Run what has not been run before, and write results, predictions and report to `output`.

        Under torchrun or accelerate launch every process calls this; they share the work (see `outgrow.ranks`).

        Args:
            reporter: Receives progress updates. Default: none.

        Raises:
            OutgrowError: Anything the user can mend. What was finished is kept.
        """
        started, clock = datetime.now(UTC), time.perf_counter()
        with translate_os_errors(self.output):
            self.output.mkdir(parents=True, exist_ok=True)  # now: after hours of work it would be late to fail
        run = Run(self._store(), reporter or SilentReporter(), executor_of(self.config.scale), sentence=sentence)
        replaced = self._changed_keys()
        if replaced:
            run.note("output.replaced", "caution", folder=str(self.output), keys=replaced)
        with ExitStack() as stack:
            results, to_label = self._whole(run, clock, lambda: stack.enter_context(run.store.in_use()))
            about = {
                **results.provenance,
                "started": started.isoformat(timespec="seconds"),
                "estimate": kept_estimate(self.output, self._settings_hash()),
            }
            results = replace(results, provenance=about)
            if ranks.first():
                results.save(self.output)
                if to_label is not None:
                    write_rows(self.output / ROWS, to_label)
                write_text(self.output / "config.yaml", yaml.safe_dump(self._settings(), sort_keys=False))
                if (asked := conversations(run.store.used.values())).num_rows:
                    write_table(self.output / "asked.parquet", asked)
                results.save_report(self.output / "report.html")
                run.store.remember(self.output)
        ranks.meet("end of the experiment")
        return results

    def _whole(
        self, run: Run, clock: float, begin: Callable[[], object] = lambda: None
    ) -> tuple[Results, pa.Table | None]:
        """Results, and rows to label; `clock` is when the run started; `begin` is called when all is found to fit."""
        task, rows = read_task(self.config.task)
        tests = read_tests(self.config.task, rows)
        stems = shared_stems(rows) if self.config.task.split.group is None else 0
        if stems > _STEMS_BY_CHANCE * rows.parts.count("test"):
            run.note("test.shared_stems", "caution", shared=stems, rows=rows.parts.count("test"))
        pipeline, *others = self._pipelines(task, rows, tests, run)
        begin()
        found = self._results(pipeline, rows, run)
        parts = {name: self._part(name, others.pop(0), rows, own, run) for name, (_, own) in tests.items()}
        run.add(*run.costs.notes())
        found = replace(found, examples={**found.examples, **self._labelled(pipeline, rows, run)})
        sizes = {name: len(own) for name, (_, own) in tests.items()}
        advice, to_label = advise_pipeline(pipeline)
        about = {
            **self._provenance(rows, run, sizes),
            "seconds": _seconds(run.store, time.perf_counter() - clock),
            "best supervisors": dict(pipeline.best_supervisors),
            "advice": advice,
        }
        return replace(found, provenance=about, tests=parts), to_label

    def _provenance(self, rows: Rows, run: Run, tests: Mapping[str, int] | None = None) -> dict[str, Any]:
        """What the results say of where they come from; `tests` are sizes of further test parts."""
        return {
            "sizes": {part: rows.parts.count(part) for part in PARTS} | dict(tests or {}),
            "config": self.config.model_dump(mode="json"),
            "versions": {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES},
            "plugins": list(loaded_plugins()),
            "seeds": list(self.config.seeds),
            "hashes": {"rows": table_hash(rows.to_arrow()), "strong model": self._strong_model()},
            "artefacts": sorted(run.store.used),
            "store": str(run.store.root.resolve()),
            "choices": rows.choices and {"names": rows.choices, "by_row": rows.options is not None},
            "students": list(run.students.values()),
            "notes": [note.to_json() for note in run.notes],
            "costs": [one.to_json() for one in run.costs.totals()],
            "refinement": run.audits,
        }

    def evaluate(
        self, predictions: str | Path, *, test: str | None = None, reporter: Reporter | None = None
    ) -> Results:
        """Score a table of predictions of the test part, or of a further test part that `test` names.

        See `outgrow.pipeline.evaluating.scored_table`.

        Raises:
            ConfigError: There is no such part, or the task cannot score texts.
            DataError: The predictions do not fit the rows.
        """
        if test is not None and test not in self.config.task.tests:
            fix = did_you_mean(test, self.config.task.tests)
            raise ConfigError(f"The experiment has no test part {test!r}.", found="task.tests", fix=fix)
        run = Run(self._store(), reporter or SilentReporter(), executor_of(self.config.scale))
        task, rows = read_task(self.config.task)
        if test is not None:
            task, rows = read_tests(self.config.task, rows)[test]
        tested = rows.part("test")
        if not len(tested):
            raise DataError("The task has no test rows to score.", fix="Give some rows a gold answer.")
        return self._evaluated(str(predictions), task, tested, run, test)

    def _evaluated(self, predictions: str, task: Task, test: Rows, run: Run, name: str | None) -> Results:
        config = self._of_test(name, task) if name else self.config
        chance = {}
        gold = test.gold_indices() if test.choices is not None else None
        if gold is not None:
            chance["accuracy"] = chance_of(test)
        elif not scores_texts(task, config.task):
            raise ConfigError(f"The task {config.task.name!r} has neither choices nor a way to score texts.")
        found = without_full_ratings(scored_table(predictions, task, config, test, run))
        models = [model_scores(role, name, runs, gold) for (role, name), runs in found.items()]
        about = {"sizes": {"test": len(test)}, "notes": [note.to_json() for note in run.notes]}
        return Results(name or self.config.name, models, chance, about, test.ids)

    def plan(self, speed: Speed | None = None) -> RunEstimate:
        """Return what a run would take, stage by stage, and keep it beside the results for their report.

        It is a dry run with made-up answers, up to the report, in which nothing is sent, and nothing kept in the store.

        Args:
            speed: Of the device; by default the models are loaded, and it is measured on some of their work.

        Raises:
            OutgrowError: Anything that would end a run before its first stage.
        """
        clock, plan = time.perf_counter(), Plan(speed, executor_of(self.config.scale).devices)
        run = Run(self._store(), plan, dry=True, estimated=plan)
        with ranks.alone(), tempfile.TemporaryDirectory() as folder:
            results, _ = self._whole(run, clock)
            results.save(folder)
            results.save_report(Path(folder) / "report.html")
        found = RunEstimate.of(plan, time.perf_counter() - clock - plan.spent, planned_costs(run.planned))
        keep_estimate(self.output, self._settings_hash(), found)
        return found

    def _settings_hash(self) -> str:
        return content_hash(plain(self.config.model_dump(mode="json")))

    def estimate(self) -> list[str]:
        """Return what asking the servers of the experiment would cost at most, a line for each: a dry run.

        Nothing is sent, trained or generated.

        Raises:
            OutgrowError: Anything that would end a run before its first stage.
        """
        run = Run(self._store(), executor=executor_of(self.config.scale), dry=True)
        with ranks.alone():
            task, rows = read_task(self.config.task)
            for pipeline in self._pipelines(task, rows, read_tests(self.config.task, rows), run):
                self._predictions(pipeline, rows, run)
        return planned_costs(run.planned)

    def export(
        self,
        method: str,
        path: str | Path,
        *,
        seed: int = 0,
        form: str = "messages",
        system: str | None = None,
        card: str | Path | None = None,
        reporter: Reporter | None = None,
    ) -> int:
        """Write what a method's student would learn, for a provider of fine-tuning or another trainer.

        Args:
            method: A method of the experiment, or `ceiling`: the gold answers.
            path: A `.jsonl` file to write.
            seed: The training seed whose labels these are.
            form: One of `outgrow.pipeline.exporting.FORMS`.
            system: A system message in front of every conversation; by default that of a served strong model.
            card: A new Markdown file for a data set card.
            reporter: Receives progress updates. Default: none.

        Returns:
            Number of lines.

        Raises:
            ConfigError: There is no such method or form, or the form does not fit the task.
            OutgrowError: As for `run`.
        """
        if method not in {*self.config.methods, "ceiling"}:
            advice = did_you_mean(method, self.config.methods)
            raise ConfigError(f"The experiment has no method {method!r}.", fix=advice)
        if card is not None and Path(card).exists():
            raise StoreError(f"{card} is there already.", fix="Name a new file, or delete this one.")
        task, rows = read_task(self.config.task)
        run = Run(self._store(), reporter or SilentReporter(), executor_of(self.config.scale), sentence=sentence)
        pipeline = self._pipeline(task, rows, run)
        lines = exported_lines(form, pipeline, self.config, rows, method, seed=seed, system=system)
        count = write_messages(lines, Path(path)) if ranks.first() else 0
        if card is not None and ranks.first():
            what = f"{count:,} {FORMS[form]}"
            write_text(Path(card), labels_card(self._provenance(rows, run), method, seed, Path(path).name, what))
        return ranks.share(count, "lines of the export")

    def _changed_keys(self) -> list[str]:
        """Keys of the experiment that differ from those of the results in the output folder."""
        file = self.output / "config.yaml"
        if not (self.output / "results.json").is_file() or not file.is_file():
            return []
        try:
            old = read_mapping(file)
        except ConfigError:  # damaged, and about to be replaced
            return []
        settings = self._settings()
        changed = [key for key in {**settings, **old} if settings.get(key) != old.get(key)]
        return [key for key in changed if key != "scale"]  # which changes no result

    def _settings(self) -> dict[str, Any]:
        """What the experiment file sets: a preset's own values are no settings of the user."""
        settings: dict[str, Any] = plain(self.config.model_dump(mode="json", exclude_unset=True))
        return settings

    def _strong_model(self) -> str:
        strong = self.config.strong
        if isinstance(strong, ServerStrong):
            return f"{strong.model}, revision {strong.revision or 'unknown'}, behind a server"
        return str(model_spec(strong, "strong model").identity)

    def _store(self) -> Store:
        return Store(Path(self.config.store)) if self.config.store else Store.default()

    def _of_test(self, name: str, task: Task) -> ExperimentConfig:
        """The experiment with a further test part as its task, and with judges only where that task uses them."""
        own = self.config.task.tests[name]
        return self.config.model_copy(update={"task": own, "judge": self.config.judge if task.rubrics(own) else ()})

    def _pipelines(
        self, task: Task, rows: Rows, tests: Mapping[str, tuple[Task, Rows]], run: Run
    ) -> Iterator[Pipeline]:
        # One for each test part. They train on the same rows, so that the store has what the first one has made.
        yield self._pipeline(task, rows, run)
        for name, (own, tested) in tests.items():
            yield self._pipeline(task, rows.with_test(tested), run, Scorer(self._of_test(name, own), own, run))

    def _pipeline(self, task: Task, rows: Rows, run: Run, scorer: Scorer | None = None) -> Pipeline:
        if "unlabelled" not in rows.parts:
            raise DataError("All rows of the task are test rows.", fix="Change task.split.")
        if rows.choices is not None:
            from outgrow.pipeline.choice import ChoicePipeline

            return ChoicePipeline(self.config, rows, run)
        scorer = scorer or Scorer(self.config, task, run)
        if not scores_texts(scorer.task, scorer.config.task):
            raise ConfigError(
                f"The task {scorer.config.task.name!r} needs choices.", fix="Set task.choices, or use `name: file`."
            )
        from outgrow.pipeline.text import TextPipeline

        return TextPipeline(self.config, task, rows, run, scorer)

    def _results(self, pipeline: Pipeline, rows: Rows, run: Run) -> Results:
        """Results on the test part of rows, without provenance."""
        predictions = without_full_ratings(self._predictions(pipeline, rows, run))
        test = rows.part("test")
        gold = test.gold_indices() if rows.choices is not None and len(test) else None
        if not len(test):
            run.add(not_evaluated(predictions))
        models = [model_scores(role, name, runs, gold) for (role, name), runs in predictions.items()]
        tested = test if len(test) else rows.part("unlabelled")
        examples = {"test": Examples(tested, prediction_table(predictions, self.config.seeds))}
        return Results(self.config.name, models, pipeline.chance, ids=test.ids, examples=examples)

    def _part(self, name: str, pipeline: Pipeline, rows: Rows, tested: Rows, run: Run) -> Results:
        """Results on a further test part. Notes that are new are about it; audits were made before."""
        notes, audits = len(run.notes), len(run.audits)
        shared = shared_prompts(rows, tested)
        if shared:
            run.note("test.shared_prompts", "caution", shared=shared, rows=len(tested))
        found = self._results(pipeline, rows.with_test(tested), run)
        about = {
            "seeds": list(self.config.seeds),
            "sizes": {"test": len(tested)},
            "hashes": {"rows": table_hash(tested.to_arrow())},
            "notes": [note.to_json() for note in run.notes[notes:]],
            "best supervisors": dict(pipeline.best_supervisors),
        }
        del run.notes[notes:], run.audits[audits:]
        return replace(found, name=name, provenance=about)

    def _labelled(self, pipeline: Pipeline, rows: Rows, run: Run) -> dict[str, Examples]:
        """The unlabelled rows with all labels, of many a part; their notes and audits were made before."""
        count = rows.parts.count("unlabelled")
        if "test" not in rows.parts or count > MOST_LABELLED:
            return {}  # without a test part the unlabelled rows are what was answered
        notes, audits = len(run.notes), len(run.audits)
        shown = rows.part("unlabelled").take(spread(count))
        known = pipeline.labelled(shown)
        del run.notes[notes:], run.audits[audits:]
        table = prediction_table({who: [one] for who, one in known.items()}, self.config.seeds)
        return {"unlabelled": Examples(shown, table)}

    def _predictions(self, pipeline: Pipeline, rows: Rows, run: Run) -> dict[tuple[Role, str], list[Predictions]]:
        # One run per seed, one in all for the base, in the order of the table.
        found: dict[tuple[Role, str], list[Predictions]] = defaultdict(list)
        for seed in self.config.seeds:
            for name, one in pipeline.supervisors(seed).items():
                found["supervisor", name].append(one)
            for name, one in pipeline.combined(seed).items():
                found["combined", name].append(one)
        base = pipeline.base()
        if base is not None:
            found["base", "base"].append(base)
        if self.config.ceiling and None in rows.part("unlabelled").gold:
            run.note("ceiling.none")
        elif self.config.ceiling:
            found["ceiling", "ceiling"] = self._runs(pipeline.ceiling)
        if self.config.trains_on_gold:
            found["gold", "gold only"] = self._runs(pipeline.gold_only)
        for method in self.config.methods:
            found["student", method] = self._runs(partial(pipeline.student, method))
        return {who: runs for who, runs in found.items() if runs}

    def _runs(self, train: Callable[[int], Predictions | None]) -> list[Predictions]:
        return [one for one in map(train, self.config.seeds) if one is not None]


def _seconds(store: Store, total: float) -> dict[str, float]:
    by_kind: dict[str, float] = defaultdict(float)
    for artefact in store.made:
        by_kind[artefact.kind] += artefact.seconds
    return {**{kind: round(seconds, 3) for kind, seconds in by_kind.items()}, "total": round(total, 3)}
