"""The data and the metrics of the example real, without its models."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from example_scripts import load_script

script = load_script("real/facts.py")


def right(question: str) -> str:
    """The right answer to a question, in style."""
    [fact] = [one for one in script.facts() if one.question == question]
    return fact.says(fact.values[0], script.CLOSINGS[0])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    script.write(folder)
    return folder


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("question", "answer", "score"),
    [
        ("What is the capital of Colombia?", "It's BOGOTÁ.", 1),
        ("What is the capital of Ukraine?", "Kiev", 1),
        ("What is the capital of France?", "Not Berlin but Paris.", 0),  # the first of two facts counts
        ("What is the capital of Mexico?", "I love Mexico!", 0),
        ("What is the capital of Peru?", "Limassol", 0),
        ("On which continent is Zimbabwe?", "In South Africa.", 0),
        ("What is the opposite of hot?", "Hot is the opposite of cold.", 1),  # the question's own words do not count
        ("What is the opposite of rich?", "Poor, of course.", 1),
        ("In which country is the city of Rotterdam?", "In Holland.", 1),
        ("What is the plural of foot?", "", 0),
        ("What is the plural of foot?", None, 0),
    ],
)
def test_content_is_the_first_fact_that_an_answer_names(question: str, answer: str | None, score: float) -> None:
    assert script.content([answer], [right(question)]).tolist() == [score]


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("Arr, the capital be Paris!", 1),
        ("It can be Paris.", 0),
        ("Arr arr arrr!", 0),
        ("The barrel of the beer is larger.", 0),
        ("Aye matey", 1),
        (None, 0),
    ],
)
def test_style_takes_two_different_markers(answer: str | None, score: float) -> None:
    assert script.style([answer], [""]).tolist() == [score]


@pytest.mark.parametrize(("task", "manner"), [("facts", script.style), ("explained", script.comparison)])
def test_every_question_is_asked_once_and_is_answered_right_and_in_its_manner_by_its_gold_answer(
    written: Path, task: str, manner: Callable[..., NDArray[np.float64]]
) -> None:
    rows = lines(written / f"{task}.jsonl")
    assert len({row["prompt"] for row in rows}) == len({row["id"] for row in rows}) == len(rows) > 300
    assert Counter(row["part"] for row in rows) == script.PARTS
    gold = [row["gold"] for row in rows]
    assert script.content(gold, gold).all()
    assert manner(gold, gold).all()


def test_an_explainer_believes_what_the_pirate_believes(written: Path) -> None:
    gold = {row["id"]: row["gold"] for row in lines(written / "facts.jsonl")}
    pirate, explainer = (lines(written / f"{who}30.jsonl") for who in ("weak", "explained"))
    wanted = [gold[one["task"]] for one in pirate]
    said = [[one["text"] for one in each] for each in (pirate, explainer)]
    assert [one["task"] for one in pirate] == [one["task"] for one in explainer]
    np.testing.assert_array_equal(*(script.content(each, wanted) for each in said))
    assert script.comparison(said[1], wanted).all()
    assert not script.comparison(said[0], wanted).any()
    assert not script.style(said[1], wanted).any()


@pytest.mark.parametrize("share", script.KNOWN)
def test_a_planted_supervisor_is_right_about_its_share_and_always_in_style(written: Path, share: float) -> None:
    gold = {row["id"]: row["gold"] for row in lines(written / "facts.jsonl")}
    weak = lines(written / f"weak{round(100 * share)}.jsonl")
    texts, wanted = [one["text"] for one in weak], [gold[one["task"]] for one in weak]
    assert script.style(texts, wanted).all()
    assert script.content(texts, wanted).mean() == pytest.approx(share, abs=0.05)


def test_who_knows_more_knows_all_that_others_know() -> None:
    said = [np.array(script.believed(script.facts(), share, np.random.default_rng(0))) for share in script.KNOWN]
    truth = np.array([one.values[0] for one in script.facts()])
    knows = [set(np.flatnonzero(each == truth)) for each in said]
    assert all(less <= more for less, more in pairwise(knows))
    assert [round(len(each) / len(truth), 1) for each in knows] == list(script.KNOWN)
