"""What every stage of an experiment gets: `stage` makes artefacts, `open` loads language models, `note` adds notes.

A dry run is the same pipeline with another `Run`: what the store has is read, language models are replaced by stand-ins
that count requests or make texts up, and what would have to be trained is made up too.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

import pyarrow as pa

from outgrow import ranks
from outgrow.files import read_json, read_table, write_json, write_table
from outgrow.identity import not_hashed
from outgrow.labels import Note
from outgrow.labels.notes import Severity
from outgrow.models.protocols import LanguageModel
from outgrow.models.server import Cost, Costs, DryRunModel, DryRunServer, Usage
from outgrow.models.specs import LocalModel, ModelSpec, ServerModel
from outgrow.progress import Reporter, SilentReporter
from outgrow.scale.executor import Executor
from outgrow.scale.generation import ShardedLanguageModel, keep_said, said
from outgrow.scale.local import LocalExecutor
from outgrow.store import Artefact, Store

if TYPE_CHECKING:
    from outgrow.models.planning import Plan, Work


class Record(Protocol):
    """Anything that goes to and from Arrow unchanged."""

    def to_arrow(self) -> pa.Table:
        """Return it as a table."""

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Any:
        """Return what `to_arrow` was called on."""


R = TypeVar("R", bound=Record)
_RECORD = "record.parquet"


def _plain_sentence(note: Note) -> str:
    values = ", ".join(f"{key}={value}" for key, value in note.values.items())
    return f"{note.who} (seed {note.seed}): {note.code}: {values}"


@dataclass(frozen=True)
class Run:
    """Store, progress, costs and notes of one run of an experiment.

    Example:
        >>> import tempfile
        >>> run = Run(Store(Path(tempfile.mkdtemp())))
        >>> made = run.stage("numbers", {"upto": 3}, lambda folder: write_json(folder / "n.json", [0, 1, 2]))
        >>> read_json(made.path / "n.json")
        [0, 1, 2]
    """

    store: Store
    """Artefacts, by content."""
    reporter: Reporter = field(default_factory=SilentReporter)
    """Receives progress updates. Default: none."""
    executor: Executor = field(default_factory=LocalExecutor)
    """Where the models run that map rows."""
    dry: bool = False
    """Count the requests to servers, without sending, training or generating anything."""
    costs: Costs = field(default_factory=Costs)
    """What the artefacts used so far have cost at servers."""
    notes: list[Note] = field(default_factory=list)
    """What a reader of the results should know, each once."""
    audits: list[dict[str, Any]] = field(default_factory=list)
    """What refinements changed, by `method` and `seed`; see `outgrow.refine.audit`."""
    students: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    """By method and seed: `artefact` (kind/key) of the trained model, and the `base` model that it was trained from."""
    sentence: Callable[[Note], str] = field(default=_plain_sentence, repr=False)
    """Words a note for the reporter; by default code and values."""
    planned: dict[str, tuple[ServerModel, DryRunServer]] = field(default_factory=dict)
    """Servers that a dry run would ask, by role and name."""
    estimated: Plan | None = None
    """Collects what the stages of a dry run would take."""

    @overload
    def stage(
        self, kind: str, recipe: Mapping[str, Any], make: Callable[..., object], *,
        blank: Callable[[Path], object] | None = None, model: ModelSpec | None = None, step: str = "",
        together: bool = False, work: Callable[[], Work] | None = None,
    ) -> Artefact: ...  # fmt: skip

    @overload
    def stage(
        self, kind: str, recipe: Mapping[str, Any], make: Callable[..., R], record: type[R], *,
        blank: Callable[[Path], R] | None = None, model: ModelSpec | None = None, step: str = "",
        together: bool = False, work: Callable[[], Work] | None = None,
    ) -> R: ...  # fmt: skip

    def stage(
        self,
        kind: str,
        recipe: Mapping[str, Any],
        make: Callable[..., Any],
        record: type[Any] | None = None,
        *,
        blank: Callable[[Path], Any] | None = None,
        model: ModelSpec | None = None,
        step: str = "",
        together: bool = False,
        work: Callable[[], Work] | None = None,
    ) -> Any:
        """Return the artefact of a recipe: found in the store, or made and kept there.

        Args:
            kind: What it is: `labels`, `student` …
            recipe: Everything its contents depend on, as JSON values; objects by their `identity`.
            make: `make(folder)`, or with a model `make(model, folder)`: fills the folder, or returns the record. It
                may find shards of an interrupted attempt in the folder.
            record: Class of the record that is kept; by default the artefact is a folder.
            blank: Stands for `make` in a dry run, where it would train; by default an empty model folder.
            model: A language model that `make` needs. Its identity is part of the recipe, its cost is counted.
            step: Name of the step, for progress.
            together: Under torchrun all processes call `make`, because it trains with `fit` or uses `map_shards`; only
                the first one may write other files (`ranks.first()`). By default only the first calls `make`, unless
                it needs a model that runs in all processes (`Executor.together`).
            work: What a model that `make` loads itself reads or is trained on, for an estimate.

        Raises:
            StoreError: Disk full or no permission.
        """
        if model is not None:
            recipe = {"model": model.identity, **recipe}
        store = self._store_of(recipe)
        unmade = self.dry and store.find(kind, recipe) is None
        if unmade:
            store = self.scratch
            if model is None:
                stand_in = blank or (lambda folder: untrained_model(folder / "model"))
                make = self.estimated.stage(kind, recipe, make, stand_in, work) if self.estimated else stand_in

        def whole(folder: Path) -> None:
            if model is None:
                made = make(folder)
            else:
                with self.open(model, folder, step, kind) as opened:
                    made = make(opened, folder)
            if record is not None and ranks.first():
                write_table(folder / _RECORD, made.to_arrow())

        together = together or (model is not None and not isinstance(model, ServerModel) and self.executor.together)
        artefact = store.get(kind, recipe, whole, say=self.reporter.note, together=together)
        if isinstance(model, ServerModel) and not unmade:
            kept = read_json(artefact.path / "usage.json")
            cost = Cost(model.who, Usage(**kept["usage"]), model.prices, kept["notes"])
            self.costs.enter(f"{artefact.kind}/{artefact.key}", cost)
            if self.dry:
                self.plan(model).found[artefact.key] = cost.usage.asked + cost.usage.cached
        return artefact if record is None else record.from_arrow(read_table(artefact.path / _RECORD))

    @contextmanager
    def open(self, model: ModelSpec, folder: Path, step: str, kind: str = "") -> Iterator[LanguageModel]:
        """Load a language model that fills an artefact; unfinished answers of local models are kept in its folder."""
        if isinstance(model, ServerModel) and self.dry:
            yield self.plan(model)
        elif isinstance(model, ServerModel):
            client = model.load(self._responses, self.reporter)
            client.owner = f"{folder.parent.name}/{folder.name}"
            yield client
            if client.said:
                keep_said(folder, said(client, *zip(*client.said, strict=True)))
            write_json(folder / "usage.json", {"usage": vars(client.usage), "notes": client.notes})
        elif self.estimated and isinstance(model, LocalModel):
            from outgrow.models.planned_model import PlannedModel

            yield PlannedModel(self.estimated, model, kind)
        elif self.dry:
            yield DryRunModel(model.name, model.chats)
        else:
            load, seen = partial(model.load, self._responses, SilentReporter()), partial(attrgetter("identity"), model)
            with self.executor.open(load, seen=seen, say=self.reporter.note) as apply:
                yield ShardedLanguageModel(model.name, model.chats, apply, folder, self.reporter, step)

    def note(
        self, code: str, severity: Severity = "info", *, who: str | None = None, seed: int | None = None, **values: Any
    ) -> None:
        """Add a note for the reader of the results, unless it is there already."""
        self.add(Note(code, severity, who, seed, values))

    def add(self, *notes: Note) -> None:
        """Add notes that are not there already."""
        self.notes.extend(note for note in dict.fromkeys(notes) if note not in self.notes)

    def keep(self, method: str, seed: int, folder: Path, base: str) -> None:
        """Record which artefact is the student of a method, unless it is deleted with the run (see `scratch`).

        Args:
            method: A method of the experiment, or `ceiling` or `gold only`.
            seed: Training seed.
            folder: The artefact's folder, or one in it.
            base: Folder or hub id of the model before training.
        """
        if folder.is_relative_to(self.store.root):
            artefact = "/".join(folder.relative_to(self.store.root).parts[:2])
            base = str(Path(base).resolve()) if Path(base).is_dir() else base
            self.students[method, seed] = {"method": method, "seed": seed, "artefact": artefact, "base": base}

    @property
    def _responses(self) -> Path:
        return self.store.root / "responses.sqlite"

    def plan(self, model: ServerModel) -> DryRunServer:
        """Return what counts the requests to a served model in a dry run."""
        if model.who not in self.planned:
            self.planned[model.who] = model, DryRunServer(model.load(self._responses, self.reporter))
        return self.planned[model.who][1]

    @cached_property
    def scratch(self) -> Store:
        """A store of this run alone, for what a later run must not find; deleted with the run."""
        name, where = "", None
        if ranks.world() > 1:  # in a place that all processes see
            where = self.store.root
            where.mkdir(parents=True, exist_ok=True)
        if ranks.first():
            name = tempfile.mkdtemp(prefix="outgrow-", dir=where)
            weakref.finalize(self, shutil.rmtree, name, ignore_errors=True)
        folder = Path(ranks.share(name, "scratch"))
        return Store(folder, salt=folder.name)

    def _store_of(self, recipe: Mapping[str, Any]) -> Store:
        """The store, or the one of this run alone where some code in the recipe cannot be hashed."""
        unknown = not_hashed(recipe)
        for name in unknown:
            self.note("store.not_kept", who=name)
        unkept = [one.key for one in self.scratch.used.values()] if "scratch" in vars(self) else []
        return self.scratch if unknown or any(key in str(recipe) for key in unkept) else self.store


def untrained_model(folder: Path) -> None:
    """Write what looks like a model folder; a dry run never loads it."""
    write_json(folder / "config.json", {"untrained": folder.parent.name})
    (folder / "untrained.safetensors").touch()
