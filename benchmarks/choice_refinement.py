"""Labels of `subj`, weak against refined by the model of examples/choices: accuracy with intervals, as a table.

    python examples/choices/make_model.py
    python benchmarks/choice_refinement.py [--rows 300] [--seeds 3] [--only 20]

The supervisor is a TF-IDF pipeline that learns from so many gold rows; each seed draws its own, and its own
demonstrations. No student is trained: `outgrow run examples/choices/choices.yaml` does that. What a run asked the
model before, a second takes from the store.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow.combine.mean import Mean
from outgrow.config import ExperimentConfig, Named, load_config
from outgrow.evaluate import mean_scores
from outgrow.evaluate.wording import estimate_text, number_text
from outgrow.labels import ChoiceTargets, Rows, positions
from outgrow.pipeline.refining import refined_choices
from outgrow.progress import PlainReporter
from outgrow.run import Run
from outgrow.store import Store
from outgrow.tasks import read_task

EXAMPLE = Path(__file__).parents[1] / "examples/choices/choices.yaml"
WEAK = (20, 30, 100)
"""Gold rows of the supervisors."""
WAYS: dict[str, dict[str, Any]] = {
    "1 demonstration": {"demonstrations": 1},
    "4": {"demonstrations": 4},
    "12": {"demonstrations": 12},
    "12, at random": {"demonstrations": 12, "select": "random"},
    "12, the surest": {"demonstrations": 12, "select": "confidence"},
    "4, the most similar": {"demonstrations": 4, "select": "tfidf"},
    "12, not calibrated": {"demonstrations": 12, "content_free": ()},
}
"""What differs from the example's refinement."""
ALL, FEW = 30, ("12",)
"""The supervisor with which all ways are tried, and the ways that are tried with the others."""


def hits(targets: ChoiceTargets, rows: Rows) -> NDArray[np.float64]:
    """Whether the likeliest choice is gold, shape (N,)."""
    own = rows.take([int(place) for place in positions(rows.ids, targets.ids)])
    return (targets.probs.argmax(axis=1) == own.gold_indices()) * 1.0


def measured(config: ExperimentConfig, gold: int, run: Run) -> tuple[dict[str, list[Any]], list[Any]]:
    """By way the hits of each seed, beginning with the weak labels', and all audits."""
    _, rows = read_task(config.task)
    unlabelled = rows.part("unlabelled")
    supervisor = config.supervisors[0].model_copy(update={"rows": gold, "name": f"tfidf {gold}"})
    refine = config.methods["refined"].refine
    assert refine is not None
    found: dict[str, list[Any]] = {"weak": []}
    audits = []
    for seed in config.seeds:
        votes = supervisor.vote(rows, run, seed=seed)
        weak = Mean().choices(votes.take(positions(votes.ids, unlabelled.ids)))
        found["weak"].append(hits(weak, rows))
        for way, changed in WAYS.items():
            if gold != ALL and way not in FEW:
                continue
            named = Named(name="icl", **{**refine.params, **changed})
            name = f"{gold} gold rows, {way}"
            refined = refined_choices(named, config.trained, weak, rows, run, seed=seed, method=name)
            found.setdefault(way, []).append(hits(refined, rows))
            audits.append((way, run.audits[-1]))
    return found, audits


def lines(found: Mapping[str, list[Any]], audits: list[Any], gold: int) -> list[str]:
    """The table's rows: accuracy, what was gained, and the mean of what audits saw."""
    scores = {way: np.stack(own) for way, own in found.items()}
    means, told = mean_scores(list(scores.values())), []
    for way, own in zip(scores, np.eye(len(scores)), strict=True):
        mean, gain = means.contrast(own), means.contrast(own - np.eye(len(scores))[0])
        accuracy = estimate_text(mean.value, mean.interval(0, 1))
        change = estimate_text(gain.value, gain.interval(-1, 1), signed=True)
        seen = [audit for name, audit in audits if name == way]
        kept, base, first = (
            number_text(float(np.mean([pick(each) for each in seen])), decimals=2) if seen else ""
            for pick in (lambda a: a["as_weak"], lambda a: a["as_base"], lambda a: a["shares"]["refined"][0])
        )
        told.append(f"| {gold} | {way} | {accuracy} | {change if seen else ''} | {kept} | {base} | {first} |")
    return told


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300, help="unlabelled rows")
    parser.add_argument("--seeds", type=int, default=3, help="supervisors and demonstrations drawn")
    parser.add_argument("--only", type=int, help="a supervisor of so many gold rows")
    parser.add_argument("--store", type=Path, default=Path("outgrow-runs/choice-refinement/store"))
    given, other = parser.parse_known_args()
    config = load_config(EXAMPLE, [f"task.split.unlabelled={given.rows}", f"seeds={given.seeds}", *other])
    run = Run(Store(given.store), PlainReporter())
    print(
        "| gold rows | labels | accuracy | − weak | as weak | as base | first choice |\n|---|---|---|---|---|---|---|"
    )
    for gold in [given.only] if given.only else WEAK:
        for line in lines(*measured(config, gold, run), gold):
            print(line, flush=True)


if __name__ == "__main__":
    main()
