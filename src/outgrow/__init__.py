"""Train a strong model from weak supervisors so that it ends up better than all of them, and prove it.

Names are imported when first used: `import outgrow` itself imports no numerical library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from outgrow._lazy import lazy
from outgrow._version import __version__

if TYPE_CHECKING:
    from outgrow import (
        bridge,
        combine,
        errors,
        evaluate,
        labels,
        models,
        objectives,
        refine,
        report,
        students,
        supervisors,
        tasks,
        theory,
        train,
        worlds,
    )
    from outgrow.errors import OutgrowError
    from outgrow.experiment import Experiment
    from outgrow.registry import register
    from outgrow.results import Results
    from outgrow.run import Run
    from outgrow.store import Store

__all__ = [
    "Experiment",
    "OutgrowError",
    "Results",
    "Run",
    "Store",
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
    "report",
    "students",
    "supervisors",
    "tasks",
    "theory",
    "train",
    "worlds",
]
_HOMES = {
    "Experiment": "outgrow.experiment",
    "OutgrowError": "outgrow.errors",
    "Results": "outgrow.results",
    "Run": "outgrow.run",
    "Store": "outgrow.store",
    "register": "outgrow.registry",
}
__getattr__ = lazy(__name__, {name: f"outgrow.{name}" for name in __all__} | _HOMES)


def __dir__() -> list[str]:
    return __all__
