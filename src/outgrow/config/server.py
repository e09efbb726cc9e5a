"""Sections of models behind a server."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from outgrow.config.base import Frozen


class ServerPrices(Frozen):
    """Prices of a million tokens, in any currency."""

    input: float = Field(ge=0, allow_inf_nan=False)
    """Tokens of prompts."""
    output: float = Field(ge=0, allow_inf_nan=False)
    """Tokens of answers."""
    training: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Tokens of fine-tuning, all epochs counted."""


class Served(Frozen):
    """A model behind an OpenAI-compatible server: `{server: http://localhost:8000/v1, model: small-chat}`.

    The key is taken from the environment variable OPENAI_API_KEY.
    """

    server: str
    """The server's base URL; `${OPENAI_BASE_URL}` takes it from the environment."""
    model: str
    """The model's name at the server."""
    name: str | None = None
    """A name for tables and notes; by default derived from the model."""
    api: Literal["chat", "completions"] = "chat"
    """Which endpoint is asked: the prompt as a user's message, or as a text to be continued."""
    system: str | None = None
    """A system message in front of every prompt (chat)."""
    revision: str | None = None
    """Which weights the name stands for, in any words. Answers are kept under model and revision, whatever the URL:
    change it when the server's weights change."""
    logprobs: bool = True
    """Whether to ask for log-probabilities; a server without them still answers."""
    parameters: dict[str, Any] = Field(default={})
    """Further fields of every request, such as `{top_p: 0.9}`; null leaves a field out."""
    concurrency: int = Field(default=16, gt=0)
    """Requests at once."""
    timeout: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    """Seconds for one request."""
    retries: int = Field(default=6, ge=0)
    """Times that a request is sent again after a failure that may pass."""
    prices: ServerPrices | None = None
    """What tokens cost, for the notes of the results and `outgrow run --dry-run`."""


ASKED = "{prompt}\n\nAnswer with one of these and nothing else: {choices}"
"""How a language model is asked for one of the choices."""


class AskedForChoices(Served):
    """A served model that is asked for one of the choices by name, in choice tasks."""

    template: str = ASKED
    """How a row is asked in a choice task; text tasks have `generate.template`."""
    samples: int = Field(default=1, gt=0)
    """Answers to each row in a choice task: one, greedily, or so many samples whose shares are the probabilities."""
    max_new_tokens: int = Field(default=16, gt=0)
    """Most tokens of an answer in a choice task; text tasks have `generate.max_new_tokens`."""


def _names(value: object) -> object:
    return (value,) if isinstance(value, str) else value


TunedModels = Annotated[
    tuple[str, ...], BeforeValidator(_names, json_schema_input_type=str | tuple[str, ...]), Field(min_length=1)
]
"""Names of fine-tuned models at a server: one for each seed, from the first; a bare name is that of the first."""


class FineTune(Frozen):
    """How the provider of a served strong model trains students."""

    epochs: int = Field(default=3, gt=0)
    """Times that each example is learned."""
    learning_rate_multiplier: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Factor of the provider's learning rate; by default the provider chooses."""
    batch_size: int | None = Field(default=None, gt=0)
    """Examples in a step; by default the provider chooses."""
    hours: float = Field(default=24.0, gt=0, allow_inf_nan=False)
    """Longest time to wait for a job. The same command, run again, goes on waiting."""


class ServerStrong(AskedForChoices):
    """A strong model behind a server: it refines labels here, and is fine-tuned by its provider, if at all."""

    fine_tune: FineTune | None = None
    """Have the provider train a student for each method and seed, and the ceiling: `{epochs: 3}`. Costs money."""
    tuned: dict[str, TunedModels] = Field(default={})
    """Method (or `ceiling`) → what the provider calls the model that it fine-tuned on the file which `outgrow export`
    wrote for that method: one name for each seed, or that of the first seed."""

    @property
    def trains(self) -> bool:
        """Whether it is trained here."""
        return False

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_trained(cls, value: Any) -> Any:
        needless = [key for key in ("adapter", "max_length", "early_stopping", "batch_size") if key in dict(value)]
        if needless:
            raise ValueError(f"a model behind a server is not trained here: leave {', '.join(needless)} out")
        return value

    @model_validator(mode="after")
    def _tuned_on_messages(self) -> ServerStrong:
        if self.fine_tune is not None and self.api != "chat":
            raise ValueError("providers fine-tune on chat messages: leave `api` out, or `fine_tune`")
        return self
