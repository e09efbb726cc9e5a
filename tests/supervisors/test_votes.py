from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from outgrow.config import Columns, Split, TaskConfig
from outgrow.errors import DataError
from outgrow.labels import ChoiceVotes, Rows
from outgrow.run import Run
from outgrow.store import Store
from outgrow.supervisors import VotesSupervisor
from outgrow.supervisors.gold import judged_rows
from outgrow.tasks import read_task

ROWS = Rows(
    ids=("g", "u1", "u2", "t"),
    prompts=("gold", "one", "two", "test"),
    parts=("gold", "unlabelled", "unlabelled", "test"),
    gold=(0, None, None, 1),
    choices=("no", "yes"),
)
NAN = [np.nan, np.nan]


def label(folder: Path, lines: list[dict[str, Any]] | str, rows: Rows = ROWS, **settings: Any) -> ChoiceVotes:
    """The votes that a table gives; lines are written as JSON, a string as csv."""
    path = folder / ("votes.csv" if isinstance(lines, str) else "votes.jsonl")
    path.write_text(lines if isinstance(lines, str) else "".join(json.dumps(line) + "\n" for line in lines))
    return VotesSupervisor(votes=str(path), **settings).vote(rows, Run(Store(folder / "store")), seed=0)


def test_a_long_table_makes_one_supervisor_of_every_worker(tmp_path: Path) -> None:
    votes = label(tmp_path, "task,worker,label\nu1,bo,yes\nt,al,1\nu1,al,no\nu2,bo,0\n")
    assert votes.supervisors == ("al", "bo")
    assert votes.ids == ("u1", "u2", "t")
    np.testing.assert_array_equal(votes.probs[:, 0], [[1, 0], NAN, [0, 1]])
    np.testing.assert_array_equal(votes.probs[:, 1], [[0, 1], [1, 0], NAN])


def test_a_vote_that_is_not_there_is_missing_and_an_empty_one_an_abstention(tmp_path: Path) -> None:
    votes = label(tmp_path, "task,worker,label\nu1,al,yes\nu2,al,\n")
    assert votes.status[:, 0].tolist() == ["ok", "abstained", "missing"]


def test_several_votes_of_one_worker_on_a_row_are_averaged(tmp_path: Path) -> None:
    votes = label(tmp_path, "task,worker,label\nu1,al,yes\nu1,al,yes\nu1,al,no\nu1,al,\n")
    np.testing.assert_allclose(votes.probs[0, 0], [1 / 3, 2 / 3])


def test_columns_of_a_long_table_can_have_other_names(tmp_path: Path) -> None:
    votes = label(tmp_path, "item,who,said\nu1,al,yes\n", task="item", worker="who", label="said", name="crowd")
    assert votes.supervisors == ("crowd al",)


def test_a_table_can_name_rows_by_their_prompts(tmp_path: Path) -> None:
    votes = label(tmp_path, [{"task": "two", "worker": 7, "label": "yes"}], key="prompt")
    np.testing.assert_array_equal(votes.probs[:, 0], [NAN, [0, 1], NAN])
    assert votes.supervisors == ("7",)


def test_a_wide_table_makes_one_supervisor_of_every_column_that_matches(tmp_path: Path) -> None:
    votes = label(tmp_path, "task,p_a,p_b\nu1,0.2,1\nu2,,0\nt,0.9,0.5\n", probabilities="p_*")
    assert votes.supervisors == ("a", "b")
    np.testing.assert_allclose(votes.probs[:, 0], [[0.8, 0.2], NAN, [0.1, 0.9]])
    np.testing.assert_allclose(votes.probs[:, 1], [[0, 1], [1, 0], [0.5, 0.5]])


def test_a_wide_table_can_have_a_column_for_every_choice(tmp_path: Path) -> None:
    three = Rows(ROWS.ids, ROWS.prompts, ROWS.parts, ROWS.gold, ("no", "yes", "maybe"))
    votes = label(
        tmp_path,
        "task,x,y,z\nu1,0.2,0.3,0.5\nu2,0.333,0.333,0.333\n",
        rows=three,
        probabilities={"model": ("x", "y", "z")},
    )
    np.testing.assert_allclose(votes.probs[0, 0], [0.2, 0.3, 0.5])
    np.testing.assert_allclose(votes.probs[1, 0], [1 / 3] * 3)


def test_minus_one_is_an_abstention(tmp_path: Path) -> None:
    votes = label(tmp_path, "task,worker,label\nu1,al,-1\nu2,al,1\nt,al,0\n")
    assert votes.status[:, 0].tolist() == ["abstained", "ok", "ok"]


@pytest.mark.parametrize("written", [-1, -1.0, "-1"])
def test_minus_one_is_a_vote_where_a_choice_has_that_name(tmp_path: Path, written: object) -> None:
    signs = Rows(ROWS.ids, ROWS.prompts, ROWS.parts, ROWS.gold, ("-1", "1"))
    votes = label(tmp_path, [{"task": "u1", "worker": "al", "label": written}], rows=signs)
    np.testing.assert_array_equal(votes.probs[0, 0], [1, 0])


def test_labels_that_mean_no_vote_can_be_named(tmp_path: Path) -> None:
    lines = "task,worker,label\nu1,al,[invalid]\nu2,al,no\nt,al,yes\n"
    votes = label(tmp_path, lines, abstain=("[invalid]", "no"))
    assert votes.status[:, 0].tolist() == ["abstained", "abstained", "ok"]


