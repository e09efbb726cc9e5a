"""Every method on real data, probe mode: accuracy, recovered gap and calibration with intervals, in one table each.

    MINILM=… python benchmarks/quality.py [--data ../shared/data] [--seeds 10] [--only mr,cr]

`mr`, `subj`, `cr`: three TF-IDF supervisors of 100, 300 and 300 gold rows of their own. `sciq`: the real labels of four
fine-tuned GPT-2 models. `crowd_rte`: 164 people, ten votes a pair. 100 validation rows belong to `calibrated` methods;
the others do not see them. A second run takes what is finished from the store.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from outgrow import Experiment
from outgrow.evaluate import mean_scores
from outgrow.evaluate.summary import CalibrationLine, Line
from outgrow.progress import PlainReporter
from outgrow.results import Results

METHODS: dict[str, dict[str, Any]] = {
    "naive": {},
    "hard": {"combine": {"name": "mean", "harden": True}},
    "majority": {"combine": "majority"},
    "mean, λ estimated": {"combine": {"name": "mean", "weights": "estimated"}},
    "mean, λ calibrated": {"combine": {"name": "mean", "weights": "calibrated"}},
    "temperatures": {"calibrate": True},
    "dawid_skene": {"combine": "dawid_skene"},
    "dependence": {"combine": "dependence"},
    "evidential": {"objective": "evidential"},
    "bayesian": {"objective": "bayesian"},
    "bayesian, λ estimated": {"objective": "bayesian", "combine": {"name": "mean", "weights": "estimated"}},
    "bayesian, paper": {"objective": {"name": "bayesian", "preset": "paper"}},
    "bayesian on dependence": {"objective": "bayesian", "combine": "dependence"},
    "dirichlet_multinomial": {"objective": "dirichlet_multinomial"},
    "joint": {"combine": {"name": "joint_decoding", "pooling": "log"}},
    "gce": {"objective": "gce"},
    "confidence": {"objective": "confidence"},
    "confidence_window": {"objective": "confidence_window"},
    "product": {"objective": "product"},
    "bootstrap": {"objective": "bootstrap"},
    "raven": {"objective": "raven"},
    "filter": {"filter": {"keep": 0.5, "per_class": True}},
    "neighbours": {"refine": "neighbours"},
    "linear": {"refine": "linear"},
    "in the loop": {"refine": "in_the_loop"},
    "proportions": {"proportions": "gold"},
    "proportions + confidence": {"proportions": "gold", "objective": "confidence"},
}
NEEDS_GOLD_PART = ("proportions", "proportions + confidence")


def experiment(name: str, data: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The settings of one data set's experiment."""
    methods = METHODS
    split: dict[str, Any] = {"gold": 1000, "validation": 100, "test": 0.2}
    if name in ("mr", "subj", "cr"):
        task = {"name": "sentiment", "path": str(data / f"sentiment/{name}.jsonl.gz")}
        task["split"] = split | {"unlabelled": 3000 if name != "cr" else 1900, "test": 2000 if name != "cr" else 754}
        supervisors: list[dict[str, Any]] = [
            {"features": "tfidf", "rows": rows, "name": f"tfidf {index}"} for index, rows in enumerate((300, 300, 100))
        ]
    elif name == "sciq":
        labels = str(data / "sciq/gpt2_family_weak_labels_seed0.jsonl.gz")
        split |= {"unlabelled": 3700, "test": 2000, "voted": {"path": labels, "task": "txt", "key": "prompt"}}
        task = {"name": "sciq", "path": str(data / "sciq/qa_pairs.jsonl.gz"), "split": split}
        supervisors = [{"votes": labels, "task": "txt", "key": "prompt", "probabilities": "p_true_*"}]
    else:
        task = {
            "path": str(data / "crowd_rte/pairs.tsv.gz"),
            "template": "{text} Therefore: {hypothesis}",
            "columns": {"id": "id", "gold": "value"},
            "choices": ["no", "yes"],
            "split": {"gold": 0, "validation": 100, "unlabelled": 450, "test": 250},
        }
        votes = str(data / "crowd_rte/votes.tsv.gz")
        supervisors = [{"votes": votes, "task": "orig_id", "worker": "!amt_worker_ids", "label": "response"}]
        methods = {each: how for each, how in METHODS.items() if each not in NEEDS_GOLD_PART}
    return {
        "name": name,
        "task": task,
        "supervisors": supervisors,
        "strong": {"model": os.environ["MINILM"], "adapter": "probe"},
        "methods": methods,
        "seeds": options.seeds,
        "store": str(options.output / "store"),
        "output": str(options.output / name),
    }


