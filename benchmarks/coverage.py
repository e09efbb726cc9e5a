"""How often nominal 95 % intervals hold the planted truth, and how wide they are: the evidence for `variance.py`.

    OMP_NUM_THREADS=1 nice python benchmarks/coverage.py --output cells.jsonl [--smoke] [--bootstraps] [--worlds …]
    python benchmarks/coverage.py --table cells.jsonl

Worlds of one student, a twin that is equally good, a supervisor, an untouched base (one run) and two ceilings (a wide
and a narrow gap), on shared examples. A latent variable is the sum of ability, seed effect, difficulty of the example,
what the model finds easy about it (which student and twin share), and noise of the run. Scores are its sign (binary,
correlated: with seed effects that correlate at .7), its normal probability (graded), or counts of slots whose F1 is a
ratio of sums (corpus). Seed s.d. is that of the mean score. Widths are shares of the width 2·1.96·s.d. that the true
standard deviation of the estimate would give.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit
from scipy.stats import norm

from outgrow.evaluate.intervals import percentile_interval, resampled_means
from outgrow.evaluate.variance import MeanScores, mean_scores, ratio_interval

SEEDS, EXAMPLES, SPREADS = (1, 2, 3, 5, 10), (200, 1000, 3000), (0.0, 0.01, 0.02, 0.04)
WORLDS = ("binary", "graded", "corpus", "correlated")
TRUTH = {"student": 0.72, "twin": 0.72, "supervisor": 0.62, "base": 0.55, "wide": 0.85, "narrow": 0.70}
NAMES = list(TRUTH)
CONTRASTS = {
    "accuracy": {"student": 1},
    "gain over base": {"student": 1, "base": -1},
    "difference": {"student": 1, "supervisor": -1},
    "equal methods": {"student": 1, "twin": -1},
}
RATIOS = {
    f"PGR, {gap} gap": ({"student": 1, "supervisor": -1}, {gap: 1, "supervisor": -1}) for gap in ("wide", "narrow")
}
ITEM, MODEL = 0.5, 0.2
"""Shares of the latent variance that all models, and all runs of one model, have in common."""


def vector(signs: dict[str, int]) -> np.ndarray:
    """Weights of all models."""
    return np.array([float(signs.get(name, 0)) for name in NAMES])


class World:
    """Scores, shape (J, S, N), with known means over examples and seeds."""

    def __init__(self, kind: str, spread: float, rng: np.random.Generator) -> None:
        self.kind, self.rng = kind, rng
        shares = np.array(list(TRUTH.values()))
        # Graded scores are Φ(latent): their mean is that of a latent variable with the variance of Φ's own noise too.
        self.latent = 1.0 if kind in ("binary", "correlated") else 2.0
        self.tau = spread / norm.pdf(ndtri(shares)) * np.sqrt(self.latent)
        self.tau[NAMES.index("base")] = 0.0
        self.ability = ndtri(shares) * np.sqrt(self.latent + self.tau**2)

    def draw(self, seeds: int, examples: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Scores, and weights for a ratio of sums."""
        normal, models = self.rng.standard_normal, len(NAMES)
        effect = normal((models, seeds, 1))
        if self.kind == "correlated":
            effect = np.sqrt(0.3) * effect + np.sqrt(0.7) * normal((1, seeds, 1))
        own = normal((models, 1, examples), dtype=np.float32)
        own[NAMES.index("twin")] = own[NAMES.index("student")]
        latent = np.sqrt(1 - ITEM - MODEL, dtype=np.float32) * normal((models, seeds, examples), dtype=np.float32)
        base = NAMES.index("base")
        latent[base] = latent[base, :1]
        latent += np.sqrt(ITEM) * normal((1, 1, examples), dtype=np.float32) + np.sqrt(MODEL) * own
        latent += self.ability[:, None, None] + self.tau[:, None, None] * effect
        if self.latent == 1:
            return (latent > 0).astype(np.float64), None
        right = ndtr(latent)
        if self.kind == "graded":
            return right.astype(np.float64), None
        slots = self.rng.integers(0, 4, (1, 1, examples))
        true = np.zeros_like(right)
        extra = np.zeros_like(right)
        for slot in range(3):
            for counts, share in ((true, right), (extra, 1 - right)):
                hit = self.rng.random(right.shape, dtype=np.float32) < share
                hit[base] = hit[base, :1]
                counts += hit & (slots > slot)
        weights = true + extra + slots  # 2 TP + FP + FN
        return np.where(weights > 0, 2 * true / np.maximum(weights, 1), 1.0), weights


