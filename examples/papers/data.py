"""Tables for the recipes in this folder, made from data sets on the hub or from files of the same form.

    python examples/papers/data.py sciq                                  (cosmos_qa, boolq, amazon_polarity)
    python examples/papers/data.py sciq --rows 10000                     (as many rows as Cui et al. train on)
    python examples/papers/data.py persona
    python examples/papers/data.py gsm8k --weak train_gsm8k_llama2_7b_full_weak.json

writes outgrow-runs/papers/NAME.jsonl with the column `part`. `--train` and `--test` name other tables.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from outgrow.tasks.tables import read_records

ROOT = Path(__file__).parents[2]
NONE = "None of the above choices"

Row = Mapping[str, Any]
Pair = tuple[str, int]
"""A text, and whether its answer is right."""


class Pairs(NamedTuple):
    """A data set as binary classification, with the rules of github.com/openai/weak-to-strong (`datasets.py`)."""

    train: str
    """Rows of the gold and the unlabelled part."""
    test: str
    """Rows of the test part."""
    pair: Callable[[Row, np.random.Generator], Pair]
    """One text of a row."""
    group: str
    """The column whose equal values stay in one part, as in the paper; the open code divides row by row."""


def sciq(row: Row, rng: np.random.Generator) -> Pair:
    """Return a question with its right answer or, as often, with one of three wrong ones."""
    wrong = str(rng.choice([row[f"distractor{number}"] for number in (1, 2, 3)]))
    right = int(rng.integers(2))
    return f"Q: {row['question']} A: {row['correct_answer'] if right else wrong}", right


def cosmos_qa(row: Row, rng: np.random.Generator) -> Pair:
    """Return a story, a question and an answer. Where none of the answers is right, the one shown is wrong."""
    answers = [row[f"answer{number}"] for number in range(4)]
    fitting = answers[int(row["label"])]
    wrong = str(rng.choice([answer for answer in answers if answer != fitting]))
    right = int(rng.integers(2)) if NONE not in fitting else 0
    return f"Context: {row['context']}\nQuestion: {row['question']}\nAnswer: {fitting if right else wrong}", right


def boolq(row: Row, rng: np.random.Generator) -> Pair:
    """Return a passage and a question with the answer yes or no."""
    return f"Passage: {row['passage']}\nQuestion: {row['question']}", int(row["answer"])


def amazon_polarity(row: Row, rng: np.random.Generator) -> Pair:
    """Return a review, positive or negative."""
    return f"{row['title']} {row['content']}", int(row["label"])


PAIRS = {
    "sciq": Pairs("allenai/sciq:train", "allenai/sciq:test", sciq, "question"),
    "cosmos_qa": Pairs("allenai/cosmos_qa:train", "allenai/cosmos_qa:validation", cosmos_qa, "context"),
    "boolq": Pairs("google/boolq:train", "google/boolq:validation", boolq, "passage"),
    "amazon_polarity": Pairs(
        "fancyzhx/amazon_polarity:train", "fancyzhx/amazon_polarity:test", amazon_polarity, "content"
    ),
}


def pairs(source: Pairs, rows: int, tested: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return at most so many training rows, half of them gold and half unlabelled, and at most so many test rows."""
    rng = np.random.default_rng(seed)
    train, test = (
        read_records(path).slice(0, most).to_pylist() for path, most in zip(source[:2], (rows, tested), strict=True)
    )
    kept = {row[source.group] for row in test}
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in train:
        if row[source.group] not in kept:
            groups[row[source.group]].append(row)
    members = list(groups.values())
    dealt = [row for index in rng.permutation(len(members)) for row in members[index]]
    half, made = len(dealt) // 2, []
    while 0 < half < len(dealt) and dealt[half - 1][source.group] == dealt[half][source.group]:
        half += 1
    for part, own in (("gold", dealt[:half]), ("unlabelled", dealt[half:]), ("test", test)):
        for row in own:
            text, label = source.pair(row, rng)
            made.append({"text": text, "label": label, "part": part})
    return without_repeated(made, "text")


def persona(train: str, test: str) -> list[dict[str, Any]]:
    """Return the questions of Somerstep et al.: the first 100 instructions of Dolly, and a tiny benchmark as test."""
    asked = read_records(train).slice(0, 100)["instruction"].to_pylist()
    table = read_records(test)
    tested = table["question" if "question" in table.column_names else "instruction"].to_pylist()
    rows = [{"question": question, "part": "test"} for question in tested]
    return without_repeated(rows + [{"question": question, "part": "unlabelled"} for question in asked], "question")


def gsm8k(weak: str, test: str) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return questions and weak answers of Somerstep et al.: 200 released answers, and 100 test questions.

    The weak answers are those of Yang et al. 2024 (github.com/GAIR-NLP/weak-to-strong-reasoning).
    """
    told = read_records(weak).slice(3, 200).to_pylist()  # the first three are the paper's demonstrations
    for row in told:
        row["question"] = row["content"].removeprefix("Question: ").removesuffix("\nAnswer:")
    tested = read_records(test).slice(0, 100).to_pylist()
    rows = [{"question": row["question"], "answer": row["answer"], "part": "test"} for row in tested]
    rows += [{"question": row["question"], "answer": None, "part": "unlabelled"} for row in told]
    return rows, [{"task": row["question"], "text": row["output"]} for row in told]


def without_repeated(rows: Iterable[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Return the last of the rows with one key, but for case and white space: what is tested comes last or is alone."""
    return list({" ".join(str(row[key]).casefold().split()): row for row in rows}.values())


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a jsonl file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(path)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Makes the tables of the papers' recipes.")
    parser.add_argument("name", choices=[*PAIRS, "persona", "gsm8k"])
    parser.add_argument("--train", help="another table of training rows")
    parser.add_argument("--test", help="another table of test rows")
    parser.add_argument("--weak", help="gsm8k: the released file of weak answers")
    parser.add_argument("--rows", type=int, default=20_000, help="most training rows (default: the open code's)")
    parser.add_argument("--tested", type=int, default=10_000, help="most test rows (default: the open code's)")
    parser.add_argument("--output", type=Path, default=ROOT / "outgrow-runs/papers", help="folder of the tables")
    given = parser.parse_args()
    file = given.output / f"{given.name}.jsonl"
    if given.name == "persona":
        train = given.train or "databricks/databricks-dolly-15k"
        write(file, persona(train, given.test or "tinyBenchmarks/tinyTruthfulQA"))
    elif given.name == "gsm8k":
        if given.weak is None:
            parser.error("gsm8k needs --weak FILE")
        rows, weak = gsm8k(given.weak, given.test or "openai/gsm8k:test")
        write(file, rows)
        write(given.output / "gsm8k-weak.jsonl", weak)
    else:
        source = PAIRS[given.name]
        source = source._replace(train=given.train or source.train, test=given.test or source.test)
        write(file, pairs(source, given.rows, given.tested))


if __name__ == "__main__":
    main()
