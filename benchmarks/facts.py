"""Refinement in the world `facts`: how many demonstrations it wants, and what it makes of any supervisors.

    python benchmarks/facts.py [--seeds 5] [--only methods,knowledge,supervisors,mixture] [--output outgrow-runs/facts]

`methods` is the demo's experiment with a sweep over demonstrations; its report is in <output>/methods. The other three
need no supervisors' models: their answers are planted, and drawn anew for every seed, while world, split and strong
model stay the same. A second run takes what is finished from the store.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outgrow import Experiment
from outgrow.combine.texts import naive_targets
from outgrow.config import Named, parse_config
from outgrow.demo import demo_settings
from outgrow.evaluate import ModelScores
from outgrow.evaluate.variance import mean_scores, ratio_interval
from outgrow.evaluate.wording import estimate_text, number_text
from outgrow.labels import Completion, Rows, TextLabels
from outgrow.models.protocols import GenerateOptions
from outgrow.models.specs import LocalModel, model_spec
from outgrow.pipeline.refining import make_refiner, refined_texts
from outgrow.progress import PlainReporter
from outgrow.report.sweeps import sweep_sentences
from outgrow.run import Run
from outgrow.store import Store
from outgrow.supervisors import Asking
from outgrow.supervisors.texts import write
from outgrow.train.text import text_learner
from outgrow.worlds import facts, facts_models

DEMONSTRATIONS = (1, 2, 3, 4, 6, 8)
KNOWN = (0.0, 0.25, 0.5, 0.75, 1.0)
SUPERVISORS = (1, 2, 4)
OTHERWISE = (0.25, 0.5)
ELSE = "formal"
"""The style of the share `OTHERWISE` of the answers."""
ICL = {"name": "icl", "demonstrations": 4}
PARTS = {"unlabelled": "labelled", "test": "unseen"}
_STEP = 1e-7

Scores = Mapping[str, NDArray[np.float64]]
"""By name, shape (seeds, rows)."""


class Columns:
    """Scores of several models on the same rows and seeds."""

    def __init__(self, scores: Scores) -> None:
        most = max(len(each) for each in scores.values())
        arrays = [np.broadcast_to(each, (most, each.shape[1])) for each in scores.values()]
        self.scores, self.place = mean_scores(arrays), dict(zip(scores, np.eye(len(arrays)), strict=True))
        self.means = {name: float(each.mean()) for name, each in zip(scores, arrays, strict=True)}

    def mean(self, name: str) -> str:
        """A column's mean with its interval."""
        mean = self.scores.contrast(self.place[name])
        return estimate_text(mean.value, mean.interval(0, 1))

    def difference(self, one: str, other: str) -> str:
        """The paired difference of two columns with its interval."""
        gain = self.scores.contrast(self.place[one] - self.place[other])
        return estimate_text(gain.value, gain.interval(-1, 1), signed=True)

    def ratio(self, one: str, other: str) -> str:
        """The ratio of two columns with its interval."""
        interval = ratio_interval(self.scores, self.place[one], self.place[other])
        return estimate_text(self.means[one] / self.means[other], interval)

    def of(self, function: Callable[[Mapping[str, Any]], Any]) -> str:
        """What a function makes of the means, with the interval of its linear part there (the delta method)."""
        value, own = float(function(self.means)), {name: mean + _STEP for name, mean in self.means.items()}
        slopes = [(float(function(self.means | {name: own[name]})) - value) / _STEP for name in own]
        margin = self.scores.contrast(slopes).margin
        return estimate_text(value, (value - margin, value + margin) if margin else None)


