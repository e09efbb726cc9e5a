"""The preference stage of text tasks: preference training on a student's own samples, scored by all supervisors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.ranking import Ranking, rank
from outgrow.combine.texts import pool, score_matrices
from outgrow.combine.weights import score_weights
from outgrow.config import Prefer, Strong
from outgrow.errors import ConfigError
from outgrow.labels import Note, PreferencePairs, Rows, TextLabels, with_leading_space
from outgrow.models.specs import LocalModel
from outgrow.run import Run
from outgrow.store import table_hash
from outgrow.supervisors.protocol import Asking
from outgrow.supervisors.texts import write
from outgrow.tasks.preferences import write_preferences
from outgrow.train.preference import PreferenceLearner, check_preference_trainer, preference_objective

Scores = Callable[[Sequence[Sequence[str]]], TextLabels]
"""Token log-probabilities of each row's candidates by all supervisors."""
Usable = Callable[[Sequence[str]], Sequence[bool]]
"""Whether the task can use each of some answers."""
_SAMPLE = 256
"""Pairs on which the change of log-probabilities is measured."""
_FALL = 0.5
"""Mean fall of chosen texts, in nats, from which on a warning is noted."""


@dataclass(frozen=True)
class PreferenceStage:
    """Sample candidates, rank them by the supervisors' scores, and train on the pairs (`prefer:`)."""

    settings: Prefer
    """The section of the experiment file."""
    strong: Strong
    """The strong model's settings."""
    supervisors: tuple[str, ...]
    """Names of the supervisors."""

    def __post_init__(self) -> None:
        objective = preference_objective(self.settings)
        check_preference_trainer(self.settings.trainer)
        if self.settings.weights != "estimated":
            score_weights(self.settings.weights, self.supervisors, ())
        if objective.takes_doubt and len(self.supervisors) < 2:
            raise ConfigError(
                "`epsilon: ensemble` needs supervisors that can disagree.",
                found=f"{len(self.supervisors)} supervisor",
                wanted="two or more, or a number for epsilon",
            )

    def __call__(
        self, student: str, rows: Rows, asking: Asking, score: Scores, usable: Usable, run: Run,
        *, seed: int, name: str,
    ) -> str:  # fmt: skip
        """Return the folder of the student after the stage, or as it was if there is nothing to prefer.

        Args:
            student: The supervised student's folder.
            rows: The unlabelled rows, N of them.
            asking: How rows are asked, greedily; how many texts are drawn is set here.
            score: The supervisors' scores of candidates.
            usable: Whether the task can use answers.
            run: Store, progress and notes.
            seed: Of samples and training.
            name: Name of the stage.
        """
        author = LocalModel(student, "the student", self.strong.batch_size, self.strong.local)
        count, temperature = self.settings.candidates, self.settings.temperature
        prompts = asking.prompts(rows, chats=author.chats)
        drawing = {"temperature": temperature, "beams": 1, "seed": seed} if temperature else {"beams": count}
        options = dataclasses.replace(asking.options, n=count, **drawing)
        written = write(author, rows.ids, prompts, options, run)
        # One text alone makes no pair, and need not be scored.
        candidates = [each if len(each) > 1 else [] for each in pool(written)]
        pairs, notes = self.pairs(rows, prompts, candidates, score(candidates), usable)
        pairs = _with_ends(pairs, _cut(written, options.max_new_tokens))
        run.add(*(dataclasses.replace(note, who=name) for note in notes))
        if not len(pairs):
            run.note("preferences.none", "warning", who=name)
            return student
        _keep(pairs, run)
        learner = PreferenceLearner(
            student,
            self.strong.adapter,
            self.strong.max_length,
            self.settings.trainer,
            self.strong.batch_size,
            local=self.strong.local,
        )
        trained = learner.train(pairs, self.settings, run, seed=seed, name=f"prefer for {name}")
        folder = str(trained.path / "model")
        sample = pairs.take(range(min(len(pairs), _SAMPLE)))
        # What training was referred to, found again.
        mismatched = preference_objective(self.settings).takes_mismatched
        before = learner.reference(pairs, run, name=f"reference for {name}", mismatched=mismatched)
        after = dataclasses.replace(learner, model=folder).reference(sample, run, name=f"shift by {name}")
        run.add(dataclasses.replace(shift_note(before[: len(sample), :2], after), who=name))
        return folder

    def pairs(
        self,
        rows: Rows,
        prompts: Sequence[str],
        candidates: Sequence[Sequence[str]],
        judged: TextLabels,
        usable: Usable,
    ) -> tuple[PreferencePairs, list[Note]]:
        """Return the pairs that the supervisors' scores make of candidates, and notes on them.

        Args:
            rows: N rows.
            prompts: N prompts.
            candidates: The different texts of each row, each with its leading space.
            judged: The same texts, in the same order, with each supervisor's token log-probabilities.
            usable: Whether the task can use answers.
        """
        matrices = score_matrices(judged)
        lambdas = score_weights(self.settings.weights, judged.supervisors, matrices)
        good = [list(usable([text.removeprefix(" ") for text in each])) for each in candidates]
        ranking = rank(
            matrices,
            lambdas,
            good,
            scale=self.settings.scale,
            which=self.settings.pairs,
            margin=self.settings.margin,
        )
        found = ranking.pairs
        pairs = PreferencePairs(
            ids=tuple(rows.ids[one.row] for one in found),
            prompts=tuple(prompts[one.row] for one in found),
            chosen=tuple(candidates[one.row][one.chosen] for one in found),
            rejected=tuple(candidates[one.row][one.rejected] for one in found),
            p_chosen=tuple(one.p_chosen for one in found),
            weights=tuple(one.weight for one in found),
        )
        return pairs, _notes(ranking, len(rows), good, dict(zip(judged.supervisors, lambdas.tolist(), strict=True)))


