"""Quality and speed of combining several supervisors, on planted worlds, real crowds and real language models.

    python benchmarks/combine.py            # quality: accuracy / NLL / mean confidence minus accuracy
    python benchmarks/combine.py --speed    # one million votes, and memory

The worlds and the readers of the real data are those of the tests (`tests/combine/voting_worlds.py`).
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from outgrow.combine import Ballots, combine
from outgrow.combine.methods import METHODS

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "combine"))
import voting_worlds as worlds

SEEDS = 10
ANCHORS = 100


def line(name: str, scores: list[tuple[float, float, float]]) -> None:
    """Prints the mean over seeds, and the range where there is more than one."""
    values = np.array(scores)
    mean = " / ".join(f"{value:6.3f}" for value in values.mean(axis=0))
    between = " ".join(
        f"{low:.3f}…{high:.3f}" for low, high in zip(values.min(axis=0), values.max(axis=0), strict=True)
    )
    print(f"  {name:32s} {mean}   {between if len(values) > 1 else ''}", flush=True)


def score(probs: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Accuracy, NLL, mean confidence minus accuracy."""
    return worlds.accuracy(probs, truth), worlds.nll(probs, truth), worlds.overconfidence(probs, truth)


def planted(title: str, make: Callable[[int], worlds.World]) -> None:
    """Every method, and the posterior that knows how the world was made, over ten seeds."""
    print(title)
    made = [make(seed) for seed in range(SEEDS)]
    line("planted-truth posterior", [score(world.posterior, world.truth) for world in made])
    for method in METHODS:
        results = [combine(world.votes, method) for world in made]
        line(method, [score(found.probs, world.truth) for found, world in zip(results, made, strict=True)])
    numbers = [found.effective_supervisors for found in results]
    print(f"  effective supervisors {min(numbers):.2f} to {max(numbers):.2f}")


def real(title: str, votes: np.ndarray, truth: np.ndarray) -> None:
    """Every method without gold, and with a hundred gold rows (scored on the others) over ten draws of them."""
    print(title)
    for method in METHODS:
        line(method, [score(combine(votes, method).probs, truth)])
    for method in ("dawid_skene", "dependence"):
        scores = []
        for seed in range(SEEDS):
            gold = np.full(len(truth), -1)
            anchors = np.random.default_rng(seed).choice(len(truth), ANCHORS, replace=False)
            gold[anchors] = truth[anchors]
            rest = gold < 0
            scores.append(score(combine(votes, method, gold=gold).probs[rest], truth[rest]))
        line(f"{method}, {ANCHORS} gold rows", scores)


def with_strengths(choices: int, seed: int) -> worlds.World:
    """Supervisors of different sharpness, over- and underconfident by different factors."""
    return worlds.gaussian([1, 0.8, 0.6, 1.2], exponents=[4, 0.3, 1, 2], choices=choices, seed=seed)


def quality() -> None:
    """All quality tables."""
    print("mean over seeds: accuracy / NLL / overconfidence   lowest…highest")
    planted("four near-copies of a 65 % voter and two independent 85 % voters", lambda seed: worlds.copies(seed=seed))
    accuracies = [0.6, 0.65, 0.7, 0.75, 0.8, 0.8]
    planted("six independent voters", lambda seed: worlds.independent(accuracies, seed=seed))
    planted("the same, four choices", lambda seed: worlds.independent(accuracies, choices=4, seed=seed))
    contrary = [0.7, 0.75, 0.8, 0.1]
    planted("three voters and a contrary one", lambda seed: worlds.independent(contrary, seed=seed))
    for choices in (2, 3, 5):
        title = f"four supervisors with strengths on their own scales, {choices} choices"
        planted(title, lambda seed, k=choices: with_strengths(k, seed))  # type: ignore[misc]
    real("crowd_rte: 164 people, 800 pairs", *worlds.read_rte())
    real("StrategyQA: the 12 weakest of 25 configurations of language models", *worlds.read_strategyqa(12))
    real("StrategyQA: all 25", *worlds.read_strategyqa(25))


def speed() -> None:
    """One million votes of ten and of a thousand people, and peak memory."""
    rows = 100_000
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, rows)
    task = np.repeat(np.arange(rows), 10)
    for people in (10, 1000):
        ability = random.uniform(0.55, 0.9, people)
        worker = np.tile(np.arange(10), rows) if people == 10 else random.integers(0, people, len(task))
        right = random.random(len(task)) < ability[worker]
        label = np.where(right, truth[task], 1 - truth[task])
        for method in METHODS:
            start = time.perf_counter()
            ballots = Ballots.from_labels(task, worker, label, rows=rows, choices=2)
            found = combine(ballots, method)
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(
                f"1,000,000 votes of {people:4d} people, {method:12s} {seconds:6.2f} s, accuracy "
                f"{worlds.accuracy(found.probs, truth):.4f}, peak memory so far {peak:.2f} GiB",
                flush=True,
            )


if __name__ == "__main__":
    speed() if "--speed" in sys.argv else quality()
