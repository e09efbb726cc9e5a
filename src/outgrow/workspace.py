"""Where a running experiment works: its store, and whom it tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outgrow.progress import Reporter, SilentReporter
from outgrow.store import Artefact, Store


@dataclass(frozen=True)
class Workspace:
    """A store and a reporter; the only things that stages share."""

    store: Store
    """Where artefacts live."""
    reporter: Reporter = field(default_factory=SilentReporter)
    """Whom long steps tell how far they are."""

    def get(self, kind: str, recipe: Mapping[str, Any], make: Callable[[Path], object]) -> Artefact:
        """The artefact of a recipe, found or made (see `Store.get`)."""
        return self.store.get(kind, recipe, make, on_wait=self.reporter.note)
