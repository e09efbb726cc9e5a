"""Supervisors behind a server, as an experiment file describes them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_FROZEN = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ServerPrices(BaseModel):
    """What tokens cost, per million, in a currency of your choice."""

    model_config = _FROZEN

    input: float = Field(ge=0, allow_inf_nan=False)
    """Tokens of prompts."""
    output: float = Field(ge=0, allow_inf_nan=False)
    """Tokens of answers."""


class ServerSupervisor(BaseModel):
    """A model behind an OpenAI-compatible server: `{server: http://localhost:8000/v1, model: small-chat}`.

    The key is taken from the environment variable OPENAI_API_KEY.
    """

    model_config = _FROZEN

    server: str
    """The server's base URL; `${OPENAI_BASE_URL}` takes it from the environment."""
    model: str
    """The model's name at the server."""
    name: str | None = None
    """A name for tables; by default derived from the model."""
    api: Literal["chat", "completions"] = "chat"
    """Which endpoint is asked: the prompt as a user's message, or as a text to be continued."""
    system: str | None = None
    """A system message in front of every prompt (chat)."""
    revision: str | None = None
    """Which weights the name stands for, in any words. Answers are kept under model and revision, whatever the URL:
    change it when the server's weights change."""
    logprobs: bool = True
    """Whether to ask for log-probabilities; a server without them still answers."""
    parameters: dict[str, Any] = {}
    """Further fields of every request, such as `{top_p: 0.9}`; null leaves a field out."""
    concurrency: int = Field(default=16, gt=0)
    """Requests at once."""
    timeout: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    """Seconds for one request."""
    retries: int = Field(default=6, ge=0)
    """Times that a request is sent again after a failure that may pass."""
    template: str = "{prompt}\n\nAnswer with one of these and nothing else: {choices}"
    """How a row is asked in a choice task; text tasks have `generate.template`."""
    samples: int = Field(default=1, gt=0)
    """Answers to each row in a choice task: one, greedily, or so many samples whose shares are the probabilities."""
    max_new_tokens: int = Field(default=16, gt=0)
    """Most tokens of an answer in a choice task; text tasks have `generate.max_new_tokens`."""
    prices: ServerPrices | None = None
    """What tokens cost, for the notes of the results and `outgrow run --dry-run`."""
