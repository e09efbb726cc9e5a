"""Judges are tried on answers that are known to be right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from outgrow.config import ServerJudge, TaskConfig
from outgrow.labels import Completion, Rows
from outgrow.models.protocols import GenerateOptions
from outgrow.pipeline import judging
from outgrow.pipeline.judge_check import judge_notes, right_and_wrong
from outgrow.report.notes import sentence
from outgrow.run import Run
from outgrow.store import Store
from outgrow.tasks import load_task
from scripted_spec import ScriptedSpec

CAPITALS = {"France": "Paris", "Spain": "Madrid", "Italy": "Rome", "Peru": "Lima", "Japan": "Tokyo", "Egypt": "Cairo"}


def rows(*, known: bool = True) -> Rows:
    return Rows(
        ids=tuple(CAPITALS),
        prompts=tuple(f"What is the capital of {country}?" for country in CAPITALS),
        parts=("test",) * len(CAPITALS),
        gold=tuple(CAPITALS.values()) if known else (None,) * len(CAPITALS),
    )


def notes(
    folder: Path, says: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, *, known: bool = True
) -> list[str]:
    class Scripted:
        name = "scripted"

        def generate(self, prompts: Sequence[str], options: GenerateOptions) -> list[list[Completion]]:
            return [[Completion(says(prompt), (), (), finished=True)] * options.n for prompt in prompts]

    monkeypatch.setattr(judging, "model_spec", lambda *_: ScriptedSpec(Scripted()))
    config = TaskConfig(name="persona", path="rows.jsonl", concept="a pirate")
    task = load_task(config)
    judge = ServerJudge(model="tiny", server="http://localhost/v1", samples=2)  # never asked: a scripted one stands in
    found = judge_notes([judge], task, config, rows(known=known), Run(Store(folder)))
    return [sentence(note) for note in found]


def knows(prompt: str) -> str:
    """The rating of somebody who knows all capitals."""
    return (
        "[[9]]"
        if any(f"of {place}?" in prompt and f": {city}\n\nGive" in prompt for place, city in CAPITALS.items())
        else "[[2]]"
    )


def test_a_judge_that_knows_is_told_by_its_two_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [note] = notes(tmp_path, knows, monkeypatch)
    assert "right answers a mean content of 9.00, right answers to similar other questions 2.00" in note
    assert "of 6 such pairs it rates 1.000 [" in note


def test_a_judge_that_guesses_is_called_weak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [note] = notes(tmp_path, lambda _: "[[5]]", monkeypatch)
    assert "it rates .500 [" in note
    assert note.endswith("A judge this weak makes differences in content look smaller than they are.")


def test_a_judge_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = notes(tmp_path, lambda _: "As a language model …", monkeypatch)
    assert found == ["The judge tiny, tested on 6 right answers and as many others, rated no pair of them."]


def test_without_right_answers_there_is_nothing_to_try_a_judge_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert notes(tmp_path, knows, monkeypatch, known=False) == []


@given(st.lists(st.tuples(st.text("ab ", max_size=6), st.sampled_from(["yes", "Yes ", "no"])), min_size=1, max_size=8))
def test_the_wrong_answer_is_that_to_the_most_similar_question_with_another_answer(data: list[tuple[str, str]]) -> None:
    prompts, gold = zip(*data, strict=True)
    made = Rows(tuple(map(str, range(len(data)))), prompts, ("test",) * len(data), gold=gold)
    right, wrong = right_and_wrong(made)
    said = [answer.strip().lower() for answer in gold]
    if len(set(said)) == 1:
        assert right == wrong == []
        return
    assert right == list(range(len(data)))
    for row, other in zip(right, wrong, strict=True):
        likeness = [
            Levenshtein.normalized_similarity(prompts[row], prompt)
            for prompt, answer in zip(prompts, said, strict=True)
            if answer != said[row]
        ]
        assert said[other] != said[row]
        assert Levenshtein.normalized_similarity(prompts[row], prompts[other]) == pytest.approx(max(likeness))
