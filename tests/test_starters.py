"""Starters run as they are; and from votes to labels for new rows, as the README says."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from model_cards import in_fresh_process
from outgrow import cli, starters
from outgrow.errors import ConfigError, StoreError
from outgrow.starters import STARTERS, write_starter
from outgrow.starters.samples import messages
from tiny_models import make_decoder

README = Path(__file__).parents[1] / "README.md"


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["outgrow", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_from_votes_without_any_gold_answer_to_labels_for_new_rows_as_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = README.read_text(encoding="utf-8")
    block = re.search(r"```sh\n(outgrow init crowd .*?)```", text, re.DOTALL)[1]  # type: ignore[index]
    commands = [line.partition("#")[0].split() for line in block.splitlines()]
    assert [command[1] for command in commands] == ["init", "run", "save", "predict"]
    for command in commands:
        call(monkeypatch, *command[1:])
    truth = {row["id"]: row["label"] for row in messages(650)}
    votes = read(tmp_path / "my-votes/votes.csv")
    right = {worker: [] for worker in {vote["worker"] for vote in votes}}
    for vote in votes:
        right[vote["worker"]].append(vote["label"] == truth[vote["task"]])
    answers = read(tmp_path / "labels.csv")
    assert len(answers) == 50
    assert np.mean([row["answer"] == truth[row["id"]] for row in answers]) > max(map(np.mean, right.values()))
    asked = [row["text"] for row in read(tmp_path / "my-votes/new.csv")]
    [plain] = in_fresh_process(tmp_path / "my-student", "probabilities(each).tolist()", [asked])
    columns = ("p_complaint", "p_question", "p_thanks")
    assert np.allclose(plain, [[float(row[name]) for name in columns] for row in answers], atol=1e-5)


@pytest.mark.parametrize("kind", ["rules", "models", "sciq"])
def test_a_starter_runs_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    call(monkeypatch, "init", kind)
    call(monkeypatch, "run", f"{kind}/experiment.yaml", "seeds=1")
    assert (tmp_path / "outgrow-runs" / kind / "report.html").exists()


def test_the_starter_of_texts_runs_with_any_causal_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL", str(make_decoder(tmp_path / "decoder", context=512)))
    call(monkeypatch, "init", "texts")
    small = ["task.limit=12", "trainer.num_train_epochs=1", "generate.max_new_tokens=3"]
    call(monkeypatch, "run", "texts/experiment.yaml", *small)
    assert "Not evaluated" in (tmp_path / "outgrow-runs/texts/report.html").read_text()


def test_the_starter_of_a_server_counts_its_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "init", "server", str(tmp_path / "mine"))
    call(monkeypatch, "run", str(tmp_path / "mine/experiment.yaml"), "--dry-run")
    assert "600 requests" in capsys.readouterr().out


def test_a_starter_replaces_no_folder_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(StoreError, match="there already"):
        write_starter("crowd", tmp_path / "mine")
    with pytest.raises(ConfigError, match="did you mean 'crowd'"):
        write_starter("crowds", tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_help_names_every_starter_and_each_has_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "init", "-h")
    said = capsys.readouterr().out
    assert all(kind in said for kind in STARTERS)
    assert {path.stem for path in Path(starters.__file__).parent.glob("*.yaml")} == {*STARTERS}