@dataclass(frozen=True)
class Setting:
    """Supervisors whose answers are planted."""

    supervisors: int
    known: float
    """The share of all facts that each of them knows."""
    otherwise: float = 0.0
    """The share of each one's answers that is in the style `ELSE`."""

    def labels(self, world: facts.World, rows: Rows, seed: int) -> TextLabels:
        """What they say of the rows, without any probabilities."""
        names = [f"supervisor {index + 1}" for index in range(self.supervisors)]
        believing = facts.with_supervisors(world, dict.fromkeys(names, self.known), seed=seed)
        places = {world.question(*fact): fact for fact in world.facts}
        other = next(style for style in world.styles if style.name == ELSE)
        rng = np.random.default_rng([seed, len(rows)])
        said: list[list[tuple[Completion, ...]]] = [[] for _ in rows.ids]
        for name in names:
            differs = rng.permutation(len(rows)) < round(self.otherwise * len(rows))
            for cell, prompt, otherwise in zip(said, rows.prompts, differs, strict=True):
                style = other if otherwise else world.target_style
                text = f" {style.render(believing.belief(name, *places[prompt]))}"
                cell.append((Completion(text, (), (), finished=True),))
        return TextLabels(rows.ids, tuple(names), tuple(tuple(cell) for cell in said))


class Bench:
    """The world, its strong model, and students of planted supervisors."""

    def __init__(self, output: Path, seeds: int) -> None:
        self.run = Run(Store(output / "store"), PlainReporter())
        folder = facts_models.build(output / "world", reporter=self.run.reporter)
        self.world = facts.World.from_json((folder / "world.json").read_text(encoding="utf-8"))
        self.settings = demo_settings(folder, output / "methods", seeds=seeds) | {"store": str(output / "store")}
        self.config = parse_config(self.settings)
        generate = self.config.generate
        options = GenerateOptions(max_new_tokens=generate.max_new_tokens, stop=generate.stop, too_long="empty")
        self.asking = Asking(generate.template, options)
        rows = self.world.rows()
        self.rows = {part: rows.part(part) for part in ("unlabelled", "test")}

    def answers(self, model: str) -> dict[str, list[str]]:
        """What a model answers in both parts."""
        found = {}
        for part, rows in self.rows.items():
            author = LocalModel(model, "model", self.config.trained.batch_size)
            found[part] = best_texts(
                write(author, rows.ids, self.asking.prompts(rows, chats=False), self.asking.options, self.run)
            )
        return found

    def labels(self, setting: Setting, refine: Mapping[str, Any] | None, seed: int) -> TextLabels:
        """What a student of planted supervisors learns, refined or not."""
        rows = self.rows["unlabelled"]
        labels = setting.labels(self.world, rows, seed)
        if refine is None:
            return labels
        query, strong = {"query": self.asking.template}, model_spec(self.config.strong, "strong model", name="base")
        refiner = make_refiner(Named(**refine), "texts", method=str(setting), defaults=query)
        how: dict[str, Any] = {"seed": seed, "name": f"refine for {setting}, seed {seed}"}
        return refined_texts(refiner, strong, rows, labels, self.asking.options, self.run, **how).labels

    def student(self, setting: Setting, refine: Mapping[str, Any] | None, seed: int) -> dict[str, list[str]]:
        """What a student answers that was taught by planted supervisors, refined or not."""
        labels = self.labels(setting, refine, seed)
        weights = dict.fromkeys(labels.supervisors, 1 / len(labels.supervisors))
        targets = naive_targets(labels, self.asking.prompts(self.rows["unlabelled"], chats=False), weights)
        learner = text_learner(self.config.trained, self.config.trainer)
        name = f"train {refine['name'] if refine else 'naive'} of {setting}, seed {seed}"
        trained = learner.train(targets, Named(name="cross_entropy"), self.run, seed=seed, name=name)
        return self.answers(str(trained.path / "model"))

    def styles(self, runs: list[list[str]]) -> dict[str, NDArray[np.float64]]:
        """Which style answers are in, one array of shape (seeds, rows) each."""
        found = np.array([[str(self.world.parse(answer).style) for answer in run] for run in runs])
        shown = {style: (found == style).astype(float) for style in (self.world.target, ELSE)}
        return shown | {"neither": 1 - shown[self.world.target] - shown[ELSE]}

    def content(self, part: str, runs: list[list[str]]) -> NDArray[np.float64]:
        """Whether answers are right, shape (seeds, rows)."""
        rows = self.rows[part]
        return np.stack([facts.score(self.world, rows.prompts, run)["content"] for run in runs])

    def taught(self, setting: Setting) -> dict[str, Scores]:
        """By part, content of the first supervisor and of the naive and the refined student, over all seeds."""
        said: dict[str, dict[str, list[list[str]]]] = {part: defaultdict(list) for part in self.rows}
        for seed in self.config.seeds:
            naive, icl = self.student(setting, None, seed), self.student(setting, ICL, seed)
            for part, rows in self.rows.items():
                said[part]["supervisor"].append(best_texts(setting.labels(self.world, rows, seed)))
                said[part]["naive"].append(naive[part])
                said[part]["refined"].append(icl[part])
        return {part: {who: self.content(part, runs) for who, runs in own.items()} for part, own in said.items()}


