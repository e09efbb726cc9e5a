"""Supervisors behind a server; in choice tasks their votes are read from their answers."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from outgrow.config import AskedForChoices
from outgrow.labels import ChoiceVotes, Completion, Rows, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel, refusal
from outgrow.models.specs import ServerModel
from outgrow.run import Run
from outgrow.store import content_hash
from outgrow.supervisors.gold import judged_rows, made_up_votes
from outgrow.supervisors.protocol import Asking, Part
from outgrow.supervisors.texts import score, write
from outgrow.templates import check_template, fill


class ServerSupervisor(AskedForChoices):
    """A model behind a server: `{server: http://localhost:8000/v1, model: small-chat}`; more keys as for `Served`.

    In a choice task it is asked for one of the choices by name: once greedily, with the answer's probability where the
    server gives log-probabilities; or `samples` times, the probabilities being shares. It is not trained, so one set of
    answers serves all seeds.
    """

    uses_gold: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """Its name in tables."""
        return self._model.name

    def check(self, task: Literal["choice", "text"], asking: Asking) -> None:
        """Refuse a URL, parameter or template that cannot work; see `Supervisor.check`."""
        if task == "text":
            self._model.load(Path()).check(asking.options)
        else:
            check_asked(self)

    def vote(self, rows: Rows, run: Run, *, seed: int) -> ChoiceVotes:
        """Ask about every row; an answer that names no choice is a failed vote. See `Supervisor.vote`.

        Raises:
            ModelError: As `ServerLanguageModel.generate`; what was answered is kept.
        """
        return ask_for_choices(self, judged_rows(rows), run, role="supervisor", name=self.title)

    def write(self, rows: Rows, part: Part, asking: Asking, run: Run, *, seed: int) -> TextLabels:
        """Generate texts; see `Supervisor.write`."""
        own = rows.part(part)
        return write(self._model, own.ids, asking.prompts(own, chats=self._model.chats), asking.options, run)

    def check_scores(self) -> None:
        """Refuse an API that does not score; see `Supervisor.check_scores`."""
        self._model.load(Path()).check_scores()

    def score(
        self, rows: Rows, part: Part, candidates: Sequence[Sequence[str]], asking: Asking, run: Run, *, seed: int
    ) -> TextLabels:
        """Score texts after the prompts that `write` sends; see `Supervisor.score`."""
        own = rows.part(part)
        return score(self._model, own.ids, asking.prompts(own, chats=self._model.chats), candidates, run)

    @property
    def _model(self) -> ServerModel:
        return ServerModel(self, "supervisor")


def check_asked(config: AskedForChoices) -> None:
    """Raise a ConfigError for a URL, parameter or template that cannot work in a choice task."""
    ServerModel(config, "model").load(Path())
    check_template("template", config.template, needs=("prompt",))


def as_asked(template: str, rows: Rows) -> Rows:
    """Return rows whose prompts are the questions that a language model is asked, with the choices in them."""
    between = ", " if rows.options is None else "\n"  # choices of a row are often sentences
    prompts = (
        fill(template, {"prompt": prompt, "choices": between.join(rows.choices_of(row))})
        for row, prompt in enumerate(rows.prompts)
    )
    return dataclasses.replace(rows, prompts=tuple(prompts))


def choice_options(config: AskedForChoices) -> GenerateOptions:
    """Return how a served model answers with a choice."""
    temperature = 1.0 if config.samples > 1 else 0.0
    return GenerateOptions(config.max_new_tokens, temperature=temperature, n=config.samples, too_long="empty")


def ask_for_choices(config: AskedForChoices, rows: Rows, run: Run, *, role: str, name: str) -> ChoiceVotes:
    """Ask a served model about every row; an answer that names no choice is a failed vote.

    Args:
        config: The model.
        rows: The rows, N of them.
        run: Store, progress and costs.
        role: Its role in notes on cost.
        name: Its name in tables and notes.

    Returns:
        Its votes, shape (N, 1, K); made up in a dry run.

    Raises:
        ModelError: As `ServerLanguageModel.generate`; what was answered is kept.
    """
    choices = [rows.choices_of(row) for row in range(len(rows))]
    prompts, options = as_asked(config.template, rows).prompts, choice_options(config)

    def make(model: LanguageModel, folder: Path) -> ChoiceVotes:
        answers = model.generate(prompts, options)
        if run.dry:
            return made_up_votes(rows, name)
        refusals = [refusal(model, prompt, "") for prompt in prompts]
        return votes_of(rows.ids, name, answers, choices, refusals)

    recipe = {
        "name": name,
        "ids": content_hash(list(rows.ids)),
        "prompts": content_hash(list(prompts)),
        "choices": list(rows.choices or ()) if rows.options is None else content_hash(choices),
        "options": options.to_json(),
    }
    return run.stage("labels", recipe, make, ChoiceVotes, model=ServerModel(config, role, name), step=f"ask {name}")


def votes_of(
    ids: Sequence[str],
    name: str,
    answers: Sequence[Sequence[Completion]],
    choices: Sequence[Sequence[str]],
    refusals: Sequence[str],
) -> ChoiceVotes:
    """Return votes read from answers.

    Args:
        ids: Row ids, N of them.
        name: The supervisor's name.
        answers: What was answered to each row; nothing where the server declined.
        choices: Names of the K choices, for each row.
        refusals: Why the server declined each row, empty where it did not.

    Example:
        >>> said = [[Completion(text, (), (), True)] for text in ("Yes.", "I cannot tell.")]
        >>> votes = votes_of(("a", "b"), "small", said, [("no", "yes")] * 2, ("", ""))
        >>> votes.probs[:, 0].tolist(), votes.errors
        ([[0.0, 1.0], [nan, nan]], {('b', 'small'): "answered 'I cannot tell.'"})
    """
    probs = np.full((len(ids), 1, len(choices[0]) if choices else 0), np.nan)
    status = np.full((len(ids), 1), "failed", dtype=object)
    errors: dict[tuple[str, str], str] = {}
    for n, (said, declined, own) in enumerate(zip(answers, refusals, choices, strict=True)):
        read = [vote for one in said if (vote := read_vote(one, own)) is not None]
        if read:
            status[n], probs[n, 0] = "ok", np.mean(read, axis=0)
        else:
            errors[ids[n], name] = declined or f"answered {said[0].text[:80]!r}"
    return ChoiceVotes(tuple(ids), (name,), probs, status, errors)


def read_vote(answer: Completion, choices: Sequence[str]) -> NDArray[np.float64] | None:
    """Return an answer as probabilities of the K choices; None where it names none of them, or several.

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
    """Return the choice that a text names, in any case and as whole words, and where its first mention ends.

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
