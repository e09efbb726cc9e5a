"""Language models behind an OpenAI-compatible server."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from outgrow.config.secrets import without_credentials
from outgrow.errors import ConfigError, ModelError
from outgrow.labels import Completion
from outgrow.models.protocols import GenerateOptions, Messages, TooLong, as_turns, check_options, with_system
from outgrow.models.server.cache import ResponseCache
from outgrow.models.server.client import Limits, Replies, fetch
from outgrow.models.server.keys import home_url
from outgrow.models.server.usage import Usage
from outgrow.models.server.wire import Request, ServedModel, generate_request, score_request, to_completion, to_score
from outgrow.progress import Reporter, SilentReporter
from outgrow.store import cache_folder


class ServerLanguageModel:
    """A model behind an OpenAI-compatible server.

    Every answer is cached as it arrives, for this run and later ones. The API key is read from OPENAI_API_KEY and sent
    to the server only.

    Args:
        model: Name and request settings of the model.
        base_url: Base URL of the server, such as `http://localhost:8000/v1`. Default: OPENAI_BASE_URL.
        name: A short name for tables. Default: the last part of the model's name.
        limits: Concurrency, timeout and retries.
        cache: The cache file. Default: `responses.sqlite` in the user's cache folder.
        reporter: Shows the progress of requests.

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
        check_url(home_url() if base_url is None else base_url)
        self.served, self.base_url, self.limits = model, base_url, limits or Limits()
        self.name = name or model.model.rstrip("/").rsplit("/", 1)[-1]
        self.cache = cache or cache_folder() / "responses.sqlite"
        self.usage = Usage()
        self.refusals: dict[str | Messages, str] = {}
        """Reasons for which the server declined prompts."""
        self.said: list[tuple[str | Messages, list[Completion]]] = []
        """All prompts and answers so far."""
        self.owner: str | None = None
        """The artefact that the answers are for: those that an interrupted attempt asked for it count as asked."""
        self._counted: set[str] = set()
        self.notes: list[str] = []
        """Remarks for the report, such as missing log-probabilities."""
        self._reporter = reporter or SilentReporter()

    @property
    def chats(self) -> bool:
        """Whether its chat endpoint is asked."""
        return self.served.api == "chat"

    def shown(self, prompt: str | Messages) -> str:
        """Return what the server is sent for a prompt: a text, or messages as JSON."""
        return (
            json.dumps(as_turns(with_system(prompt, self.served.system)), ensure_ascii=False)
            if self.chats
            else str(prompt)
        )

    def generate(self, prompts: Sequence[str | Messages], options: GenerateOptions) -> list[list[Completion]]:
        """Continue every prompt; equal requests are sent once, every sample is a request with its own seed.

        Completions have no log-probabilities if the server gives none, or none that match the text. `too_long` applies
        to prompts that the server declines for any reason: with `empty` they have no completion (see `refusals`).
        Finished answers are kept, even if others fail.
        """
        requests = self.requests(prompts, options)
        replies = self._fetch([request for own in requests for request in own])
        answers: list[list[Completion]] = []
        for prompt, own in zip(prompts, requests, strict=True):
            declined = self._declined(prompt, own, replies)
            answers.append([] if declined else [to_completion(replies.replies[one.key], options) for one in own])
        self._check_refusals(prompts, options.too_long)
        self._note_logprobs([one for own in answers for one in own])
        self.said += zip(prompts, answers, strict=True)
        return answers

    def logprobs(
        self, pairs: Sequence[tuple[str, str]], *, end: bool = False, too_long: TooLong = "error"
    ) -> list[Completion]:
        """Score continuations, if the completions endpoint echoes prompts with log-probabilities (vLLM).

        The end-of-sequence token is never scored; a token across the boundary of prompt and continuation is left out.
        A text that the server's tokens do not spell has no log-probabilities, which `notes` counts.

        Raises:
            ConfigError: As `check_scores`.
            ModelError: The server echoes no text with log-probabilities; or as `generate`.
        """
        requests = self.score_requests(pairs)
        replies = self._fetch(requests)
        scored, unread = [], 0
        for request, (prompt, text) in zip(requests, pairs, strict=True):
            declined = self._declined(prompt, [request], replies)
            bare = Completion(text, (), (), finished=False)
            scored.append(bare if declined else to_score(replies.replies[request.key], prompt, text))
            unread += bool(text) and not declined and not scored[-1].logprobs
        if unread and not any(one.logprobs for one in scored):
            raise ModelError(
                f"{self.name} cannot score given texts: its server does not echo them with log-probabilities.",
                fix="Use a server that does (vLLM), or a local model.",
            )
        if unread:
            self.notes.append(
                f"{unread} of {len(pairs)} texts have no score by {self.name}: the tokens of its server do not spell "
                "them."
            )
        self._check_refusals([prompt for prompt, _ in pairs], too_long)
        return scored

    def check_scores(self) -> None:
        """Raise a ConfigError if `logprobs` cannot run, whatever the texts."""
        if self.served.api != "completions":
            raise ConfigError(
                f"{self.name} cannot score given texts: the chat endpoint of a server does not.",
                found=f"api: {self.served.api}",
                fix="Set `api: completions` if the server echoes log-probabilities there (vLLM), or use a local model.",
            )

    def score_requests(self, pairs: Sequence[tuple[str, str]]) -> list[Request]:
        """Return the requests of `logprobs`, one for each pair."""
        self.check_scores()
        return [score_request(self.served, *pair) for pair in pairs]

    def requests(self, prompts: Sequence[str | Messages], options: GenerateOptions) -> list[list[Request]]:
        """Return the requests of `generate`, one for each sample of each prompt."""
        self.check(options)
        return [
            [generate_request(self.served, prompt, options, sample) for sample in range(options.n)]
            for prompt in prompts
        ]

    def check(self, options: GenerateOptions) -> None:
        """Raise a ConfigError if `generate` cannot run with these options, whatever the prompts."""
        check_options(options)
        if options.beams > 1:
            raise ConfigError(
                f"{self.name} is behind a server, and servers have no beam search.",
                found=f"beams={options.beams}",
                fix="Set beams to 1, and a temperature above 0 for several texts.",
            )

    def _fetch(self, requests: Sequence[Request]) -> Replies:
        distinct = {request.key: request for request in requests}
        step = self._reporter.step(f"ask {self.name}", total=len(distinct))
        with ResponseCache(self.cache) as cache, step as running:
            found = fetch(list(distinct.values()), cache, self.base_url, self.limits, running.advance, self.owner)
        asked = (found.asked | found.paid) - self._counted
        self._counted |= asked
        for key in asked:
            reply = found.replies[key]
            if distinct[key].body.get("echo"):  # its text is the prompt again, not an answer
                reply = dataclasses.replace(reply, completion_tokens=reply.completion_tokens or 0)
            self.usage.add(reply, distinct[key].text)
        self.usage.cached += len(found.replies) - len(asked)
        self.usage.refused += len(found.refused)
        self.usage.retried += found.retried
        if found.failed:
            raise ModelError(
                f"{len(found.failed)} of {len(distinct)} requests to {self.name} failed after all retries.",
                found=next(iter(found.failed.values())),
                fix="Run the same command again: finished answers are kept, and only these requests are sent.",
            )
        return found

    def _declined(self, prompt: str | Messages, requests: Sequence[Request], replies: Replies) -> bool:
        reasons = [replies.refused[request.key] for request in requests if request.key in replies.refused]
        if reasons:
            self.refusals[prompt] = reasons[0]
        return bool(reasons)

    def _check_refusals(self, prompts: Sequence[str | Messages], too_long: TooLong) -> None:
        declined = [prompt for prompt in prompts if prompt in self.refusals]
        no_answers = not self.usage.asked + self.usage.cached
        if declined and (too_long == "error" or no_answers):
            raise ModelError(
                f"The server declines {len(declined)} of {len(prompts)} prompts to {self.name}.",
                found=self.refusals[declined[0]],
                fix="Check the prompts' length and the request's fields (`parameters`).",
            )

    def _note_logprobs(self, completions: Sequence[Completion]) -> None:
        texts = [one for one in completions if one.text]
        bare = sum(not one.logprobs for one in texts)
        note = f"The server gives some answers of {self.name} without log-probabilities that belong to the text."
        if bare == len(texts):
            note = f"The server gives no log-probabilities for {self.name}."
        if self.served.logprobs and bare and note not in self.notes:
            self.notes.append(note)


def check_url(url: str) -> None:
    """Raise a ConfigError if a URL is no base URL, or could hold a key."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) and url.isprintable()
    except ValueError:  # an address or a port that is none
        fine = False
    if not fine:
        found, wanted = without_credentials(repr(url)), "such as http://localhost:8000/v1"
        raise ConfigError("A server is named by its base URL.", found=found, wanted=wanted)
    if parts.username or parts.password or parts.query:
        raise ConfigError(
            "A server's URL must not hold passwords, keys or queries: it is written into results.",
            found=f"a URL of {parts.hostname} that holds one",
            fix="Put the key into the environment variable OPENAI_API_KEY.",
        )
