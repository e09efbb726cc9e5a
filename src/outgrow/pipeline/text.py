"""Text tasks: weak texts, refinement, students."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from outgrow.combine.combiner import TextCombiner
from outgrow.combine.texts import gold_targets, naive_targets, pool
from outgrow.config import ExperimentConfig, Method, Named, Prefer, ServerStrong
from outgrow.errors import ConfigError
from outgrow.labels import Predictions, Rows, TextLabels, TextTargets, positions
from outgrow.models.protocols import check_options
from outgrow.models.specs import ModelSpec, model_spec
from outgrow.pipeline.preferring import PreferenceStage
from outgrow.pipeline.protocol import Pipeline
from outgrow.pipeline.refining import check_served_refiner, make_refiner, refined_texts
from outgrow.pipeline.scoring import Scorer
from outgrow.pipeline.text_notes import entropy_notes, text_notes
from outgrow.pipeline.tuning import TunedModels, check_untrained
from outgrow.refine.refinement import Refiner
from outgrow.registry import can, create
from outgrow.run import Run
from outgrow.supervisors.protocol import Asking, Part
from outgrow.supervisors.texts import write
from outgrow.tasks import Task
from outgrow.train.text import TextLearner, text_learner, token_objective

_CROSS_ENTROPY = Named(name="cross_entropy")
_FOR_CHOICES = ("calibrate", "chain", "filter", "pretune", "proportions")


@dataclass(frozen=True)
class TextPipeline(Pipeline):
    """The pipeline of a text task."""

    config: ExperimentConfig
    """The experiment."""
    task: Task
    """Scores the answers."""
    rows: Rows
    """All rows of the task."""
    run: Run
    """Store, progress, notes and audits."""
    scorer: Scorer | None = None
    """Scores answers to the test part, where that has a task of its own."""
    _labels: dict[tuple[int, Part], TextLabels] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # What cannot work is refused before anything is computed.
        labelling = Asking.of(self.config.generate, labelling=0)
        check_options(labelling.options)
        self._scorer.check()
        self._test_scorer.check()
        self._check_supervisors(labelling)
        if self.config.strong.trains:
            text_learner(self.config.trained, self.config.trainer)
        else:
            self._strong("base").load(self.run.store.root / "responses.sqlite", self.run.reporter)
        for name, method in self.config.methods.items():
            self._check_method(name, method)

    def supervisors(self, seed: int) -> dict[str, Predictions]:
        """Return every supervisor's texts on the test part; a supervisor without any is left out, with a note."""
        labels = self._written(self._answered, seed)
        self.run.add(*self._test_scorer.judge_notes(self._test))
        wrote = {name: any(row[m] for row in labels.texts) for m, name in enumerate(labels.supervisors)}
        if not all(wrote.values()):
            silent = [name for name, any_text in wrote.items() if not any_text]
            self.run.note("texts.none", "caution", supervisors=silent)
        return {name: self._predictions(labels, m) for m, name in enumerate(labels.supervisors) if wrote[name]}

    def combined(self, seed: int) -> dict[str, Predictions]:
        """Return the supervisors' texts combined by each combiner in use: of each row the text with most weight.

        Without scores it takes three supervisors: of two different texts neither has a majority.
        """
        if not self._evaluated:
            return {}
        labels = self._written("test", seed)
        prompts, candidates = self._prompts(self._test), pool(labels)
        if len(labels.supervisors) < 2 or not any(candidates):
            return {}
        found: dict[str, Predictions] = {}
        done: list[Named] = []
        for name, method in self.config.methods.items():
            combine, combiner = method.combine, None if method.refine else self._combiner(method, name)
            if combiner is None or combine in done or not (combiner.needs_scores or len(labels.supervisors) > 2):
                continue
            done.append(combine)
            targets, _ = combiner.texts(labels, prompts, lambda: self._scores("test", candidates, seed))
            best = dict.fromkeys(self._test.ids, (0.0, ""))
            for row, text, weight in zip(targets.ids, targets.texts, targets.weights, strict=True):
                if weight > best[row][0]:
                    best[row] = weight, text.removeprefix(" ")
            label = f"{combine.name} ({name})" if combine.name in found else combine.name
            found[label] = self._scored([text for _, text in best.values()], label)
        return found

    def base(self) -> Predictions | None:
        """Return the answers of the untouched strong model, without demonstrations; None without a test part."""
        return None if not self._evaluated else self._answers(self._strong("base"))

    def ceiling(self, seed: int) -> Predictions | None:
        """Return the answers of the strong model trained on gold answers of the unlabelled part."""
        return self._student("ceiling", seed, _CROSS_ENTROPY, None)

    def student(self, method: str, seed: int) -> Predictions | None:
        """Return the answers of the strong model trained by a method of the experiment."""
        settings = self.config.methods[method]
        return self._student(method, seed, settings.objective, settings.prefer)

    def targets(self, method: str, seed: int) -> TextTargets:
        """Return what the student of a method, or the `ceiling`, learns first; the strong model is not trained."""
        prompts = self._prompts(self._unlabelled)
        if method == "ceiling":
            return gold_targets(self._unlabelled, prompts)
        settings = self.config.methods[method]
        labels = self._written("unlabelled", seed)
        self.run.add(*text_notes(labels, "unlabelled", seed), *entropy_notes(labels, seed))
        if settings.refine is not None:
            refined = self._refined(labels, settings.refine, method, seed)
            targets = naive_targets(refined, prompts, dict.fromkeys(refined.supervisors, 1.0))
        else:
            targets = self._combined(labels, settings, method, seed)
        left_out = len(self._unlabelled) - len(set(targets.ids))
        if left_out:
            self.run.note("rows.without_text", "caution", who=method, left_out=left_out, rows=len(self._unlabelled))
        return targets

    def labelled(self, rows: Rows) -> dict[tuple[str, str], Predictions]:
        """Texts of supervisors for some unlabelled rows, and those that students learned; see `Pipeline.labelled`."""
        seed = self.config.seeds[0]
        labels = self._written("unlabelled", seed)
        places = positions(labels.ids, rows.ids)
        found = {
            ("supervisor", name): [said.text if (said := labels.best(row, m)) else "" for row in places]
            for m, name in enumerate(labels.supervisors)
        }
        for method, settings in self.config.methods.items():
            targets, best = self.targets(method, seed), dict.fromkeys(self._unlabelled.ids, (0.0, ""))
            for row, text, weight in zip(targets.ids, targets.texts, targets.weights, strict=True):
                best[row] = max(best[row], (weight, text), key=lambda own: own[0])
            role = "label" if settings.refine is None else "refined"
            found[role, method] = [best[row][1].removeprefix(" ") for row in rows.ids]
        return {who: Predictions(rows.ids, tuple(texts), {}) for who, texts in found.items()}

    def _student(self, method: str, seed: int, objective: Named, prefer: Prefer | None) -> Predictions | None:
        step = f"{method}, seed {seed}"
        if not self.config.strong.trains:
            tuned = self._tuned(method, seed)
            return None if tuned is None else self._answers(model_spec(tuned, "fine-tuned model", name=step))
        learned = self._learner.train(self.targets(method, seed), objective, self.run, seed=seed, name=f"train {step}")
        folder = str(learned.path / "model")
        if prefer is not None:
            folder = self._stage(prefer)(
                folder, self._unlabelled, self._asking,
                lambda candidates: self._scores("unlabelled", candidates, seed),
                lambda answers: self.task.usable(self.config.task, answers),
                self.run, seed=seed, name=step,
            )  # fmt: skip
        self.run.keep(method, seed, Path(folder), self._learner.model)
        return self._answers(self._strong(step, folder))

    def _answers(self, model: ModelSpec) -> Predictions:
        prompts, options = self._prompts(self._test), self._asking.options
        return self._predictions(write(model, self._test.ids, prompts, options, self.run), 0)

    def _predictions(self, labels: TextLabels, supervisor: int) -> Predictions:
        """Scores of the best texts; a row without a text is an empty answer, never skipped."""
        self.run.add(*text_notes(labels.of(supervisor), self._answered))
        return self._scored(labels.answers(supervisor), labels.supervisors[supervisor])

    def _scored(self, answers: Sequence[str], author: str) -> Predictions:
        if not self._evaluated:
            return Predictions(self._test.ids, tuple(answers), {})
        scored = self._test_scorer(self._test, answers, author=author)
        self.run.add(*scored.notes)
        return Predictions(self._test.ids, tuple(answers), scored.scores, weights=scored.weights)

    def _refined(self, labels: TextLabels, refine: Named, method: str, seed: int) -> TextLabels:
        return refined_texts(
            self._refiner(refine, method), self._strong("base"), self._unlabelled, labels, self._asking, self._scorer,
            self.run, seed=seed, method=method,
        ).labels  # fmt: skip

    def _combined(self, labels: TextLabels, method: Method, name: str, seed: int) -> TextTargets:
        prompts, candidates = self._prompts(self._unlabelled), pool(labels)
        targets, lambdas = self._combiner(method, name).texts(
            labels, prompts, lambda: self._scores("unlabelled", candidates, seed)
        )
        if lambdas is not None:
            weights = dict(zip(labels.supervisors, lambdas.tolist(), strict=True))
            single = sum(len(each) == 1 for each in candidates)
            self.run.note("combine.weights", who=name, seed=seed, weights=weights, single=single, rows=len(candidates))
        return targets

    def _written(self, part: Part, seed: int) -> TextLabels:
        """What every supervisor wrote for the rows of a part; test rows are answered greedily."""
        if (seed, part) not in self._labels:
            asking = self._asking if part == "test" else Asking.of(self.config.generate, labelling=seed)
            each = [one.write(self.rows, part, asking, self.run, seed=seed) for one in self.config.supervisors]
            self._labels[seed, part] = TextLabels.stack(each)
        return self._labels[seed, part]

    def _scores(self, part: Part, candidates: Sequence[Sequence[str]], seed: int) -> TextLabels:
        asking, supervisors = self._asking, self.config.supervisors
        return TextLabels.stack(
            [one.score(self.rows, part, candidates, asking, self.run, seed=seed) for one in supervisors]
        )

    def _check_supervisors(self, labelling: Asking) -> None:
        names = self._names
        for one, name in zip(self.config.supervisors, names, strict=True):
            if not can(one, "write"):
                raise ConfigError(
                    f"A supervisor of the text task {self.config.task.name} must write texts.",
                    found=name,
                    wanted="model: a causal language model, server: the URL of one, or texts: a file",
                )
            if can(one, "check"):
                one.check("text", labelling)
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ConfigError("Supervisors share a name.", found=", ".join(repeated), fix="Give each a `name`.")

    def _check_scores(self) -> None:
        for one, name in zip(self.config.supervisors, self._names, strict=True):
            try:
                if not can(one, "score"):
                    raise ConfigError(f"{name} has none of other texts than its own.")
                if can(one, "check_scores"):
                    one.check_scores()
            except ConfigError as error:
                raise ConfigError(
                    "Joint decoding, estimated weights and `prefer` need every supervisor's log-probabilities of given "
                    "texts.",
                    found=error.what,
                    fix=error.fix
                    or "Use `combine: mean` with given weights and without `prefer`, or other supervisors.",
                ) from error

    def _check_method(self, name: str, method: Method) -> None:
        for part in _FOR_CHOICES:
            if getattr(method, part):
                raise ConfigError(
                    f"methods.{name}: `{part}` is for choice tasks, and {self.config.task.name} is a text task.",
                    fix=f"Remove `{part}`.",
                )
        token_objective(method.objective)
        if method.refine is None:
            self._combiner(method, name)
        else:
            self._refiner(method.refine, name)
        if self.config.strong.trains:
            if method.prefer is not None:
                self._stage(method.prefer)
            return
        check_untrained(name, method)
        if isinstance(self.config.strong, ServerStrong) and method.refine is not None:
            check_served_refiner(method.refine, name)

    def _combiner(self, method: Method, name: str) -> TextCombiner:
        combine, door = method.combine, f"methods.{name}.combine"
        combiner: TextCombiner = create("combiner", combine.name, combine.params, "texts", door=door)
        if combiner.needs_scores:
            self._check_scores()
        combiner.check_texts(self._names)
        return combiner

    def _refiner(self, refine: Named, method: str) -> Refiner:
        return make_refiner(refine, "texts", method=method, defaults={"query": self.config.generate.template})

    def _stage(self, prefer: Prefer) -> PreferenceStage:
        self._check_scores()
        return PreferenceStage(prefer, self.config.trained, tuple(self._names))

    def _strong(self, name: str, folder: str | None = None) -> ModelSpec:
        """The strong model, as it is or trained in a folder."""
        return model_spec(self.config.strong, "strong model", name=name, folder=folder)

    def _prompts(self, rows: Rows) -> list[str]:
        """Rows as the strong model is asked."""
        return self._asking.prompts(rows, chats=self._strong("base").chats)

    @cached_property
    def _asking(self) -> Asking:
        """How test rows are answered, and rows refined: greedily, by all models alike."""
        return Asking.of(self.config.generate)

    @cached_property
    def _names(self) -> list[str]:
        return [getattr(one, "title", type(one).__name__) for one in self.config.supervisors]

    @cached_property
    def _unlabelled(self) -> Rows:
        return self.rows.part("unlabelled")

    @property
    def _evaluated(self) -> bool:
        return "test" in self.rows.parts

    @property
    def _answered(self) -> Literal["unlabelled", "test"]:
        """The part that all models answer: without a test part the unlabelled one, and there are no scores."""
        return "test" if self._evaluated else "unlabelled"

    @cached_property
    def _test(self) -> Rows:
        return self.rows.part(self._answered)

    @property
    def _test_scorer(self) -> Scorer:
        return self.scorer or self._scorer

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self.config, self.task, self.run)

    @cached_property
    def _tuned(self) -> TunedModels:
        ceiling = self.config.ceiling and None not in self._unlabelled.gold
        return TunedModels(self.config, self.targets, ceiling, self.run)

    @cached_property
    def _learner(self) -> TextLearner:
        return text_learner(self.config.trained, self.config.trainer)
