"""Posteriors of a votes table compared with known answers that were not used."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from outgrow.errors import DataError
from outgrow.evaluate.accuracy import choice_scores
from outgrow.evaluate.calibration import confidences, negative_log_likelihoods
from outgrow.evaluate.wording import number_text
from outgrow.pipeline.voting import VotingResult, known_answers
from outgrow.tasks.files import choice_index
from outgrow.tasks.tables import column, read_records


@dataclass(frozen=True)
class Check:
    """Quality of posteriors on tasks with a known answer."""

    tasks: int
    """Tasks with a known answer and a posterior."""
    accuracy: float
    """Share of them whose most probable choice is right; ties count in part."""
    confidence: float
    """Mean probability of the most probable choice; above the accuracy means overconfident."""
    nll: float
    """Mean negative log-likelihood of the right answer, in nats."""

    def text(self) -> str:
        """Return the figures as one sentence.

        Example:
            >>> Check(tasks=800, accuracy=0.9287, confidence=0.9834, nll=0.2751).text()
            'Against 800 known answers: accuracy .929, mean confidence .983, NLL .275.'
        """
        accuracy, confidence, nll = map(number_text, (self.accuracy, self.confidence, self.nll))
        return f"Against {self.tasks:,} known answers: accuracy {accuracy}, mean confidence {confidence}, NLL {nll}."


def check(result: VotingResult, path: str, *, task: str, answer: str) -> Check:
    """Compare posteriors with the known answers of a table, such as the votes table itself.

    Args:
        result: What `combine_table` returned.
        path: A table with a line or more per task.
        task: Its column that says what the answer is to.
        answer: Its column with the answer as a choice's name or index, empty where unknown.

    Raises:
        DataError: A column is missing, an answer is outside the choices or contradicts another one, or none is about a
            task that has a posterior.
    """
    table = read_records(path, mixed=True)
    tasks = column(table, task, where=path, setting="the column of the tasks")
    answers = column(table, answer, where=path, setting="the column to check against")
    known = zip(map(str, tasks), (_index(value, result, path) for value in answers), strict=True)
    gold = known_answers(result.tasks.cast(pa.string()).to_pylist(), known, path)
    checked = (gold >= 0) & result.combined.usable
    if not checked.any():
        raise DataError(f"No task with a posterior has a known answer in the column {answer!r} of {path}.")
    probs, gold = result.combined.probs[checked], result.combined.places(gold)[checked]
    return Check(
        tasks=int(checked.sum()),
        accuracy=float(choice_scores(probs, gold).mean()),
        confidence=float(confidences(probs, gold).mean()),
        nll=float(negative_log_likelihoods(probs, gold).mean()),
    )


def _index(value: object, result: VotingResult, path: str) -> int | None:
    """The choice that a known answer is; of open answers one beyond all choices for one that nobody gave."""
    if result.combined.answers is not None and value not in (None, "") and str(value) not in result.choices:
        return len(result.choices)
    return choice_index(value, result.choices, where=path)
