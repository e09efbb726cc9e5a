"""Where a running experiment works: its store, whom it tells how far it is, and what it has cost."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from outgrow.identity import not_hashed
from outgrow.models.server.costs import Costs
from outgrow.progress import Reporter, SilentReporter
from outgrow.store import Artefact, Store


@dataclass(frozen=True)
class Workspace:
    """A store, a reporter and the costs; the only things that stages share."""

    store: Store
    """Where artefacts live."""
    reporter: Reporter = field(default_factory=SilentReporter)
    """Whom long steps tell how far they are."""
    costs: Costs = field(default_factory=Costs)
    """What the artefacts used so far have cost at servers."""

    def get(self, kind: str, recipe: Mapping[str, Any], make: Callable[[Path], object]) -> Artefact:
        """The artefact of a recipe, found or made (see `Store.get`)."""
        store = self.scratch if not_hashed(recipe) else self.store
        return store.get(kind, recipe, make, on_wait=self.reporter.note)

    @cached_property
    def scratch(self) -> Store:
        """A store of this run alone, for what a later run must not find; its keys differ from run to run."""
        folder = Path(tempfile.mkdtemp(prefix="outgrow-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Store(folder, salt=folder.name)


class NotMadeError(Exception):
    """An artefact is asked for that would have to be made."""


class FinishedWork(Workspace):
    """A workspace in which nothing is made: what is not in the store is a `NotMadeError`."""

    def get(self, kind: str, recipe: Mapping[str, Any], make: Callable[[Path], object]) -> Artefact:
        """The artefact of a recipe, found.

        Raises:
            NotMadeError: It is not there.
        """
        found = self.store.find(kind, recipe)
        if found is None:
            raise NotMadeError(kind)
        return found
