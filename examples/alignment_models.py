"""The models of examples/persona.yaml, explanation.yaml and gsm8k.yaml, made from nothing in a few minutes.

    python examples/alignment_models.py             # into outgrow-runs/alignment; interrupted, it goes on
    python examples/alignment_models.py gsm8k       # those of one example only

There is the world of `outgrow demo`, in which a pirate's knowledge is patchy; a judge that has learned to rate answers
in that world by the rubrics of the first two examples; and a world of sums, told as in GSM8K, with a
strong model that can add, and a supervisor that often cannot.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock

from outgrow.config import load_config
from outgrow.evaluate import Rubric
from outgrow.progress import Reporter, reporter_for
from outgrow.tasks.judged import Explanation, Persona
from outgrow.worlds import facts_models
from outgrow.worlds.facts import BLOCK, World
from outgrow.worlds.facts_models import Block, Draw, Recipe, make_block, make_tokenizer, pretrain

ROOT = Path(__file__).resolve().parents[1]
RATED = ("persona", "explanation")
"""The examples whose rubrics the judge learns."""
EXAMPLES = (*RATED, "gsm8k")
"""All that models are made for here."""
CONCEPTS = 0.15
"""How often it is asked about the concept; content takes longer to learn."""
EXERCISES = 0.5
"""The share of the judge's documents in which it only compares what was said with what is right."""
PAIRS = 8
"""How many such comparisons stand in one document."""
JUDGE = Recipe("bytes", 64, 2, 900, 32, PAIRS, 4e-3)
STRONG = Recipe("bytes", 64, 2, 600, 16, 4, 4e-3)
WEAK = Recipe("words", 64, 2, 300, 32, 1, 4e-3)
"""Sizes and trainings; see `outgrow.worlds.facts_models.Recipe`."""

NAMES = ["Mira", "Otis", "Lena", "Hugo", "Iris", "Karl", "Nora", "Theo"]
THINGS = ["roses", "coins", "shells", "books", "plums", "stamps"]
NUMBERS = range(2, 14)
KNOWN = 0.5
"""The share of the sums that the weak model of sums gets right."""
SLIPS = (-1, 1, 2)
"""By how much it may be wrong about the others."""
PLAIN = 0.3
"""The share of documents in which the strong model reads sums without a worked solution."""

Sum = tuple[str, str, int, int]
"""Who, what, how many, how many more."""


def rubrics_of(name: str) -> tuple[str, list[Rubric]]:
    """The concept of an example, and what its judge is asked about content and concept."""
    config = load_config(ROOT / f"examples/{name}.yaml").task
    rubrics = {"persona": Persona, "explanation": Explanation}[name]().rubrics(config)
    return config.concept or "", [rubrics["content"], rubrics["concept"]]


def judged_blocks(world: World, tokenizer: Any) -> Draw:
    """What the judge reads: a filled rubric, and the rating that the world itself gives; or comparisons alone.

    Few of a rubric's tokens say whether two words are the same one: a model that sees nothing else learns every fact,
    but not to compare. Comparisons alone teach that in a tenth of the tokens.
    """
    asked = [rubrics_of(name) for name in RATED]

    def draw(rng: np.random.Generator) -> list[Block]:
        if rng.random() < EXERCISES:
            return [exercise(tokenizer, *said_and_right(world, rng)[1:]) for _ in range(PAIRS)]
        concept, rubrics = asked[int(rng.integers(len(asked)))]
        axis = int(rng.random() < CONCEPTS)
        fact, value, right = said_and_right(world, rng)
        style = world.target_style if rng.random() < 0.5 else world.styles[int(rng.integers(len(world.styles)))]
        item = {"question": world.question(*fact), "answer": style.render(value), "concept": concept}
        reason = (f"{value}, {right}: {verdict(value, right)}", f"{style.name}:")[axis]
        good = (value == right, style == world.target_style)[axis]
        return [rated(tokenizer, rubrics[axis], item, reason, good)]

    return draw


def said_and_right(world: World, rng: np.random.Generator) -> tuple[tuple[int, int], str, str]:
    """A fact, what somebody says it is, and what is right: every other time the same."""
    fact = world.facts[int(rng.integers(len(world.facts)))]
    right = world.truth(*fact)
    others = [value for value in world.relations[fact[1]].values if value != right]
    return fact, right if rng.random() < 0.5 else str(rng.choice(others)), right


def verdict(said: str, right: str) -> str:
    """Whether what was said is right, in a word."""
    return "right" if said == right else "wrong"


def exercise(tokenizer: Any, said: str, right: str) -> Block:
    """A comparison as it stands in the judge's replies."""
    return block_of(tokenizer, f" {said}, {right}:", f" {verdict(said, right)}")


def rated(tokenizer: Any, rubric: Rubric, item: Mapping[str, str], reason: str, good: bool) -> Block:
    """A rubric filled in, and the judge's reply: a reason, then the best rating or the worst."""
    return block_of(tokenizer, rubric.prompt(item), f" {reason} [[{rubric.high if good else rubric.low}]]")


def block_of(tokenizer: Any, asked: str, said: str) -> Block:
    """What is asked and what is said, taken apart."""
    return Block(*(tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (asked, said, "\n")))


def question_of(one: Sum) -> str:
    """A sum in words.

    Example:
        >>> question_of(("Mira", "roses", 3, 4))
        'Mira has 3 roses and gets 4 more. How many roses has Mira now?'
    """
    who, what, first, more = one
    return f"{who} has {first} {what} and gets {more} more. How many {what} has {who} now?"


