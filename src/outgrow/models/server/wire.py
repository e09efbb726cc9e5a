"""Bodies and cache keys of requests, and parsed replies; no network here.

Source:
    OpenAI's API reference for `/chat/completions` and `/completions`; the field `stop_reason` is vLLM's.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from outgrow.errors import ConfigError
from outgrow.labels import Completion
from outgrow.models.protocols import GenerateOptions, Messages, as_turns, with_system
from outgrow.models.tokens import cut_at
from outgrow.store import content_hash

Api = Literal["chat", "completions"]
"""Endpoint: messages with roles, or a text to continue."""
PATHS: Mapping[Api, str] = {"chat": "/chat/completions", "completions": "/completions"}

_OUR_OWN = frozenset({"api_key", "echo", "logprobs", "messages", "model", "n", "prompt", "stream"})
_MOST_TOKENS = 10_000_000


class MalformedReplyError(Exception):
    """A reply that is no JSON, or not of the API's format."""


@dataclass(frozen=True)
class ServedModel:
    """A model behind a server. All fields are part of the cache key; the server's address is not."""

    model: str
    """Its name on the server."""
    api: Api = "chat"
    """Endpoint."""
    system: str | None = None
    """System message before every prompt (chat only)."""
    revision: str | None = None
    """Any label of the weights behind the name; another revision has cached answers of its own."""
    logprobs: bool = True
    """Whether to request log-probabilities; servers without them still answer."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of every request body, such as `{"top_p": 0.9}`; null leaves a field out."""

    def __post_init__(self) -> None:
        taken = sorted(_OUR_OWN & set(self.parameters))
        if taken:
            raise ConfigError(
                "Some fields of a request cannot be given as parameters.",
                found=", ".join(taken),
                fix="Leave them out: prompt, model and number of samples have settings of their own.",
            )
        try:
            json.dumps(self.parameters, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The parameters of {self.model} are not JSON: {error}.") from error


@dataclass(frozen=True)
class Request:
    """A request and its cache key."""

    api: Api
    body: Mapping[str, Any]
    """The JSON body."""
    key: str
    """32 hexadecimal digits of the SHA-256 of the canonical JSON of endpoint, body, revision and sample index."""
    text: str
    """All text of the prompt, to estimate its tokens."""


@dataclass(frozen=True)
class Token:
    """A token as a server reports it."""

    data: bytes
    """Its UTF-8 bytes; perhaps part of a character."""
    logprob: float | None
    """Natural log-probability; None if the server gives none, or an impossible one."""


@dataclass(frozen=True)
class Reply:
    """A parsed reply."""

    text: str
    """The answer, or the refusal if the server marks it as one."""
    reason: str | None
    """`finish_reason`: `stop`, `length`, `content_filter` …"""
    stopped: bool | None
    """Whether a stop string ended it; None if the server does not report it."""
    tokens: tuple[Token, ...] = ()
    """Tokens, if the server gives log-probabilities."""
    prompt_tokens: int | None = None
    """Prompt tokens by the server's count; None if missing or implausible."""
    completion_tokens: int | None = None
    """Answer tokens by the server's count; None if missing or implausible."""


def generate_request(model: ServedModel, prompt: str | Messages, options: GenerateOptions, sample: int) -> Request:
    """Return the request for one completion of a prompt, after the model's system message (chat only).

    Every sample is a request of its own, since some servers ignore `n`; its index and the options' seed make the seed
    that is sent.

    Raises:
        ConfigError: Messages for the completions endpoint.
    """
    limits = {"temperature": options.temperature, "max_tokens": options.max_new_tokens}
    body: dict[str, Any] = {"model": model.model, **limits}
    if model.api == "chat":
        messages = with_system(prompt, model.system)
        body["messages"] = as_turns(messages)
        text = "".join(content for _, content in messages)
    elif isinstance(prompt, str):
        body["prompt"] = text = prompt
    else:
        raise ConfigError(f"The completions endpoint of {model.model} takes no messages.", fix="Set `api: chat`.")
    if options.stop:
        body["stop"] = list(options.stop)
    if options.temperature:
        body["seed"] = _seed(options.seed, sample)
    if model.logprobs:
        body["logprobs"] = True if model.api == "chat" else 1
    return _request(model, body, sample, text)


def score_request(model: ServedModel, prompt: str, continuation: str) -> Request:
    """Return the request to score a given text: the completions endpoint echoes it, without new tokens."""
    body = {"model": model.model, "prompt": prompt + continuation, "echo": True, "max_tokens": 0, "logprobs": 1}
    # No parameter may make the server generate.
    parameters = {name: value for name, value in model.parameters.items() if name not in body}
    return _request(dataclasses.replace(model, parameters=parameters), body, 0, prompt + continuation)


def read_reply(text: str, api: Api) -> Reply:
    """Parse the body of a reply; a MalformedReplyError if it is truncated, no JSON, or has no answer."""
    try:
        body = json.loads(text)
        choice, usage = body["choices"][0], body.get("usage")
        said = _said(choice, api)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise MalformedReplyError(f"no answer in a reply that begins {text[:120]!r}") from error
    reason = choice.get("finish_reason")
    counts = usage if isinstance(usage, dict) else {}
    return Reply(
        text=said,
        reason=reason if isinstance(reason, str) else None,
        stopped=choice["stop_reason"] is not None if "stop_reason" in choice else None,
        tokens=_tokens(choice.get("logprobs"), api),
        prompt_tokens=_count(counts.get("prompt_tokens"), least=1),
        completion_tokens=_count(counts.get("completion_tokens"), least=1 if said else 0),
    )


def to_completion(reply: Reply, options: GenerateOptions) -> Completion:
    r"""Convert a reply to a completion, cut at stop strings even if the server ignored them.

    Log-probabilities are kept only if every token has one and the tokens spell the text. With stop strings, a text
    whose end the server does not explain counts as stopped.
    """
    finished = reply.reason == "stop" and (reply.stopped is False or not (options.stop or reply.stopped))
    spans = align(reply.tokens, reply.text, finished=finished)
    known = [token.logprob for token in reply.tokens[: len(spans)] if token.logprob is not None]
    if len(known) != len(spans):
        known, spans = [], []
    return cut_at(Completion(reply.text, tuple(known), tuple(spans), finished), options.stop)


def to_score(reply: Reply, prompt: str, continuation: str) -> Completion:
    """Convert an echoed prompt and continuation to the scored continuation; a token across the boundary is left out.

    A first token that is not in the text, and has no log-probability, is the beginning of the sequence (vLLM lists it).
    """
    tokens, whole = reply.tokens, prompt + continuation
    if tokens and tokens[0].logprob is None and not whole.encode().startswith(tokens[0].data):
        tokens = tokens[1:]
    spans = align(tokens, whole, finished=False)
    scored = [
        (token.logprob, (start - len(prompt), end - len(prompt)))
        for token, (start, end) in zip(tokens, spans, strict=False)
        if start >= len(prompt)
    ]
    known = [(logprob, span) for logprob, span in scored if logprob is not None]
    if len(known) != len(scored) or reply.text != whole:
        known = []
    return Completion(continuation, tuple(one for one, _ in known), tuple(span for _, span in known), finished=False)


def align(tokens: Sequence[Token], text: str, *, finished: bool) -> list[tuple[int, int]]:
    """Return the character spans of tokens in a text.

    Tokens after the end of the text are left out, except for one end-of-sequence token if the text is `finished`.
    There are no spans if the tokens spell another text.
    """
    data = text.encode()
    character = [index for index, one in enumerate(text) for _ in one.encode()]
    spans: list[tuple[int, int]] = []
    place = 0
    for token in tokens:
        if place == len(data):
            return [*spans, (len(text), len(text))] if finished else spans
        rest = data[place : place + len(token.data)]
        if not token.data.startswith(rest) or not token.data:
            return []
        spans.append((character[place], character[place + len(rest) - 1] + 1))
        place += len(rest)
    return spans if place == len(data) else []


def _request(model: ServedModel, body: Mapping[str, Any], sample: int, text: str) -> Request:
    whole = {name: value for name, value in {**body, **model.parameters}.items() if value is not None}
    key = content_hash({"api": model.api, "body": whole, "revision": model.revision, "sample": sample})
    return Request(model.api, whole, key, text)


def _seed(seed: int, sample: int) -> int:
    # 31 bits, which every server accepts.
    return int.from_bytes(hashlib.sha256(f"{seed}/{sample}".encode()).digest()[:4], "big") >> 1


def _said(choice: Mapping[str, Any], api: Api) -> str:
    said = choice["text"] if api == "completions" else choice["message"]["content"]
    if said is None:
        said = choice["message"].get("refusal") or ""
    if not isinstance(said, str):
        raise TypeError("the answer is no text")
    return said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # half a pair is no character


def _tokens(logprobs: Any, api: Api) -> tuple[Token, ...]:
    try:
        if api == "completions":
            pairs = zip(logprobs["tokens"], logprobs["token_logprobs"], strict=True)
            return tuple(Token(text.encode("utf-8", "replace"), _logprob(value)) for text, value in pairs)
        return tuple(Token(_bytes(one), _logprob(one["logprob"])) for one in logprobs["content"])
    except (TypeError, LookupError, AttributeError, ValueError, OverflowError):  # none, or another format
        return ()


def _bytes(token: Mapping[str, Any]) -> bytes:
    given = token.get("bytes")
    if given is not None and not isinstance(given, list):
        raise TypeError("the bytes of a token are no list")  # a number would be so many zeros
    return token["token"].encode("utf-8", "replace") if given is None else bytes(given)


def _logprob(value: object) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return min(float(value), 0.0) if number and value < 1e-3 else None  # type: ignore[arg-type, operator]


def _count(value: object, *, least: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= _MOST_TOKENS else None
