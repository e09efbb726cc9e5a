"""Votes tables combined without an experiment."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from outgrow.cli import main
from outgrow.combine import combine
from outgrow.errors import DataError
from outgrow.pipeline.checking import check
from outgrow.pipeline.voting import combine_table
from outgrow.report.voting import summary_of, voting_text
from outgrow.supervisors import VotesSupervisor


def crowd(count: int = 400) -> tuple[list[str], pa.Table]:
    """Five people of accuracy .8 on `count` questions with answers yes and no, and the truth."""
    rng = np.random.default_rng(0)
    truth = rng.choice(["no", "yes"], size=count)
    lines = [
        {"task": f"q{index}", "worker": f"w{who}", "label": right if rng.random() < 0.8 else other}
        for index, right in enumerate(truth)
        for who in range(5)
        for other in [{"no": "yes", "yes": "no"}[right]]
    ]
    return truth.tolist(), pa.Table.from_pylist(lines)


@pytest.fixture
def votes(tmp_path: Path) -> tuple[list[str], Path]:
    truth, table = crowd()
    pq.write_table(table, tmp_path / "votes.parquet")
    return truth, tmp_path / "votes.parquet"


def test_posteriors_name_each_task_its_answer_and_how_sure_it_is(votes: tuple[list[str], Path], tmp_path: Path) -> None:
    truth, path = votes
    result = combine_table(str(path), "dawid_skene")
    result.write(tmp_path / "posteriors.csv")
    with (tmp_path / "posteriors.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["task"] for line in lines] == [f"q{index}" for index in range(400)]
    assert np.mean([line["answer"] == right for line, right in zip(lines, truth, strict=True)]) > 0.9
    for line in lines:
        assert float(line["confidence"]) == pytest.approx(max(float(line["p_no"]), float(line["p_yes"])))


def test_an_empty_label_is_an_abstention_and_a_task_without_votes_has_no_answer(tmp_path: Path) -> None:
    lines = [("a", "x", "yes"), ("a", "y", None), ("b", "x", None), ("c", "y", "no")]
    table = pa.table(dict(zip(("task", "worker", "label"), zip(*lines, strict=True), strict=True)))
    pq.write_table(table, tmp_path / "votes.parquet")
    posteriors = combine_table(str(tmp_path / "votes.parquet"), "majority").posteriors().to_pylist()
    assert [line["answer"] for line in posteriors] == ["yes", None, "no"]
    assert posteriors[1]["confidence"] is None


def test_gold_answers_hold_their_tasks(votes: tuple[list[str], Path], tmp_path: Path) -> None:
    _, table = crowd()
    gold = ["no" if task == "q7" else None for task in table["task"].to_pylist()]
    pq.write_table(table.append_column("truth", pa.array(gold)), tmp_path / "anchored.parquet")
    posteriors = combine_table(str(tmp_path / "anchored.parquet"), "dawid_skene", gold="truth").posteriors()
    assert posteriors.to_pylist()[7]["p_no"] == 1.0


def test_a_wide_table_of_probabilities_is_combined(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b"], "p_first": [0.9, 0.2], "p_second": [0.7, None]})
    pq.write_table(table, tmp_path / "wide.parquet")
    columns = VotesSupervisor(votes=str(tmp_path / "wide.parquet"), task="text", probabilities="p_*")
    posteriors = combine_table(str(tmp_path / "wide.parquet"), "mean", columns=columns).posteriors().to_pylist()
    assert [line["p_1"] for line in posteriors] == pytest.approx([0.8, 0.2])


def test_a_wrong_column_is_named_with_the_nearest_one(votes: tuple[list[str], Path]) -> None:
    columns = VotesSupervisor(votes=str(votes[1]), worker="workers")
    with pytest.raises(DataError, match="did you mean 'worker'"):
        combine_table(str(votes[1]), columns=columns)


def test_two_gold_answers_for_one_task_are_refused(tmp_path: Path) -> None:
    table = pa.table({"task": ["a", "a"], "worker": ["x", "y"], "label": ["yes", "no"], "gold": ["yes", "no"]})
    pq.write_table(table, tmp_path / "votes.parquet")
    with pytest.raises(DataError, match="two different gold answers"):
        combine_table(str(tmp_path / "votes.parquet"), gold="gold")


def test_the_report_names_everyone_and_what_votes_cannot_tell(votes: tuple[list[str], Path]) -> None:
    combined = combine_table(str(votes[1]), "dawid_skene").combined
    text = voting_text(combined)
    assert all(f"w{who}" in text for who in range(5))
    assert "Votes alone cannot tell" in text
    assert max(map(len, text.splitlines())) <= 100
    assert json.loads(json.dumps(summary_of(combined)))["usable_tasks"] == 400


def test_the_command_writes_posteriors_and_prints_the_report(
    votes: tuple[list[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.parquet"
    monkeypatch.setattr("sys.argv", ["outgrow", "combine", str(votes[1]), "--output", str(output), "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out)["tasks"] == 400
    assert pq.read_table(output).num_rows == 400


def written(folder: Path, lines: list[tuple[str, str, object]]) -> str:
    """A votes table in a file, from its lines (task, worker, label)."""
    path = folder / "votes.jsonl"
    names = ("task", "worker", "label")
    path.write_text("".join(json.dumps(dict(zip(names, line, strict=True))) + "\n" for line in lines))
    return str(path)


def test_minus_one_is_an_abstention_and_the_report_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, [("a", "x", 1), ("a", "y", -1), ("b", "x", -1), ("c", "y", 0)])
    result = combine_table(path, "majority")
    assert result.choices == ("0", "1")
    assert [line["answer"] for line in result.posteriors().to_pylist()] == ["1", None, "0"]
    assert "-1 counts as an abstention" in voting_text(result.combined)


def test_minus_one_is_a_choice_where_it_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, [("a", "x", 1), ("a", "y", 1), ("b", "x", -1), ("b", "y", -1)])
    result = combine_table(path, "majority", choices=["-1", "1"])
    assert [line["answer"] for line in result.posteriors().to_pylist()] == ["1", "-1"]
    assert "abstention" not in voting_text(result.combined)


def test_votes_that_leave_one_choice_are_refused_and_minus_one_is_explained(tmp_path: Path) -> None:
    path = written(tmp_path, [("a", "x", 1), ("b", "x", -1)])
    with pytest.raises(DataError, match=r"nothing to choose from(.|\n)*1; -1 counts as an abstention"):
        combine_table(path)


def test_a_label_outside_the_named_choices_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, [("a", "x", "yes"), ("b", "x", "perhaps")])
    with pytest.raises(DataError, match=r"outside the choices(.|\n)*perhaps(.|\n)*one of no, yes"):
        combine_table(path, choices=["no", "yes"])


def test_wide_answers_are_combined_and_named_labels_abstain(tmp_path: Path) -> None:
    lines = [
        {"id": 7, "pred": {"x": True, "y": "[invalid]", "z": True}, "gold": None},
        {"id": 8, "pred": {"x": "[invalid]", "y": "[invalid]", "z": ""}, "gold": None},
        {"id": 9, "pred": {"x": True, "y": True, "z": True}, "gold": False},
    ]
    (tmp_path / "wide.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = str(tmp_path / "wide.jsonl")
    columns = VotesSupervisor(votes=path, task="id", answers="pred.*", abstain=("[invalid]",))
    result = combine_table(path, "majority", columns=columns, gold="gold")
    assert result.choices == ("false", "true")
    assert [line["answer"] for line in result.posteriors().to_pylist()] == ["true", None, "false"]


def test_the_choices_of_probabilities_can_be_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"task": ["a"], "p_first": [0.9]}), tmp_path / "wide.parquet")
    path = str(tmp_path / "wide.parquet")
    columns = VotesSupervisor(votes=path, probabilities="p_*")
    posteriors = combine_table(path, "mean", columns=columns, choices=["no", "yes"]).posteriors().to_pylist()
    assert posteriors[0]["answer"] == "yes"


def test_posteriors_written_piece_by_piece_are_all_of_them(
    votes: tuple[list[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outgrow.pipeline.voting._LINES", 7)
    result = combine_table(str(votes[1]), "majority")
    result.write(tmp_path / "posteriors.parquet")
    assert pq.read_table(tmp_path / "posteriors.parquet").equals(result.posteriors())


def test_an_empty_cell_of_a_csv_file_is_an_abstention_and_leading_zeros_stay(tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_text("task,worker,label\n007,x,yes\n007,y,\n7,x,\n8,x,no\n")
    posteriors = combine_table(str(tmp_path / "votes.csv"), "majority").posteriors().to_pylist()
    assert {line["task"]: line["answer"] for line in posteriors} == {"007": "yes", "7": None, "8": "no"}


def test_whole_numbers_that_a_program_wrote_with_a_point_are_the_same_labels(tmp_path: Path) -> None:
    (tmp_path / "votes.csv").write_text("task,worker,label,gold\na,x,1,1.0\na,y,0,1.0\nb,x,NA,\n")
    result = combine_table(str(tmp_path / "votes.csv"), "majority", gold="gold")
    assert result.choices == ("0", "1")
    assert [line["answer"] for line in result.posteriors().to_pylist()] == ["1", None]


def test_a_column_per_supervisor_and_choice_names_the_choices(tmp_path: Path) -> None:
    shares = {"p_gpt_2_dog": [0.7, 0.1], "p_gpt_2_cat": [0.2, 0.1], "p_gpt_2_cow": [0.1, 0.8]}
    shares |= {"p_ann_cat": [0.2, 0.0], "p_ann_cow": [0.1, 1.0], "p_ann_dog": [0.7, 0.0]}
    pq.write_table(pa.table({"task": ["a", "b"], "truth": [None, "cat"], **shares}), tmp_path / "wide.parquet")
    path = str(tmp_path / "wide.parquet")
    columns = VotesSupervisor(votes=path, probabilities="p_*_{choice}")
    result = combine_table(path, "mean", columns=columns, gold="truth")
    assert result.combined.diagnostics.names == ("gpt_2", "ann")
    first, second = result.posteriors().to_pylist()
    assert (first["answer"], first["p_dog"]) == ("dog", pytest.approx(0.7))
    assert (second["answer"], second["p_cat"]) == ("cat", 1.0)  # gold


def test_a_supervisor_without_a_column_for_a_choice_is_named(tmp_path: Path) -> None:
    table = pa.table({"task": ["a"], "p_x_yes": [1.0], "p_x_no": [0.0], "p_y_yes": [1.0]})
    pq.write_table(table, tmp_path / "w.parquet")
    columns = VotesSupervisor(votes=str(tmp_path / "w.parquet"), probabilities="p_*_{choice}")
    with pytest.raises(DataError, match="one per supervisor and choice") as raised:
        combine_table(str(tmp_path / "w.parquet"), "mean", columns=columns)
    assert "y: no" in str(raised.value)


def test_open_answers_have_the_probability_that_none_is_right_in_place_of_a_column_each(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    said = [[n * 1000 + (0 if rng.random() < 0.7 else rng.integers(1, 999)) for _ in range(5)] for n in range(100)]
    lines = [{"task": f"t{n}", "worker": f"w{m}", "label": str(said[n][m])} for n in range(100) for m in range(5)]
    pq.write_table(pa.Table.from_pylist(lines), tmp_path / "votes.parquet")
    known = {"task": [f"t{n}" for n in range(100)], "truth": [str(n * 1000) for n in range(100)]}
    pq.write_table(pa.table(known), tmp_path / "truth.parquet")
    result = combine_table(str(tmp_path / "votes.parquet"))
    posteriors = result.posteriors()
    assert posteriors.column_names == ["task", "answer", "confidence", "p_none"]
    assert np.mean([line["answer"] == f"{n * 1000}" for n, line in enumerate(posteriors.to_pylist())]) > 0.9
    checked = check(result, str(tmp_path / "truth.parquet"), task="task", answer="truth")
    assert checked.accuracy > 0.9
    assert checked.nll < 0.4


def test_answers_may_be_numbers_in_some_lines_and_texts_in_others(tmp_path: Path) -> None:
    lines = [{"id": n, "pred": {"a": n, "b": str(n), "c": "[invalid]" if n else 7}} for n in range(30)]
    (tmp_path / "votes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = str(tmp_path / "votes.jsonl")
    columns = VotesSupervisor(votes=path, task="id", answers="pred.*", abstain=("[invalid]",))
    posteriors = combine_table(path, "majority", columns=columns).posteriors()
    assert posteriors["answer"].to_pylist() == [str(n) for n in range(30)]


def test_nan_is_an_abstention_where_labels_are_numbers(tmp_path: Path) -> None:
    table = pa.table({"task": ["a", "a", "b"], "worker": ["x", "y", "x"], "label": [1.0, float("nan"), 0.0]})
    pq.write_table(table, tmp_path / "votes.parquet")
    assert combine_table(str(tmp_path / "votes.parquet"), "majority").choices == ("0", "1")


def test_combining_a_hundred_votes_imports_neither_torch_nor_scipy(votes: tuple[list[str], Path]) -> None:
    code = f"import sys; from outgrow.pipeline.voting import combine_table; combine_table({str(votes[1])!r})"
    code += "; sys.exit(bool({'torch', 'transformers', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_long_name_leaves_the_numbers_whole() -> None:
    text = voting_text(combine([("t", "x" * 5000, "yes"), ("t", "ann", "yes"), ("u", "ann", "no")]))
    head, *rows = text.splitlines()[:3]
    assert head.split() == ["supervisor", "votes", "estimated", "accuracy", "weight"]
    assert all(row.count("[") == row.count("]") == 1 for row in rows)
    assert max(map(len, text.splitlines())) <= 100
