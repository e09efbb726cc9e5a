"""The script that makes the models of the examples persona, explanation and gsm8k."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from example_scripts import load_script
from outgrow.config import load_config
from outgrow.evaluate import final_answer
from outgrow.pipeline.scoring import Scorer
from outgrow.run import Run
from outgrow.store import Store
from outgrow.tasks import load_task, scores_texts
from outgrow.worlds.facts import make_world
from outgrow.worlds.facts_models import make_tokenizer

FOLDER = Path(__file__).parents[1] / "examples"


models = load_script("alignment_models.py")


@pytest.mark.parametrize("name", ["persona", "explanation", "gsm8k"])
def test_each_example_has_the_judge_that_its_task_needs(name: str, tmp_path: Path) -> None:
    config = load_config(FOLDER / f"{name}.yaml")
    task = load_task(config.task)
    assert scores_texts(task, config.task)
    Scorer(config, task, Run(Store(tmp_path))).check()


def test_the_judge_reads_the_rubrics_of_the_examples_with_the_ratings_of_the_world() -> None:
    world = make_world(entities=4, relations=2)
    tokenizer = make_tokenizer("bytes", ["Rate from 1 to 10, as [[n]]"])
    draw, rng = models.judged_blocks(world, tokenizer), np.random.default_rng(0)
    truths = {world.question(*fact): world.truth(*fact) for fact in world.facts}
    ratings = set()
    for _ in range(200):
        blocks = draw(rng)
        for block in blocks:
            asked, said = tokenizer.decode(block.asked), tokenizer.decode(block.said)
            if len(blocks) > 1:
                first, _, second = asked.strip(" :").partition(", ")
                assert said == (" right" if first == second else " wrong")
                continue
            _, _, rest = asked.partition("Question: ")
            question, _, rest = rest.partition("\nAnswer: ")
            answer = world.parse(rest.partition("\n")[0])
            about_content = "is right" in asked
            good = answer.content == truths[question] if about_content else answer.style == world.target
            verdict = f"{answer.content}, {truths[question]}: {'right' if good else 'wrong'}"
            rating = "[[10]]" if good else "[[1]]" if "from 1" in asked else "[[0]]"
            assert said == f" {verdict if about_content else f'{answer.style}:'} {rating}"
            ratings.add((about_content, rating))
    assert len(ratings) == 6  # of either axis, the best and both worst ones


def test_every_solution_ends_with_two_line_breaks_that_are_learned_or_with_its_document() -> None:
    tokenizer = make_tokenizer("bytes", [models.question_of(one) for one in models.sums()])
    blocks = models.sum_blocks(tokenizer, 3, 0, weak=True)(np.random.default_rng(0))
    ended = [tokenizer.decode([*block.said, block.gap[0]])[-3:] for block in blocks[:-1]]
    assert all(text.endswith("\n\n") for text in ended)
    assert not tokenizer.decode(blocks[-1].said).endswith("\n")


def test_an_example_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.argv", ["alignment_models.py", "personna", "--output", str(tmp_path / "models")])
    with pytest.raises(SystemExit, match="2"):
        models.main()
    assert not (tmp_path / "models").exists()


def test_sums_are_right_where_they_are_gold_and_wrong_where_the_supervisor_slips(tmp_path: Path) -> None:
    models.write_sums(tmp_path / "sums.jsonl", seed=0, count=50)
    rows = [json.loads(line) for line in (tmp_path / "sums.jsonl").read_text().splitlines()]
    for row in rows:
        numbers = [int(word) for word in row["question"].split() if word.isdigit()]
        assert final_answer(row["answer"]) == sum(numbers)
    off = models.slips(seed=0)
    assert sum(slip == 0 for slip in off.values()) == round(models.KNOWN * len(off))
    wrong = next(pair for pair, slip in off.items() if slip)
    one = ("Mira", "roses", *wrong)
    assert final_answer(models.solution_of(one, slip=off[wrong])) == sum(wrong) + off[wrong]
