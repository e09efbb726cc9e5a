"""Language models as an experiment names them: who they are, how they come to work, and what that has cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from outgrow.config import Served
from outgrow.models.loading import model_identity, short_name
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import LanguageModel
from outgrow.models.server import Cost, Limits, Prices, ServedModel, ServerLanguageModel, Usage
from outgrow.progress import Reporter
from outgrow.scale.generation import ShardedLanguageModel
from outgrow.store import Artefact, Store, read_json, write_json
from outgrow.workspace import Workspace


class Respondent(Protocol):
    """A language model of an experiment, here or behind a server."""

    @property
    def name(self) -> str:
        """A name for tables and records."""

    @property
    def identity(self) -> object:
        """All that its answers depend on, but for what it is asked: a JSON value."""

    def at_work(self, folder: Path, workspace: Workspace, step: str) -> AbstractContextManager[LanguageModel]:
        """The model, while it fills the folder of an artefact.

        Args:
            folder: The artefact's folder, in which unfinished work may be kept.
            workspace: Store and reporter.
            step: What the step is called.
        """

    def enter_cost(self, artefact: Artefact, workspace: Workspace) -> None:
        """Enters what it took to make an artefact into the costs of the run."""


@dataclass(frozen=True)
class LocalRespondent:
    """A model that runs here; what it has answered is kept in shards until the artefact is whole."""

    model: str
    """A folder or a hub id."""
    name: str
    """A name for tables and records."""
    batch_size: int = 32
    """Sequences at once."""

    @property
    def identity(self) -> object:
        """Content of the folder, or `id@commit`."""
        return model_identity(self.model)

    @contextmanager
    def at_work(self, folder: Path, workspace: Workspace, step: str) -> Iterator[LanguageModel]:
        """The model, loaded (see `Respondent`)."""
        model = LocalLanguageModel.load(self.model, name=self.name, batch_size=self.batch_size)
        yield ShardedLanguageModel(model, folder, workspace.reporter, step)

    def enter_cost(self, artefact: Artefact, workspace: Workspace) -> None:
        """Nothing: it costs time only, which the store counts."""


@dataclass(frozen=True)
class ServedRespondent:
    """A model behind a server; what it has answered is in the store's `responses.sqlite` as soon as it comes."""

    config: Served
    """The section of the experiment file."""
    role: str
    """What it does, for the notes on what it cost: `supervisor`, `judge` or `strong model`."""
    alias: str | None = None
    """A name for tables and records, where it is not the model's own."""

    @property
    def name(self) -> str:
        """A name for tables and records."""
        return self.alias or self.config.name or short_name(self.config.model)

    @property
    def who(self) -> str:
        """The model by what it does and its name, such as `the judge big-chat`."""
        return f"the {self.role} {self.config.name or short_name(self.config.model)}"

    @property
    def identity(self) -> object:
        """What its answers are kept under: everything but the address."""
        return {"served": vars(served_model(self.config))}

    @contextmanager
    def at_work(self, folder: Path, workspace: Workspace, step: str) -> Iterator[LanguageModel]:
        """The model; in the end its usage is kept in the folder (see `Respondent`)."""
        model = server_model(self.config, workspace.store, workspace.reporter)
        yield model
        write_json(folder / "usage.json", {"usage": vars(model.usage), "notes": model.notes})

    def enter_cost(self, artefact: Artefact, workspace: Workspace) -> None:
        """Enters requests and tokens, at today's prices."""
        kept = read_json(artefact.path / "usage.json")
        cost = Cost(self.who, Usage(**kept["usage"]), prices(self.config), kept["notes"])
        workspace.costs.enter(f"{artefact.kind}/{artefact.key}", cost)


def answered(
    respondent: Respondent,
    kind: str,
    recipe: Mapping[str, Any],
    workspace: Workspace,
    make: Callable[[LanguageModel, Path], object],
    *,
    step: str,
) -> Path:
    """The folder of an artefact that a language model's answers go into, found or made.

    Args:
        respondent: Who answers.
        kind: What the artefact is.
        recipe: What it depends on besides who answers.
        workspace: Store and reporter.
        make: Asks the model and fills the folder.
        step: What the step is called.
    """

    def whole(folder: Path) -> None:
        with respondent.at_work(folder, workspace, step) as model:
            make(model, folder)

    artefact = workspace.get(kind, {"model": respondent.identity, **recipe}, whole)
    respondent.enter_cost(artefact, workspace)
    return artefact.path


def server_model(config: Served, store: Store, reporter: Reporter | None = None) -> ServerLanguageModel:
    """The model that a section of an experiment file describes; its answers are kept in the store's `responses.sqlite`.

    Raises:
        ConfigError: The URL is none or could hold a key, or a parameter is wrong.
    """
    return ServerLanguageModel(
        served_model(config),
        config.server,
        name=config.name or short_name(config.model),
        limits=Limits(config.concurrency, config.timeout, config.retries),
        cache=store.root / "responses.sqlite",
        reporter=reporter,
    )


def served_model(config: Served) -> ServedModel:
    """The model as answers are kept under.

    Raises:
        ConfigError: A parameter is wrong.
    """
    return ServedModel(config.model, config.api, config.system, config.revision, config.logprobs, config.parameters)


def prices(config: Served) -> Prices | None:
    """What its tokens cost, if that is known."""
    return Prices(config.prices.input, config.prices.output) if config.prices else None
