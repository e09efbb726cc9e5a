"""Every command and every block of the tutorials runs, in order."""

from __future__ import annotations

import csv
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from outgrow import cli
from outgrow.annotate import server
from outgrow.starters.samples import messages

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of each block of a page that can be run here."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.S | re.M)
    return [(language, text) for language, text in found if language == "python" or text.startswith("outgrow ")]


def answering(truth: dict[str, str], links: Callable[[], str], votes: int) -> Callable[..., None]:
    """Stands for the server of `outgrow annotate`: the one annotator answers some rows rightly."""

    def serve(app: Any, listening: Any) -> None:
        listening.close()
        headers = {"x-annotator": links().split("#")[1].split()[0]}
        with TestClient(app) as client:
            state = client.get("/state", headers=headers).json()
            for turn in range(votes):
                task, choices = state["item"]["task"], state["item"]["choices"]
                body = {"turn": turn, "action": "vote", "task": task, "choice": choices.index(truth[task])}
                state = client.post("/state", json=body, headers=headers).json()

    return serve


@pytest.mark.slow
def test_the_tutorial_on_crowds_leads_to_a_model_that_outgrows_the_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    truth = {row["id"]: row["label"] for row in messages(650)}
    monkeypatch.setattr(server, "serve", answering(truth, lambda: capsys.readouterr().out, 100))
    said = {}
    for language, text in blocks("tutorials/crowd.md"):
        if language == "python":
            exec(compile(text, "crowd.md", "exec"), {})
            continue
        for command in text.splitlines():
            monkeypatch.setattr(sys, "argv", shlex.split(command))
            with pytest.raises(SystemExit) as end:
                cli.main()
            assert not end.value.code, command
            said[command] = capsys.readouterr().out
    [compared] = [out for command, out in said.items() if "name=checked" in command]
    page = (DOCS / "tutorials/crowd.md").read_text(encoding="utf-8")
    [promised] = re.findall(r"^“naive” outgrows.*\.$", page, re.M)
    told, number = compared.splitlines()[0], r"\.\d{3}"
    assert re.sub(number, "", told) == re.sub(number, "", promised)
    assert np.allclose(*([float(each) for each in re.findall(number, text)] for text in (told, promised)), atol=0.05)
    with (tmp_path / "labels.csv").open(newline="") as file:
        answers = list(csv.DictReader(file))
    assert np.mean([row["answer"] == truth[row["id"]] for row in answers]) > 0.8


def test_the_code_of_the_page_about_pgr_runs(capsys: pytest.CaptureFixture[str]) -> None:
    [(_, code)] = blocks("pgr.md")
    exec(compile(code, "pgr.md", "exec"), {})
    assert capsys.readouterr().out.startswith("0.6 ")


def test_the_readme_and_the_tutorial_have_links_that_lead_somewhere() -> None:
    for page in (DOCS / "tutorials/crowd.md", DOCS / "pgr.md", DOCS / "commands.md", DOCS.parent / "README.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
