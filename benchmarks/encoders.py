"""Weak to strong across real encoders, without gold for the methods: TF-IDF, word lists, MiniLM-L3 → MiniLM-L6 → mpnet.

    MINILM_L3=… MINILM=… MPNET=… python benchmarks/encoders.py [--data ../shared/data] [--seeds 5]
    python benchmarks/encoders.py --strong l6 --adapter none --unlabelled 400       (fine-tuned in bf16, not probes)

Models are folders or, by default, their hub ids. Supervisors learn from gold rows of their own (see `SETS`); methods
see none, but for `proportions + confidence`, which knows the class shares of the gold part. PGR is against the best
supervisor. A second run takes what is finished from the store.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from outgrow import Experiment
from outgrow.progress import PlainReporter
from quality import METHODS as EVERY
from quality import Sheet, combined, environment, spread

MODELS = {
    "l3": os.environ.get("MINILM_L3", "sentence-transformers/paraphrase-MiniLM-L3-v2"),
    "l6": os.environ.get("MINILM", "sentence-transformers/all-MiniLM-L6-v2"),
    "mpnet": os.environ.get("MPNET", "sentence-transformers/all-mpnet-base-v2"),
}
TFIDF = {"features": "tfidf", "rows": 300}
WORDS = {
    "name": "words",
    "decide": "vote",
    "flags": ["ignorecase"],
    "rules": [
        {"pattern": r"\b(best|good|great|excellent|perfect|love|easy|fun|funny|enjoyable|wonderful)\b", "label": 1},
        {
            "pattern": r"\b(bad|boring|dull|awful|poor|terrible|worst|waste|fails?|lacks?|too|never|no|not|n't)\b",
            "label": 0,
        },
    ],
}


def small(rows: int) -> dict[str, Any]:
    """MiniLM-L3 with a probe trained on so many gold rows."""
    return {"model": MODELS["l3"], "adapter": "probe", "train": {}, "rows": rows, "max_length": 128, "name": "l3"}


SETS: dict[str, dict[str, Any]] = {  # columns and sizes of the task, supervisors
    "mr": {"task": {"name": "sentiment", "path": "sentiment/mr.jsonl.gz"}, "by": [TFIDF, small(100), WORDS]},
    "subj": {"task": {"name": "sentiment", "path": "sentiment/subj.jsonl.gz"}, "by": [TFIDF, small(30)]},
    "cr": {"task": {"name": "sentiment", "path": "sentiment/cr.jsonl.gz"}, "by": [TFIDF, small(100), WORDS]},
    "slurp": {
        "task": {
            "path": "slurp/test.jsonl.gz",
            "columns": {"prompt": "sentence", "gold": "scenario", "id": "slurp_id"},
            "choices": "auto",
        },
        "by": [TFIDF, small(100)],
    },
    "snips": {
        "task": {
            "path": "snips/train.jsonl.gz",
            "columns": {"prompt": "text", "gold": "intent"},
            "choices": "auto",
        },
        "by": [TFIDF | {"rows": 100}, small(40)],
    },
    "sciq": {
        "task": {
            "path": "sciq/three_way.jsonl",
            "columns": {"prompt": "question", "gold": "right", "choices": "answers"},
            "split": {"gold": 900, "unlabelled": 700, "test": 400},
        },
        "by": [TFIDF | {"rows": 900}, small(300)],
    },
    "cosmosqa": {
        "task": {
            "name": "cosmosqa",
            "path": "cosmosqa/valid.csv.gz",
            "split": {"gold": 600, "unlabelled": 400, "test": 300},
        },
        "by": [TFIDF | {"rows": 600}, small(300)],
    },
}
SPLIT = {"gold": 400, "test": 800}
TRAINER: dict[str, Any] = {
    "none": {"learning_rate": 1e-4, "num_train_epochs": 4},
    "lora": {"learning_rate": 1e-3, "num_train_epochs": 4},
}
"""What students of all methods, and the ceiling, are trained with by adapter; probes have settings of their own."""
BY_ROW = ("sciq", "cosmosqa")
"""Sets whose rows have choices of their own: methods that need classes cannot learn them."""
LEFT_OUT = [("sciq", "mpnet"), ("cosmosqa", "mpnet")]
"""Too long for a CPU: a row is three or four texts, and those of CosmosQA are long."""
SLOW = ("confidence", "proportions + confidence")
"""They solve for 18 class offsets at every step: measured on SLURP with L6 only."""
METHODS = {
    name: EVERY[name]
    for name in (
        "naive", "confidence", "product", "bayesian", "dawid_skene", "dependence", "bayesian on dependence",
        "proportions + confidence", "in the loop",
    )
}  # fmt: skip


def experiment(name: str, strong: str, options: argparse.Namespace) -> dict[str, Any]:
    """The settings of one data set's experiment with one strong model."""
    one, methods = SETS[name], dict(METHODS)
    if name in BY_ROW:
        del methods["proportions + confidence"], methods["in the loop"]
    if strong == "mpnet" and options.adapter == "probe":
        methods["product, through l6"] = {
            "objective": "product",
            "chain": [{"model": MODELS["l6"], "adapter": "probe", "max_length": 256, "folds": 4}],
        }
    if (name, strong) == ("slurp", "mpnet"):
        methods = {each: how for each, how in methods.items() if each not in SLOW}
    if options.methods:
        methods = {each: methods[each] for each in options.methods.split(";") if each in methods}
    task = {"split": SPLIT | {"unlabelled": options.unlabelled}} | one["task"]
    tuned = options.adapter != "probe"
    made = options.output / task["path"]
    return {
        "name": f"{name}, {strong}",
        "task": task | {"path": str(made if made.is_file() else options.data.resolve() / task["path"])},
        "supervisors": one["by"],
        "strong": {"model": MODELS[strong], "adapter": options.adapter, "max_length": 256}
        | ({"dtype": "bfloat16"} if tuned else {}),
        "trainer": TRAINER[options.adapter] if tuned else {},
        "methods": methods,
        "gold_only": False,
        "seeds": options.seeds,
        "store": str(options.output / "store"),
        "output": str(options.output / f"{name}-{strong}-{options.adapter}"),
    }