def other_margins(scores: MeanScores, signs: np.ndarray) -> dict[str, float]:
    """Half widths of other forms of variance components, from the same mean squares."""
    rows, runs, rest = (signs @ scores.squares @ signs).tolist()
    size, runs_df, rows_df = scores.seeds * scores.examples, scores.seeds - 1, scores.examples - 1
    found = {}
    for name, total in (("Satterthwaite", rows + max(0.0, runs - rest)), ("sum, Satterthwaite", rows + runs)):
        between = min(runs / total, 1.0) ** 2 / runs_df if runs_df else 0.0
        df = 1 / (between + (rows / total) ** 2 / rows_df)
        found[name] = float(stdtrit(df, 0.975)) * (total / size) ** 0.5
    total = rows + max(0.0, runs - rest)
    share = min(1.0, runs / total)
    df = 1 / ((share / runs_df if runs_df else 0.0) + (1 - share) / rows_df)
    found["share"] = float(stdtrit(df, 0.975)) * (total / size) ** 0.5
    return found


def studentised(values: np.ndarray, rng: np.random.Generator, resamples: int) -> tuple[float, float]:
    """Interval of a mean, shape (S, N), from resampled t statistics with the variance components of each resample."""
    seeds, examples = values.shape
    own = mean_scores([values]).contrast([1])
    ratios = []
    for _ in range(resamples):
        drawn = values[rng.integers(seeds, size=seeds)][:, rng.integers(examples, size=examples)]
        again = mean_scores([drawn]).contrast([1])
        ratios.append((again.value - own.value) / max(again.variance, 1e-12) ** 0.5)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return own.value - high * own.variance**0.5, own.value - low * own.variance**0.5


def cell(kind: str, seeds: int, examples: int, spread: float, runs: int, bootstraps: bool) -> dict[str, dict]:
    """Coverage, width and estimates of every interval of one cell."""
    rng = np.random.default_rng([WORLDS.index(kind), seeds, examples, int(1000 * spread)])
    world = World(kind, spread, rng)
    vectors = {name: vector(signs) for name, signs in CONTRASTS.items()}
    ratios = {name: (vector(over), vector(under)) for name, (over, under) in RATIOS.items()}
    shares = np.array(list(TRUTH.values()))
    truth = {name: float(own @ shares) for name, own in vectors.items()}
    truth |= {name: float(over @ shares) / float(under @ shares) for name, (over, under) in ratios.items()}
    hits: dict[tuple[str, str], list[bool]] = defaultdict(list)
    widths: dict[tuple[str, str], list[float]] = defaultdict(list)
    values: dict[str, list[float]] = defaultdict(list)

    def note(quantity: str, how: str, low: float, high: float) -> None:
        hits[quantity, how].append(low <= truth[quantity] <= high)
        widths[quantity, how].append(high - low)

    for _ in range(runs):
        given, weights = world.draw(seeds, examples)
        scores = mean_scores(list(given), None if weights is None else list(weights))
        for name, own in vectors.items():
            contrast = scores.contrast(own)
            values[name].append(contrast.value)
            margins = {"ours": contrast.margin, **other_margins(scores, own)}
            for how, margin in margins.items():
                note(name, how, contrast.value - margin, contrast.value + margin)
        for name, (over, under) in ratios.items():
            gap = float(under @ scores.means)
            values[name].append(float(over @ scores.means) / gap if gap else np.nan)
            interval = ratio_interval(scores, over, under)
            if interval:
                note(name, "ours", *interval)
            else:  # claims nothing
                hits[name, "ours"].append(True)
        if bootstraps:
            heavy = None if weights is None else list(weights)
            seed = int(rng.integers(2**31))
            draws = resampled_means(list(given), weights=heavy, resamples=400, seed=seed)
            for name, own in vectors.items():
                note(name, "percentile", *percentile_interval(draws @ own))
            for name, (over, under) in ratios.items():
                gaps = draws @ under
                if np.mean(gaps <= 0) <= 0.025:
                    note(name, "percentile", *percentile_interval((draws @ over)[gaps > 0] / gaps[gaps > 0]))
                else:
                    hits[name, "percentile"].append(True)
            if weights is None and len(hits["difference", "studentised"]) < runs // 4:
                own = np.einsum("j,jsn->sn", vectors["difference"], given)
                note("difference", "studentised", *studentised(own, rng, 200))
    found: dict[str, dict] = {}
    for (quantity, how), inside in hits.items():
        # A ratio has no variance, and its widths no mean.
        quarters = np.nanquantile(values[quantity], [0.25, 0.75])
        ratio = quantity.startswith("PGR")
        oracle = 2 * 1.96 * float(np.ptp(quarters) / 1.349 if ratio else np.std(values[quantity]))
        own = widths[quantity, how]
        found[f"{quantity}|{how}"] = {
            "coverage": float(np.mean(inside)),
            "given": 1 - (len(inside) - sum(inside)) / max(len(own), 1),
            "without": 1 - len(own) / len(inside),
            "width": float((np.median if ratio else np.mean)(own or [np.nan])) / oracle,
        }
    return found


