"""Texts that exist already as a supervisor: what a file may hold, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from outgrow.errors import ConfigError, DataError
from outgrow.experiment import Experiment
from outgrow.labels import Rows, TextLabels
from outgrow.report.notes import sentence
from outgrow.run import Run
from outgrow.store import Store
from outgrow.supervisors import Asking, TextsSupervisor
from small_experiments import write_lines, write_text_task
from tiny_models import WORDS

ROWS = Rows(
    ("g", "u1", "u2", "t"), ("gold", "one", "two", "test"), ("gold", "unlabelled", "unlabelled", "test"), ("x",) * 4
)


def supervisor(folder: Path, lines: list[dict[str, Any]] | str, **settings: Any) -> TextsSupervisor:
    """A supervisor of these texts; lines are written as JSON, a string as csv."""
    path = folder / ("answers.csv" if isinstance(lines, str) else "answers.jsonl")
    path.write_text(lines if isinstance(lines, str) else "".join(json.dumps(line) + "\n" for line in lines))
    return TextsSupervisor(texts=str(path), **settings)


def written(one: TextsSupervisor, part: Any = "unlabelled") -> TextLabels:
    return one.write(ROWS, part, Asking(), Run(Store(Path(one.texts).parent / "store")), seed=0)


def texts_of(labels: TextLabels) -> list[list[str]]:
    return [[one.text for one in cell] for [cell] in labels.texts]


def test_texts_of_both_parts_are_found_by_id_and_a_row_without_one_fails_with_a_reason(tmp_path: Path) -> None:
    one = supervisor(tmp_path, "task,text\nt,so\nu2,Paris\nelsewhere,no\n")
    labels = written(one)
    assert (labels.ids, labels.supervisors) == (("u1", "u2"), ("answers",))
    assert texts_of(labels) == [[], ["Paris"]]
    assert labels.errors == {("u1", "answers"): "not in answers.csv"}
    assert labels.texts[1][0][0].status == "finished"
    assert texts_of(written(one, "test")) == [["so"]]


def test_columns_may_have_other_names_and_rows_may_be_named_by_their_prompts(tmp_path: Path) -> None:
    one = supervisor(
        tmp_path, [{"question": "two", "said": 4}], task="question", text="said", key="prompt", name="people"
    )
    labels = written(one)
    assert labels.supervisors == ("people",)
    assert texts_of(labels) == [[], ["4"]]


def test_several_lines_are_an_n_best_list_in_which_an_equal_text_is_kept_once_and_counts(tmp_path: Path) -> None:
    lines = [{"task": "u1", "text": text} for text in ("b", "a", "c", " c")]
    assert texts_of(written(supervisor(tmp_path, lines))) == [["c", "b", "a"], []]


def test_an_answer_may_be_a_number_in_one_line_and_a_text_in_another(tmp_path: Path) -> None:
    lines = [{"task": "u1", "pred": {"big": 18, "small": None}}, {"task": "u2", "pred": {"big": "$18", "small": 1}}]
    assert texts_of(written(supervisor(tmp_path, lines, text="pred.big"))) == [["18"], ["$18"]]


def test_log_probabilities_order_the_texts_and_the_last_empty_span_is_the_end(tmp_path: Path) -> None:
    lines = [
        {"task": "u1", "text": "ab", "lp": [-2.0, -4.0], "offsets": [[0, 1], [1, 2]]},
        {"task": "u1", "text": "c", "lp": [-0.5, -0.5], "offsets": [[0, 1], [1, 1]]},
        {"task": "u2", "text": "d", "lp": None, "offsets": None},
    ]
    first, second = written(supervisor(tmp_path, lines, logprobs="lp")).texts
    assert [(one.text, one.score, one.end_scored) for one in first[0]] == [("c", -0.5, True), ("ab", -3.0, False)]
    assert second[0][0].logprobs == ()


@pytest.mark.parametrize("empty", ["", "  ", None])
def test_an_empty_text_is_no_text_and_the_reason_says_so(tmp_path: Path, empty: str | None) -> None:
    lines = [{"task": "u1", "text": empty}, {"task": "u2", "text": "a"}]
    labels = written(supervisor(tmp_path, lines))
    assert texts_of(labels) == [[], ["a"]]
    assert labels.errors == {("u1", "answers"): "empty in answers.jsonl"}


def test_a_file_about_other_rows_is_refused(tmp_path: Path) -> None:
    one = supervisor(tmp_path, "task,text\nq7,so\n")
    with pytest.raises(DataError, match=r"(?s)None of the rows.*task='q7'.*ids such as 'u1'.*of the texts"):
        written(one)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ({"answer": "a"}, "no column 'text'"),
        ({"text": "a", "lp": [-1.0]}, "no column 'offsets'"),
        ({"text": ["a", "b"], "lp": [], "offsets": []}, "is a list"),
        ({"text": "a", "lp": [-1.0, -1.0], "offsets": [[0, 1]]}, "do not fit its offsets"),
        ({"text": "a", "lp": [-1.0], "offsets": None}, "do not fit its offsets"),
        ({"text": "a", "lp": [0.5], "offsets": [[0, 1]]}, "malformed log-probabilities"),
        ({"text": "a", "lp": [float("nan")], "offsets": [[0, 1]]}, "malformed log-probabilities"),
        ({"text": "a", "lp": "-1", "offsets": [[0, 1]]}, "malformed log-probabilities"),
        ({"text": "a", "lp": [-1.0], "offsets": [[0, 2]]}, "within its 1 characters"),
        ({"text": "ab", "lp": [-1.0, -1.0], "offsets": [[1, 2], [0, 1]]}, "in order"),
        ({"text": "a", "lp": [-1.0], "offsets": [0]}, "do not fit its offsets"),
    ],
)
def test_what_is_malformed_is_refused_before_anything_is_computed(
    tmp_path: Path, line: dict[str, Any], match: str
) -> None:
    with pytest.raises(DataError, match=match):
        supervisor(tmp_path, [{"task": "u1", **line}], logprobs="lp").check("text", Asking())


def settings_in(folder: Path, **changes: Any) -> dict[str, Any]:
    """An experiment with texts for the unlabelled and test rows, `very WORD` for all but one of each."""
    write_text_task(folder)
    lines = [{"task": str(index), "text": f"very {word}"} for index, word in enumerate(WORDS) if index not in (1, 2)]
    write_lines(folder / "answers.jsonl", lines)
    return {
        "task": {"path": str(folder / "rows.jsonl"), "columns": {"id": "id", "part": "part"}},
        "supervisors": [{"texts": str(folder / "answers.jsonl")}],
        "strong": {"model": str(folder / "decoder")},
        "methods": {"naive": {}},
        "trainer": {"max_steps": 1},
        "generate": {"max_new_tokens": 3},
        "seeds": 1,
        "ceiling": False,
        "store": str(folder / "store"),
        "output": str(folder / "output"),
        **changes,
    }


def test_an_experiment_learns_from_given_texts_and_notes_what_is_missing(tmp_path: Path) -> None:
    results = Experiment.from_dict(settings_in(tmp_path)).run()
    test = len(WORDS) // 3
    assert results.models[0].name == "answers"
    assert results.models[0].scores["exact_match"].mean() == pytest.approx((test - 1) / test)
    assert [line.role for line in results.models] == ["supervisor", "base", "student"]
    notes = [sentence(note) for note in results.notes]
    assert f"answers: 1 of {test} rows of the test part have no answer: not in answers.jsonl." in notes


def test_texts_for_the_unlabelled_rows_alone_train_and_are_not_scored(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    write_lines(tmp_path / "answers.jsonl", [{"task": "1", "text": "so"}, {"task": "4", "text": "so"}])
    results = Experiment.from_dict(settings).run()
    assert [line.role for line in results.models] == ["base", "student"]
    said = "Left out of the comparison, without any text on the test rows: answers."
    assert said in [sentence(note) for note in results.notes]
    assert results.table()


@pytest.mark.parametrize("method", [{"combine": "joint_decoding"}, {"prefer": "cdpo"}])
def test_what_needs_scores_of_other_texts_is_refused_at_once(tmp_path: Path, method: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="answers has none of other texts than its own"):
        Experiment.from_dict(settings_in(tmp_path, methods={"x": method})).estimate()


def test_a_choice_task_refuses_texts(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings["task"] |= {"choices": [f"very {word}" for word in WORDS]}
    with pytest.raises(ConfigError, match=r"supervisors.0 cannot vote"):
        Experiment.from_dict(settings).estimate()
