"""Language models as an experiment names them: what they are, for keys of the store, and how they are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from outgrow.config import HERE, Local, Named, Served
from outgrow.identity import identity
from outgrow.models.loading import asks_in_chat, short_name, text_identity
from outgrow.models.protocols import LanguageModel, chats
from outgrow.models.server.client import Limits
from outgrow.models.server.model import ServerLanguageModel
from outgrow.models.server.usage import Prices
from outgrow.models.server.wire import ServedModel
from outgrow.progress import Reporter
from outgrow.registry import create


class ModelSpec(Protocol):
    """A language model of an experiment, before it is loaded. See `Run.open`."""

    @property
    def name(self) -> str:
        """A name for tables and records."""

    @property
    def identity(self) -> Any:
        """What its answers depend on besides the prompts and options, as a JSON value."""

    @property
    def chats(self) -> bool:
        """Whether it is asked with messages; see `outgrow.models.protocols.chats`."""

    def load(self, cache: Path, reporter: Reporter) -> LanguageModel:
        """Load it.

        Args:
            cache: A file in which answers of servers are kept.
            reporter: Receives the notes of servers.
        """


@dataclass(frozen=True)
class LocalModel:
    """A transformers model that runs here."""

    model: str
    """A folder or a hub id."""
    name: str
    """A name for tables and records."""
    batch_size: int = 32
    """Sequences at once."""
    local: Local = HERE
    """Device, precision and chat."""

    @property
    def identity(self) -> Any:
        """Hash of the folder's content, or `id@commit`; with precision and chat where they matter."""
        return text_identity(self.model, self.local)

    @property
    def chats(self) -> bool:
        """Whether it is asked through its chat template."""
        return asks_in_chat(self.model, self.local)

    def load(self, cache: Path, reporter: Reporter) -> LanguageModel:
        """Load the weights."""
        from outgrow.models.local import LocalLanguageModel

        return LocalLanguageModel.load(self.model, name=self.name, batch_size=self.batch_size, local=self.local)


@dataclass(frozen=True)
class RegisteredModel:
    """A language model of a plug-in: registered under the kind `model`."""

    config: Named
    """Its registered name and parameters."""
    name: str
    """A name for tables and records."""

    @property
    def identity(self) -> dict[str, Any]:
        """Name, parameters and source."""
        return identity(self._created)

    @property
    def chats(self) -> bool:
        """Whether it says so itself."""
        return chats(self._created)

    def load(self, cache: Path, reporter: Reporter) -> LanguageModel:
        """Create it.

        Raises:
            ConfigError: It does not exist, or refuses its parameters.
        """
        model: LanguageModel = self._created
        return model

    @property
    def _created(self) -> Any:
        return create("model", self.config.name, self.config.params)


@dataclass(frozen=True)
class ServerModel:
    """A model behind a server; answers are kept in the store's `responses.sqlite` as they come."""

    config: Served
    """The section of the experiment file."""
    role: str
    """Its role in notes on cost: `supervisor`, `judge` or `strong model`."""
    alias: str | None = None
    """A name for tables and records, where it is not the model's own."""

    @property
    def name(self) -> str:
        """A name for tables and records."""
        return self.alias or self.config.name or short_name(self.config.model)

    @property
    def who(self) -> str:
        """Role and name, such as `the judge big-chat`."""
        return f"the {self.role} {self.config.name or short_name(self.config.model)}"

    @property
    def identity(self) -> dict[str, Any]:
        """What its answers are kept under: everything but the address."""
        return {"served": vars(self._served)}

    @property
    def chats(self) -> bool:
        """Whether its chat endpoint is asked."""
        return self.config.api == "chat"

    @property
    def prices(self) -> Prices | None:
        """Cost of its tokens, where known."""
        prices = self.config.prices
        return Prices(prices.input, prices.output, prices.training) if prices else None

    def load(self, cache: Path, reporter: Reporter | None = None) -> ServerLanguageModel:
        """Return a client whose answers are kept in a file.

        Raises:
            ConfigError: The URL is none or could hold a key, or a parameter is wrong.
        """
        config = self.config
        return ServerLanguageModel(
            self._served,
            config.server,
            name=config.name or short_name(config.model),
            limits=Limits(config.concurrency, config.timeout, config.retries),
            cache=cache,
            reporter=reporter,
        )

    @property
    def _served(self) -> ServedModel:
        config = self.config
        return ServedModel(config.model, config.api, config.system, config.revision, config.logprobs, config.parameters)


def model_spec(config: Any, role: str, *, name: str | None = None, folder: str | None = None) -> ModelSpec:
    """Return the model of a section of an experiment file.

    Args:
        config: A section with `server`; or with `model`, `batch_size`, the settings of `Local`, and perhaps a `name`.
        role: Its role in notes on cost.
        name: A name for tables and records, where it is not the model's own.
        folder: The folder of the model after its training; by default it is untrained.
    """
    if isinstance(config, Served):
        return ServerModel(config, role, name)
    own = name or getattr(config, "name", None)
    if isinstance(config.model, Named) and folder is None:
        return RegisteredModel(config.model, own or config.model.name)
    model = folder or str(config.model)
    return LocalModel(model, own or short_name(model), config.batch_size, config.local)