def best_texts(labels: TextLabels) -> list[str]:
    """The first supervisor's best text of every row; nothing where there is none."""
    best = [labels.best(row, 0) for row in range(len(labels.ids))]
    return ["" if one is None else one.text.strip() for one in best]


def methods(bench: Bench) -> list[str]:
    """The demo's experiment with a sweep over demonstrations, and what its report says of the sweep."""
    given = bench.settings["methods"]
    chosen = {"naive": {}} | {f"icl-{n}": {"refine": {"name": "icl", "demonstrations": n}} for n in DEMONSTRATIONS}
    chosen |= {name: given[name] for name in ("inferred", "refined-bayesian")}
    results = Experiment.from_dict(bench.settings | {"methods": chosen}).run(reporter=bench.run.reporter)
    content, concept = (
        Columns({each.name: each.scores[metric] for each in results.models}) for metric in ("content", "concept")
    )
    lines = ["| | content | − naive’s | of the base’s | concept |", "|---|---|---|---|---|"]
    for each in results.models:
        student = each.role == "student"
        gain = content.difference(each.name, "naive") if student and each.name != "naive" else ""
        share = content.ratio(each.name, "base") if student else ""
        shown = [titled(each), content.mean(each.name), gain, share, concept.mean(each.name)]
        lines.append(f"| {' | '.join(shown)} |")
    return [*lines, "", *(f"- {sentence}" for sentence in sweep_sentences(results.summary))]


def titled(model: ModelScores) -> str:
    """A model's name as the tables have it."""
    if model.role == "supervisor":
        return f"supervisor `{model.name}`"
    return f"`{model.name}`" if model.role == "student" else model.name


def knowledge(bench: Bench) -> list[str]:
    """One supervisor that knows more and more: what naive and refined students keep of the content."""
    taught = {known: bench.taught(Setting(1, known)) for known in KNOWN}
    base = bench.answers(bench.config.strong.model)
    columns = {
        part: Columns(
            {"base": bench.content(part, [base[part]])}
            | {f"{who} {known}": runs for known, own in taught.items() for who, runs in own[part].items()}
        )
        for part in PARTS
    }
    whos = [(who, part) for who in ("naive", "refined") for part in PARTS]
    lines = ["| the supervisor knows | " + " | ".join(f"{who}, {PARTS[part]}" for who, part in whos) + " |"]
    lines.append("|---|---|---|---|---|")
    for known in KNOWN:
        cells = [columns[part].mean(f"{who} {known}") for who, part in whos]
        lines.append(f"| {known:.0%} of the facts | {' | '.join(cells)} |")
    lines += ["", "| least squares | " + " | ".join(f"{who}, {PARTS[part]}" for who, part in whos) + " |"]
    lines.append("|---|---|---|---|---|")
    for what, title in enumerate(("content lost per share not known", "content lost where all is known")):
        cells = [columns[part].of(partial(fitted, who, what)) for who, part in whos]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    # Without an interval: near 1 the fit is not a linear function of the means.
    fits = [number_text(fitted(who, 2, columns[part].means)) if who == "naive" else "" for who, part in whos]
    return [*lines, f"| R² | {' | '.join(fits)} |"]