def table(cells: list[dict]) -> str:
    """Markdown: by number of seeds and quantity the smallest and largest coverage over the cells, and mean width."""
    found: dict[tuple[str, int, str], list[dict]] = defaultdict(list)
    for own in cells:
        for key, numbers in own["found"].items():
            quantity, how = key.split("|")
            found[how, own["seeds"], quantity].append(numbers)
    quantities = [*CONTRASTS, *RATIOS]
    lines = ["| interval | S | " + " | ".join(quantities) + " |", "|---|---|" + "---|" * len(quantities)]
    for how, seeds in dict.fromkeys((how, seeds) for how, seeds, _ in sorted(found, key=lambda key: key[:2])):
        texts = []
        for quantity in quantities:
            own = found[how, seeds, quantity]
            shares, widths = ([each[part] for each in own] for part in ("coverage", "width"))
            text = f"{min(shares):.3f}–{max(shares):.3f} ({np.nanmean(widths):.2f})" if own else ""
            texts.append(text.replace("0.", ".") if own and max(shares) < 1 else text)
        lines.append(f"| {how} | {seeds} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run the grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a few seconds: one small cell for each world")
    parser.add_argument("--bootstraps", action="store_true", help="percentile and studentised bootstraps too (slow)")
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=WORLDS)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--examples", nargs="+", type=int, default=list(EXAMPLES))
    parser.add_argument("--runs", type=int, default=2000, help="repetitions of a cell")
    parser.add_argument("--output", type=Path, help="JSON lines, one for each cell")
    parser.add_argument("--table", nargs="+", type=Path, help="print the tables of such files, and run nothing")
    given = parser.parse_args()
    if given.table:
        print(table([json.loads(line) for path in given.table for line in path.read_text().splitlines()]))
        return
    runs, grid = given.runs, list(itertools.product(given.worlds, given.seeds, given.examples, SPREADS))
    if given.smoke:
        runs, grid = 20, [(world, 2, 50, 0.02) for world in given.worlds]
    for kind, seeds, examples, spread in grid:
        clock = time.perf_counter()
        found = cell(kind, seeds, examples, spread, runs, given.bootstraps or given.smoke)
        line = {"world": kind, "seeds": seeds, "examples": examples, "spread": spread, "found": found}
        if given.output:
            with given.output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        shown = "  ".join(f"{name} {own['coverage']:.3f}" for name, own in found.items() if name.endswith("|ours"))
        print(
            f"{kind:10} S={seeds:<2} N={examples:<4} sd={spread:.2f}  {shown}  ({time.perf_counter() - clock:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
