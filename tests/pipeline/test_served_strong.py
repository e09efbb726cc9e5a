"""A strong model behind a server: it refines, and what a provider makes of it is evaluated by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from http_server import Answer, Asked, conversation, reply, said, serving
from outgrow.config import parse_config
from outgrow.errors import ConfigError
from outgrow.experiment import Experiment
from outgrow.report.notes import sentence
from tiny_models import WORDS

REFINERS = ("icl", "infer_and_respond", "infer_and_demonstrate", "ask_to_improve")


async def world(asked: Asked) -> Answer:
    """The weak model is in the know of the style only, the strong one of the content; fine-tuned ones of both."""
    prompt, model = said(asked), asked.body["model"]
    if "sentence" in prompt:
        return Answer(reply("Begin with arr."))
    word = prompt.split("Question:")[-1].split()[2]
    styled = "arr" in conversation(asked) or model.startswith("ft:")
    answers = {"weak": "arr bad plot", "strong": f"arr very {word}" if styled else f"very {word}"}
    return Answer(reply(answers.get(model, f"arr very {word}")))


def settings_in(folder: Path, url: str, **strong: Any) -> dict[str, Any]:
    rows = [
        {
            "id": str(index),
            "text": f"a plot {word}",
            "label": f"arr very {word}",
            "part": ["unlabelled", "test"][index % 2],
        }
        for index, word in enumerate(WORDS)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    server = {"server": url, "retries": 0, "logprobs": False}
    return {
        "task": {"path": str(folder / "rows.jsonl"), "columns": {"id": "id", "part": "part"}},
        "supervisors": [{**server, "model": "weak"}],
        "strong": {**server, "model": "strong", "system": "Be brief.", "prices": {"input": 1, "output": 2}, **strong},
        "methods": {"naive": {}, "refined": {"refine": {"name": "icl", "demonstrations": 2}}},
        "seeds": 1,
        "store": str(folder / "store"),
        "output": str(folder / "output"),
    }


def test_without_fine_tuning_there_are_base_refinement_and_audit_and_a_word_on_what_comes_next(tmp_path: Path) -> None:
    with serving(world) as server:
        results = Experiment.from_dict(settings_in(tmp_path, server.url)).run()
        asked = len(server.asked)
        again = Experiment.from_dict(settings_in(tmp_path, server.url)).run()
        assert len(server.asked) == asked
    assert [(line.role, line.name) for line in results.models] == [("supervisor", "weak"), ("base", "base")]
    [audit] = results.provenance["refinement"]
    assert audit["scores"]["exact_match"] == {"weak": 0.0, "base": 0.0, "refined": 1.0}
    notes = [sentence(note) for note in results.notes]
    for name in ("naive", "refined", "ceiling"):
        assert any(note.startswith(f"{name} is not in the table") and f"--method {name}`" in note for note in notes)
    # Six refined answers, six for the audit and six on the test part, at five and two tokens each.
    cost = "18 requests (0 more from the cache), 90 + 36 tokens, cost 0.000162"
    assert f"The strong model strong took {cost}." in notes
    assert again.notes == results.notes
    assert "Refinement, before training" in (tmp_path / "output/report.html").read_text()


def test_a_fine_tuned_model_is_a_student_and_the_one_tuned_on_gold_the_ceiling(tmp_path: Path) -> None:
    tuned = {"refined": "ft:strong:refined", "ceiling": ["ft:strong:gold"]}
    with serving(world) as server:
        results = Experiment.from_dict(settings_in(tmp_path, server.url, tuned=tuned)).run()
        asked = [
            (one.body["model"], one.body["messages"]) for one in server.asked if one.body["model"].startswith("ft:")
        ]
    assert [line.name for line in results.models] == ["weak", "base", "ceiling", "refined"]
    [metric] = results.summary.metrics
    [student] = metric.of("student")
    assert student.score.value == 1.0
    assert student.against_best is not None
    assert {model for model, _ in asked} == {"ft:strong:refined", "ft:strong:gold"}
    assert asked[0][1][0] == {"role": "system", "content": "Be brief."}


def test_what_is_exported_is_what_the_fine_tuned_model_will_be_asked(tmp_path: Path) -> None:
    with serving(world) as server:
        experiment = Experiment.from_dict(settings_in(tmp_path, server.url, tuned={"refined": "ft:strong"}))
        experiment.run()
        asked = len(server.asked)
        count = experiment.export("refined", tmp_path / "refined.jsonl")
        experiment.export("ceiling", tmp_path / "gold.jsonl")
        assert len(server.asked) == asked
        [first, *_] = [one.body["messages"] for one in server.asked if one.body["model"] == "ft:strong"]
    lines = [json.loads(line)["messages"] for line in (tmp_path / "refined.jsonl").read_text().splitlines()]
    assert count == len(lines) == 6
    assert [one["role"] for one in lines[0]] == ["system", "user", "assistant"]
    assert lines[0][2]["content"] == "arr very the"
    assert [one["role"] for one in first] == ["system", "user"]
    assert first[1]["content"].replace("film", "the") == lines[0][1]["content"] == "a plot the"
    assert (tmp_path / "gold.jsonl").read_text() == (tmp_path / "refined.jsonl").read_text()


@pytest.mark.parametrize("name", REFINERS)
def test_every_refiner_works_behind_a_server(tmp_path: Path, name: str) -> None:
    with serving(world) as server:
        settings = settings_in(tmp_path, server.url) | {"methods": {"refined": {"refine": name}}}
        if name in ("icl", "infer_and_demonstrate"):
            settings["methods"]["refined"]["refine"] = {"name": name, "demonstrations": 2}
        experiment = Experiment.from_dict(settings | {"ceiling": False})
        experiment.export("refined", tmp_path / "refined.jsonl")
    texts = [
        json.loads(line)["messages"][-1]["content"] for line in (tmp_path / "refined.jsonl").read_text().splitlines()
    ]
    assert texts == [f"arr very {word}" for word in WORDS[::2]]


def test_a_declined_prompt_is_a_row_without_a_refined_answer_in_the_server_s_words(tmp_path: Path) -> None:
    async def picky(asked: Asked) -> Answer:
        shown, question = "arr" in conversation(asked), said(asked).endswith("a plot was")
        return Answer({"detail": "not that"}, status=400) if shown and question else await world(asked)

    with serving(picky) as server:
        results = Experiment.from_dict(settings_in(tmp_path, server.url)).run()
    notes = [sentence(note) for note in results.notes]
    assert "refined (seed 0): 1 of 6 rows have no refined answer: status 400: not that." in notes


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"methods": {"x": {"prefer": "cdpo"}}}, "methods.x: `prefer`"),
        ({"methods": {"x": {"objective": "bayesian"}}}, "methods.x: `objective`"),
        ({"strong": {"adapter": "lora"}}, "strong: a model behind a server is not trained here: leave adapter out"),
        (
            {"strong": {"tuned": {"refind": "ft:a"}}},
            "strong.tuned.refind: there is no such method; did you mean 'refined'",
        ),
        ({"strong": {"tuned": {"naive": ["ft:a", "ft:b"]}}}, "2 models, and only 1 seeds"),
        ({"strong": {"sistem": "Hi."}}, r"strong.sistem: unknown key; did you mean 'system'\?"),
        ({"strong": {"server": "http://other/v1", "model": "weak"}}, "`revision` of its own"),
        ({"strong": {"server": "nowhere"}}, "base URL"),
        ({"strong": {"parameters": {"model": "x"}}}, "cannot be given as parameters"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_asked(
    tmp_path: Path, changes: dict[str, Any], match: str
) -> None:
    settings = settings_in(tmp_path, "http://localhost:1/v1")
    strong = settings["strong"] | changes.pop("strong", {})
    with pytest.raises(ConfigError, match=match):
        Experiment.from_dict({**settings, **changes, "strong": strong}).estimate()


def test_a_bare_name_of_a_fine_tuned_model_is_that_of_the_first_seed() -> None:
    strong = {"server": "http://h/v1", "model": "m", "tuned": {"naive": "ft:a"}}
    config = parse_config({"task": {"path": "x"}, "supervisors": [{"model": "w"}], "strong": strong})
    assert config.strong.tuned == {"naive": ("ft:a",)}
