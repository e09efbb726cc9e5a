"""Text tasks: weak texts, refinement, students."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from outgrow.combine.mean import Mean
from outgrow.config import ExperimentConfig, Method, ModelSupervisor, Named
from outgrow.errors import ConfigError, DataError
from outgrow.labels import Predictions, Rows, TextLabels, TextTargets, Weighted, positions
from outgrow.models.loading import model_identity, short_name
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions
from outgrow.refine.demonstrations import fill
from outgrow.refine.relabelling import check_refine
from outgrow.registry import create
from outgrow.scale.generation import ShardedLanguageModel
from outgrow.store import content_hash, read_table, table_hash, write_table
from outgrow.supervisors.gold import judged_rows, training_rows
from outgrow.tasks import RemarkingTask, TextTask
from outgrow.train.text import TextLearner, text_learner, token_objective
from outgrow.workspace import Workspace

_CROSS_ENTROPY = Named(name="cross_entropy")
_FOR_CHOICES = ("calibrate", "chain", "filter", "pretune", "proportions")


@dataclass(frozen=True)
class TextPipeline:
    """See `outgrow.pipeline.protocol.Pipeline`."""

    config: ExperimentConfig
    """The experiment."""
    task: TextTask
    """Scores the answers."""
    rows: Rows
    """All rows of the task."""
    workspace: Workspace
    """Store and reporter."""
    chance: Mapping[str, float] = field(default_factory=dict)
    """Nothing: blind guessing has no score in free text."""
    notes: list[str] = field(default_factory=list)
    """What a reader should know."""
    _read: dict[int, TextLabels] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses what cannot work before anything is computed."""
        for each in self.config.supervisors:
            if not isinstance(each, ModelSupervisor):
                raise ConfigError(
                    f"A supervisor of the text task {self.config.task.name} must be a model.",
                    found=", ".join(each.model_fields_set),
                    wanted="model: a causal language model",
                )
            text_learner(each, each.train or {})
        text_learner(self.config.strong, self.config.trainer)
        for name, method in self.config.methods.items():
            for part in _FOR_CHOICES:
                if getattr(method, part):
                    raise ConfigError(
                        f"methods.{name}: `{part}` is for choice tasks, and {self.config.task.name} is a text task.",
                        fix=f"Remove `{part}`.",
                    )
            token_objective(method.objective)
            if method.refine is None:
                self._lambdas(method, ())
            else:
                self._refiner(method.refine)

    def supervisors(self, seed: int) -> dict[str, Predictions]:
        """Every supervisor's texts on the test part."""
        labels = self._labels(seed)
        test = labels.take(positions(labels.ids, self._test.ids))
        return {name: self._predictions(test, m) for m, name in enumerate(labels.supervisors)}

    def base(self) -> Predictions | None:
        """The untouched strong model, without demonstrations."""
        texts = self._generate(self.config.strong.model, self._test, name="base", batch=self.config.strong.batch_size)
        return self._predictions(texts, 0)

    def ceiling(self, seed: int) -> Predictions:
        """The strong model trained on gold answers of the unlabelled part."""
        return self._trained(self._gold_targets(self._unlabelled), _CROSS_ENTROPY, "ceiling", seed)

    def student(self, method: str, seed: int) -> Predictions:
        """The strong model trained by a method of the experiment."""
        settings = self.config.methods[method]
        labels = self._labels(seed)
        labels = labels.take(positions(labels.ids, self._unlabelled.ids))
        if settings.refine is None:
            targets = self._targets(labels, self._lambdas(settings, labels.supervisors))
        else:
            targets = self._targets(self._refined(labels, settings.refine, method, seed), {settings.refine.name: 1.0})
        left_out = len(self._unlabelled) - len(set(targets.ids))
        if left_out:
            note = f"{method}: {left_out} of {len(self._unlabelled)} unlabelled rows have no text and teach nothing."
            self._note(note)
        return self._trained(targets, settings.objective, method, seed)

    @cached_property
    def _unlabelled(self) -> Rows:
        return self.rows.part("unlabelled")

    @cached_property
    def _test(self) -> Rows:
        return self.rows.part("test")

    @cached_property
    def _learner(self) -> TextLearner:
        return text_learner(self.config.strong, self.config.trainer)

    @property
    def _options(self) -> GenerateOptions:
        return GenerateOptions(max_new_tokens=self.config.generate.max_new_tokens, stop=self.config.generate.stop)

    def _labels(self, seed: int) -> TextLabels:
        if seed not in self._read:
            self._read[seed] = TextLabels.stack([self._label(each, seed) for each in self.config.supervisors])
        return self._read[seed]

    def _label(self, supervisor: Any, seed: int) -> TextLabels:
        name = supervisor.name or short_name(supervisor.model)
        model = supervisor.model
        if supervisor.train is not None:
            gold = training_rows(self.rows, supervisor.rows, seed=seed, name=name)
            learner = text_learner(supervisor, supervisor.train)
            step = f"train {name}, seed {seed}"
            trained = learner.train(self._gold_targets(gold), _CROSS_ENTROPY, self.workspace, seed=seed, name=step)
            model = str(trained.path / "model")
        return self._generate(model, judged_rows(self.rows), name=name, batch=supervisor.batch_size)

    def _generate(self, model: str, rows: Rows, *, name: str, batch: int) -> TextLabels:
        """Greedy answers of a model to the rows' prompts, as labels of one supervisor of this name."""
        prompts = [self._ask(prompt) for prompt in rows.prompts]

        def make(folder: Path) -> None:
            answering = LocalLanguageModel.load(model, name=name, batch_size=batch)
            kept = ShardedLanguageModel(answering, folder, self.workspace.reporter, f"generate with {name}")
            texts = tuple((tuple(row),) for row in kept.generate(prompts, self._options))
            write_table(folder / "texts.parquet", TextLabels(rows.ids, (name,), texts).to_arrow())

        recipe = {
            "model": model_identity(model),
            "name": name,
            "ids": content_hash(list(rows.ids)),
            "prompts": content_hash(prompts),
            "options": vars(self._options) | {"stop": list(self._options.stop)},
        }
        return TextLabels.from_arrow(read_table(self.workspace.get("texts", recipe, make).path / "texts.parquet"))

    def _refined(self, labels: TextLabels, refine: Named, method: str, seed: int) -> TextLabels:
        refiner = self._refiner(refine)
        strong = self.config.strong

        def make(folder: Path) -> None:
            answering = LocalLanguageModel.load(strong.model, batch_size=strong.batch_size)
            step = f"refine for {method}, seed {seed}"
            kept = ShardedLanguageModel(answering, folder, self.workspace.reporter, step)
            refined = refiner(self._unlabelled, labels, kept, options=self._options, seed=seed)
            write_table(folder / "texts.parquet", refined.to_arrow())

        recipe = {
            "model": model_identity(strong.model),
            "refiner": {"name": refine.name, **vars(refiner)},
            "labels": table_hash(labels.to_arrow()),
            "rows": table_hash(self._unlabelled.to_arrow()),
            "options": vars(self._options) | {"stop": list(self._options.stop)},
            "seed": seed,
        }
        return TextLabels.from_arrow(read_table(self.workspace.get("refined", recipe, make).path / "texts.parquet"))

    def _refiner(self, refine: Named) -> Any:
        check_refine(refine, "refiner")
        return create("refiner", refine.name, {"query": self.config.generate.template, **refine.params})

    def _lambdas(self, method: Method, supervisors: tuple[str, ...]) -> dict[str, float]:
        """The weight of each supervisor's texts."""
        combiner = create("combiner", method.combine.name, method.combine.params)
        if not isinstance(combiner, Mean) or combiner.harden:
            raise ConfigError(
                f"The combiner {method.combine.name!r} with these parameters is for choice tasks.",
                wanted="mean, with or without weights",
            )
        return dict(zip(supervisors, combiner.lambdas(supervisors).tolist(), strict=True)) if supervisors else {}

    def _targets(self, labels: TextLabels, weights: Mapping[str, float]) -> TextTargets:
        """One target per row and distinct text; the weights of supervisors that wrote the same are added."""
        columns: list[tuple[str, str, str, float, str]] = []
        for row, row_id in enumerate(labels.ids):
            said: dict[str, list[str]] = defaultdict(list)
            for m, supervisor in enumerate(labels.supervisors):
                best = labels.best(row, m)
                if best is not None and weights[supervisor] > 0:
                    said[_trim(best.text)].append(supervisor)
            for text, who in said.items():
                weight = sum(weights[name] for name in who)
                columns.append((row_id, self._ask(self._unlabelled.prompts[row]), f" {text}", weight, "+".join(who)))
        if not columns:
            raise DataError("No unlabelled row has a text to learn from.", found=f"{len(labels.ids)} rows without text")
        return TextTargets(*zip(*columns, strict=True))

    def _gold_targets(self, rows: Rows) -> TextTargets:
        texts = tuple(f" {text}" for text in rows.gold)
        prompts = tuple(self._ask(prompt) for prompt in rows.prompts)
        return TextTargets(rows.ids, prompts, texts, (1.0,) * len(rows), ("gold",) * len(rows))

    def _trained(self, targets: TextTargets, objective: Named, name: str, seed: int) -> Predictions:
        step = f"{name}, seed {seed}"
        student = self._learner.train(targets, objective, self.workspace, seed=seed, name=f"train {step}")
        model = str(student.path / "model")
        return self._predictions(self._generate(model, self._test, name=step, batch=self.config.strong.batch_size), 0)

    def _predictions(self, labels: TextLabels, supervisor: int) -> Predictions:
        """Scores of the best texts; a row without a text is an empty answer, never skipped."""
        best = [labels.best(row, supervisor) for row in range(len(labels.ids))]
        answers = tuple("" if one is None else _trim(one.text) for one in best)
        if isinstance(self.task, RemarkingTask):
            for remark in self.task.remarks(self.config.task, self._test, answers):
                self._note(f"{labels.supervisors[supervisor]}: {remark}")
        found = self.task.score(self.config.task, self._test, answers)
        weights = {name: own.weights for name, own in found.items() if isinstance(own, Weighted)}
        scores = {name: own.scores if isinstance(own, Weighted) else own for name, own in found.items()}
        return Predictions(self._test.ids, answers, scores, weights=weights)

    def _ask(self, prompt: str) -> str:
        return fill(self.config.generate.template, {"prompt": prompt})

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _trim(text: str) -> str:
    return text.removeprefix(" ")
