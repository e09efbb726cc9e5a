"""Votes made elsewhere: tables with the votes of people, rules or other systems."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import model_validator

from outgrow.config import Frozen
from outgrow.errors import DataError, visible
from outgrow.labels import ChoiceVotes, Rows
from outgrow.supervisors.exports import read_votes
from outgrow.supervisors.gold import judged_rows
from outgrow.tasks.files import choice_index, option_index
from outgrow.tasks.tables import check_column, column

if TYPE_CHECKING:
    from outgrow.run import Run

Distribution = list[float]

ABSTENTION = "-1"
"""The label that says “no vote” in tables of weak supervision, unless a choice has that name."""
_ABSTENTIONS = (ABSTENTION, -1)
_CHOICE = "{choice}"
"""In a pattern of columns: the choice that a column is about."""


def vote_index(
    value: object,
    choices: Sequence[str],
    own: Sequence[str] | None = None,
    *,
    abstain: Sequence[str] = (),
    where: str,
) -> int | None:
    """Return the index of the choice that a vote names; None for an abstention.

    Args:
        value: A choice's name or index; None, an empty text, `-1` (unless a choice has that name) and what `abstain`
            lists are abstentions.
        choices: Names of the K choices; letters where every row has its own.
        own: Texts of the row's own choices.
        abstain: Further labels that are abstentions, even if a choice has that name.
        where: What to call the source in an error.

    Raises:
        DataError: It is none of these.

    Example:
        >>> [vote_index(value, ("no", "yes"), abstain=["?"], where="votes.csv") for value in ("yes", 0, -1, "?", None)]
        [1, 0, None, None, None]
        >>> vote_index(-1, ("-1", "1"), where="votes.csv")
        0
    """
    if str(value) in abstain or (value in _ABSTENTIONS and ABSTENTION not in (own or choices)):
        return None
    if own is not None:
        return option_index(value, own, choices, where=where)
    return choice_index(value, choices, where=where)


def keys_of(rows: Rows, key: Literal["id", "prompt"]) -> Sequence[str]:
    """Return what a table names rows by: their ids or their prompts."""
    return rows.ids if key == "id" else rows.prompts


def check_known(keys: Sequence[str], known: Collection[str], where: str, *, task: str, key: str, of: str) -> None:
    """Check that a table is about some of the rows.

    Args:
        keys: Ids or prompts of the rows to be labelled.
        known: Those in the table.
        where: The table's path.
        task: Its column of them.
        key: `id` or `prompt`.
        of: The section of the supervisor, `votes` or `texts`.

    Raises:
        DataError: It is about none of them.
    """
    if not any(one in known for one in keys):
        raise DataError(
            f"None of the rows to judge occurs in {where}.",
            found=f"{task}={next(iter(known), None)!r}",
            wanted=f"{key}s such as {keys[0]!r}" if keys else "rows to judge",
            fix=f"Set task (the column) and key (`id` or `prompt`) of the {of}, or task.columns.id of the rows.",
        )


class VotesSupervisor(Frozen):
    """Votes made elsewhere: `{votes: votes.csv}`.

    The table is long (`task, worker, label`) or wide (columns of answers or probabilities).
    """

    uses_gold: ClassVar[bool] = False

    votes: str
    """A jsonl, csv, tsv, parquet or xlsx file; or a JSON export of Label Studio or Argilla, see `read_votes`."""
    task: str = "task"
    """The column that says which row a vote is about."""
    key: Literal["id", "prompt"] = "id"
    """What that column holds: row ids or prompts."""
    worker: str = "worker"
    """Long tables: the column with the voter's name; every voter is one supervisor."""
    label: str = "label"
    """Long tables: the column with the choice's name or index, of an export the question; empty or `-1` (unless a
    choice has that name) is an abstention."""
    answers: str | dict[str, str] | None = None
    """Wide tables of choices: a pattern such as `pred.*` (the star is the supervisor's name), or name → column. Fields
    of nested objects are columns with dotted names."""
    abstain: tuple[str, ...] = ()
    """Further labels that are abstentions, such as `[invalid]`."""
    probabilities: str | dict[str, str | tuple[str, ...]] | None = None
    """Wide tables: a pattern such as `p_true_*` (the star is the supervisor's name) or, with a column per choice,
    `p_*_{choice}`; or name → column(s). One column is the probability of the last of two choices; several are those of
    all choices, in their order."""
    name: str | None = None
    """A prefix for the supervisors' names."""

    @model_validator(mode="after")
    def _one_shape(self) -> VotesSupervisor:
        if self.answers is not None and self.probabilities is not None:
            raise ValueError("a wide table holds answers or probabilities, not both")
        return self

    def vote(self, rows: Rows, run: Run, *, seed: int) -> ChoiceVotes:
        """Return the table's votes; a row it does not know is `missing`. See `Supervisor.vote`.

        Several votes of one supervisor on one row are averaged.

        Raises:
            DataError: A column is missing, a label is outside the choices, a probability is NaN or out of range, or
                none of the rows occurs in the table.
        """
        judged = judged_rows(rows)
        keys = keys_of(judged, self.key)
        own = None if judged.options is None else dict(zip(keys, judged.options, strict=True))
        return self.read(judged.ids, keys, rows.choices or (), own)

    def read(
        self,
        ids: Sequence[str],
        keys: Sequence[str],
        choices: tuple[str, ...],
        own: Mapping[str, tuple[str, ...]] | None = None,
    ) -> ChoiceVotes:
        """Return the table's votes on N rows, found by their `keys`; see `vote`.

        With `own`, which holds the texts of each row's choices by key, `choices` are letters. Votes on other rows are
        then skipped.
        """
        table = self.long_table(read_votes(self.votes, self.label))
        votes = self._wide(table, choices) if self.probabilities is not None else self._long(table, choices, own)
        known = {task for given in votes.values() for task in given}
        check_known(keys, known, self.votes, task=self.task, key=self.key, of="votes")
        return self._fill(votes, ids, keys, classes=len(choices))

    def _fill(
        self,
        votes: Mapping[str, Mapping[str, list[Distribution | None]]],
        ids: Sequence[str],
        keys: Sequence[str],
        *,
        classes: int,
    ) -> ChoiceVotes:
        probs = np.full((len(ids), len(votes), classes), np.nan)
        status = np.full((len(ids), len(votes)), "missing", dtype=object)
        for m, given in enumerate(votes.values()):
            for n, key in enumerate(keys):
                if key in given:
                    cast = [vote for vote in given[key] if vote is not None]
                    status[n, m] = "ok" if cast else "abstained"
                    if cast:
                        probs[n, m] = np.mean(cast, axis=0)
        prefix = f"{self.name} " if self.name else ""
        return ChoiceVotes(ids, tuple(visible(prefix + name) for name in votes), probs, status)

    def _long(
        self, table: pa.Table, choices: tuple[str, ...], own: Mapping[str, tuple[str, ...]] | None
    ) -> dict[str, dict[str, list[Distribution | None]]]:
        tasks, workers, labels = (
            column(table, getattr(self, name), where=self.votes, setting=f"{name} of the votes")
            for name in ("task", "worker", "label")
        )
        identity = np.eye(len(choices)).tolist()
        votes: dict[str, dict[str, list[Distribution | None]]] = defaultdict(lambda: defaultdict(list))
        for task, worker, label in zip(tasks, workers, labels, strict=True):
            if own is not None and str(task) not in own:
                continue
            texts = None if own is None else own[str(task)]
            index = vote_index(label, choices, texts, abstain=self.abstain, where=self.votes)
            votes[str(worker)][str(task)].append(None if index is None else identity[index])
        return dict(sorted(votes.items()))

    def _wide(self, table: pa.Table, choices: tuple[str, ...]) -> dict[str, dict[str, list[Distribution | None]]]:
        where = self.votes
        tasks = [str(task) for task in column(table, self.task, where=where, setting="task of the votes")]
        votes: dict[str, dict[str, list[Distribution | None]]] = {}
        for name, columns in self.columns(table, choices).items():
            setting = "probabilities of the votes"
            values = zip(*(column(table, each, where=where, setting=setting) for each in columns), strict=True)
            given: dict[str, list[Distribution | None]] = defaultdict(list)
            for task, row in zip(tasks, values, strict=True):
                given[task].append(self._distribution(row, name, classes=len(choices)))
            votes[name] = given
        return votes

    def long_table(self, table: pa.Table, *, keep: Sequence[str] = ()) -> pa.Table:
        """Return the table with one vote per line: wide answers are stacked, supervisor by supervisor; others stay.

        Args:
            table: A votes table as it was read.
            keep: Further columns of a wide table that are wanted.

        Raises:
            DataError: A column is missing.
        """
        if self.answers is None:
            return table
        for name in (self.task, *keep):
            check_column(table, name, where=self.votes, setting="the columns of the votes")
        stacked = []
        for name, (answers,) in self.columns(table).items():
            check_column(table, answers, where=self.votes, setting="answers of the votes")
            given = {other: table[other] for other in (self.task, *keep)}
            given[self.worker] = pa.repeat(name, table.num_rows)
            # All as text: a system that always answers true or false stands beside one that is sometimes silent.
            try:
                given[self.label] = pc.cast(table[answers], pa.string())
            except pa.ArrowException as error:  # a list, or bytes that are no text
                found = f"{answers}: {table.schema.field(answers).type}"
                raise DataError(f"A column of {self.votes} holds no answers.", found=found) from error
            stacked.append(pa.table(given))
        return pa.concat_tables(stacked)

    def choices_of(self, table: pa.Table) -> tuple[str, ...]:
        """Return the choices that the columns of a wide table name, in their order; none without `{choice}`."""
        return tuple(dict.fromkeys(choice for _, choice in self._by_choice(table).values()))

    def _by_choice(self, table: pa.Table) -> dict[str, tuple[str, str]]:
        """Supervisor and choice of each column that a pattern with `{choice}` matches."""
        if not isinstance(self.probabilities, str) or _CHOICE not in self.probabilities:
            return {}
        pattern = re.escape(self.probabilities).replace(re.escape(_CHOICE), "(?P<choice>.+)")
        pattern = pattern.replace(re.escape("*"), "(?P<name>.+)", 1)
        found = {name: re.fullmatch(pattern, name) for name in table.column_names}
        return {name: (match["name"], match["choice"]) for name, match in found.items() if match}

    def columns(self, table: pa.Table, choices: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
        """Return the columns of each supervisor of a wide table, one per choice in the order of `choices`.

        Raises:
            DataError: No column matches, or a supervisor has none for one of the choices.
        """
        pattern = self.answers if self.probabilities is None else self.probabilities
        if isinstance(pattern, dict):
            return {name: (names,) if isinstance(names, str) else names for name, names in pattern.items()}
        if by_choice := self._by_choice(table):
            place = {pair: name for name, pair in by_choice.items()}
            wanted = choices or self.choices_of(table)
            people = dict.fromkeys(name for name, _ in by_choice.values())
            missing = [f"{name}: {choice}" for name in people for choice in wanted if (name, choice) not in place]
            if missing or len(place) != len(people) * len(wanted):
                raise DataError(
                    f"The columns of {self.votes} that match {pattern!r} are not one per supervisor and choice.",
                    found=f"none for {', '.join(missing[:5])}" if missing else ", ".join(list(by_choice)[:8]),
                    wanted=f"the choices {', '.join(wanted)}",
                )
            return {name: tuple(place[name, choice] for choice in wanted) for name in people}
        before, star, after = (pattern or "").partition("*")
        matching = [
            name for name in table.column_names if name.startswith(before) and name.endswith(after) and name != before
        ]
        if not star or not matching:
            raise DataError(
                f"No column of {self.votes} matches the pattern {pattern!r}.",
                found=", ".join(table.column_names),
                wanted="a pattern with one star for the supervisor's name, such as p_true_*",
            )
        return {name[len(before) : len(name) - len(after)]: (name,) for name in matching}

    def _distribution(self, values: Sequence[Any], name: str, *, classes: int) -> Distribution | None:
        if any(value is None for value in values):
            return None
        if any(not isinstance(value, int | float) or math.isnan(value) for value in values):
            raise DataError(
                f"A probability of {name} in {self.votes} is not a number.",
                found=str(list(values)),
                wanted="numbers from 0 to 1; an empty cell is an abstention",
            )
        if len(values) == 1 and classes == 2 and 0 <= values[0] <= 1:
            return [1 - values[0], float(values[0])]
        if len(values) != classes or min(values) < 0 or not math.isclose(sum(values), 1, abs_tol=1e-3):
            raise DataError(
                f"The probabilities of {name} in {self.votes} are no distribution over {classes} choices.",
                found=str(list(values)),
                wanted="one column with P(last choice) for two choices, or one column per choice, summing to one",
            )
        return [float(value) / sum(values) for value in values]
