"""Scores the advice of `outgrow advise` on planted votes, and on real ones where they are at hand.

    python benchmarks/advise.py                 # about five minutes on one core
    python benchmarks/advise.py --seeds 5       # fewer worlds
    python benchmarks/advise.py --runs outgrow-runs/quality/* outgrow-runs/encoders/*     # students of finished runs

Worlds are those of `tests/combine/voting_worlds.py` with seeds from 100: whole, and thinned to their first 200 and 60
rows. The advised combiner, `dependence`, is compared with the best of all combiners by gold, the expected accuracy with
the true one, and gold rows that are random, least certain, or both with each other.
Ties between choices count as a share. `--runs` compares the students of `make quality` and `benchmarks/encoders.py`:
the method that the advice on a run starts with, and the best of all by the test part.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from outgrow.combine import Combined, combine
from outgrow.combine.advice import expected_accuracy, rows_to_label
from outgrow.results import Results

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "combine"))
import voting_worlds as worlds

FIRST_SEED = 100
CLOSE = 0.03
GOLD = 100


def right(found: Combined, truth: np.ndarray) -> np.ndarray:
    """Share of each row's answer that is right: of tied choices an equal share."""
    tied = np.isclose(found.probs, found.probs.max(axis=1, keepdims=True))
    choices = np.arange(found.probs.shape[1])[None] if found.answers is None else found.answers
    share: np.ndarray = (tied & (choices == truth[:, None])).sum(axis=1) / tied.sum(axis=1)
    return share


def scored(votes: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Accuracy of every combiner, and what `dependence` expects of itself."""
    found = {name: combine(votes, name) for name in worlds.METHODS}
    score = {name: float(right(own, truth).mean()) for name, own in found.items()}
    default = found["dependence"]
    error = expected_accuracy(default) - right(default, truth)[default.usable].mean()
    return {**score, "best": max(score.values()), "error": error}


def report(title: str, cells: list[dict[str, float]]) -> None:
    """Print share within a point of the best, mean and largest regret, and how often the expected accuracy is right."""
    print(f"{title}: {len(cells)} cells")
    for name in ("dependence", "dawid_skene", "majority"):
        regret = np.array([one["best"] - one[name] for one in cells])
        near = (regret <= 0.01).mean()
        print(f"  {name:12s} within .01: {near:.2f}  mean regret {regret.mean():.4f}  largest {regret.max():.3f}")
    errors = np.array([one["error"] for one in cells])
    close = (np.abs(errors) <= CLOSE).mean()
    print(f"  expected accuracy within {CLOSE}: {close:.2f}, mean error {errors.mean():+.4f}", flush=True)


def planted(seeds: int) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Size, kind, votes and truth of every world; a thinned world keeps the supervisors that still vote."""
    for kind in worlds.KINDS:
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            world = worlds.planted(kind, seed)
            yield "whole", kind, world.votes, world.truth
            for rows in (200, 60):
                votes = world.votes[:rows]
                yield f"{rows} rows", kind, votes[:, ~np.isnan(votes).all(axis=(0, 2))], world.truth[:rows]


def labelled(votes: np.ndarray, truth: np.ndarray, seed: int) -> list[dict[str, float]]:
    """Accuracy on all rows, and error of the expected accuracy on the others, after some rows got their gold answer."""
    default, found = combine(votes), []
    named = rows_to_label(default, GOLD, seed=seed)
    random, least = ([each.row for each in named if each.use == use] for use in ("measure", "correct"))
    for picked in ([], random, least, [*random[: GOLD // 2], *least[: GOLD // 2]]):
        gold = np.full(len(truth), -1)
        gold[picked] = truth[picked]
        own = combine(votes, gold=gold)
        rest = (gold < 0) & own.usable
        error = abs(expected_accuracy(own) - right(own, truth)[rest].mean())
        found.append({"accuracy": float(right(own, truth).mean()), "error": float(error)})
    return found


def rows_report(title: str, trials: list[list[dict[str, float]]]) -> None:
    """Print what labelling rows brought, by how they were picked."""
    print(
        f"{title}: {GOLD} gold rows, {len(trials)} trials: accuracy on all rows / error of the expected one elsewhere"
    )
    for place, how in enumerate(("none", "random", "least certain", "half and half")):
        means = [np.mean([trial[place][key] for trial in trials]) for key in ("accuracy", "error")]
        print(f"  {how:14s} {means[0]:.3f} / {means[1]:.3f}", flush=True)


def students(folders: list[Path]) -> None:
    """Print how far the advised method's student, `naive` and `product` are below the best one of each run."""
    named = {"in_the_loop": "in the loop", "naive": "naive", "validated": "bayesian on dependence"}
    regrets: dict[str, list[float]] = defaultdict(list)
    for folder in folders:
        results = Results.load(folder)
        (method,) = (note.values["start"] for note in results.advice() if note.code == "advice.method")
        score = {line.name: line.score.value for line in results.summary.metrics[0].lines if line.role == "student"}
        best = max(score, key=lambda name: score[name])
        print(f"{folder.name}: advised {named[method]} {score[named[method]]:.3f}, best {best} {score[best]:.3f}")
        for name in ("advised", "naive", "product"):
            regrets[name].append(score[best] - score[named[method] if name == "advised" else name])
    for name, own in regrets.items():
        print(f"  {name:12s} within .01: {np.mean(np.array(own) <= 0.01):.2f}  mean regret {np.mean(own):.4f}")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--runs", type=Path, nargs="*", help="folders of finished runs; nothing else is done then")
    seeds, runs = vars(parser.parse_args()).values()
    if runs:
        return students([folder for folder in runs if (folder / "results.json").is_file()])
    warnings.simplefilter("ignore")
    cells: dict[str, list[dict[str, float]]] = defaultdict(list)
    kinds: dict[str, list[dict[str, float]]] = defaultdict(list)
    trials: list[list[dict[str, float]]] = []
    for number, (size, kind, votes, truth) in enumerate(planted(seeds)):
        one = scored(votes, truth)
        cells[size].append(one)
        kinds[f"{kind}, {size}"].append(one)
        if size == "whole" and number % 9 == 0:
            trials.append(labelled(votes, truth, seed=0))
    every = [one for group in cells.values() for one in group]
    for title, own in [*kinds.items(), *cells.items(), ("all", every)]:
        report(title, own)
    rows_report("planted", trials)
    readers = {
        "crowd_rte": worlds.read_rte,
        "StrategyQA, 12 weakest": worlds.read_strategyqa,
        "StrategyQA, 25": lambda: worlds.read_strategyqa(25),
        "SciQ, four GPT-2": worlds.read_sciq,
        "sports": lambda: worlds.read_binary("sports"),
        "GSM8K, open answers": lambda: worlds.read_open_answers("GSM8K"),
        "date, open answers": lambda: worlds.read_open_answers("date"),
    }
    if not worlds.DATA.exists():
        return print(f"real votes are not here: {worlds.DATA}")
    for title, read in readers.items():
        votes, truth = read()
        report(title, [scored(votes, truth)])
        rows_report(title, [labelled(votes, truth, seed) for seed in range(5)])


if __name__ == "__main__":
    main()