class Sheet:
    """One data set's results, by method."""

    def __init__(self, results: Results) -> None:
        summary = results.summary
        assert summary.calibration is not None
        self.results, self.metric = results, summary.metrics[0]
        # A combiner and the student taught by it may share their name.
        self.certain: dict[tuple[str, str], CalibrationLine] = {
            (line.role, line.name): line for line in summary.calibration.lines
        }
        self.lines: dict[str, Line] = {line.name: line for line in self.metric.lines if line.role == "student"}
        self.best_combined = max(
            (line.score.value for line in self.metric.lines if line.role == "combined"), default=0.0
        )
        self.students = {each.name: each.scores["accuracy"] for each in results.models if each.role == "student"}
        self.means = mean_scores(list(self.students.values()))

    def change(self, name: str, other: str = "naive") -> tuple[float, Any]:
        """How far a student's accuracy is above another's, with its interval."""
        own, against = (np.array([each == one for each in self.students], float) for one in (name, other))
        found = self.means.contrast(own - against)
        return found.value, found.interval(-1, 1)

    def rows(self) -> list[str]:
        """The table's lines."""
        found = []
        crowd = sum(line.role == "supervisor" for line in self.metric.lines) > 10
        for line in self.metric.lines:
            name = line.name
            if crowd and line.role == "supervisor" and name != self.metric.best_supervisor:
                continue
            certain = self.certain.get((line.role, name))
            gap = line.against_best
            cells = [
                {"student": f"`{name}`", "combined": f"combined: {name}"}.get(line.role, f"*{name}*"),
                spread(line.score.value, line.score.interval),
                spread(*self.change(name), sign=True) if line.role == "student" and name != "naive" else "",
                "" if gap is None else "undefined" if gap.pgr is None else spread(gap.pgr, gap.pgr_interval, digits=2),
                "" if certain is None else spread(certain.error.value, certain.error.interval),
                ""
                if certain is None or certain.error_change is None
                else spread(certain.error_change.value, certain.error_change.interval, sign=True),
                "" if certain is None else f"{certain.nll.value:.3f}",
            ]
            found.append("| " + " | ".join(cells) + " |")
        return found


def spread(value: float, interval: Any, *, sign: bool = False, digits: int = 3) -> str:
    """A number with its interval, without leading zeros."""
    form = f"{'+' if sign else ''}.{digits}f"

    def short(number: float) -> str:
        return format(number, form).replace("0.", ".", 1)

    low, high = interval if interval is not None else (None, None)
    return short(value) if low is None else f"{short(value)} [{short(low)}, {short(high)}]"


def pooled(sheets: dict[str, Sheet]) -> list[str]:
    """Methods averaged over the data sets that all have them: change against naive in accuracy, PGR and ECE."""
    found = []
    for name in METHODS:
        having = [sheet for sheet in sheets.values() if name in sheet.lines]
        if name == "naive" or not having:
            continue
        accuracy = [sheet.change(name) for sheet in having]
        certain = [sheet.certain["student", name] for sheet in having]
        errors = [each.error_change for each in certain if each.error_change]
        gaps = [(sheet.lines[name].against_best, sheet.lines["naive"].against_best) for sheet in having]
        recovered = [
            own.pgr - naive.pgr
            for own, naive in gaps
            if own and naive and own.pgr is not None and naive.pgr is not None
        ]
        cells = [
            f"`{name}`",
            str(len(having)),
            combined([value for value, _ in accuracy], [interval for _, interval in accuracy]),
            f"{np.mean(recovered):+.2f} ({len(recovered)})" if recovered else "",
            combined([each.value for each in errors], [each.interval for each in errors]),
        ]
        found.append("| " + " | ".join(cells) + " |")
    return found


def combined(values: Sequence[float], intervals: Sequence[Any]) -> str:
    """Mean over data sets; they are independent, so half-widths add up in squares."""
    half = np.sqrt(sum(((high - low) / 2) ** 2 for low, high in intervals)) / len(values)
    mean = float(np.mean(values))
    return spread(mean, (mean - half, mean + half), sign=True)


def environment() -> str:
    """Commit, machine and versions."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "scikit-learn", "numpy"))
    return f"Commit {commit.strip()}, {platform.machine()}, {os.cpu_count()} cores, {versions}"


def main() -> None:
    """Runs what has not been run and prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "../shared/data")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", default="mr,subj,cr,sciq,crowd_rte")
    parser.add_argument("--output", type=Path, default=Path("outgrow-runs/quality"))
    options = parser.parse_args()
    sheets = {}
    for name in options.only.split(","):
        settings = experiment(name, options.data.resolve(), options)
        sheets[name] = Sheet(Experiment.from_dict(settings).run(reporter=PlainReporter()))
    print(f"{environment()}; {options.seeds} seeds.")
    print("\n| all data sets | data sets | accuracy − naive | PGR − naive | ECE − naive |\n|---|---|---|---|---|")
    print("\n".join(pooled(sheets)))
    for name, sheet in sheets.items():
        print(f"\n| {name} | accuracy | − naive | PGR | ECE | − naive | NLL |\n|---|---|---|---|---|---|---|")
        print("\n".join(sheet.rows()))


if __name__ == "__main__":
    main()
