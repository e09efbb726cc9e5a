"""Supervisors that are regular expressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.config import RulesSupervisor
from outgrow.errors import DataError
from outgrow.labels import ChoiceVotes, Rows
from outgrow.supervisors.gold import judged_rows
from outgrow.supervisors.votes import vote_index
from outgrow.workspace import Workspace


@dataclass(frozen=True)
class RulesLabeller:
    """`{rules: [{pattern: great, label: positive}]}`.

    Its votes are computed anew in every run: that costs less than to look after them in the store.
    """

    config: RulesSupervisor
    """The line of the experiment file."""

    def label(self, rows: Rows, workspace: Workspace, *, seed: int) -> ChoiceVotes:
        """Searches the prompts of the unlabelled and the test part; no match is an abstention.

        Raises:
            DataError: A label is outside the choices, or a search takes longer than the time allowed.
        """
        config, judged, choices = self.config, judged_rows(rows), rows.choices or ()
        where = f"the rules {config.name}"
        labels = [vote_index(rule.label, choices, where=where) for rule in config.rules]
        patterns = config.compiled()
        found = np.zeros((len(judged), len(patterns)), dtype=bool)
        with workspace.reporter.step(f"label with {config.name}", total=len(judged)) as step:
            for n, prompt in enumerate(judged.prompts):
                found[n] = [_occurs(pattern, prompt, judged.ids[n], config) for pattern in patterns]
                step.advance()
        if config.decide == "each":
            votes = [decide(found[:, [r]], [label], classes=len(choices)) for r, label in enumerate(labels)]
            names = tuple(rule.name or f"{config.name} {r}" for r, rule in enumerate(config.rules, start=1))
            return ChoiceVotes(judged.ids, names, np.stack(votes, axis=1))
        probs = decide(found, labels, classes=len(choices), first=config.decide == "first")
        return ChoiceVotes(judged.ids, (config.name,), probs[:, None, :])


def decide(
    found: NDArray[np.bool_], labels: Sequence[int | None], *, classes: int, first: bool = True
) -> NDArray[np.float64]:
    """What rules say together of each row.

    Args:
        found: Which of R rules were found in which of N rows, shape (N, R).
        labels: The choice of each rule; None for a rule that withholds the vote.
        classes: K.
        first: Whether the first rule found decides alone; else every rule found that has a choice votes for it.

    Returns:
        Probabilities of shape (N, K), NaN where there is no vote.

    Example:
        >>> found = np.array([[True, True, False], [False, True, True], [False, False, False]])
        >>> decide(found, [0, 1, 1], classes=2).tolist()
        [[1.0, 0.0], [0.0, 1.0], [nan, nan]]
        >>> decide(found, [0, 1, 1], classes=2, first=False).tolist()
        [[0.5, 0.5], [0.0, 1.0], [nan, nan]]
    """
    counted = found & (np.cumsum(found, axis=1) == 1) if first else found
    choice_of = np.zeros((len(labels), classes))
    for rule, label in enumerate(labels):
        if label is not None:
            choice_of[rule, label] = 1.0
    counts = counted.astype(np.float64) @ choice_of
    total = counts.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    return shares


def _occurs(pattern: Any, prompt: str, row: str, config: RulesSupervisor) -> bool:
    try:
        return pattern.search(prompt, timeout=config.timeout) is not None
    except TimeoutError as error:
        raise DataError(
            f"The pattern {pattern.pattern!r} of the rules {config.name} takes too long.",
            found=f"more than {config.timeout:g} s on row {row}, which has {len(prompt):,} characters",
            wanted="a pattern whose repetitions do not nest, as those in (a+)+ do",
            fix="Rewrite it, or raise the supervisor's timeout.",
        ) from error
