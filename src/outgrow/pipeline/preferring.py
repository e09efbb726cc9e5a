"""The preference stage of text tasks: a student's own candidates, judged by all supervisors, teach it once more."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.ranking import Ranking, Reason, rank
from outgrow.combine.scores import score_weights
from outgrow.combine.texts import pool, score_matrices
from outgrow.config import Prefer, Strong
from outgrow.errors import ConfigError
from outgrow.labels import PreferencePairs, Rows, TextLabels, with_leading_space
from outgrow.models.protocols import GenerateOptions
from outgrow.pipeline.writing import write
from outgrow.store import table_hash
from outgrow.supervisors.respondents import LocalRespondent
from outgrow.tasks.preferences import write_preferences
from outgrow.train.preference import PreferenceLearner, check_preference_trainer, preference_objective
from outgrow.workspace import Workspace

Judge = Callable[[Sequence[Sequence[str]]], TextLabels]
"""What all supervisors think of each row's candidates."""
Usable = Callable[[Sequence[str]], Sequence[bool]]
"""Whether the task can use each of some answers."""
_SAMPLE = 256
"""Pairs on which it is measured what the stage did to their probabilities."""
_FALL = 0.5
"""Nats by which chosen texts may fall on average before that is called out."""
_WORDS: dict[Reason, str] = {
    "one candidate": "had no two different candidates",
    "unread": "had candidates that no supervisor could read",
    "unusable": "had no candidate that the task can use",
    "tied": "had candidates that are all equally good",
}