def fitted(who: str, what: int, means: Mapping[str, Any]) -> Any:
    """Slope, intercept or R² of the content that students lost against the base, over what a supervisor knew not."""
    x = np.stack([1 - means[f"supervisor {known}"] for known in KNOWN])
    y = np.stack([means["base"] - means[f"{who} {known}"] for known in KNOWN])
    dx, dy = x - x.mean(axis=0), y - y.mean(axis=0)
    slope = (dx * dy).sum(axis=0) / (dx**2).sum(axis=0)
    if what < 2:
        return (slope, y.mean(axis=0) - slope * x.mean(axis=0))[what]
    return 1 - ((dy - slope * dx) ** 2).sum(axis=0) / (dy**2).sum(axis=0)


def supervisors(bench: Bench) -> list[str]:
    """One, two and four supervisors that each know half of the facts."""
    lines = ["| supervisors | one of them | naive | refined | refined − naive |", "|---|---|---|---|---|"]
    for number in SUPERVISORS:
        columns = Columns(bench.taught(Setting(number, 0.5))["test"])
        cells = [columns.mean(who) for who in ("supervisor", "naive", "refined")]
        lines.append(f"| {number} | {' | '.join(cells)} | {columns.difference('refined', 'naive')} |")
    return lines


def mixture(bench: Bench) -> list[str]:
    """Two supervisors of which a share of the answers is in another style."""
    ways = {"naive": None, "icl": ICL, "infer_and_respond": bench.settings["methods"]["inferred"]["refine"]}
    kinds = f"{bench.world.target} | {ELSE} | neither | content |"
    lines = [f"| {ELSE} answers | student | {kinds}", "|---|---|---|---|---|---|"]
    for share in OTHERWISE:
        for name, refine in ways.items():
            runs = [bench.student(Setting(2, 0.5, share), refine, seed)["test"] for seed in bench.config.seeds]
            columns = Columns(bench.styles(runs) | {"content": bench.content("test", runs)})
            lines.append(f"| {share:.0%} | `{name}` | {' | '.join(map(columns.mean, columns.means))} |")
    lines += ["", f"| {ELSE} answers | demonstrations | refined labels: {kinds}", "|---|---|---|---|---|---|"]
    for share, number in itertools.product(OTHERWISE, DEMONSTRATIONS):
        refine = {"name": "icl", "demonstrations": number}
        texts = [bench.labels(Setting(2, 0.5, share), refine, seed) for seed in bench.config.seeds]
        runs = [best_texts(each) for each in texts]
        columns = Columns(bench.styles(runs) | {"content": bench.content("unlabelled", runs)})
        lines.append(f"| {share:.0%} | {number} | {' | '.join(map(columns.mean, columns.means))} |")
    return lines


SECTIONS = {each.__name__: each for each in (methods, knowledge, supervisors, mixture)}


def main() -> None:
    """Runs what has not been run and prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--output", type=Path, default=Path("outgrow-runs/facts"))
    options = parser.parse_args()
    bench = Bench(options.output.resolve(), options.seeds)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "numpy"))
    print(f"Commit {commit.strip()}, {platform.machine()}, {os.cpu_count()} cores, {versions}; {options.seeds} seeds.")
    for name in options.only.split(","):
        started = time.process_time()
        lines = SECTIONS[name](bench)
        print("\n".join([f"\n### {name}\n", *lines]))
        print(f"\n{time.process_time() - started:.0f} s of processor time.", flush=True)


if __name__ == "__main__":
    main()
