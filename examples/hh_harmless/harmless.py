"""Weak reward models label preference pairs, and a small language model learns from them.

    python examples/hh_harmless/harmless.py --context 256 --pairs 600   # into outgrow-runs/hh_harmless

Reward models learn from the gold half, judge the weak half together, and the student is trained on what they say; it is
asked about the test pairs which text it has come to find more probable, against where it started. The texts of the data
are offensive; none is printed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from llama2c import convert  # beside this script, as is `rewards`
from numpy.typing import NDArray
from rewards import EncoderReward, RewardModel, TfidfReward, judged_pairs, reward_margins

from outgrow.combine import Mean
from outgrow.config import Named
from outgrow.evaluate import mean_scores, preference_accuracy
from outgrow.labels import PreferencePairs, TextTargets
from outgrow.models.loading import load_tokenizer
from outgrow.objectives import preference_margins
from outgrow.progress import reporter_for
from outgrow.run import Run
from outgrow.store import Store
from outgrow.tasks.preferences import read_preferences, without_prompts_of, write_preferences
from outgrow.train.preference import PreferenceLearner
from outgrow.train.text import TextLearner

ROOT = Path(__file__).resolve().parents[2]
ANSWER_AFTER = "\n\nAssistant:"
OBJECTIVES = {
    "dpo": Named(name="dpo"),
    "cdpo": Named.model_validate({"name": "cdpo", "epsilon": 0.1}),
    "cdpo, ensemble": Named.model_validate({"name": "cdpo", "epsilon": "ensemble"}),
    "kto, ensemble": Named.model_validate({"name": "kto", "epsilon": "ensemble"}),
}


@dataclass(frozen=True)
class Halves:
    """Pairs whose prompts occur in one part only, and what was left out."""

    gold: PreferencePairs
    """The reward models learn from them."""
    weak: PreferencePairs
    """The student learns from them; the better text comes first, and is only looked at to check and for the ceiling."""
    test: PreferencePairs
    """Nobody learns from them."""
    remarks: tuple[str, ...]
    """What was left out."""


def read_halves(folder: Path, *, student: str, context: int, pairs: int | None = None) -> Halves:
    """Reads the three files; a prompt of several files stays in test before weak before gold.

    Args:
        folder: Holds `gold_half`, `weak_half` and `test`.
        student: The student's folder, whose tokenizer says which pairs are too long for it.
        context: Tokens that the student can read at once.
        pairs: Use the first so many pairs of the weak half and of test.
    """
    names = ("gold_half", "weak_half", "test")
    read = {name: read_preferences(folder / f"{name}.jsonl.gz", answer_after=ANSWER_AFTER) for name in names}
    remarks = [f"{name}: {one.equal} pairs with the same text twice left out." for name, one in read.items()]
    gold, weak, test = (read[name].pairs for name in names)
    apart = {
        "gold_half": without_prompts_of(gold, test, weak),
        "weak_half": without_prompts_of(weak, test),
        "test": test,
    }
    remarks += [
        f"{name}: {len(read[name].pairs) - len(apart[name])} pairs left out whose prompts are in another part too."
        for name in ("gold_half", "weak_half")
    ]
    short = {name: _short(apart[name], student, context) for name in ("weak_half", "test")}
    remarks += [
        f"{name}: {len(apart[name]) - len(own)} pairs left out that are too long for the student."
        for name, own in short.items()
    ]
    weak, test = (own.take(range(len(own))[:pairs]) for own in short.values())
    return Halves(apart["gold_half"], weak, test, tuple(remarks))


def fit_judges(gold: PreferencePairs, encoder: str | None) -> list[RewardModel]:
    """Weak reward models that look at different things: words, pieces of words, phrases and, if wanted, an encoder."""
    judges: list[RewardModel] = [
        TfidfReward().fit(gold, name="words"),
        TfidfReward(analyzer="char_wb", ngrams=4).fit(gold, name="pieces of words"),
        TfidfReward(ngrams=3).fit(gold.take(range(len(gold) // 4)), name="phrases, a quarter of the pairs"),
    ]
    if encoder is not None:
        judges.append(EncoderReward(encoder, regularization=0.01).fit(gold, name="encoder"))
    return judges


def read_answers(student: str, pairs: PreferencePairs, run: Run, trainer: Mapping[str, object]) -> str:
    """The student after it has read both answers of every pair, not told which is better."""
    ids = tuple(str(row) for row in range(len(pairs)) for _ in range(2))
    prompts = tuple(prompt for prompt in pairs.prompts for _ in range(2))
    texts = tuple(text for both in zip(pairs.chosen, pairs.rejected, strict=True) for text in both)
    targets = TextTargets(ids, prompts, texts, (1.0,) * len(ids), ("either",) * len(ids))
    learner = TextLearner(student, Named(name="none"), trainer=trainer)
    learned = learner.train(targets, Named(name="cross_entropy"), run, seed=0, name="read the answers")
    return str(learned.path / "model")


def margins_of(student: str, start: str, pairs: PreferencePairs, run: Run, name: str) -> NDArray[np.float64]:
    """How much more a student prefers each chosen text than the model it started from, shape (N,)."""
    policy, reference = (
        torch.tensor(PreferenceLearner(model, Named(name="none")).reference(pairs, run, name=f"ask {who}"))
        for model, who in ((student, name), (start, "the student before"))
    )
    return preference_margins(policy, reference).double().numpy()


def compare(
    halves: Halves,
    student: str,
    run: Run,
    *,
    encoder: str | None,
    seeds: Sequence[int],
    reading: Mapping[str, object],
    trainer: Mapping[str, object],
) -> dict[str, NDArray[np.float64]]:
    """Accuracy on each test pair of everyone, shape (seeds, N), or (1, N) for what has no seed.

    Args:
        halves: What `read_halves` returned.
        student: The student's folder.
        run: Store and progress.
        encoder: An encoder for one more reward model.
        seeds: Training seeds of the students.
        reading: TrainingArguments of the reading before.
        trainer: TrainingArguments of the preference training.
    """
    judges = fit_judges(halves.gold, encoder)
    tested = np.stack([reward_margins(judge, halves.test) for judge in judges])
    scores = {judge.name: preference_accuracy(own)[None] for judge, own in zip(judges, tested, strict=True)}
    votes = 1 / (1 + np.exp(-tested))
    scores["all judges together"] = preference_accuracy(votes.mean(axis=0) - 0.5)[None]

    weak = judged_pairs(halves.weak, judges, Mean())
    right = set(zip(halves.weak.prompts, halves.weak.chosen, strict=True))
    agreed = np.mean([pair in right for pair in zip(weak.prompts, weak.chosen, strict=True)])
    run.reporter.note(
        f"{len(weak)} pairs judged: {agreed:.3f} the right way round, {np.mean(weak.p_chosen):.3f} sure on average"
    )
    write_preferences(run.store.root / "weak_pairs.jsonl", weak)

    start = read_answers(student, halves.weak, run, reading)
    learner = PreferenceLearner(start, Named(name="none"), trainer=trainer)
    runs = {name: (weak, objective) for name, objective in OBJECTIVES.items()}
    runs["ceiling: dpo on gold pairs"] = (halves.weak, OBJECTIVES["dpo"])
    for name, (pairs, objective) in runs.items():
        found = []
        for seed in seeds:
            trained = learner.train(pairs, objective, run, seed=seed, name=f"{name}, seed {seed}")
            found.append(margins_of(str(trained.path / "model"), start, halves.test, run, name))
        scores[name] = np.stack([preference_accuracy(own) for own in found])
    return scores


def table(scores: Mapping[str, NDArray[np.float64]]) -> str:
    """Accuracy of everyone with a 95 % interval over test pairs and seeds, as Markdown."""
    lines = ["| | accuracy on test pairs |", "|---|---|"]
    for name, own in scores.items():
        low, high = mean_scores([own]).contrast([1]).interval(0, 1)
        lines.append(f"| {name} | {own.mean():.3f} [{low:.3f}, {high:.3f}] |")
    return "\n".join(lines)


def _short(pairs: PreferencePairs, student: str, context: int) -> PreferencePairs:
    """The pairs whose prompt and longer answer, with its end, the student can read."""
    tokenizer = load_tokenizer(student)
    asked, *said = (
        [len(ids) for ids in tokenizer(list(texts))["input_ids"]]
        for texts in (pairs.prompts, pairs.chosen, pairs.rejected)
    )
    lengths = np.array(asked) + np.array(said).max(axis=0) + 1
    return pairs.take(np.flatnonzero(lengths <= context))


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Weak reward models, a small student, and preference pairs.")
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data", help="holds hh_harmless/ and models/")
    parser.add_argument("--model", help="a causal language model; by default stories260K of the data")
    parser.add_argument("--encoder", help="a pretrained encoder, for one more reward model")
    parser.add_argument("--pairs", type=int, help="use only so many pairs of the weak half and of test")
    parser.add_argument(
        "--context", type=int, default=512, help="leave out pairs of more tokens than the student reads"
    )
    parser.add_argument("--seeds", type=int, default=1, help="training seeds")
    parser.add_argument("--epochs", type=int, default=1, help="epochs of reading and of preference training")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate of the preference training")
    parser.add_argument("--output", type=Path, default=ROOT / "outgrow-runs/hh_harmless", help="store and pairs")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    student = given.model
    if student is None:
        stories = given.data / "models/stories260K"
        student = str(convert(stories / "stories260K.bin", stories / "tok512.bin", given.output / "stories260K"))
    with reporter_for(sys.stderr) as reporter:
        halves = read_halves(given.data / "hh_harmless", student=student, context=given.context, pairs=given.pairs)
        for remark in halves.remarks:
            reporter.note(remark)
        scores = compare(
            halves,
            student,
            Run(Store(given.output), reporter),
            encoder=given.encoder,
            seeds=range(given.seeds),
            reading={"num_train_epochs": given.epochs, "learning_rate": 2e-3},
            trainer={"num_train_epochs": given.epochs, "learning_rate": given.rate},
        )
    print(table(scores))


if __name__ == "__main__":
    main()
