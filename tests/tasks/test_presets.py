"""What the built-in choice tasks know of their files."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from outgrow.config import TaskConfig
from outgrow.errors import DataError
from outgrow.labels import Rows
from outgrow.tasks import load_task


def test_sciq_asks_whether_a_candidate_answer_is_right_and_splits_by_question(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "qa_pairs.jsonl.gz", "wt") as file:
        for index in range(30):
            row = {"question": f"What is {index // 2}?", "answer": f"thing {index}", "label": index % 2}
            file.write(json.dumps(row) + "\n")
    config = TaskConfig(name="sciq", path=str(tmp_path))
    rows = load_task(config).read(config)
    assert rows.choices == ("incorrect", "correct")
    assert rows.prompts[0] == "Q: What is 0? A: thing 0"
    questions = [prompt.split(" A: ")[0] for prompt in rows.prompts]
    assert all(len({part for part, q in zip(rows.parts, questions, strict=True) if q == one}) == 1 for one in questions)


def test_what_a_user_sets_goes_before_what_a_task_knows(tmp_path: Path) -> None:
    path = tmp_path / "mr.jsonl"
    path.write_text("".join(json.dumps({"text": f"row {i}", "label": i % 2}) + "\n" for i in range(20)))
    config = TaskConfig.model_validate({"name": "sentiment", "path": str(path), "choices": ["bad", "good"]})
    assert load_task(config).read(config).choices == ("bad", "good")
    config = TaskConfig(name="sentiment", path=str(path))
    assert load_task(config).read(config).choices == ("negative", "positive")


def test_the_real_reviews_split_into_parts_that_share_nothing(real_data: Path) -> None:
    settings = {"name": "sentiment", "path": str(real_data / "sentiment/mr.jsonl.gz")}
    config = TaskConfig.model_validate({**settings, "split": {"gold": 3000, "unlabelled": 5000, "test": 2500}})
    rows = load_task(config).read(config)
    assert Counter(rows.parts) == {"gold": 3000, "unlabelled": 5000, "test": 2500}
    assert 0.45 < sum(map(bool, rows.gold)) / len(rows) < 0.55


def test_the_real_science_questions_meet_their_real_weak_labels(real_data: Path) -> None:
    voted = {"path": str(real_data / "sciq/gpt2_family_weak_labels_seed0.jsonl.gz"), "task": "txt", "key": "prompt"}
    split = {"gold": 4000, "unlabelled": 3800, "test": 2000, "voted": voted}
    config = TaskConfig.model_validate({"name": "sciq", "path": str(real_data / "sciq"), "split": split})
    sizes = Counter(load_task(config).read(config).parts)
    assert all(abs(sizes[part] - split[part]) <= 6 for part in ("gold", "unlabelled", "test"))


def rows_of(folder: Path, lines: list[dict[str, Any]], **settings: Any) -> Rows:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = TaskConfig.model_validate({"path": str(path), **settings})
    return load_task(config).read(config)


def chosen(rows: Rows) -> list[str]:
    """The right answer of every row."""
    return [rows.choices_of(row)[int(gold or 0)] for row, gold in enumerate(rows.gold)]


def four_way(index: int) -> dict[str, str]:
    wrong = {f"distractor{number}": f"wrong {number}" for number in (1, 2, 3)}
    return {"question": f"What is {index}?", "correct_answer": f"right {index}", **wrong}


def test_four_way_sciq_hides_the_right_answer_among_three_wrong_ones(tmp_path: Path) -> None:
    lines = [*map(four_way, range(40)), {**four_way(40), "distractor1": "wrong 2"}]
    rows = rows_of(tmp_path, lines, name="sciq", four_way=True)
    assert chosen(rows) == [f"right {prompt.split()[-1][:-1]}" for prompt in rows.prompts]
    assert set(rows.gold) == {0, 1, 2, 3}  # in no fixed place
    assert "What is 40?" not in rows.prompts  # two of its answers are equal
    again = rows_of(tmp_path, lines[::-1], name="sciq", four_way=True)
    place = dict(zip(again.prompts, again.options or (), strict=True))
    assert all(place.get(prompt, own) == own for prompt, own in zip(rows.prompts, rows.options or (), strict=True))


@pytest.mark.parametrize("form", ["csv", "multiple_choice", "generation"])
def test_truthfulqa_is_read_in_all_its_forms(tmp_path: Path, form: str) -> None:
    def line(index: int, wrong: list[str]) -> dict[str, Any]:
        question, best = f"Is it {index}?", f"Yes, {index}"
        if form == "csv":
            return {"Question": question, "Best Answer": f"{best} ", "Incorrect Answers": "; ".join([*wrong, ""])}
        if form == "generation":
            return {"question": question, "best_answer": best, "incorrect_answers": wrong}
        return {"question": question, "mc1_targets": {"choices": [best, *wrong], "labels": [1, *(0 for _ in wrong)]}}

    wrong = ["No", "Never", "Who knows", "Always"]
    lines = [*(line(index, wrong) for index in range(40)), line(40, wrong[:1])]
    rows = rows_of(tmp_path, lines, name="truthfulqa")
    assert chosen(rows) == [f"Yes, {name}" for name in rows.ids]
    assert "40" not in rows.ids  # too few wrong answers
    assert {text for own in rows.options or () for text in own} >= set(wrong)
    assert rows_of(tmp_path, lines, name="truthfulqa", wrong=1).choices == ("A", "B")


def test_a_table_that_is_not_truthfulqa_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not one of TruthfulQA's(.|\n)*found:  text"):
        rows_of(tmp_path, [{"text": "a"}], name="truthfulqa")


def test_the_real_stories_keep_their_questions_in_one_part(real_data: Path) -> None:
    config = TaskConfig(name="cosmosqa", path=str(real_data / "cosmosqa/valid.csv.gz"))
    rows = load_task(config).read(config)
    assert len(rows) > 2900
    assert rows.choices == ("A", "B", "C", "D")
    stories = [prompt.rpartition("\nQuestion: ")[0] for prompt in rows.prompts]
    assert len({*zip(stories, rows.parts, strict=True)}) == len({*stories})
    place = rows.ids.index("3BFF0DJK8XA7YNK4QYIGCOG1A95STE##3180JW2OT5AF02OISBX66RFOCTG5J7##A2LTOS0AZ3B28A##"
                           "Blog_56156##q1_a1##378G7J1SJNCDAAIN46FM2P7T6KZEW2")  # fmt: skip
    assert chosen(rows)[place] == "He wants to get married to a different person ."


def test_the_real_truthfulqa_is_read(real_data: Path) -> None:
    config = TaskConfig(name="truthfulqa", path=str(real_data / "truthfulqa/TruthfulQA.csv.gz"))
    rows = load_task(config).read(config)
    assert len(rows) == 690  # of 817, those with three wrong answers or more
    assert "The watermelon seeds pass through your digestive system" in chosen(rows)
    assert max(Counter(rows.gold).values()) / len(rows) < 0.31