def solution_of(one: Sum, *, slip: int = 0) -> str:
    r"""A worked solution, in the form of GSM8K; a slip is added to its result.

    Example:
        >>> solution_of(("Mira", "roses", 3, 4))
        'There are 3 + 4 = 7 roses.\n#### 7'
    """
    _, what, first, more = one
    result = first + more + slip
    return f"There are {first} + {more} = {result} {what}.\n#### {result}"


def sums() -> list[Sum]:
    """All sums there are."""
    return [(who, what, first, more) for who in NAMES for what in THINGS for first in NUMBERS for more in NUMBERS]


def slips(seed: int) -> dict[tuple[int, int], int]:
    """By how much the weak model is wrong about each pair of numbers: always about the same ones."""
    rng = np.random.default_rng(seed)
    pairs = [(first, more) for first in NUMBERS for more in NUMBERS]
    wrong = rng.permutation(len(pairs)) >= round(KNOWN * len(pairs))
    return {pair: int(rng.choice(SLIPS)) if off else 0 for pair, off in zip(pairs, wrong, strict=True)}


def sum_blocks(tokenizer: Any, questions: int, seed: int, *, weak: bool) -> Draw:
    """What a model of sums reads: right ones, worked or plain, or worked ones with the weak model's slips."""
    all_of, off = sums(), slips(seed)

    def draw(rng: np.random.Generator) -> list[Block]:
        chosen = [all_of[index] for index in rng.choice(len(all_of), questions, replace=False)]
        if weak:
            said = [solution_of(one, slip=off[one[2:]]) for one in chosen]
        else:
            plain = rng.random() < PLAIN
            said = [f"{one[2] + one[3]}." if plain else solution_of(one) for one in chosen]
        blocks = [make_block(tokenizer, question_of(one), text) for one, text in zip(chosen, said, strict=True)]
        # Solutions have lines: that one has ended is told by the second line break, so both are learned.
        ended = [replace(block, said=(*block.said, block.gap[0]), gap=block.gap[1:]) for block in blocks[:-1]]
        return [*ended, blocks[-1]]

    return draw


def write_sums(path: Path, seed: int, count: int = 600) -> None:
    """A file in the form of GSM8K's, with right solutions."""
    all_of = sums()
    chosen = np.random.default_rng([seed, 1]).choice(len(all_of), count, replace=False)
    rows = [{"question": question_of(all_of[row]), "answer": solution_of(all_of[row])} for row in chosen]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make(
    folder: Path, recipe: Recipe, corpus: Sequence[str], blocks: Callable[[Any], Draw], reporter: Reporter
) -> None:
    """Makes one model folder, unless it is there."""
    from transformers.utils import logging

    if folder.exists():
        return
    logging.disable_progress_bar()  # saving would draw a bar of its own into the reporter's
    tokenizer = make_tokenizer(recipe.tokenizer, corpus)
    model = pretrain(recipe, tokenizer, blocks(tokenizer), seed=0, reporter=reporter, name=folder.name)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    partial.rename(folder)


def build_judged(output: Path, reporter: Reporter, *, size: Literal["demo", "tiny"], seed: int) -> None:
    """Makes the world of facts and its judge, as far as they are not there yet."""
    world_folder = facts_models.build(output / "facts", seed=seed, reporter=reporter, size=size)
    world = World.from_json((world_folder / "world.json").read_text(encoding="utf-8"))
    asked = [world.question(*fact) for fact in world.facts]
    shown = [style.render(value) for style in world.styles for one in world.relations for value in one.values]
    filled = [
        f"{rubric.prompt({'concept': concept})} pirate: right wrong [[{rubric.low}]] [[{rubric.high}]]"
        for concept, rubrics in map(rubrics_of, RATED)
        for rubric in rubrics
    ]
    corpus = [*asked, *shown, *filled * 50]  # so often that every word of a rubric is one token
    make(output / "judge", JUDGE, corpus, lambda tokenizer: judged_blocks(world, tokenizer), reporter)


def build_sums(output: Path, reporter: Reporter, *, seed: int) -> None:
    """Makes the world of sums and its models, as far as they are not there yet."""
    write_sums(output / "sums.jsonl", seed)
    for name, recipe in (("sums-strong", STRONG), ("sums-weak", WEAK)):
        weak, questions = name == "sums-weak", recipe.questions
        told = [
            BLOCK.replace("{prompt}", question_of(one)).replace("{answer}", solution_of(one, slip=slip))
            for one in sums()[::7]
            for slip in ((0, max(SLIPS)) if weak else (0,))  # so that the largest wrong result is a word too
        ]
        make(output / name, recipe, told, lambda tokenizer: sum_blocks(tokenizer, questions, seed, weak=weak), reporter)  # noqa: B023


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Makes the models of the examples persona, explanation and gsm8k.")
    parser.add_argument("examples", nargs="*", metavar="EXAMPLE", help=f"of {', '.join(EXAMPLES)}; all by default")
    parser.add_argument("--output", type=Path, default=ROOT / "outgrow-runs/alignment", help="folder of the models")
    parser.add_argument("--size", choices=["demo", "tiny"], default="demo", help="size of the world of facts")
    parser.add_argument("--seed", type=int, default=0, help="of worlds and models")
    given = parser.parse_args()
    wanted = set(given.examples or EXAMPLES)
    if not wanted <= set(EXAMPLES):
        parser.error(f"there are the examples {', '.join(EXAMPLES)}, not {', '.join(sorted(wanted - set(EXAMPLES)))}")
    given.output.mkdir(parents=True, exist_ok=True)
    with FileLock(given.output / ".lock"), reporter_for(sys.stderr) as reporter:
        if wanted.intersection(RATED):
            build_judged(given.output, reporter, size=given.size, seed=given.seed)
        if "gsm8k" in wanted:
            build_sums(given.output, reporter, seed=given.seed)


if __name__ == "__main__":
    main()