def _cut(written: TextLabels, most: int) -> set[tuple[str, str]]:
    # Row ids and texts that were cut at their length, rather than ended or stopped.
    return {
        (row, with_leading_space(one).text)
        for row, [cell] in zip(written.ids, written.texts, strict=True)
        for one in cell
        if not one.finished and len(one.logprobs) >= most
    }


def _with_ends(pairs: PreferencePairs, cut: Set[tuple[str, str]]) -> PreferencePairs:
    return dataclasses.replace(
        pairs,
        chosen_ended=tuple(key not in cut for key in zip(pairs.ids, pairs.chosen, strict=True)),
        rejected_ended=tuple(key not in cut for key in zip(pairs.ids, pairs.rejected, strict=True)),
    )


def shift_note(before: NDArray[np.float32], after: NDArray[np.float32]) -> Note:
    """Return how the stage moved the probabilities of its own texts; where both fall, the student unlearns.

    Args:
        before: Log-probabilities of chosen and rejected texts under the student that the stage began with, (N, 2).
        after: The same under the student after it.

    Example:
        >>> note = shift_note(np.array([[-4.0, -5.0]], dtype=np.float32), np.array([[-3.5, -9.0]], dtype=np.float32))
        >>> note.severity, note.values
        ('info', {'chosen': 0.5, 'rejected': -4.0, 'fell': False})
    """
    chosen, rejected = (after - before).astype(np.float64).mean(0).tolist()
    fell = chosen <= -_FALL
    values = {"chosen": chosen, "rejected": rejected, "fell": fell}
    return Note("preferences.shift", "warning" if fell else "info", values=values)


def _notes(ranking: Ranking, rows: int, usable: Sequence[Sequence[bool]], lambdas: Mapping[str, float]) -> list[Note]:
    about: dict[str, Any] = {
        "pairs": len(ranking.pairs),
        "from_rows": len({one.row for one in ranking.pairs}),
        "rows": rows,
        "lambdas": dict(lambdas),
    }
    if ranking.pairs and len(lambdas) > 1:
        about["doubt"] = 1 - float(np.mean([one.p_chosen for one in ranking.pairs]))
    notes = [Note("preferences.pairs", values=about)]
    for reason, count in ranking.without.items():
        notes.append(Note("preferences.without", values={"rows": count, "of": rows, "reason": reason}))
    refused = sum(not one for each in usable for one in each)
    if refused:
        notes.append(Note("preferences.unusable", values={"refused": refused, "of": sum(map(len, usable))}))
    return notes


def _keep(pairs: PreferencePairs, run: Run) -> None:
    # As JSON lines, which other tools read.
    def make(folder: Path) -> None:
        write_preferences(folder / "pairs.jsonl", pairs)

    run.stage("preferences", {"pairs": table_hash(pairs.to_arrow())}, make)
