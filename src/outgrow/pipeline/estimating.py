"""What asking servers would cost in a text experiment: it is played through, and nobody is asked.

Served models answer from the cache, and else make something up that is as long as it may be; so do models that run here
where the store does not know their answers yet. What is counted is therefore the most that will be asked, but for
failures and for ratings that a judge has to be asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from outgrow.config import ExperimentConfig, Named, ServerJudge, ServerStrong
from outgrow.evaluate.judge import Rubric
from outgrow.labels import Rows, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel
from outgrow.models.server import Rehearsal, Stranger
from outgrow.pipeline.auditing import SAMPLE, sampled, voices
from outgrow.pipeline.judge_check import trials
from outgrow.pipeline.judging import sampling
from outgrow.pipeline.protocol import Pipeline
from outgrow.pipeline.refining import make_refiner, refined
from outgrow.pipeline.scoring import Scorer
from outgrow.pipeline.served import strong_respondent, tuned_model
from outgrow.pipeline.text_supervisors import TextSupervisors, answering, asked, labelling
from outgrow.pipeline.writing import texts_of, write
from outgrow.refine.refinement import weak_texts
from outgrow.supervisors.respondents import Respondent, ServedRespondent, prices, server_model
from outgrow.tasks import RatedTask, TextTask
from outgrow.workspace import FinishedWork, NotMadeError


@dataclass(frozen=True)
class TextEstimate:
    """Counts what the servers of an experiment would be asked."""

    config: ExperimentConfig
    """The experiment."""
    task: TextTask
    """Scores the answers, perhaps with judges."""
    rows: Rows
    """All rows of the task."""
    known: Pipeline
    """The experiment's pipeline in the same workspace."""
    workspace: FinishedWork
    """Where what is known already is found."""
    _parties: dict[str, tuple[ServedRespondent, Rehearsal]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What each server would be asked, a line for each model, and what it would all cost."""
        test = self.rows.part("test")
        self._try_judges(test)
        base = self._base(test)
        self._rate(test, base.answers())
        for seed in self.config.seeds:
            weak = self._labels(test, answering(self.config), seed)
            for place in range(len(weak.supervisors)):
                self._rate(test, weak.answers(place))
            refines = [method.refine for method in self.config.methods.values() if method.refine is not None]
            if refines or not isinstance(self.config.strong, ServerStrong):
                labels = self._labels(self._unlabelled, labelling(self.config, seed), seed)
                for refine in refines:
                    self._refine(refine, labels, seed)
            for method in self.config.methods:
                self._student(method, test, seed)
            if self.config.ceiling and None not in self._unlabelled.gold:
                self._student("ceiling", test, seed)
        return self._lines()

    @cached_property
    def _unlabelled(self) -> Rows:
        return self.rows.part("unlabelled")

    @cached_property
    def _supervisors(self) -> TextSupervisors:
        return TextSupervisors(self.config, self.rows, self.workspace)

    def _lines(self) -> list[str]:
        found, money = [], []
        for who, (respondent, model) in self._parties.items():
            price = prices(respondent.config)
            found.append(f"{who}: {model.estimate.text(price)}")
            if price is not None:
                money.append(price.of(model.estimate.prompt_tokens, model.estimate.completion_tokens))
        return [*found, f"all servers with prices together: at most about {sum(money):.4g}"] if money[1:] else found

    def _model(self, respondent: ServedRespondent) -> LanguageModel:
        who = respondent.who
        if who not in self._parties:
            self._parties[who] = respondent, Rehearsal(server_model(respondent.config, self.workspace.store))
        return self._parties[who][1]

    def _texts(self, author: Respondent, rows: Rows, options: GenerateOptions) -> TextLabels:
        """What somebody writes, would be asked for, or might."""
        prompts = asked(self.config, rows)
        if isinstance(author, ServedRespondent):
            return texts_of(self._model(author), author.name, rows.ids, prompts, options)
        try:
            return write(author, rows.ids, prompts, options, self.workspace)
        except NotMadeError:
            return self._made_up(rows, author.name, options)

    def _labels(self, rows: Rows, options: GenerateOptions, seed: int) -> TextLabels:
        """What all supervisors write."""
        written = []
        for each, name in zip(self._supervisors.models, self._supervisors.names, strict=True):
            try:
                written.append(self._texts(self._supervisors.respondent(each, seed), rows, options))
            except NotMadeError:  # it has yet to be trained
                written.append(self._made_up(rows, f"{name}, seed {seed}", options))
        return TextLabels.stack(written)

    def _base(self, rows: Rows) -> TextLabels:
        return self._texts(strong_respondent(self.config.strong, "base"), rows, answering(self.config))

    def _refine(self, refine: Named, labels: TextLabels, seed: int) -> None:
        """A refinement and its audit."""
        strong = strong_respondent(self.config.strong, "base")
        refiner = make_refiner(refine, {"query": self.config.generate.template})
        rows, options = self._unlabelled, answering(self.config)
        if isinstance(strong, ServedRespondent):
            texts = refiner(rows, labels, self._model(strong), options=options, seed=seed).texts()
        else:
            try:
                found = refined(refiner, strong, rows, labels, options, self.workspace, seed=seed, name="")
                texts = found.texts()
            except NotMadeError:
                texts = list(self._made_up(rows, f"refined, seed {seed}", options).answers())
        picked = sampled(len(rows), SAMPLE)
        sample = rows.take(picked)
        base = self._base(sample).answers()
        if None not in sample.gold or Scorer(self.config, self.task, self.workspace).needs_no_gold:
            weak = weak_texts(rows, labels)
            spoken = [weak[row] for row in picked], len(labels.supervisors), base, [texts[row] or "" for row in picked]
            for answers in voices(*spoken).values():
                self._rate(sample, answers)

    def _student(self, method: str, test: Rows, seed: int) -> None:
        """A student's answers and their ratings; what runs here is asked for the sake of its judges only."""
        strong = self.config.strong
        if isinstance(strong, ServerStrong):
            tuned = tuned_model(strong, method, self.config.seeds.index(seed))
            if tuned is not None:
                author = ServedRespondent(tuned, "fine-tuned model", f"{method}, seed {seed}")
                self._rate(test, self._texts(author, test, answering(self.config)).answers())
            return
        if not self._judges:
            return
        try:
            _ = self.known.ceiling(seed) if method == "ceiling" else self.known.student(method, seed)
        except NotMadeError:
            self._rate(test, self._made_up(test, f"{method}, seed {seed}", answering(self.config)).answers())

    def _made_up(self, rows: Rows, name: str, options: GenerateOptions) -> TextLabels:
        return texts_of(Stranger(name), name, rows.ids, asked(self.config, rows), options)

    @property
    def _judges(self) -> list[ServerJudge]:
        return [judge for judge in self.config.judge if isinstance(judge, ServerJudge)]

    def _try_judges(self, rows: Rows) -> None:
        if isinstance(self.task, RatedTask) and self._judges:
            rubric = next(iter(self.task.rubrics(self.config.task).values()))
            for items in trials(self.task, self.config.task, rows).values():
                self._judge(rubric, items)

    def _rate(self, rows: Rows, answers: Sequence[str]) -> None:
        if isinstance(self.task, RatedTask):
            for rubric in self.task.rubrics(self.config.task).values():
                self._judge(rubric, self.task.items(self.config.task, rows, answers))

    def _judge(self, rubric: Rubric, items: Sequence[Mapping[str, str]]) -> None:
        for judge in self._judges:
            model = self._model(ServedRespondent(judge, "judge"))
            model.generate([rubric.prompt(item) for item in items], sampling(judge))
