"""What the built-in choice tasks know of their files."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

from outgrow.config import TaskConfig
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
