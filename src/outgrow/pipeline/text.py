"""Text tasks: weak texts, refinement, students."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from outgrow.combine.combiner import TextCombiner
from outgrow.combine.texts import gold_targets, naive_targets, pool
from outgrow.config import ExperimentConfig, Method, Named, Prefer, ServerStrong
from outgrow.errors import ConfigError
from outgrow.labels import Predictions, Rows, TextLabels, TextTargets
from outgrow.models.protocols import check_options
from outgrow.pipeline.auditing import audited, tell
from outgrow.pipeline.estimating import TextEstimate
from outgrow.pipeline.preferring import PreferenceStage
from outgrow.pipeline.refining import make_refiner, refined
from outgrow.pipeline.scoring import Scorer
from outgrow.pipeline.served import check_served_strong, strong_respondent, tuned_model, untrained
from outgrow.pipeline.text_supervisors import TextSupervisors, answering, asked, labelling
from outgrow.pipeline.writing import census, remarks, write
from outgrow.refine.refinement import Refiner
from outgrow.registry import create, require
from outgrow.supervisors.respondents import Respondent, ServedRespondent, server_model
from outgrow.tasks import DemandingTask, TextTask
from outgrow.train.text import TextLearner, text_learner, token_objective
from outgrow.workspace import FinishedWork, Workspace

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
    audits: list[dict[str, Any]] = field(default_factory=list)
    """What refinements did, by method and seed."""

    def __post_init__(self) -> None:
        """Refuses what cannot work before anything is computed."""
        check_options(labelling(self.config, 0))
        self._scorer.check()
        self._supervisors.check(labelling(self.config, 0))
        if isinstance(self.config.strong, ServerStrong):
            check_served_strong(self.config)
            server_model(self.config.strong, self.workspace.store)
        else:
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
                self._combiner(method, name)
            else:
                self._refiner(method.refine)
            if method.prefer is not None:
                self._stage(method.prefer)

    def supervisors(self, seed: int) -> dict[str, Predictions]:
        """Every supervisor's texts on the test part."""
        labels = self._supervisors.labels(self._test, answering(self.config), seed)
        for remark in self._scorer.judge_remarks(self._test):
            self._note(remark)
        return {name: self._predictions(labels, m) for m, name in enumerate(labels.supervisors)}

    def base(self) -> Predictions | None:
        """The untouched strong model, without demonstrations."""
        return self._answers(self._strong("base"))

    def ceiling(self, seed: int) -> Predictions | None:
        """The strong model trained on gold answers of the unlabelled part."""
        if isinstance(self.config.strong, ServerStrong):
            return self._tuned(self.config.strong, "ceiling", seed)
        step = f"ceiling, seed {seed}"
        model = self._trained(self.targets("ceiling", seed), _CROSS_ENTROPY, step, seed)
        return self._answers(self._strong(step, model))

    def student(self, method: str, seed: int) -> Predictions | None:
        """The strong model trained by a method of the experiment."""
        settings, strong = self.config.methods[method], self.config.strong
        if isinstance(strong, ServerStrong):
            if settings.refine is not None:
                self.targets(method, seed)  # what its provider will train it on, audited here
            return self._tuned(strong, method, seed)
        targets = self.targets(method, seed)
        step = f"{method}, seed {seed}"
        student = self._trained(targets, settings.objective, step, seed)
        if settings.prefer is not None:
            student = self._preferred(student, settings.prefer, step, seed)
        return self._answers(self._strong(step, student))

    def targets(self, method: str, seed: int) -> TextTargets:
        """What the student of a method, or the `ceiling`, learns at first; needs no training of the strong model."""
        if method == "ceiling":
            return gold_targets(self._unlabelled, self._asked(self._unlabelled))
        settings = self.config.methods[method]
        labels = self._supervisors.labels(self._unlabelled, labelling(self.config, seed), seed)
        for remark in [*remarks(labels), *census(labels)]:
            self._note(f"Of the unlabelled part (seed {seed}) {remark}")
        targets = self._targets(labels, settings, method, seed)
        left_out = len(self._unlabelled) - len(set(targets.ids))
        if left_out:
            note = f"{method}: {left_out} of {len(self._unlabelled)} unlabelled rows have no text and teach nothing."
            self._note(note)
        return targets

    @cached_property
    def _unlabelled(self) -> Rows:
        return self.rows.part("unlabelled")

    @cached_property
    def _test(self) -> Rows:
        return self.rows.part("test")

    @cached_property
    def _supervisors(self) -> TextSupervisors:
        return TextSupervisors(self.config, self.rows, self.workspace)

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self.config, self.task, self.workspace)

    @cached_property
    def _learner(self) -> TextLearner:
        return text_learner(self.config.trained, self.config.trainer)

    def estimate(self) -> list[str]:
        """What asking the servers would cost, a line for each model; nothing is sent."""
        finished = FinishedWork(self.workspace.store)
        known = TextPipeline(self.config, self.task, self.rows, finished)
        return TextEstimate(self.config, self.task, self.rows, known, finished).lines()

    def _strong(self, name: str, model: str | None = None) -> Respondent:
        """The strong model, as it is or trained in a folder, under a name for tables."""
        return strong_respondent(self.config.strong, name, model)

    def _tuned(self, strong: ServerStrong, method: str, seed: int) -> Predictions | None:
        """What the strong model answers on the test part once its provider has trained it."""
        model = tuned_model(strong, method, self.config.seeds.index(seed))
        if model is not None:
            return self._answers(ServedRespondent(model, "fine-tuned model", f"{method}, seed {seed}"))
        if not strong.tuned.get(method):
            self._note(untrained(method))
        return None

    def _answers(self, model: Respondent) -> Predictions:
        """What the strong model, as it is or trained, answers on the test part."""
        labels = write(model, self._test.ids, self._asked(self._test), answering(self.config), self.workspace)
        return self._predictions(labels, 0)

    def _refined(self, labels: TextLabels, refine: Named, method: str, seed: int) -> TextLabels:
        """The strong model's own labels, and what is to be said of them."""
        found = refined(
            self._refiner(refine),
            self._strong("base"),
            self._unlabelled,
            labels,
            answering(self.config),
            self.workspace,
            seed=seed,
            name=f"refine for {method}, seed {seed}",
        )
        rows, asked = self._unlabelled, self._asked(self._unlabelled)
        strong, scorer = self._strong("base"), self._scorer
        checked = audited(rows, labels, found, strong, asked, answering(self.config), scorer, self.workspace)
        for remark in found.remarks():
            self._note(f"{method} (seed {seed}): {remark}")
        tell(checked, method, seed, self.audits, self.workspace, self._note)
        return found.labels

    def _refiner(self, refine: Named) -> Refiner:
        return make_refiner(refine, {"query": self.config.generate.template})

    def _combiner(self, method: Method, name: str) -> TextCombiner:
        """The combiner of a method, checked against the supervisors before anything is computed."""
        combiner: TextCombiner = create("combiner", method.combine.name, method.combine.params)
        require("combiner", method.combine.name, combiner, "texts", door=f"methods.{name}.combine")
        if combiner.needs_scores:
            self._supervisors.check_judging()
        combiner.check_texts(self._supervisors.names)
        return combiner

    def _targets(self, labels: TextLabels, method: Method, name: str, seed: int) -> TextTargets:
        """What the student of a method learns."""
        prompts = self._asked(self._unlabelled)
        if method.refine is not None:
            return naive_targets(self._refined(labels, method.refine, name, seed), prompts, {method.refine.name: 1.0})
        candidates = pool(labels)

        def scored() -> TextLabels:
            return self._supervisors.judge(self._unlabelled, candidates, seed)

        targets, lambdas = self._combiner(method, name).texts(labels, prompts, scored)
        if lambdas is not None:
            shown = ", ".join(f"{who} {own:.2f}" for who, own in zip(labels.supervisors, lambdas, strict=True))
            alone = sum(len(each) == 1 for each in candidates)
            single = f"{alone} of {len(candidates)} rows had one candidate only"
            self._note(f"{name} (seed {seed}): the supervisors' weights are {shown}; {single}.")
        return targets

    def _trained(self, targets: TextTargets, objective: Named, step: str, seed: int) -> str:
        """The folder of the strong model once it has learnt the targets."""
        student = self._learner.train(targets, objective, self.workspace, seed=seed, name=f"train {step}")
        return str(student.path / "model")

    def _stage(self, prefer: Prefer) -> PreferenceStage:
        self._supervisors.check_judging()
        return PreferenceStage(prefer, self.config.trained, self._supervisors.names)

    def _preferred(self, student: str, prefer: Prefer, step: str, seed: int) -> str:
        """The folder of a supervised student after the preference stage."""
        trained, remarks = self._stage(prefer)(
            student,
            self._unlabelled,
            self._asked(self._unlabelled),
            answering(self.config),
            lambda candidates: self._supervisors.judge(self._unlabelled, candidates, seed),
            self._usable,
            self.workspace,
            seed=seed,
            name=step,
        )
        for remark in remarks:
            self._note(remark)
        return trained

    def _usable(self, answers: Sequence[str]) -> Sequence[bool]:
        if isinstance(self.task, DemandingTask):
            return self.task.usable(self.config.task, answers)
        return [True] * len(answers)

    def _predictions(self, labels: TextLabels, supervisor: int) -> Predictions:
        """Scores of the best texts; a row without a text is an empty answer, never skipped."""
        for remark in remarks(labels.of(supervisor)):
            self._note(f"Of the test part {remark}")
        answers = labels.answers(supervisor)
        scored = self._scorer(self._test, answers, author=labels.supervisors[supervisor])
        for remark in scored.remarks:
            self._note(remark)
        return Predictions(self._test.ids, answers, scored.scores, weights=scored.weights)

    def _asked(self, rows: Rows) -> list[str]:
        return asked(self.config, rows)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
