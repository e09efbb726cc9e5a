"""Supervisors that are regular expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from outgrow.config import Frozen
from outgrow.errors import DataError
from outgrow.labels import ChoiceVotes, Rows
from outgrow.run import Run
from outgrow.supervisors.gold import judged_rows, shared_choices
from outgrow.supervisors.votes import vote_index


class Rule(Frozen):
    """A regular expression, and the label of prompts in which it is found."""

    pattern: str
    """A regular expression of the package `regex` (Python's `re` and more), searched for anywhere in the prompt; `(?i)`
    in front ignores case."""
    label: str | int | bool
    """The choice's name or index; `-1` (unless a choice has that name) withholds the vote."""
    name: str | None = None
    """With `decide: each`: the supervisor's name; by default that of the rules, and its number."""


class RulesSupervisor(Frozen):
    """Regular expressions: `{rules: [{pattern: "(?i)great", label: positive}], name: words}`."""

    uses_gold: ClassVar[bool] = False

    rules: tuple[Rule, ...] = Field(min_length=1)
    """The rules, in order. A prompt in which none is found gets no vote."""
    decide: Literal["first", "vote", "each"] = "first"
    """Where several rules are found: the `first` in the list decides, or every one has a `vote` and the probabilities
    are shares of votes; or `each` rule is a supervisor of its own, so that combiners find out which are right."""
    flags: tuple[Literal["ascii", "dotall", "ignorecase", "multiline", "verbose"], ...] = ()
    """Flags of all patterns."""
    timeout: float = Field(default=1.0, gt=0)
    """Seconds that the search for one pattern in one prompt may take; a pattern that takes longer is an error."""
    name: str = "rules"
    """A name for tables."""

    @model_validator(mode="after")
    def _patterns_compile(self) -> RulesSupervisor:
        self.compiled()
        return self

    def compiled(self) -> tuple[Any, ...]:
        """Return the compiled patterns; one that is no regular expression is a ValueError."""
        import regex

        flags = 0
        for flag in self.flags:
            flags |= getattr(regex, flag.upper())
        patterns = []
        for index, rule in enumerate(self.rules):
            try:
                patterns.append(regex.compile(rule.pattern, flags))
            except regex.error as error:
                raise ValueError(f"the pattern of rule {index}, {rule.pattern!r}, does not compile: {error}") from error
        return tuple(patterns)

    def vote(self, rows: Rows, run: Run, *, seed: int) -> ChoiceVotes:
        """Search the prompts; no match is an abstention. Not kept in the store, as searching again costs less.

        Raises:
            DataError: A label is outside the choices, or a search takes longer than the time allowed.
        """
        config, judged, choices = self, judged_rows(rows), shared_choices(rows, self.name)
        where = f"the rules {config.name}"
        labels = [vote_index(rule.label, choices, where=where) for rule in config.rules]
        patterns = config.compiled()
        found = np.zeros((len(judged), len(patterns)), dtype=bool)
        with run.reporter.step(f"label with {config.name}", total=len(judged)) as step:
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
    """Return the combined vote of several rules on each row.

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
