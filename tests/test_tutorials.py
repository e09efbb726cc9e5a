"""Somebody who follows one tutorial only reaches its end."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from docs_blocks import ROOT, Reader
from outgrow.annotate import server
from outgrow.starters.samples import messages

pytestmark = pytest.mark.slow

TRUTH = {row["id"]: row["label"] for row in messages(650)}


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Reader:
    monkeypatch.chdir(tmp_path)
    return Reader(monkeypatch, capsys)


def answering(links: Callable[[], str], votes: int) -> Callable[..., None]:
    """Stands for the server of `outgrow annotate`: the one annotator answers some rows rightly."""

    def serve(app: Any, listening: Any) -> None:
        listening.close()
        headers = {"x-annotator": links().split("#")[1].split()[0]}
        with TestClient(app) as client:
            state = client.get("/state", headers=headers).json()
            for turn in range(votes):
                task, choices = state["item"]["task"], state["item"]["choices"]
                body = {"turn": turn, "action": "vote", "task": task, "choice": choices.index(TRUTH[task])}
                state = client.post("/state", json=body, headers=headers).json()

    return serve


def check_headline(reader: Reader, page: str, output: str) -> None:
    """What the page shows as the first line is what was printed, up to the machine's rounding."""
    [promised] = re.findall(r"^“.*\.$", (ROOT / page).read_text(encoding="utf-8"), re.M)
    told, number = output.splitlines()[0], r"\.\d{3}"
    assert re.sub(number, "", told) == re.sub(number, "", promised)
    assert np.allclose(*([float(each) for each in re.findall(number, text)] for text in (told, promised)), atol=0.05)


def share_right(path: str) -> float:
    """Accuracy of the answers to the new rows of a starter."""
    with Path(path).open(newline="") as file:
        return float(np.mean([row["answer"] == TRUTH[row["id"]] for row in csv.DictReader(file)]))


def test_crowd_votes_lead_to_a_model_that_outgrows_the_people(
    reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    page = "docs/tutorials/crowd.md"
    reader.monkeypatch.setattr(server, "serve", answering(lambda: capsys.readouterr().out, 100))
    [compared] = [output for command, output in reader.follow(page).items() if "name=checked" in command]
    check_headline(reader, page, compared)
    assert share_right("labels.csv") > 0.8
