"""Posteriors of votes tables against known answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from outgrow.cli import main
from outgrow.errors import DataError
from outgrow.pipeline.checking import check
from outgrow.pipeline.voting import combine_table
from outgrow.supervisors import VotesSupervisor

LINES = [
    {"task": "a", "worker": "x", "label": "yes", "truth": "yes"},
    {"task": "a", "worker": "y", "label": "no", "truth": None},
    {"task": "b", "worker": "x", "label": "yes", "truth": "no"},
    {"task": "c", "worker": "x", "label": "no", "truth": "no"},
    {"task": "d", "worker": "x", "label": None, "truth": "no"},
    {"task": "e", "worker": "x", "label": "no", "truth": None},
]


def table(folder: Path, lines: list[dict[str, str | None]] = LINES) -> str:
    pq.write_table(pa.Table.from_pylist(lines), folder / "votes.parquet")
    return str(folder / "votes.parquet")


def test_what_is_known_and_has_a_posterior_is_compared(tmp_path: Path) -> None:
    path = table(tmp_path)
    found = check(combine_table(path, "mean"), path, task="task", answer="truth")
    assert found.tasks == 3  # d has no vote, e no known answer
    assert found.accuracy == pytest.approx(1.5 / 3)  # a is a tie, b wrong, c right
    assert found.confidence == pytest.approx(2.5 / 3)
    assert found.nll == pytest.approx(-(np.log(0.5) + np.log(1e-12)) / 3)


def test_known_answers_do_not_change_the_posteriors(tmp_path: Path) -> None:
    without = [{**line, "truth": None} for line in LINES[:-1]] + [{**LINES[-1], "truth": "yes"}]
    one, other = (combine_table(table(tmp_path, lines), "dawid_skene").combined.probs for lines in (LINES, without))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"truth": "perhaps"}, "outside the choices"),
        ({"truth": "no"}, "task a .* two different known answers"),
    ],
)
def test_known_answers_that_make_no_sense_are_refused(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    path = table(tmp_path, [LINES[0], {**LINES[1], **changed}, *LINES[2:]])
    result = combine_table(path, "mean", columns=VotesSupervisor(votes=path))
    with pytest.raises(DataError, match=said):
        check(result, path, task="task", answer="truth")


def test_a_column_that_knows_nothing_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, [{**line, "truth": ""} for line in LINES])
    with pytest.raises(DataError, match="No task with a posterior has a known answer in the column 'truth'"):
        check(combine_table(path, "mean"), path, task="task", answer="truth")


def combined(
    arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What `outgrow combine` prints."""
    output = str(folder / "posteriors.csv")
    monkeypatch.setattr("sys.argv", ["outgrow", "combine", *arguments, "--output", output])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return capsys.readouterr().out


def test_the_command_says_how_the_posteriors_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = combined([table(tmp_path), "--method", "mean", "--check", "truth"], tmp_path, monkeypatch, capsys)
    assert "Against 3 known answers: accuracy .500" in said
    as_json = combined([table(tmp_path), "--check", "truth", "--json"], tmp_path, monkeypatch, capsys)
    assert json.loads(as_json)["check"]["tasks"] == 3


def test_real_people_are_combined_well_without_gold(real_data: Path) -> None:
    path = str(real_data / "crowd_rte/votes.tsv.gz")
    columns = VotesSupervisor(votes=path, task="orig_id", worker="!amt_worker_ids", label="response")
    found = check(combine_table(path, columns=columns), path, task="orig_id", answer="gold")
    assert found.tasks == 800
    assert found.accuracy >= 0.92


def test_answers_of_language_models_are_combined_without_gold(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(real_data / "llm_predictions/sports.jsonl.gz")
    arguments = [path, "--task", "id", "--answers", "pred.*", "--abstain", "[invalid]", "--check", "gold"]
    found = json.loads(combined([*arguments, "--method", "dawid_skene", "--json"], tmp_path, monkeypatch, capsys))
    assert len(found["supervisors"]) == 30
    assert found["check"]["tasks"] == 977
    assert found["check"]["accuracy"] > 0.95  # the best of the thirty: .995
