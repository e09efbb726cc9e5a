"""Text tasks on models that are asked through a chat template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from http_server import echo, serving
from outgrow.errors import ConfigError
from outgrow.experiment import Experiment
from outgrow.models.loading import load_tokenizer
from small_experiments import write_text_task
from tiny_models import make_decoder

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}> {{ m.content }} {% if m.role == 'assistant' %}<end> {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chat")
    write_text_task(root)
    make_decoder(root / "chat", context=256)
    tokenizer = load_tokenizer(str(root / "chat"))
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(root / "chat")
    rows = [json.loads(line) for line in (root / "rows.jsonl").read_text().splitlines()]
    texts = [json.dumps({"task": row["id"], "text": "a very good film"}) for row in rows]
    (root / "texts.jsonl").write_text("\n".join(texts))
    return root


def settings_in(folder: Path, where: Path, **changes: Any) -> dict[str, Any]:
    chat = str(folder / "chat")
    return {
        "task": {"path": str(folder / "rows.jsonl"), "columns": {"id": "id", "part": "part"}},
        "supervisors": [
            {"texts": str(folder / "texts.jsonl"), "name": "given"},
            {"model": str(folder / "decoder"), "name": "plain"},
            {"model": chat, "name": "chatty"},
        ],
        "strong": {"model": chat, "system": "very good"},
        "methods": {"refined": {"refine": {"name": "icl", "demonstrations": 2}}},
        "generate": {"max_new_tokens": 3},
        "trainer": {"max_steps": 1},
        "seeds": 1,
        "store": str(where / "store"),
        "output": str(where / "output"),
        **changes,
    }


def asked_in(output: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in pq.read_table(output / "asked.parquet").to_pylist():
        found.setdefault(f"{line['artefact'].split('/')[0]}: {line['model']}", []).append(line["asked"])
    return found


def test_what_every_model_read_is_kept_word_for_word(folder: Path, tmp_path: Path) -> None:
    Experiment.from_dict(settings_in(folder, tmp_path)).run()
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    questions = [row["text"] for row in rows if row["part"] == "test"]
    asked = asked_in(tmp_path / "output")
    assert set(asked["texts: plain"]) >= {f"Question: {one}\nAnswer:" for one in questions}
    assert set(asked["texts: chatty"]) >= {f"<user> {one} <assistant>" for one in questions}
    told = [f"<system> very good <user> {one} <assistant>" for one in questions]
    assert [one for one in asked["texts: base"] if one in told] == told
    assert asked["texts: refined, seed 0"] == told
    for text in asked["refined: base"]:
        assert text.startswith("<system> very good <user> ")
        assert text.count("<user>") == text.count("<assistant>") == 3


def test_joint_decoding_and_preferences_speak_through_the_template(folder: Path, tmp_path: Path) -> None:
    methods = {"joint": {"combine": "joint_decoding", "prefer": {"name": "cdpo", "candidates": 2}}}
    settings = settings_in(folder, tmp_path, methods=methods, ceiling=False)
    del settings["supervisors"][0]
    results = Experiment.from_dict(settings).run()
    assert "joint" in [line.name for line in results.models]
    read = asked_in(tmp_path / "output")
    assert all("<user>" in text for text in read["scores: chatty"])
    assert not any("<user>" in text for text in read["scores: plain"])
    assert all(text.startswith("<system> very good <user>") for text in read["texts: the student"])


def test_plain_text_is_another_student(folder: Path, tmp_path: Path) -> None:
    def students(**strong: Any) -> set[str]:
        settings = settings_in(folder, tmp_path, methods={"naive": {}}, ceiling=False)
        settings["strong"] = {"model": settings["strong"]["model"], **strong}
        used = Experiment.from_dict(settings).run().provenance["artefacts"]
        return {name for name in used if name.startswith("text-student")}

    assert students() == students(chat=True)
    assert len(students() | students(chat=False) | students(system="very good")) == 3


def test_a_system_message_needs_a_chat_template_before_anything_is_computed(folder: Path, tmp_path: Path) -> None:
    settings = settings_in(folder, tmp_path, strong={"model": str(folder / "decoder"), "system": "very good"})
    with pytest.raises(ConfigError, match="takes no system message"):
        Experiment.from_dict(settings).run()
    assert not [*(tmp_path / "store").glob("*/*")]


def test_what_a_server_was_sent_is_kept_word_for_word(folder: Path, tmp_path: Path) -> None:
    with serving(echo) as server:
        judge = {"server": server.url, "model": "m", "system": "very good"}
        settings = settings_in(folder, tmp_path, supervisors=[judge], methods={"naive": {}}, ceiling=False)
        Experiment.from_dict(settings).run()
    system = {"role": "system", "content": "very good"}
    for text in asked_in(tmp_path / "output")["texts: m"]:
        assert json.loads(text)[0] == system
        assert [message["role"] for message in json.loads(text)] == ["system", "user"]
