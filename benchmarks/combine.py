"""Quality and speed of combining several supervisors, on planted worlds, real crowds and real language models.

    python benchmarks/combine.py            # quality: accuracy / NLL / mean confidence minus accuracy
    python benchmarks/combine.py --speed    # one million votes, against crowd-kit where it can be had
    python benchmarks/combine.py --memory   # fifty million votes from Parquet with `outgrow combine`: minutes

crowd-kit is no dependency: it is used if it can be imported here, or by the interpreter that CROWDKIT_PYTHON names. The
worlds and the readers of the real data are those of the tests (`tests/combine/voting_worlds.py`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from outgrow.combine import Ballots, combine

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
    for method in worlds.METHODS:
        results = [combine(world.votes, method) for world in made]
        line(method, [score(found.probs, world.truth) for found, world in zip(results, made, strict=True)])
    numbers = [found.effective_supervisors for found in results]
    print(f"  effective supervisors {min(numbers):.2f} to {max(numbers):.2f}")


def real(title: str, votes: np.ndarray, truth: np.ndarray) -> None:
    """Every method without gold, and with a hundred gold rows (scored on the others) over ten draws of them."""
    print(title)
    for method in worlds.METHODS:
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
    real("SciQ: four fine-tuned GPT-2 models with strengths", *worlds.read_sciq())


ROWS, PER_ROW = 100_000, 10
REPEATS = 3

CROWDKIT = """
import sys, time
import numpy, pandas
from crowdkit.aggregation import DawidSkene
votes = numpy.load(sys.argv[1])
table = pandas.DataFrame({name: votes[name] for name in ("task", "worker", "label")})
best = float("inf")
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    found = DawidSkene().fit_predict(table)
    best = min(best, time.perf_counter() - start)
print(best, (found.sort_index().to_numpy() == votes["truth"]).mean())
"""


def crowd(people: int, rows: int, first: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Truth of some rows, and task, worker and label of ten votes on each, by people with accuracies of .55 to .9."""
    ability = np.random.default_rng(people).uniform(0.55, 0.9, people)
    random = np.random.default_rng([people, first])
    truth = random.integers(0, 2, rows)
    task = np.repeat(np.arange(rows), PER_ROW)
    worker = np.tile(np.arange(PER_ROW), rows) if people == PER_ROW else random.integers(0, people, len(task))
    label = np.where(random.random(len(task)) < ability[worker], truth[task], 1 - truth[task])
    return truth, task, worker, label


def speed() -> None:
    """One million votes of ten and of a thousand people: seconds with all diagnostics, and times crowd-kit's."""
    for people in (10, 1000):
        truth, task, worker, label = crowd(people, ROWS)
        theirs = crowdkit(truth, task, worker, label)
        if theirs is not None:
            print(f"1,000,000 votes of {people:4d} people, crowd-kit's DawidSkene {theirs[0]:.2f} s, {theirs[1]:.4f}")
        for method in worlds.METHODS:
            seconds = []
            for _ in range(REPEATS):
                start = time.perf_counter()
                ballots = Ballots.from_labels(task, worker, label, rows=ROWS, choices=2)
                found = combine(ballots, method)
                seconds.append(time.perf_counter() - start)
            ratio = "" if theirs is None else f", {theirs[0] / min(seconds):5.1f} times as fast"
            accuracy = worlds.accuracy(found.probs, truth)
            title = f"1,000,000 votes of {people:4d} people, {method:12s}"
            print(f"{title} {min(seconds):6.3f} s{ratio}, accuracy {accuracy:.4f}", flush=True)


def crowdkit(*columns: np.ndarray) -> tuple[float, float] | None:
    """Seconds and accuracy of crowd-kit's Dawid–Skene on the same votes, in a process of its own; None without it."""
    python = os.environ.get("CROWDKIT_PYTHON", sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "votes.npz"
        np.savez(path, **dict(zip(("truth", "task", "worker", "label"), columns, strict=True)))
        command = [python, "-c", CROWDKIT, str(path), str(REPEATS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"no crowd-kit: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        return None
    seconds, accuracy = map(float, done.stdout.split())
    return seconds, accuracy


def memory(rows: int = 5_000_000) -> None:
    """Fifty million votes of ten and of a thousand people from Parquet: seconds and peak memory of the command."""
    command = "import resource, sys; from outgrow.cli import app; app(standalone_mode=False); "
    command += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)"
    with tempfile.TemporaryDirectory() as folder:
        for people in (10, 1000):
            path = Path(folder) / f"{people}.parquet"
            write_votes(path, people, rows)
            for method in ("dawid_skene", "dependence"):
                start = time.perf_counter()
                arguments = [
                    "combine",
                    str(path),
                    "--method",
                    method,
                    "--output",
                    f"{folder}/posteriors.parquet",
                    "--json",
                ]
                done = subprocess.run(
                    [sys.executable, "-c", command, *arguments], capture_output=True, text=True, check=True
                )
                seconds, peak = time.perf_counter() - start, float(done.stdout.split()[-1])
                print(
                    f"{rows * PER_ROW:,} votes of {people} people, {method}: {seconds:.0f} s, {peak:.2f} GiB",
                    flush=True,
                )


def write_votes(path: Path, people: int, rows: int) -> None:
    """A Parquet table of task, worker and label, all texts, written in blocks of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({name: pa.string() for name in ("task", "worker", "label")})
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, rows, ROWS):
            _, task, worker, label = crowd(people, min(ROWS, rows - first), first)
            columns = [pa.array(values).cast(pa.string()) for values in (task + first, worker, label)]
            writer.write_table(pa.table(columns, schema))


if __name__ == "__main__":
    {"--speed": speed, "--memory": memory}.get(sys.argv[-1], quality)()