def write_three_way(data: Path, output: Path) -> None:
    """SciQ questions with one right and at least two wrong answers in our file, which has four of few questions."""
    questions: dict[str, dict[int, list[str]]] = {}
    with gzip.open(data / "sciq/qa_pairs.jsonl.gz", "rt") as lines:
        for row in map(json.loads, lines):
            answers = questions.setdefault(row["question"], {0: [], 1: []})[row["label"]]
            answers.extend({row["answer"]} - set(answers))
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w") as file:
        for question, answers in questions.items():
            three = sorted({*answers[1], *answers[0][:2]})
            if len(answers[1]) == 1 and len(three) == 3:
                file.write(json.dumps({"question": question, "right": answers[1][0], "answers": three}) + "\n")


def over_sets(values: dict[str, list[float]]) -> str:
    """Mean over data sets, each the mean of its strong models, with Student's interval over the data sets."""
    means = np.array([np.mean(own) for own in values.values()])
    if len(means) < 2:
        return spread(float(means.mean()), None, digits=2) if len(means) else ""
    half = stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
    return spread(float(means.mean()), (means.mean() - half, means.mean() + half), digits=2)


def pooled(sheets: dict[tuple[str, str], Sheet]) -> list[str]:
    """A line a method: PGR over sets with a gap, alone and against `product`, and how often it is below supervisors."""
    found = []
    for name in dict.fromkeys(each for sheet in sheets.values() for each in sheet.lines):
        having = {key: sheet for key, sheet in sheets.items() if name in sheet.lines}
        recovered, change = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
        gaps = {key: sheet.lines[name].against_best for key, sheet in having.items()}
        below = sum(gap.student < gap.floor for gap in gaps.values() if gap)
        under = sum(gap.student < having[key].best_combined for key, gap in gaps.items() if gap)
        for (data, strong), gap in gaps.items():
            if gap and gap.pgr is not None and gap.pgr_interval is not None:
                recovered[data].append(gap.pgr)
                more = having[data, strong].change(name, "product")[0]
                change[data].append(more / (gap.ceiling - gap.floor))
        accuracy = [sheet.change(name, "product") for sheet in having.values()]
        cells = [
            f"`{name}`",
            f"{sum(map(len, recovered.values()))} of {len(having)}",
            over_sets(recovered),
            *([over_sets(change), combined(*zip(*accuracy, strict=True))] if name != "product" else ["", ""]),
            f"{below} of {len(having)}",
            f"{under} of {len(having)}",
        ]
        found.append("| " + " | ".join(cells) + " |")
    return found


def by_set(sheets: dict[tuple[str, str], Sheet]) -> list[str]:
    """A line a model, a column an experiment: accuracy with its interval."""
    lines: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for key, sheet in sheets.items():
        for line in sheet.metric.lines:
            if line.role != "combined":
                lines.setdefault((line.role, line.name), {})[key] = spread(line.score.value, line.score.interval)
    heads = [f"{data}, {strong}" for data, strong in sheets]
    found = ["| | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for (role, name), scores in sorted(lines.items(), key=lambda each: each[0][0] == "student"):
        label = f"`{name}`" if role == "student" else f"*{name}*"
        found.append(f"| {label} | " + " | ".join(scores.get(key, "") for key in sheets) + " |")
    return found


def main() -> None:
    """Runs what has not been run and prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "../shared/data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="mr,subj,cr,slurp,snips,sciq,cosmosqa")
    parser.add_argument("--strong", default="l6,mpnet")
    parser.add_argument("--adapter", default="probe", choices=["probe", *TRAINER])
    parser.add_argument("--unlabelled", type=int, default=1200, help="rows, but for sciq and cosmosqa")
    parser.add_argument("--methods", help="some of them, with ; between")
    parser.add_argument("--output", type=Path, default=Path("outgrow-runs/encoders"))
    options = parser.parse_args()
    begun, sheets = time.process_time(), {}
    write_three_way(options.data, options.output / SETS["sciq"]["task"]["path"])
    for strong in options.strong.split(","):
        for name in options.only.split(","):
            if (name, strong) not in LEFT_OUT:
                settings = experiment(name, strong, options)
                sheets[name, strong] = Sheet(Experiment.from_dict(settings).run(reporter=PlainReporter()))
    seconds = time.process_time() - begun
    with_classes = {key: sheet for key, sheet in sheets.items() if key[0] not in BY_ROW}
    print(f"{environment()}; {options.seeds} seeds; {options.adapter}; {seconds:.0f} processor seconds.")
    print("\n| | with a gap | mean PGR | − product’s | accuracy − product’s | below best supervisor | combination |")
    print("|---|---|---|---|---|---|---|\n" + "\n".join(pooled(with_classes)) + "\n")
    print("\n".join(by_set(sheets)))


if __name__ == "__main__":
    main()