def test_answers_of_other_systems_are_read_from_nested_objects(tmp_path: Path) -> None:
    lines = [
        {"task": "u1", "pred": {"big": True, "small": "[invalid]"}, "correct": {"big": 1, "small": 0}},
        {"task": "u2", "pred": {"big": False, "small": True}},
        {"task": "t", "pred": {"big": True}},
    ]
    votes = label(tmp_path, lines, answers="pred.*", abstain=("[invalid]",))
    assert votes.supervisors == ("big", "small")
    np.testing.assert_array_equal(votes.probs[:, 0], [[0, 1], [1, 0], [0, 1]])
    np.testing.assert_array_equal(votes.probs[:, 1], [NAN, [0, 1], NAN])


def test_answers_can_be_taken_from_columns_by_name(tmp_path: Path) -> None:
    votes = label(tmp_path, "task,first,second,third\nu1,yes,0,no\n", answers={"a": "first", "b": "second"})
    assert votes.supervisors == ("a", "b")
    np.testing.assert_array_equal(votes.probs[0], [[0, 1], [1, 0]])


@given(
    answers=st.lists(
        st.tuples(*[st.sampled_from(["no", "yes", "-1", ""])] * 3), min_size=3, max_size=3, unique_by=lambda row: row
    )
)
def test_a_wide_table_of_answers_says_what_the_long_one_says(
    tmp_path_factory: pytest.TempPathFactory, answers: list[tuple[str, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("shapes")
    tasks, people = ("u1", "u2", "t"), ("a", "b", "c")
    wide = [{"task": task} | dict(zip(people, row, strict=True)) for task, row in zip(tasks, answers, strict=True)]
    long = [{"task": row["task"], "worker": who, "label": row[who]} for row in wide for who in people]
    one = label(folder, wide, answers={who: who for who in people})
    other = label(folder, long)
    np.testing.assert_array_equal(one.probs, other.probs)
    np.testing.assert_array_equal(one.status, other.status)


@pytest.mark.parametrize(
    ("line", "settings", "said"),
    [
        ({"task": "u1", "pred": {"a": "[invalid]"}}, {"answers": "pred.*"}, "outside the choices(.|\\n)*invalid"),
        ({"task": "u1", "pred": {"a": "no"}}, {"answers": "said.*"}, "matches the pattern 'said.\\*'"),
        ({"task": "u1", "a": "no"}, {"answers": {"a": "b"}}, "has no column 'b'(.|\\n)*answers of the votes"),
        ({"item": "u1", "a": "no"}, {"answers": {"a": "a"}}, "has no column 'task'"),
        ({"task": "u1", "worker": "al", "label": -2}, {}, "outside the choices"),
        ({"task": "u1", "p_m": float("nan")}, {"probabilities": "p_*"}, "is not a number"),
        ({"task": "u1", "p": "high"}, {"probabilities": {"m": "p"}}, "is not a number"),
        ({"task": "u1", "p": 1.2}, {"probabilities": {"m": "p"}}, "no distribution over 2 choices"),
        ({"task": "u1", "p": -0.2}, {"probabilities": {"m": "p"}}, "no distribution over 2 choices"),
        ({"task": "u1", "p": 0.5, "q": 0.6}, {"probabilities": {"m": ("p", "q")}}, "no distribution over 2 choices"),
        ({"task": "u1", "p": 0.5, "q": 0.2, "r": 0.3}, {"probabilities": {"m": ("p", "q", "r")}}, "no distribution"),
        ({"task": "u1", "p": 0.5}, {"probabilities": "prob_*"}, "No column of .* matches the pattern 'prob_\\*'"),
        ({"task": "u1", "p": 0.5}, {"probabilities": "p"}, "matches the pattern 'p'"),
        ({"task": "u1", "p": 0.5}, {"probabilities": {"m": "q"}}, "has no column 'q'"),
        ({"task": "u1", "worker": "al", "label": "perhaps"}, {}, "outside the choices(.|\\n)*'perhaps'"),
        ({"task": "u1", "worker": "al", "label": 2}, {}, "outside the choices"),
        ({"task": "u1", "worker": "al", "labels": "yes"}, {}, "no column 'label'(.|\\n)*did you mean 'labels'"),
        ({"task": "q17", "worker": "al", "label": 1}, {}, "None of the rows to judge(.|\\n)*'q17'(.|\\n)*such as 'u1'"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, line: dict[str, Any], settings: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        label(tmp_path, [line], **settings)


def test_a_nan_in_a_csv_file_is_not_taken_for_an_empty_cell(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a number"):
        label(tmp_path, "task,p_a\nu1,nan\nu2,0.5\n", probabilities="p_*")


def test_a_table_cannot_hold_answers_and_probabilities() -> None:
    with pytest.raises(ValidationError, match="answers or probabilities, not both"):
        VotesSupervisor(votes="votes.csv", answers="a_*", probabilities="p_*")


def test_the_answers_of_thirty_systems_are_read(real_data: Path) -> None:
    task = TaskConfig(
        path=str(real_data / "llm_predictions/StrategyQA.jsonl.gz"),
        columns=Columns(prompt="question", gold="gold", id="id"),
        choices=("no", "yes"),
        split=Split(gold=0, unlabelled=0.6, test=0.4),
    )
    votes = VotesSupervisor(votes=task.path, task="id", answers="pred.*", abstain=("[invalid]",))
    _, rows = read_task(task)
    found = votes.vote(rows, Run(Store.default()), seed=0)
    gold = judged_rows(rows).gold_indices()
    right = {name: (found.probs[:, m, 1] == gold).mean() for m, name in enumerate(found.supervisors)}
    assert len(found.supervisors) == 25
    assert (found.status == "abstained").sum() == pytest.approx(7053, abs=10)  # some rows are in no part
    assert right["text002_COT"] == pytest.approx(0.371, abs=0.001)
    assert right["gpt4_COT"] == pytest.approx(0.390, abs=0.001)
