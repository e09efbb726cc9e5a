"""Train a strong model from weak supervisors so that it ends up better than all of them, and prove it.

Names are imported when first used: `import outgrow` itself imports no numerical library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from outgrow._version import __version__

if TYPE_CHECKING:
    from outgrow import bridge, combine, errors, evaluate, labels, models, objectives, refine, tasks, theory, worlds
    from outgrow.errors import OutgrowError
    from outgrow.experiment import Experiment
    from outgrow.registry import register
    from outgrow.results import Results

_HOME = {
    "Experiment": "outgrow.experiment",
    "OutgrowError": "outgrow.errors",
    "Results": "outgrow.results",
    "register": "outgrow.registry",
}
_ROOMS = (
    "bridge",
    "combine",
    "errors",
    "evaluate",
    "labels",
    "models",
    "objectives",
    "refine",
    "tasks",
    "theory",
    "worlds",
)

__all__ = [
    "Experiment",
    "OutgrowError",
    "Results",
    "__version__",
    "bridge",
    "combine",
    "errors",
    "evaluate",
    "labels",
    "models",
    "objectives",
    "refine",
    "register",
    "tasks",
    "theory",
    "worlds",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"outgrow.{name}")
    raise AttributeError(f"module 'outgrow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
