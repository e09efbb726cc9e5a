"""What goes over the wire: request bodies and their keys, and what is read out of replies. Pure; no network here.

Source:
    OpenAI's API reference for `/chat/completions` and `/completions`; the field `stop_reason` is vLLM's.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from outgrow.errors import ConfigError
from outgrow.labels import Completion
from outgrow.models.protocols import GenerateOptions
from outgrow.models.tokens import cut
from outgrow.store import content_hash

Api = Literal["chat", "completions"]
"""Which endpoint is asked: messages with roles, or a text to be continued."""
PATHS: Mapping[Api, str] = {"chat": "/chat/completions", "completions": "/completions"}
"""Paths behind the base URL."""

_OUR_OWN = frozenset({"api_key", "echo", "logprobs", "messages", "model", "n", "prompt", "stream"})
_MOST_TOKENS = 10_000_000
"""More than any model takes or gives."""


class MalformedReplyError(Exception):
    """A reply that is no JSON, or not that of the API."""


@dataclass(frozen=True)
class ServedModel:
    """A model as a server knows it. Everything here is part of what an answer is kept under; the address is not.

    Raises:
        ConfigError: A parameter is no JSON, or one that is said elsewhere.
    """

    model: str
    """The name that the server gives it."""
    api: Api = "chat"
    """Which endpoint is asked."""
    system: str | None = None
    """The system message in front of every prompt (chat only)."""
    revision: str | None = None
    """Which weights the name stands for, in any words; another revision is another model, with answers of its own."""
    logprobs: bool = True
    """Whether log-probabilities are asked for; a server that has none still answers."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of every request body, such as `{"top_p": 0.9}`; null leaves a field out."""

    def __post_init__(self) -> None:
        taken = sorted(_OUR_OWN & set(self.parameters))
        if taken:
            raise ConfigError(
                "Some fields of a request cannot be given as parameters.",
                found=", ".join(taken),
                fix="Leave them out: the prompt, the model and the number of samples are said elsewhere.",
            )
        try:
            json.dumps(self.parameters, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The parameters of {self.model} are not JSON: {error}.") from error


@dataclass(frozen=True)
class Request:
    """One request: a body, and the key that its answer is kept under."""

    api: Api
    """Which endpoint it is for."""
    body: Mapping[str, Any]
    """The JSON body."""
    key: str
    """SHA-256 of the canonical JSON of endpoint, body, revision and sample index, 32 hexadecimal digits of it."""
    text: str
    """All that the model reads, to guess its tokens by."""


@dataclass(frozen=True)
class Token:
    """One token as a server reports it."""

    data: bytes
    """Its bytes in UTF-8; part of a character where the tokenizer cuts inside one."""
    logprob: float | None
    """Natural log-probability; None where the server gives none, or no number that could be one."""


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    text: str
    """The text; that of a refusal if the server marks it as one."""
    reason: str | None
    """Why it ended: `stop`, `length`, `content_filter` …"""
    stopped: bool | None
    """Whether a stop string ended it; None where the server does not say."""
    tokens: tuple[Token, ...] = ()
    """Its tokens, if log-probabilities were given."""
    prompt_tokens: int | None = None
    """Tokens of the prompt by the server's count; None where that cannot be right."""
    completion_tokens: int | None = None
    """Tokens of the answer by the server's count; None where that cannot be right."""


def generate_request(
    model: ServedModel, prompt: str, options: GenerateOptions, sample: int, system: str = ""
) -> Request:
    """The request for one completion of a prompt.

    Args:
        model: Who is asked.
        prompt: The user's message, or the text to continue.
        options: How; every sample is a request of its own, so that servers without `n` give as many.
        sample: Index of the sample; with the options' seed it makes the seed that is sent.
        system: A system message of the prompt's own, which follows that of the model (chat only).

    Example:
        >>> request = generate_request(ServedModel("small", system="Be brief."), "2 + 2?", GenerateOptions(), 0)
        >>> request.body["messages"]
        [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': '2 + 2?'}]
    """
    body: dict[str, Any] = {
        "model": model.model,
        "temperature": options.temperature,
        "max_tokens": options.max_new_tokens,
    }
    told = "\n\n".join(part for part in (model.system, system.rstrip("\n")) if part) if model.api == "chat" else ""
    if model.api == "chat":
        first = [{"role": "system", "content": told}] if told else []
        body["messages"] = [*first, {"role": "user", "content": prompt}]
    else:
        body["prompt"] = prompt
    if options.stop:
        body["stop"] = list(options.stop)
    if options.temperature:
        body["seed"] = _seed(options.seed, sample)
    if model.logprobs:
        body["logprobs"] = True if model.api == "chat" else 1
    return _request(model, body, sample, told + prompt)


def score_request(model: ServedModel, prompt: str, continuation: str) -> Request:
    """The request for the log-probabilities of a given text: the completions endpoint echoes it, and adds nothing."""
    body = {"model": model.model, "prompt": prompt + continuation, "echo": True, "max_tokens": 0, "logprobs": 1}
    return _request(model, body, 0, prompt + continuation)


def read_reply(text: str, api: Api) -> Reply:
    """Reads the body of a reply, taking nothing on trust.

    Raises:
        MalformedReplyError: It is cut off, no JSON, or holds no answer.

    Example:
        >>> body = '{"choices": [{"text": " 4", "finish_reason": "stop"}], "usage": {"prompt_tokens": 6}}'
        >>> read_reply(body, "completions")
        Reply(text=' 4', reason='stop', stopped=None, tokens=(), prompt_tokens=6, completion_tokens=None)
    """
    try:
        choice, usage = _choice(json.loads(text))
        said = _said(choice, api)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise MalformedReplyError(f"no answer in a reply that begins {text[:120]!r}") from error
    reason = choice.get("finish_reason")
    return Reply(
        text=said,
        reason=reason if isinstance(reason, str) else None,
        stopped=choice["stop_reason"] is not None if "stop_reason" in choice else None,
        tokens=_tokens(choice.get("logprobs"), api),
        prompt_tokens=_count(usage.get("prompt_tokens"), least=1),
        completion_tokens=_count(usage.get("completion_tokens"), least=1 if said else 0),
    )


def to_completion(reply: Reply, options: GenerateOptions) -> Completion:
    r"""The reply as a completion, cut at stop strings whether or not the server heeded them.

    Log-probabilities are kept only if the tokens spell the text and each has one; otherwise there are none. Where stop
    strings were asked for and the server does not say what ended a text, it counts as stopped.

    Example:
        >>> to_completion(Reply("4.\nNext", "stop", None), GenerateOptions(stop=("\n",)))
        Completion(text='4.', logprobs=(), offsets=(), finished=False)
    """
    finished = reply.reason == "stop" and (reply.stopped is False or not (options.stop or reply.stopped))
    spans = align(reply.tokens, reply.text, finished=finished)
    logprobs = [token.logprob for token in reply.tokens[: len(spans)]]
    known = [value for value in logprobs if value is not None]
    if len(known) != len(logprobs):
        known, spans = [], []
    whole = Completion(reply.text, tuple(known), tuple(spans), finished)
    stops = [place for place in (reply.text.find(stop) for stop in options.stop) if place >= 0]
    return cut(whole, min(stops)) if stops else whole


def to_score(reply: Reply, prompt: str, continuation: str) -> Completion:
    """The echoed continuation; a token that begins in the prompt and ends in the continuation is left out.

    Returns:
        The continuation; without log-probabilities if the server echoed something else, or gave none.
    """
    spans = align(reply.tokens, prompt + continuation, finished=False)
    scored = [
        (token.logprob, (start - len(prompt), end - len(prompt)))
        for token, (start, end) in zip(reply.tokens, spans, strict=False)
        if start >= len(prompt)
    ]
    known = [(logprob, span) for logprob, span in scored if logprob is not None]
    if len(known) != len(scored) or reply.text != prompt + continuation:
        known = []
    return Completion(continuation, tuple(one for one, _ in known), tuple(span for _, span in known), finished=False)


def align(tokens: Sequence[Token], text: str, *, finished: bool) -> list[tuple[int, int]]:
    """Character spans of the tokens that spell a text.

    Tokens behind the end of the text are left out, but for the first where the model ended it: that one is the
    end-of-sequence token.

    Args:
        tokens: Tokens in order.
        text: What they should spell.
        finished: Whether the model ended the text itself.

    Returns:
        One span per token that is kept; nothing if the tokens spell something else.

    Example:
        >>> align([Token(b"a", -1.0), Token(b" b", -1.0), Token(b"<end>", -0.1)], "a b", finished=True)
        [(0, 1), (1, 3), (3, 3)]
        >>> align([Token(b"c", -1.0)], "a", finished=True)
        []
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
    """A seed of 31 bits per sample, which every server can take."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{sample}".encode()).digest()[:4], "big") >> 1


