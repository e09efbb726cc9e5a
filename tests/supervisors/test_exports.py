"""Exports of annotation tools, in the forms that these tools write, as votes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from outgrow.cli import app
from outgrow.errors import DataError
from outgrow.supervisors.exports import read_votes
from outgrow.supervisors.votes import VotesSupervisor
from outgrow.tasks.tables import read_records


def chosen(*labels: str, question: str = "mood") -> dict[str, Any]:
    return {"from_name": question, "to_name": "text", "type": "choices", "value": {"choices": list(labels)}}


def label_studio(path: Path, **more: Any) -> str:
    """Two tasks by two people, one of whom cancels once, and a model."""
    people: list[Any] = [7, {"id": 8, "email": "eve@example.org"}]
    tasks = [
        {
            "id": 101 + index,
            "data": {"text": text, "row": f"r{index}"},
            "annotations": [
                {"id": 1, "completed_by": people[0], "was_cancelled": False, "result": [chosen("good")]},
                {"id": 2, "completed_by": people[1], "was_cancelled": bool(index), "result": [chosen("bad")]},
            ],
            "predictions": [{"model_version": "v1", "score": 0.9, "result": [chosen("bad")]}],
            **more,
        }
        for index, text in enumerate(["fine film", "dull film"])
    ]
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return str(path)


def argilla(path: Path) -> str:
    records = [
        {
            "id": f"r{index}",
            "fields": {"text": text},
            "metadata": {},
            "suggestions": {"mood": {"value": "good", "score": 0.8, "agent": "small-model"}},
            "responses": {"mood": [{"value": "bad", "user_id": "u-1"}, {"value": None, "user_id": "u-2"}]},
            "vectors": {},
            "_server_id": None,
        }
        for index, text in enumerate(["fine film", "dull film"])
    ]
    path.write_text(json.dumps(records), encoding="utf-8")
    return str(path)


def lines(path: str, label: str = "label") -> list[tuple[str, str, str | None]]:
    return [(row["task"], row["worker"], row[label]) for row in read_votes(path, label).to_pylist()]


def test_label_studio_has_people_and_models_and_leaves_cancelled_answers_out(tmp_path: Path) -> None:
    assert lines(label_studio(tmp_path / "export.json")) == [
        ("101", "7", "good"), ("101", "eve@example.org", "bad"), ("101", "v1", "bad"),
        ("102", "7", "good"), ("102", "v1", "bad"),
    ]  # fmt: skip


def test_argilla_has_users_and_agents_and_an_answer_that_is_missing_is_an_abstention(tmp_path: Path) -> None:
    assert lines(argilla(tmp_path / "records.json")) == [
        ("r0", "u-1", "bad"), ("r0", "u-2", None), ("r0", "small-model", "good"),
        ("r1", "u-1", "bad"), ("r1", "u-2", None), ("r1", "small-model", "good"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("task", "keys"), [("task", ("101", "102")), ("row", ("r0", "r1")), ("text", ("fine film", ""))]
)
def test_rows_are_found_by_the_tools_id_or_by_a_field_of_their_own(
    tmp_path: Path, task: str, keys: tuple[str, ...]
) -> None:
    votes = VotesSupervisor(votes=label_studio(tmp_path / "export.json"), task=task)
    found = votes.read(("a", "b"), keys, ("bad", "good"))
    assert found.supervisors == ("7", "eve@example.org", "v1")
    assert found.probs[0].tolist() == [[0, 1], [1, 0], [1, 0]]
    assert found.status[1].tolist() == (["ok", "missing", "ok"] if keys[1] else ["missing"] * 3)


def test_of_several_questions_one_is_named(tmp_path: Path) -> None:
    both = [{"id": 1, "completed_by": 7, "result": [chosen("good"), chosen("no", question="spam")]}]
    path = label_studio(tmp_path / "export.json", annotations=both)
    with pytest.raises(DataError, match=r"several questions(.|\n)*mood, spam(.|\n)*Set label"):
        read_votes(path, "label")
    assert lines(path, "spam") == [("101", "7", "no"), ("102", "7", "no")]


def test_several_choices_and_no_answers_are_said(tmp_path: Path) -> None:
    both = [{"id": 1, "completed_by": 7, "result": [chosen("good", "bad")]}]
    with pytest.raises(DataError, match=r"not a single choice(.|\n)*record 101"):
        read_votes(label_studio(tmp_path / "export.json", annotations=both), "label")
    with pytest.raises(DataError, match="has no answers"):
        read_votes(label_studio(tmp_path / "export.json", annotations=[], predictions=[]), "label")


@pytest.mark.parametrize("data", [[["text", None]], [[None, None]], "text", 7])
def test_data_that_are_no_fields_are_refused(tmp_path: Path, data: object) -> None:
    path = Path(label_studio(tmp_path / "export.json"))
    path.write_text(json.dumps([record | {"data": data} for record in json.loads(path.read_text())]))
    with pytest.raises(DataError, match="cannot be read"):
        read_votes(str(path), "label")


def test_another_json_file_is_a_table_and_an_export_can_be_the_rows_too(tmp_path: Path) -> None:
    (tmp_path / "plain.json").write_text('[{"task": "a", "worker": "ann", "label": "yes"}]')
    assert lines(str(tmp_path / "plain.json")) == [("a", "ann", "yes")]
    assert read_records(label_studio(tmp_path / "export.json"))["data.text"].to_pylist() == ["fine film", "dull film"]
    assert read_records(argilla(tmp_path / "records.json"))["fields.text"].to_pylist() == ["fine film", "dull film"]


def test_votes_of_an_export_are_combined_without_an_experiment(tmp_path: Path) -> None:
    out = str(tmp_path / "posteriors.csv")
    done = CliRunner().invoke(
        app, ["combine", label_studio(tmp_path / "export.json"), "--method", "majority", "--task", "row", "-o", out]
    )
    assert done.exit_code == 0, done.output
    assert [line.split(",")[:2] for line in Path(out).read_text().splitlines()[1:]] == [
        ['"r0"', '"bad"'],
        ['"r1"', '"bad"'],
    ]
