"""The demo: a world made on the spot, and an ordinary experiment in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, cast

import yaml

from outgrow.errors import ConfigError
from outgrow.experiment import Experiment
from outgrow.files import write_text
from outgrow.progress import Reporter
from outgrow.store import cache_folder
from outgrow.worlds import facts

SIZES = ("demo", "tiny")

_MANNER = {
    "batch": 6,
    "infer": "{demonstrations}" + facts.HEADING.partition(" {manner}")[0],
    "instruction": facts.HEADING.replace("{manner}", "{concept}"),
}
"""How the world's documents ask for a style and tell one: a model so small understands no other words for it."""


def demo_experiment(folder: Path, *, size: str, seeds: int, reporter: Reporter) -> Experiment:
    """Makes the world of facts, unless it is in the user's cache, and the experiment that the demo runs.

    The experiment is also written to `experiment.yaml` in the folder, to be read, changed and run by hand.

    Args:
        folder: Where the experiment's file and results go.
        size: `demo`, or `tiny` for tests.
        seeds: Number of training seeds.
        reporter: Told of progress.

    Raises:
        ConfigError: There is no such size.
    """
    from outgrow.worlds import facts_models  # imports torch

    if size not in SIZES:
        raise ConfigError(f"There is no demo of size {size!r}.", wanted=" or ".join(SIZES))
    chosen = cast(Literal["demo", "tiny"], size)
    world = facts_models.build(cache_folder() / "worlds" / f"facts-{size}", reporter=reporter, size=chosen)
    settings = demo_settings(world, folder, seeds=seeds)
    text = "# The experiment behind `outgrow demo`: outgrow run <this file>\n" + yaml.safe_dump(
        settings, sort_keys=False
    )
    write_text(folder / "experiment.yaml", text)
    return Experiment.from_dict(settings)


def demo_settings(world: Path, folder: Path, *, seeds: int) -> dict[str, Any]:
    """The experiment as the mapping that its YAML holds."""
    world = world.resolve()
    return {
        "name": "demo",
        "task": {"name": "facts", "path": str(world)},
        "supervisors": [
            {"model": str(world / "models" / "words"), "name": "words"},
            {"model": str(world / "models" / "characters"), "name": "characters"},
        ],
        "strong": {"model": str(world / "models" / "strong")},
        "methods": {
            "naive": {},
            "refined": {"refine": {"name": "icl", "demonstrations": 4}},
            "inferred": {"refine": {"name": "infer_and_respond", **_MANNER}},
            "refined-bayesian": {
                "refine": {"name": "infer_and_demonstrate", "demonstrations": 4, "draws": 3, **_MANNER},
                "objective": "bayesian",
            },
        },
        "generate": {"max_new_tokens": 32, "stop": ["\n"]},
        # These models are tiny: they want a hundred times the learning rate of a pretrained billion.
        "trainer": {"learning_rate": 1e-3, "num_train_epochs": 20, "per_device_train_batch_size": 32},
        "seeds": seeds,
        "output": str(folder.resolve()),
    }