@dataclass(frozen=True)
class PreferenceStage:
    """Samples, has them ranked, and trains on the pairs (`prefer:`)."""

    settings: Prefer
    """What the experiment file says."""
    strong: Strong
    """The strong model's settings."""
    supervisors: tuple[str, ...]
    """Names of those who judge."""

    def __post_init__(self) -> None:
        """Refuses what cannot work before anything is computed."""
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
        self,
        student: str,
        rows: Rows,
        prompts: Sequence[str],
        options: GenerateOptions,
        judge: Judge,
        usable: Usable,
        workspace: Workspace,
        *,
        seed: int,
        name: str,
    ) -> tuple[str, list[str]]:
        """The student after the stage, or as it was if there is nothing to prefer, and what a reader should know.

        Args:
            student: The supervised student's folder.
            rows: The unlabelled rows, N of them.
            prompts: What is asked, N of them.
            options: How rows are answered, greedily; how many texts are drawn is set here.
            judge: The supervisors.
            usable: The task's word on answers.
            workspace: Store and reporter.
            seed: Of samples and training.
            name: What the stage is called.
        """
        count, temperature = self.settings.candidates, self.settings.temperature
        drawing = {"temperature": temperature, "beams": 1, "seed": seed} if temperature else {"beams": count}
        options = dataclasses.replace(options, n=count, **drawing)
        author = LocalRespondent(student, "the student", self.strong.batch_size)
        written = write(author, rows.ids, prompts, options, workspace)
        # One text alone is not worth a judgement.
        candidates = [each if len(each) > 1 else [] for each in pool(written)]
        pairs, remarks = self.pairs(rows, prompts, candidates, judge(candidates), usable)
        pairs = _with_ends(pairs, _cut(written, options.max_new_tokens))
        remarks = [f"{name}: {remark}" for remark in remarks]
        if not len(pairs):
            return student, [
                *remarks,
                f"{name}: there is nothing to prefer, so the supervised student stands as it is.",
            ]
        _keep(pairs, workspace)
        learner = PreferenceLearner(
            student, self.strong.adapter, self.strong.max_length, self.settings.trainer, self.strong.batch_size
        )
        trained = learner.train(pairs, self.settings, workspace, seed=seed, name=f"prefer for {name}")
        folder = str(trained.path / "model")
        sample = pairs.take(range(min(len(pairs), _SAMPLE)))
        # What training was referred to, found again.
        mismatched = preference_objective(self.settings).takes_mismatched
        before = learner.reference(pairs, workspace, name=f"reference for {name}", mismatched=mismatched)
        after = dataclasses.replace(learner, model=folder).reference(sample, workspace, name=f"shift by {name}")
        return folder, [*remarks, f"{name}: {shift_remark(before[: len(sample), :2], after)}"]

    def pairs(
        self,
        rows: Rows,
        prompts: Sequence[str],
        candidates: Sequence[Sequence[str]],
        judged: TextLabels,
        usable: Usable,
    ) -> tuple[PreferencePairs, list[str]]:
        """The pairs that the supervisors' scores make of candidates, and what a reader should know of them.

        Args:
            rows: N rows.
            prompts: What is asked, N of them.
            candidates: The different texts of each row, each with its leading space.
            judged: The same texts, in the same order, with each supervisor's token log-probabilities.
            usable: The task's word on answers.
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
        return pairs, _remarks(ranking, len(rows), good, dict(zip(judged.supervisors, lambdas.tolist(), strict=True)))


def _cut(written: TextLabels, most: int) -> set[tuple[str, str]]:
    """Row ids and texts of what was cut at its length, rather than ended or stopped."""
    return {
        (row, with_leading_space(one).text)
        for row, [cell] in zip(written.ids, written.texts, strict=True)
        for one in cell
        if not one.finished and len(one.logprobs) >= most
    }


def _with_ends(pairs: PreferencePairs, cut: Set[tuple[str, str]]) -> PreferencePairs:
    """The pairs, which know what of them is whole."""
    return dataclasses.replace(
        pairs,
        chosen_ended=tuple(key not in cut for key in zip(pairs.ids, pairs.chosen, strict=True)),
        rejected_ended=tuple(key not in cut for key in zip(pairs.ids, pairs.rejected, strict=True)),
    )


def shift_remark(before: NDArray[np.float32], after: NDArray[np.float32]) -> str:
    """What the stage did to the probabilities of its own texts: both can fall, and then the student unlearns.

    Args:
        before: Log-probabilities of chosen and rejected texts under the student that the stage began with, (N, 2).
        after: The same under the one that came of it.

    Example:
        >>> shift_remark(np.array([[-4.0, -5.0]], dtype=np.float32), np.array([[-3.5, -9.0]], dtype=np.float32))
        'the stage moved the log-probability of chosen texts by +0.5, of rejected ones by -4.0.'
    """
    chosen, rejected = (after - before).astype(np.float64).mean(0).tolist()
    told = f"the stage moved the log-probability of chosen texts by {chosen:+.1f}, of rejected ones by {rejected:+.1f}"
    if chosen > -_FALL:
        return f"{told}."
    return f"{told}: chosen texts fell too, and with them what was learnt before; `penalty` (dpo, cdpo) holds them."


def _remarks(ranking: Ranking, rows: int, usable: Sequence[Sequence[bool]], lambdas: Mapping[str, float]) -> list[str]:
    """How many pairs there are and how sure, why rows gave none, and what the task could not use."""
    fruitful = len({one.row for one in ranking.pairs})
    first = f"{len(ranking.pairs)} preference pairs of candidates from {fruitful} of {rows} rows"
    if ranking.pairs and len(lambdas) > 1:
        doubt = 1 - float(np.mean([one.p_chosen for one in ranking.pairs]))
        first += f", each the wrong way round with a probability of {doubt:.2f} on average"
    shown = ", ".join(f"{name} {own:.2f}" for name, own in lambdas.items())
    remarks = [f"{first}; the supervisors' weights are {shown}."]
    remarks += [f"{count} of {rows} rows {_WORDS[reason]}." for reason, count in ranking.without.items()]
    refused = sum(not one for each in usable for one in each)
    if refused:
        total = sum(map(len, usable))
        remarks.append(f"{refused} of {total} candidates are answers that the task cannot use; they rank last.")
    return remarks


def _keep(pairs: PreferencePairs, workspace: Workspace) -> None:
    """Keeps the pairs in the store, as JSON lines that other tools read."""

    def make(folder: Path) -> None:
        write_preferences(folder / "pairs.jsonl", pairs)

    workspace.get("preferences", {"pairs": table_hash(pairs.to_arrow())}, make)