def _choice(reply: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    choice, usage = reply["choices"][0], reply.get("usage")
    return choice, usage if isinstance(usage, dict) else {}


def _said(choice: Mapping[str, Any], api: Api) -> str:
    said = choice["text"] if api == "completions" else choice["message"]["content"]
    if said is None:
        said = choice["message"].get("refusal") or ""
    if not isinstance(said, str):
        raise TypeError("the answer is no text")
    return said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # half a pair is no character


def _tokens(logprobs: Any, api: Api) -> tuple[Token, ...]:
    """Tokens with their log-probabilities; nothing where the server gave none, or something of another shape."""
    try:
        if api == "completions":
            pairs = zip(logprobs["tokens"], logprobs["token_logprobs"], strict=True)
            return tuple(Token(text.encode("utf-8", "replace"), _logprob(value)) for text, value in pairs)
        return tuple(Token(_bytes(one), _logprob(one["logprob"])) for one in logprobs["content"])
    except (TypeError, LookupError, AttributeError, ValueError):
        return ()


def _bytes(token: Mapping[str, Any]) -> bytes:
    given = token.get("bytes")
    return token["token"].encode("utf-8", "replace") if given is None else bytes(given)


def _logprob(value: object) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return min(float(value), 0.0) if number and value < 1e-3 else None  # type: ignore[arg-type, operator]


def _count(value: object, *, least: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= _MOST_TOKENS else None
