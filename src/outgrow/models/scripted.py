"""A language model with given answers, for tests and tutorials."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from outgrow.errors import ModelError
from outgrow.labels import Completion
from outgrow.models.protocols import GenerateOptions, TooLong

EXPECTED, SURPRISING = -0.1, -4.0
"""Log-probability of a word that equals the script's word at its position, and of any other."""


@dataclass(frozen=True)
class ScriptedLanguageModel:
    """Returns scripted answers; a token is a word with the space before it.

    Words of the script have log-probability `EXPECTED`, words of other texts that differ from it `SURPRISING`. All
    samples of a prompt are the same.

    Example:
        >>> model = ScriptedLanguageModel({"Capital of France?": " It is Paris."})
        >>> model.generate(["Capital of France?"], GenerateOptions())[0][0].text
        ' It is Paris.'
        >>> model.logprobs([("Capital of France?", " It is Rome.")])[0].logprobs
        (-0.1, -0.1, -4.0)
    """

    answers: Mapping[str, str] | Callable[[str], str]
    """Prompt → answer, as a table or as a function."""
    name: str = "scripted"
    """A short name for tables and records."""

    def generate(self, prompts: Sequence[str], options: GenerateOptions) -> list[list[Completion]]:
        """Return `options.n` equal completions per prompt; a ModelError if the script has no answer to one."""
        return [[self._answer(prompt, options)] * options.n for prompt in prompts]

    def logprobs(
        self, pairs: Sequence[tuple[str, str]], *, end: bool = False, too_long: TooLong = "error"
    ) -> list[Completion]:
        """Score continuations against the script; a ModelError if it has no answer to a prompt."""
        return [self._score(prompt, continuation, end) for prompt, continuation in pairs]

    def _answer(self, prompt: str, options: GenerateOptions) -> Completion:
        script = self._script(prompt)
        end = min((place for place in (script.find(one) for one in options.stop) if place >= 0), default=len(script))
        spans = _words(script[:end])[: options.max_new_tokens]
        text = script[: spans[-1][1]] if spans else ""
        finished = text == script and len(spans) < options.max_new_tokens
        spans += [(len(text), len(text))] * finished
        return Completion(text, (EXPECTED,) * len(spans), tuple(spans), finished)

    def _score(self, prompt: str, continuation: str, end: bool) -> Completion:
        script = self._script(prompt)
        expected = [script[start:stop] for start, stop in _words(script)]
        spans = _words(continuation)
        words = [continuation[start:stop] for start, stop in spans]
        right = [expected[place : place + 1] == [word] for place, word in enumerate(words)]
        if end:
            right.append(len(words) >= len(expected))
            spans.append((len(continuation), len(continuation)))
        logprobs = tuple(EXPECTED if each else SURPRISING for each in right)
        return Completion(continuation, logprobs, tuple(spans), finished=end)

    def _script(self, prompt: str) -> str:
        if callable(self.answers):
            return self.answers(prompt)
        if prompt not in self.answers:
            raise ModelError(
                f"{self.name} has no answer to a prompt.",
                found=repr(prompt[-200:]),
                wanted=f"one of its {len(self.answers)} prompts",
                fix="Add the prompt to its answers, or give it a function.",
            )
        return self.answers[prompt]


def _words(text: str) -> list[tuple[int, int]]:
    # Each word with the space before it; space at the end belongs to the last word.
    return [match.span() for match in re.finditer(r"\s*\S+(?:\s+$)?|^\s+$", text)]
