"""Supervisors of choice tasks behind a server: their votes, read out of what they say."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from outgrow.config import ServerSupervisor
from outgrow.labels import ChoiceVotes, Completion, Rows
from outgrow.models.protocols import GenerateOptions, LanguageModel, refusal
from outgrow.models.server import Rehearsal, check_url
from outgrow.store import Store, content_hash, read_table, write_table
from outgrow.supervisors.gold import judged_rows
from outgrow.supervisors.respondents import ServedRespondent, answered, prices, served_model, server_model
from outgrow.templates import check_template, fill
from outgrow.workspace import Workspace


@dataclass(frozen=True)
class ServerLabeller:
    """`{server: http://localhost:8000/v1, model: small-chat}` in a choice task: asked for one of the choices by name.

    Greedily once, with the answer's probability where the server gives log-probabilities; or `samples` times, the
    probabilities being shares. The model is not trained, so its votes are drawn once for all seeds.
    """

    config: ServerSupervisor
    """The line of the experiment file."""

    def __post_init__(self) -> None:
        check_url(self.config.server)
        served_model(self.config)
        check_template("template", self.config.template, needs=("prompt",))

    @property
    def name(self) -> str:
        """The name in tables."""
        return self._respondent.name

    @property
    def options(self) -> GenerateOptions:
        """How it answers."""
        config = self.config
        sampled = config.samples > 1
        return GenerateOptions(
            config.max_new_tokens, temperature=1.0 if sampled else 0.0, n=config.samples, too_long="empty"
        )

    def prompts(self, rows: Rows) -> list[str]:
        """What it is asked about each row."""
        choices = ", ".join(rows.choices or ())
        return [fill(self.config.template, {"prompt": prompt, "choices": choices}) for prompt in rows.prompts]

    def label(self, rows: Rows, workspace: Workspace, *, seed: int) -> ChoiceVotes:
        """Asks about the validation, unlabelled and test parts; an answer that names no choice is a failed vote.

        Raises:
            ModelError: As `ServerLanguageModel.generate`; what was answered is kept.
        """
        judged, name = judged_rows(rows), self.name
        prompts, choices, options = self.prompts(judged), judged.choices or (), self.options

        def make(model: LanguageModel, folder: Path) -> None:
            answers = model.generate(prompts, options)
            refusals = [refusal(model, prompt, "") for prompt in prompts]
            write_table(folder / "votes.parquet", votes_of(judged.ids, name, answers, choices, refusals).to_arrow())

        recipe = {
            "name": name,
            "ids": content_hash(list(judged.ids)),
            "prompts": content_hash(prompts),
            "choices": list(choices),
            "options": options.to_json(),
        }
        found = answered(self._respondent, "labels", recipe, workspace, make, step=f"ask {name}")
        return ChoiceVotes.from_arrow(read_table(found / "votes.parquet"))

    def estimate(self, rows: Rows, store: Store) -> str:
        """What asking would cost, in words; nothing is sent."""
        model = Rehearsal(server_model(self.config, store))
        model.generate(self.prompts(judged_rows(rows)), self.options)
        return f"{self._respondent.who}: {model.estimate.text(prices(self.config))}"

    @property
    def _respondent(self) -> ServedRespondent:
        return ServedRespondent(self.config, "supervisor")


def votes_of(
    ids: Sequence[str],
    name: str,
    answers: Sequence[Sequence[Completion]],
    choices: Sequence[str],
    refusals: Sequence[str],
) -> ChoiceVotes:
    """Votes from answers in words.

    Args:
        ids: Row ids, N of them.
        name: The supervisor's name.
        answers: What was answered to each row; nothing where the server declined.
        choices: Names of the K choices.
        refusals: Why the server declined each row, empty where it did not.

    Example:
        >>> said = [[Completion(text, (), (), True)] for text in ("Yes.", "I cannot tell.")]
        >>> votes = votes_of(("a", "b"), "small", said, ("no", "yes"), ("", ""))
        >>> votes.probs[:, 0].tolist(), votes.errors
        ([[0.0, 1.0], [nan, nan]], {('b', 'small'): "answered 'I cannot tell.'"})
    """
    probs = np.full((len(ids), 1, len(choices)), np.nan)
    status = np.full((len(ids), 1), "failed", dtype=object)
    errors: dict[tuple[str, str], str] = {}
    for n, (said, declined) in enumerate(zip(answers, refusals, strict=True)):
        read = [vote for one in said if (vote := read_vote(one, choices)) is not None]
        if read:
            status[n], probs[n, 0] = "ok", np.mean(read, axis=0)
        else:
            errors[ids[n], name] = declined or f"answered {said[0].text[:80]!r}"
    return ChoiceVotes(tuple(ids), (name,), probs, status, errors)


def read_vote(answer: Completion, choices: Sequence[str]) -> NDArray[np.float64] | None:
    """An answer in words as probabilities of the K choices; None where it names none of them, or several.

    With log-probabilities, the choice that it names gets the probability of the answer up to there, but at least 1/K
    (other wordings of it are not known); the others share the rest alike. Without, it gets all. Reconstruction: ours.

    Example:
        >>> answer = Completion("Yes.", (math.log(0.8), -0.1), ((0, 3), (3, 4)), finished=True)
        >>> read_vote(answer, ("no", "yes")).round(3).tolist()
        [0.2, 0.8]
    """
    place = find_choice(answer.text, choices)
    if place is None:
        return None
    index, end = place
    known = [logprob for logprob, (start, _) in zip(answer.logprobs, answer.offsets, strict=True) if start < end]
    sure = max(math.exp(sum(known)), 1 / len(choices))
    vote = np.full(len(choices), (1 - sure) / (len(choices) - 1))
    vote[index] = sure
    return vote


def find_choice(text: str, choices: Sequence[str]) -> tuple[int, int] | None:
    """Which choice a text names, in any case and as whole words, and where its first mention ends.

    A name inside a longer one counts for the longer one only.

    Example:
        >>> find_choice("It is not good.", ["good", "not good"]), find_choice("good or bad?", ["good", "bad"])
        ((1, 14), None)
    """
    longest_first = sorted(range(len(choices)), key=lambda index: -len(choices[index]))
    names = "|".join(f"({re.escape(choices[index].strip())})" for index in longest_first)
    mentions = list(re.finditer(rf"(?<!\w)(?:{names})(?!\w)", text, re.IGNORECASE))
    named = {longest_first[mention.lastindex - 1] for mention in mentions if mention.lastindex}
    return (named.pop(), mentions[0].end()) if len(named) == 1 else None
