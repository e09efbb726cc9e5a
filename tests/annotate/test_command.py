from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from outgrow import cli
from outgrow.annotate import server
from outgrow.config import parse_config
from outgrow.run import Run
from outgrow.store import Store
from outgrow.supervisors.votes import VotesSupervisor
from outgrow.tasks import read_task


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lines = [f"text {row},{('yes', 'no')[row % 2] if row < 2 else ''}" for row in range(8)]
    (tmp_path / "task.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return tmp_path


def outgrow(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["outgrow", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def everyone_votes(links: Callable[[], str], votes: int = 5) -> Any:
    """Stands for the server: everyone whose link was printed votes a few times."""

    def serve(app: Any, listening: Any) -> None:
        listening.close()
        with TestClient(app) as client:
            for token in re.findall(r"#(\S+)", links()):
                headers = {"x-annotator": token}
                for turn in range(votes):
                    state = client.get("/state", headers=headers).json()
                    body = {"turn": state["turn"], "action": "vote", "task": state["item"]["task"], "choice": turn % 2}
                    assert client.post("/state", json=body, headers=headers).status_code == 200

    return serve


def test_votes_of_people_are_votes_of_an_experiment_and_of_combine(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "serve", everyone_votes(lambda: capsys.readouterr().out))
    assert outgrow(monkeypatch, "annotate", "task.csv", "--annotators", "ann, ben", "--port", "0") == 0
    shown = capsys.readouterr().out
    assert re.search(r"^ann +5 ", shown, re.MULTILINE)
    votes = folder / "outgrow-runs" / "task-votes.jsonl"
    assert shown.endswith("Next: outgrow combine outgrow-runs/task-votes.jsonl\n")
    assert outgrow(monkeypatch, "combine", str(votes), "--method", "majority") == 0
    split = {"gold": 0, "unlabelled": 1.0, "test": 2}
    task = {"path": "task.csv", "choices": ["no", "yes"], "split": split}
    raw = {"task": task, "supervisors": [{"votes": str(votes)}], "strong": {"model": "some/model"}}
    rows = read_task(parse_config(raw).task)[1]
    read = VotesSupervisor(votes=str(votes)).vote(rows, Run(Store(folder / "store")), seed=0)
    assert read.supervisors == ("ann", "ben")
    assert (read.status == "ok").sum() == 10


def test_a_second_round_goes_on_with_more_people_and_the_same_links(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    links = []
    monkeypatch.setattr(
        server, "serve", lambda app, listening: (listening.close(), links.append(capsys.readouterr().out))
    )
    assert outgrow(monkeypatch, "annotate", "task.csv", "--annotators", "ann", "--port", "0") == 0
    assert "Next" not in capsys.readouterr().out  # nobody voted
    assert outgrow(monkeypatch, "annotate", "task.csv", "--annotators", "ben", "--port", "0") == 0
    assert re.findall(r"#(\S+)", links[1])[0] == re.findall(r"#(\S+)", links[0])[0]
    assert len(re.findall(r"#(\S+)", links[1])) == 2


def test_votes_so_far_are_exported_without_a_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "serve", everyone_votes(lambda: capsys.readouterr().out, votes=2))
    assert outgrow(monkeypatch, "annotate", "task.csv", "--export", "votes.csv") == 1
    assert "There are no votes in outgrow-runs/task-votes.sqlite" in capsys.readouterr().err
    assert outgrow(monkeypatch, "annotate", "task.csv", "--annotators", "ann", "--port", "0") == 0
    assert outgrow(monkeypatch, "annotate", "task.csv", "--export", "votes.csv") == 0
    assert (folder / "votes.csv").read_text().startswith('"task","worker","label"\n')


def test_two_servers_of_one_file_and_a_round_without_people_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    again: list[int] = []
    command = ("annotate", "task.csv", "--annotators", "ann", "--port", "0")
    monkeypatch.setattr(
        server, "serve", lambda app, listening: (listening.close(), again.append(outgrow(monkeypatch, *command)))
    )
    assert outgrow(monkeypatch, "annotate", "task.csv") == 1
    assert "Set --annotators ann,ben" in capsys.readouterr().err
    assert outgrow(monkeypatch, *command) == 0
    assert again == [1]
    assert "served by another process" in capsys.readouterr().err
