"""Choice tasks: votes, targets, students."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from outgrow.combine import Combined, combine
from outgrow.config import ASKED, ExperimentConfig, Named, ServerStrong
from outgrow.errors import ConfigError, DataError
from outgrow.evaluate.accuracy import choice_scores
from outgrow.labels import ChoiceTargets, ChoiceVotes, Predictions, Rows, TextTargets, positions
from outgrow.pipeline.combination import Combination
from outgrow.pipeline.evaluating import chance_of
from outgrow.pipeline.gaps import gap_notes
from outgrow.pipeline.method import ChoiceMethod
from outgrow.pipeline.protocol import MOST_LABELLED, Pipeline
from outgrow.pipeline.served_choices import choice_texts
from outgrow.pipeline.tuning import TunedModels
from outgrow.registry import can
from outgrow.run import Run
from outgrow.supervisors.gold import judged_rows
from outgrow.supervisors.protocol import Asking
from outgrow.supervisors.server import ask_for_choices, check_asked
from outgrow.train.learners import ChoiceLearner, PredictedChoices, choice_learner, train_and_predict
from outgrow.train.targets import gold_targets

_CROSS_ENTROPY = Named(name="cross_entropy")


@dataclass(frozen=True)
class ChoicePipeline(Pipeline):
    """The pipeline of a choice task."""

    config: ExperimentConfig
    """The experiment."""
    rows: Rows
    """All rows of the task."""
    run: Run
    """Store, progress, notes and audits."""
    _votes: dict[int, ChoiceVotes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # What cannot work is refused before anything is computed.
        for index, one in enumerate(self.config.supervisors):
            if not can(one, "vote"):
                raise ConfigError(
                    f"supervisors.{index} cannot vote, which a choice task needs.", found=type(one).__name__
                )
            if can(one, "check"):
                one.check("choice", Asking())
        if isinstance(self.config.strong, ServerStrong):
            check_asked(self.config.strong)
            if self.config.trains_on_gold:
                raise ConfigError(
                    "`gold_only` trains the strong model, and this one is behind a server.",
                    fix="Remove `gold_only`, or take a strong model that runs here.",
                )
        else:
            _ = self._learner
        _ = self._methods

    @property
    def chance(self) -> dict[str, float]:
        """1/K, or the share of the commonest answer in the test part if that is more; nothing without a test part."""
        if not self._evaluated:
            return {}
        return {"accuracy": chance_of(self._test)}

    def supervisors(self, seed: int) -> dict[str, Predictions]:
        """Every supervisor's votes on the test part; an abstention counts as a uniform guess.

        A supervisor without any vote there is left out, with a note.
        """
        votes = self._cast(seed)
        test = votes.take(positions(votes.ids, self._test.ids)).probs
        silent = [name for m, name in enumerate(votes.supervisors) if np.isnan(test[:, m]).all()]
        if silent:
            self.run.note("votes.none_on_test", "caution", supervisors=silent)
        return {name: self._predictions(test[:, m]) for m, name in enumerate(votes.supervisors) if name not in silent}

    @property
    def best_supervisors(self) -> dict[str, str]:
        """The supervisor with the highest accuracy on validation rows, over all seeds."""
        validation = self.rows.part("validation")
        if not len(validation):
            return {}
        accuracy: dict[str, float] = defaultdict(float)
        for seed in self.config.seeds:
            votes = self._cast(seed)
            for m, name in enumerate(votes.supervisors):
                own = votes.probs[positions(votes.ids, validation.ids), m]
                accuracy[name] += float(choice_scores(own, validation.gold_indices()).mean())
        return {"accuracy": max(accuracy, key=accuracy.__getitem__)}

    def combined(self, seed: int) -> dict[str, Predictions]:
        """The votes on the test part, combined by each combiner in use; a row without a usable vote is a guess."""
        votes, validation = self._cast(seed), self.rows.part("validation")
        votes = votes.take(_places(votes, validation, self._test))
        silent = np.isnan(votes.take(positions(votes.ids, self._test.ids)).probs).all(axis=(0, 2))
        if self.run.dry or np.sum(~silent) < 2:
            return {}
        found = {}
        for name, combination in self._combinations.items():
            targets = combination(votes, validation)
            probs = np.full((len(self._test), len(self.rows.choices or ())), np.nan)
            probs[positions(self._test.ids, targets.ids)] = targets.probs
            found[name] = self._predictions(probs)
        return found

    def votes(self) -> Combined:
        """The first seed's votes on validation rows, whose gold is known, and on unlabelled rows; of many a sample."""
        votes, validation, rows = self._cast(self.config.seeds[0]), self.rows.part("validation"), self._unlabelled
        if len(rows) > MOST_LABELLED:
            self.run.note("advice.sampled", sampled=MOST_LABELLED, rows=len(rows))
            rows = rows.take(np.sort(np.random.default_rng(0).choice(len(rows), MOST_LABELLED, replace=False)))
        votes = votes.take(_places(votes, validation, rows))
        gold = np.append(validation.gold_indices(), np.full(len(rows), -1))
        return combine(votes, gold=gold)

    def gold_only(self, seed: int) -> Predictions | None:
        """The strong model trained on the gold part; None without gold rows of two classes."""
        gold, step = self.rows.part("gold"), f"gold only, seed {seed}"
        if len(gold) < 2 or (gold.options is None and len(set(gold.gold)) < 2):
            return None
        found = train_and_predict(
            self._learner,
            gold_targets(gold),
            _CROSS_ENTROPY,
            self._answered,
            self.run,
            seed=seed,
            name=step,
            others=gold,
            student="gold only",
        )
        return self._on_test(*found)

    def base(self) -> Predictions | None:
        """The commonest answer among the gold rows: a fresh head knows no more. A served model is asked instead."""
        if not self._evaluated:
            return None
        if isinstance(self.config.strong, ServerStrong):
            return self._asked(self.config.strong, "strong model", "base")
        gold = self.rows.part("gold")
        if not len(gold):
            return None
        return self._predictions(np.tile(gold.gold_shares(), (len(self._test), 1)))

    def ceiling(self, seed: int) -> Predictions | None:
        """The strong model trained on gold answers of the unlabelled part."""
        if isinstance(self.config.strong, ServerStrong):
            return self._student_of_provider("ceiling", seed)
        targets, step = gold_targets(self._unlabelled), f"ceiling, seed {seed}"
        found = train_and_predict(
            self._learner,
            targets,
            _CROSS_ENTROPY,
            self._answered,
            self.run,
            seed=seed,
            name=step,
            others=self._judged,
            student="ceiling",
        )
        return self._on_test(*found)

    def student(self, method: str, seed: int) -> Predictions | None:
        """The strong model trained by a method of the experiment."""
        if isinstance(self.config.strong, ServerStrong):
            return self._student_of_provider(method, seed)
        targets = self._combined(method, seed)
        return self._on_test(*self._student(method, targets, seed))

    def labelled(self, rows: Rows) -> dict[tuple[str, str], Predictions]:
        """Votes, labels and answers to some unlabelled rows; see `Pipeline.labelled`."""
        seed, votes = self.config.seeds[0], self._cast(self.config.seeds[0])
        cast = votes.probs[positions(votes.ids, rows.ids)]
        found = {("supervisor", name): cast[:, m] for m, name in enumerate(votes.supervisors)}
        for name, way in self._methods.items():
            combined = self._combined(name, seed)
            learned = self._learned(name, combined, seed)
            changed = way.settings.refine is not None or bool(way.chain)
            for role, targets in (("combined", combined), ("refined", learned)) if changed else (("label", learned),):
                known = dict(zip(targets.ids, targets.probs, strict=True))
                silent = np.full(len(self.rows.choices or ()), np.nan)
                found[role, name] = np.stack([known.get(row, silent) for row in rows.ids])
            if not isinstance(self.config.strong, ServerStrong):
                probs = self._student(name, combined, seed).probs
                found["student", name] = probs[positions(self._answered.ids, rows.ids)]
        return {who: Predictions(rows.ids, self._named(rows, probs), {}, probs) for who, probs in found.items()}

    def targets(self, method: str, seed: int) -> TextTargets:
        """The names of choices that a language model may be trained on; see `Pipeline.targets`."""
        strong = self.config.strong
        template = strong.template if isinstance(strong, ServerStrong) else ASKED
        return choice_texts(template, self.distributions(method, seed), self._unlabelled)

    def distributions(self, method: str, seed: int) -> ChoiceTargets:
        """What the student of a method, or the ceiling, learns; see `Pipeline.distributions`."""
        if method == "ceiling":
            return gold_targets(self._unlabelled)
        return self._learned(method, self._combined(method, seed), seed)

    def _student(self, method: str, targets: ChoiceTargets, seed: int) -> PredictedChoices:
        return self._methods[method].student(targets, self._judged, self.run, seed=seed, answered=self._answered)

    def _learned(self, method: str, combined: ChoiceTargets, seed: int) -> ChoiceTargets:
        way, strong = self._methods[method], self.config.strong
        if not isinstance(strong, ServerStrong):
            strong = way.strong(self._judged, self.run, seed=seed)
        return way.learned(combined, self._judged, self.run, seed=seed, strong=strong)

    @cached_property
    def _unlabelled(self) -> Rows:
        return self.rows.part("unlabelled")

    @property
    def _evaluated(self) -> bool:
        return "test" in self.rows.parts

    @cached_property
    def _test(self) -> Rows:
        """The rows that all models answer: without a test part the unlabelled ones, and there are no scores."""
        return self.rows.part("test") if self._evaluated else self._unlabelled

    @cached_property
    def _judged(self) -> Rows:
        return judged_rows(self.rows)

    @cached_property
    def _answered(self) -> Rows:
        """The rows that students answer: the test rows, and the unlabelled ones if they may be shown."""
        return self._judged if len(self._unlabelled) <= MOST_LABELLED else self._test

    @cached_property
    def _learner(self) -> ChoiceLearner:
        return choice_learner(self.config.trained, self.config.trainer)

    @cached_property
    def _methods(self) -> dict[str, ChoiceMethod]:
        return {name: ChoiceMethod.of(name, self.config, self.rows) for name in self.config.methods}

    @cached_property
    def _tuned(self) -> TunedModels:
        ceiling = self.config.ceiling and None not in self._unlabelled.gold
        return TunedModels(self.config, self.targets, ceiling, self.run)

    @cached_property
    def _combinations(self) -> dict[str, Combination]:
        # One for each combiner in use, without class proportions: these are for training rows.
        found: dict[str, Combination] = {}
        for name, way in self._methods.items():
            own = replace(way.combined, every_vote=False, proportions=None, shifted=False)
            if any(own == each for each in found.values()):
                continue
            label = way.settings.combine.name + (", calibrated" if own.calibrate else "")
            found[f"{label} ({name})" if label in found else label] = own
        return found

    def _cast(self, seed: int) -> ChoiceVotes:
        if seed not in self._votes:
            votes = [each.vote(self.rows, self.run, seed=seed) for each in self.config.supervisors]
            self._votes[seed] = self._voting(ChoiceVotes.stack(votes))
        return self._votes[seed]

    def _combined(self, method: str, seed: int) -> ChoiceTargets:
        """The votes on the unlabelled part, combined as a method does; rows without a vote are noted."""
        votes, validation = self._cast(seed), self.rows.part("validation")
        taught_by = votes.take(_places(votes, validation, self._unlabelled))
        targets = self._methods[method].combined(taught_by, validation)
        left_out = len(self._unlabelled) - len(targets.ids)
        if left_out:
            self.run.note("rows.without_vote", "caution", left_out=left_out, rows=len(self._unlabelled))
        return targets

    def _student_of_provider(self, method: str, seed: int) -> Predictions | None:
        tuned = self._tuned(method, seed)
        return None if tuned is None else self._asked(tuned, "fine-tuned model", f"{method}, seed {seed}")

    def _asked(self, model: ServerStrong, role: str, name: str) -> Predictions:
        """The choices that a served model names on the test part; a failed answer counts as a uniform guess."""
        votes = ask_for_choices(model, self._test, self.run, role=role, name=name)
        self.run.add(*(note for note in gap_notes(votes) if note.code == "votes.failed"))
        return self._predictions(votes.probs[:, 0])

    def _on_test(self, probs: NDArray[np.float64], vacuity: NDArray[np.float64] | None = None) -> Predictions:
        """The predictions on the test part, of those on all judged rows."""
        test = positions(self._answered.ids, self._test.ids)
        return self._predictions(probs[test], None if vacuity is None else vacuity[test])

    def _predictions(self, probs: NDArray[np.float64], vacuity: NDArray[np.float64] | None = None) -> Predictions:
        scores = {"accuracy": choice_scores(probs, self._test.gold_indices())} if self._evaluated else {}
        return Predictions(self._test.ids, self._named(self._test, probs), scores, probs, vacuity)

    def _named(self, rows: Rows, probs: NDArray[np.float64]) -> tuple[str, ...]:
        """The names of the most probable choices; empty for an abstention."""
        silent, best = np.any(np.isnan(probs), axis=1).tolist(), probs.argmax(axis=1)
        names = [rows.choices or ()] * len(rows) if rows.options is None else rows.options
        return tuple("" if none else own[place] for none, own, place in zip(silent, names, best, strict=True))

    def _voting(self, votes: ChoiceVotes) -> ChoiceVotes:
        """The votes of supervisors with any vote; missing ones are noted."""
        voting = np.flatnonzero(~np.isnan(votes.probs).all(axis=(0, 2)))
        if not len(voting):
            raise DataError("No supervisor has a vote on the unlabelled and test rows.")
        self.run.add(*gap_notes(votes))
        if len(voting) == len(votes.supervisors):
            return votes
        names = tuple(votes.supervisors[m] for m in voting)
        errors = {key: text for key, text in votes.errors.items() if key[1] in names}
        return ChoiceVotes(votes.ids, names, votes.probs[:, voting], votes.status[:, voting], errors)


def _places(votes: ChoiceVotes, *rows: Rows) -> NDArray[np.intp]:
    return np.concatenate([positions(votes.ids, own.ids) for own in rows])
