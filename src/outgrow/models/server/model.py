"""The `LanguageModel` seam over a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from outgrow.errors import ConfigError, ModelError
from outgrow.labels import Completion
from outgrow.models.protocols import GenerateOptions, TooLong, check_options
from outgrow.models.server.asking import Limits
from outgrow.models.server.cache import ResponseCache
from outgrow.models.server.gathering import Gathered, gather
from outgrow.models.server.usage import Usage
from outgrow.models.server.wire import (
    Request,
    ServedModel,
    generate_request,
    score_request,
    to_completion,
    to_score,
)
from outgrow.progress import Reporter, SilentReporter
from outgrow.store import cache_folder


class ServerLanguageModel:
    """A model behind an OpenAI-compatible server.

    Every answer is kept in a cache as soon as it comes: what was answered is not asked again, in this run or another.
    The key is taken from OPENAI_API_KEY and goes nowhere but to the server.

    Args:
        model: The model, as the server knows it.
        base_url: The server's base URL, such as `http://localhost:8000/v1`; by default OPENAI_BASE_URL.
        name: A short name for tables; by default the last part of the model's name.
        limits: How hard the server is pressed.
        cache: The file that answers are kept in; by default `responses.sqlite` in the user's cache folder.
        reporter: Told of every answer, from the server or the cache.

    Raises:
        ConfigError: The URL is none, or holds a password or a query, where keys do not belong.

    Example:
        ```python
        model = ServerLanguageModel(ServedModel("small-chat", system="Be brief."), "http://localhost:8000/v1")
        [[answer]] = model.generate(["What is 2 + 2?"], GenerateOptions())
        print(model.usage.text())
        ```
    """

    def __init__(
        self,
        model: ServedModel,
        base_url: str | None = None,
        *,
        name: str | None = None,
        limits: Limits | None = None,
        cache: Path | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        if base_url is not None:
            check_url(base_url)
        self.served = model
        self.base_url = base_url
        self.limits = limits or Limits()
        self.cache = cache or cache_folder() / "responses.sqlite"
        self.usage = Usage()
        self.refusals: dict[str, str] = {}
        """Prompt, with a system message of its own in front → why the server declined it."""
        self.notes: list[str] = []
        """What a reader should know of the server, such as log-probabilities that it does not give."""
        self._name = name or model.model.rstrip("/").rsplit("/", 1)[-1]
        self._reporter = reporter or SilentReporter()

    @property
    def name(self) -> str:
        """A short name for tables and records."""
        return self._name

    def generate(self, prompts: Sequence[str], options: GenerateOptions) -> list[list[Completion]]:
        """Continues every prompt; equal prompts are asked once.

        Several samples are several requests with seeds of their own. Completions have no log-probabilities where the
        server gives none, or none that belong to the text.

        Args:
            prompts: User messages, or texts to continue.
            options: How to continue. `too_long` also decides what becomes of a prompt that the server declines for any
                other reason.

        Returns:
            One list per prompt, in order: `options.n` completions, or none where the server declined (see `refusals`).

        Raises:
            ConfigError: The options contradict each other, or want a search that servers do not offer.
            ModelError: The server does not answer, does not know the model or the key, or declined a prompt; or some
                requests failed again and again while others were answered. What was answered is kept.
        """
        return self._answers([("", prompt) for prompt in prompts], options)

    @property
    def speaks_chat(self) -> bool:
        """Whether messages have roles."""
        return self.served.api == "chat"

    def chat(self, turns: Sequence[tuple[str, str]], options: GenerateOptions) -> list[list[Completion]]:
        """Answers `(system, user)` messages, behind the model's own system message; otherwise as `generate`."""
        return self._answers(turns, options)

    def _answers(self, turns: Sequence[tuple[str, str]], options: GenerateOptions) -> list[list[Completion]]:
        requests = self.requests(turns, options)
        gathered = self._gather([request for own in requests for request in own])
        answers: list[list[Completion]] = []
        prompts = [system + user for system, user in turns]
        for prompt, own in zip(prompts, requests, strict=True):
            declined = self._declined(prompt, own, gathered)
            answers.append([] if declined else [to_completion(gathered.replies[one.key], options) for one in own])
        self._check_refusals(prompts, options.too_long)
        self._note_logprobs([one for own in answers for one in own])
        return answers

    def logprobs(
        self, pairs: Sequence[tuple[str, str]], *, end: bool = False, too_long: TooLong = "error"
    ) -> list[Completion]:
        """Scores each given continuation, where the completions endpoint echoes prompts with log-probabilities.

        vLLM's does. The end-of-sequence token is never scored. Prompt and continuation are one text to the server: a
        token over the boundary is left out.

        Raises:
            ModelError: The server is asked through its chat endpoint, or does not echo log-probabilities.
        """
        if self.served.api != "completions":
            raise ModelError(
                f"{self.name} cannot score given texts: the chat endpoint of a server does not.",
                fix="Set `api: completions` if the server echoes log-probabilities there, or use a local model.",
            )
        requests = [score_request(self.served, *pair) for pair in pairs]
        gathered = self._gather(requests)
        scored = []
        for request, (prompt, text) in zip(requests, pairs, strict=True):
            if self._declined(prompt, [request], gathered):
                scored.append(Completion(text, (), (), finished=False))
                continue
            scored.append(to_score(gathered.replies[request.key], prompt, text))
            if text and not scored[-1].logprobs:
                raise ModelError(
                    f"{self.name} cannot score given texts: its server does not echo them with log-probabilities.",
                    fix="Use a server that does (vLLM), or a local model.",
                )
        self._check_refusals([prompt for prompt, _ in pairs], too_long)
        return scored

    def requests(self, turns: Sequence[tuple[str, str]], options: GenerateOptions) -> list[list[Request]]:
        """What is asked: a request for each sample of each pair of a system message (perhaps empty) and a prompt.

        Raises:
            ConfigError: As for `generate`.
        """
        self.check(options)
        return [
            [generate_request(self.served, user, options, sample, system) for sample in range(options.n)]
            for system, user in turns
        ]

    def check(self, options: GenerateOptions) -> None:
        """Refuses what `generate` would refuse whatever the prompts.

        Raises:
            ConfigError: The options contradict each other, or want a search that servers do not offer.
        """
        check_options(options)
        if options.beams > 1:
            raise ConfigError(
                f"{self.name} is behind a server, and servers do not search with beams.",
                found=f"beams={options.beams}",
                fix="Set beams to 1, and a temperature above 0 for several texts.",
            )

    def _gather(self, requests: Sequence[Request]) -> Gathered:
        """Asks each distinct request once and counts what it took."""
        distinct = {request.key: request for request in requests}
        step = self._reporter.step(f"ask {self.name}", total=len(distinct))
        with ResponseCache(self.cache) as cache, step as running:
            gathered = gather(list(distinct.values()), cache, self.base_url, self.limits, running.advance)
        for key in gathered.asked:
            self.usage.add(gathered.replies[key], distinct[key].text)
        self.usage.cached += len(gathered.replies) - len(gathered.asked)
        self.usage.refused += len(gathered.refused)
        self.usage.retried += gathered.retried
        if gathered.failed:
            raise ModelError(
                f"{len(gathered.failed)} of {len(distinct)} requests to {self.name} failed again and again.",
                found=next(iter(gathered.failed.values())),
                fix="Run the same command again: what was answered is kept, and only these are asked.",
            )
        return gathered

    def _declined(self, prompt: str, requests: Sequence[Request], gathered: Gathered) -> bool:
        """Whether the server declined one of a prompt's requests; remembers why."""
        reasons = [gathered.refused[request.key] for request in requests if request.key in gathered.refused]
        if reasons:
            self.refusals[prompt] = reasons[0]
        return bool(reasons)

    def _check_refusals(self, prompts: Sequence[str], too_long: TooLong) -> None:
        declined = [prompt for prompt in prompts if prompt in self.refusals]
        unheard = not self.usage.asked + self.usage.cached
        if declined and (too_long == "error" or unheard):
            raise ModelError(
                f"The server declines {len(declined)} of {len(prompts)} prompts to {self.name}.",
                found=self.refusals[declined[0]],
                fix="Check the prompts' length and the request's fields (`parameters`).",
            )

    def _note_logprobs(self, completions: Sequence[Completion]) -> None:
        """Says once what is not known of the answers' tokens."""
        texts = [one for one in completions if one.text]
        bare = sum(not one.logprobs for one in texts)
        if not self.served.logprobs or not bare:
            return
        note = (
            f"The server gives no log-probabilities for {self.name}."
            if bare == len(texts)
            else f"The server gives some answers of {self.name} without log-probabilities that belong to the text."
        )
        if note not in self.notes:
            self.notes.append(note)


def check_url(url: str) -> None:
    """Refuses what is no base URL, and one that could hold a key.

    Raises:
        ConfigError: As said.

    Example:
        >>> check_url("http://localhost:8000/v1")
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("A server is named by its base URL.", found=url, wanted="such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query:
        raise ConfigError(
            "A server's URL has no place for passwords, keys or queries: it is written into results.",
            found=f"a URL of {parts.hostname} that holds one",
            fix="Put the key into the environment variable OPENAI_API_KEY.",
        )
