"""Quality and speed of combining several supervisors, on planted worlds, real crowds and real language models.

    python benchmarks/combine.py            # quality: regret on planted worlds, scores on real votes; no student
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
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from outgrow.combine import Ballots, Combined, combine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "combine"))
import voting_worlds as worlds

from voting_reference import reference

SEEDS = 40
ANCHORS = 100
ACCURACY, NLL, CONFIDENCE = 0.01, 0.03, 0.03
"""A posterior is as good as the planted truth's if it is no further from it than this."""


def score(probs: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Accuracy, NLL, mean confidence minus accuracy."""
    return worlds.accuracy(probs, truth), worlds.nll(probs, truth), worlds.overconfidence(probs, truth)


def planted() -> None:
    """Regret of every method against the posterior that knows how the world was made."""
    print(
        f"Planted worlds, {SEEDS} of each kind, rows with a vote. As good: within {ACCURACY} accuracy and {NLL} NLL of"
    )
    print(
        f"the planted truth, and confidence within {CONFIDENCE} of accuracy. `reference` knows the prior of worlds.\n"
    )
    print("| kind | method | accuracy lost: mean, worst | NLL gained: mean, worst | as good |\n|---|---|---|---|---|")
    for kind in worlds.KINDS:
        found: dict[str, list[tuple[float, float, float]]] = {method: [] for method in ("reference", *worlds.METHODS)}
        for seed in range(SEEDS):
            world = worlds.planted(kind, seed)
            voted = ~np.isnan(world.votes).all(axis=(1, 2))
            truth, exact = world.truth[voted], score(world.posterior[voted], world.truth[voted])
            for method, regrets in found.items():
                probs = reference(kind, world) if method == "reference" else combine(world.votes, method).probs
                own = score(probs[voted], truth)
                regrets.append((exact[0] - own[0], own[1] - exact[1], abs(own[2])))
        for method, regrets in found.items():
            lost, gained, off = np.array(regrets).T
            good = (lost <= ACCURACY) & (gained <= NLL) & (off <= CONFIDENCE)
            cells = (f"{lost.mean():.4f}, {lost.max():.3f}", f"{gained.mean():.3f}, {gained.max():.3f}")
            print(f"| {kind} | `{method}` | {cells[0]} | {cells[1]} | {good.mean():.0%} |", flush=True)


def labels_of(votes: np.ndarray) -> np.ndarray:
    """Most probable labels (N, M) of votes (N, M, K), -1 for an abstention."""
    return np.where(np.isnan(votes).all(axis=2), -1, np.nan_to_num(votes).argmax(axis=2))


def real_sets() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, votes and truth of every set of votes in ../shared/data."""
    yield "crowd_rte", *worlds.read_rte()
    for name in ("StrategyQA", "sports"):
        yield name, *worlds.read_binary(name)
    yield "StrategyQA, 12 weakest", *worlds.read_strategyqa(12)
    for seed in range(4):
        votes, truth = worlds.read_sciq(seed)
        yield f"sciq {seed}", votes, truth
        yield f"sciq {seed}, labels", worlds.one_hot(labels_of(votes)), truth
    for name in ("GSM8K", "date"):
        yield name, *worlds.read_open_answers(name)


def real() -> None:
    """Every method without gold and with a hundred gold rows, and crowd-kit's where it can be had."""
    print("\nReal sets: accuracy / NLL / mean confidence − accuracy; gold rows are not scored.")
    for name, votes, truth in real_sets():
        print(f"\n{name}: {votes.shape[0]} rows, {votes.shape[1]} supervisors", flush=True)
        for method in worlds.METHODS if votes.ndim == 3 else worlds.METHODS[1:]:
            print(f"  {method:32s} {shown(scored(combine(votes, method), truth))}", flush=True)
        runs = []
        for seed in range(5):
            gold = np.full(len(truth), -1)
            anchors = np.random.default_rng(seed).choice(len(truth), ANCHORS, replace=False)
            gold[anchors] = truth[anchors]
            runs.append(scored(combine(votes, gold=gold), truth, gold < 0))
        print(f"  {f'dependence, {ANCHORS} gold rows':32s} {shown(np.mean(runs, axis=0))}", flush=True)
        labels = votes if votes.ndim == 2 else labels_of(votes)
        row, person = np.nonzero(labels >= 0)
        for line in crowdkit(truth, row, person, labels[row, person], every=True) or ():
            print(f"  {line}", flush=True)


def alike() -> None:
    """Worlds in which all voters err alike, against the posterior that knows how."""
    print("\nAll err alike, 2,000 rows, 5 of 30 voters on each: accuracy / NLL / mean confidence − accuracy.")
    for name in ("RARE_AND_MISSED", "ON_A_SCALE"):
        world = worlds.alike(*getattr(worlds, name))
        print(f"\n{name}\n  {'the planted truth':32s} {shown(score(world.posterior, world.truth))}", flush=True)
        for method in worlds.METHODS[1:]:
            print(f"  {method:32s} {shown(scored(combine(world.votes, method), world.truth))}", flush=True)
        labels = labels_of(world.votes)
        row, person = np.nonzero(labels >= 0)
        for line in crowdkit(world.truth, row, person, labels[row, person], every=True):
            print(f"  {line}", flush=True)


def scored(found: Combined, truth: np.ndarray, which: np.ndarray | None = None) -> tuple[float, float, float]:
    """The same of a combination, of open answers too."""
    which = found.usable if which is None else which & found.usable
    if found.answers is not None:
        given, truth = (found.answers == truth[:, None]).any(axis=1), found.places(truth)
        # An answer that nobody gave is not found by saying so.
        right = ((found.probs.argmax(axis=1) == truth) & given)[which].mean()
        return right, worlds.nll(found.probs[which], truth[which]), found.probs[which].max(axis=1).mean() - right
    return score(found.probs[which], truth[which])


def shown(scores: Sequence[float]) -> str:
    """Three numbers."""
    return f"{scores[0]:.4f} / {scores[1]:.3f} / {scores[2]:+.3f}"


def quality() -> None:
    """All quality tables."""
    planted()
    alike()
    real()


ROWS, PER_ROW = 100_000, 10
REPEATS = 3

CROWDKIT = """
import sys, time, warnings
import numpy, pandas
from crowdkit import aggregation
warnings.filterwarnings("ignore")
votes = numpy.load(sys.argv[1])
table = pandas.DataFrame({name: votes[name] for name in ("task", "worker", "label")})
truth, many = votes["truth"], len(set(votes["label"])) > 50
def run(name, times):
    best, options = float("inf"), {"n_iter": 100} if "Dawid" in name and times == 1 else {}
    for _ in range(times):
        start = time.perf_counter()
        model = getattr(aggregation, name)(**options)
        found = model.fit_predict(table)
        best = min(best, time.perf_counter() - start)
    return best, found, getattr(model, "probas_", None)
if sys.argv[3] == "every":
    slow = {"DawidSkene", "GLAD", "MACE", "MMSR"} if many else set()
    for name in ("MajorityVote", "DawidSkene", "OneCoinDawidSkene", "GLAD", "MACE", "MMSR"):
        if name in slow:
            continue
        seconds, found, probs = run(name, 1)
        rows = found.index.to_numpy()
        accuracy, nll = (found.to_numpy() == truth[rows]).mean(), ""
        if probs is not None:
            right = [probs.at[row, truth[row]] if truth[row] in probs.columns else 0.0 for row in probs.index]
            nll = f"{-numpy.log(numpy.maximum(right, 1e-12)).mean():.3f}"
        print(f"{'crowd-kit ' + name:32s} {accuracy:.4f} / {nll}")
else:
    seconds, found, _ = run("DawidSkene", int(sys.argv[2]))
    print(seconds, (found.sort_index().to_numpy() == truth).mean())
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
    """One million votes of 10 to 10,000 people: seconds to the posterior, and times crowd-kit's Dawid–Skene."""
    for people in (10, 100, 1000, 10_000):
        truth, task, worker, label = crowd(people, ROWS)
        theirs = crowdkit(truth, task, worker, label)
        if theirs:
            print(f"1,000,000 votes of {people:5d} people, crowd-kit's DawidSkene {theirs[0]}", flush=True)
        for method in worlds.METHODS:
            seconds = []
            for _ in range(REPEATS):
                start = time.perf_counter()
                ballots = Ballots.from_labels(task, worker, label, rows=ROWS, choices=2)
                probs = combine(ballots, method).probs
                seconds.append(time.perf_counter() - start)
            ratio = "" if not theirs else f", {float(theirs[0].split()[0]) / min(seconds):5.1f} times as fast"
            accuracy = worlds.accuracy(probs, truth)
            title = f"1,000,000 votes of {people:5d} people, {method:12s}"
            print(f"{title} {min(seconds):6.3f} s{ratio}, accuracy {accuracy:.4f}", flush=True)


def crowdkit(*columns: np.ndarray, every: bool = False) -> list[str]:
    """Seconds and accuracy of crowd-kit's Dawid–Skene in a process of its own, or the scores of every aggregator.

    Nothing without crowd-kit.
    """
    python = os.environ.get("CROWDKIT_PYTHON", sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "votes.npz"
        np.savez(path, **dict(zip(("truth", "task", "worker", "label"), columns, strict=True)))
        command = [python, "-c", CROWDKIT, str(path), str(REPEATS), "every" if every else "one"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"no crowd-kit: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return done.stdout.splitlines()


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
