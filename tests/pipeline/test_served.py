"""Supervisors behind a server in experiments on text, from a file to results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from http_server import Answer, Asked, Server, reply, said, serving
from outgrow.cli import app
from outgrow.config import load_config, parse_config
from outgrow.errors import ConfigError, ModelError
from outgrow.experiment import Experiment
from outgrow.labels import Completion
from outgrow.models.protocols import GenerateOptions
from outgrow.models.specs import ServerModel
from outgrow.pipeline.text_notes import text_notes
from outgrow.report.notes import sentence
from outgrow.run import Run
from outgrow.store import Store
from outgrow.supervisors.texts import best_first, write
from tiny_models import WORDS


async def parrot(asked: Asked) -> Answer:
    """Answers every prompt with `very` and its last word."""
    return Answer(reply(f"very {said(asked).split()[-1]}"))


def write_experiment(folder: Path, decoder: Path, url: str, **changes: Any) -> Path:
    parts = ["gold", "unlabelled", "test"]
    rows = [
        {"id": str(index), "text": f"a plot {word}", "label": f"very {word}", "part": parts[index % 3]}
        for index, word in enumerate(WORDS)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {
        "task": {"path": "rows.jsonl", "columns": {"id": "id", "part": "part"}},
        "supervisors": [{"server": url, "model": "small", "prices": {"input": 1.0, "output": 2.0}, "retries": 0}],
        "strong": {"model": str(decoder)},
        "generate": {"max_new_tokens": 3, "template": "{prompt}"},
        "ceiling": False,
        "seeds": 2,
        "store": "store",
        "output": "output",
        **changes,
    }
    path = folder / "trial.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def labels_of(server: Server, folder: Path, prompts: list[str], options: GenerateOptions, **more: Any):
    settings = {"server": server.url, "model": "small", "retries": 0, **more}
    experiment = {"task": {"path": "x"}, "supervisors": [settings], "strong": {"model": "m"}}
    [supervisor] = parse_config(experiment).supervisors
    ids, run = [f"r{index}" for index in range(len(prompts))], Run(Store(folder))
    labels = write(ServerModel(supervisor, "supervisor"), ids, prompts, options, run)
    return labels, [sentence(note) for note in run.costs.notes()]


def test_an_experiment_learns_from_a_served_model_and_says_what_it_cost(tmp_path, decoder_folder):
    with serving(parrot) as server:
        experiment = Experiment.from_yaml(write_experiment(tmp_path, decoder_folder, server.url))
        results = experiment.run()
        assert len(server.asked) == 8  # each unlabelled and each test row once, for both seeds
        again = experiment.run()
        assert len(server.asked) == 8
    assert [line.name for line in results.models] == ["small", "base", "naive"]
    assert results.models[0].scores["exact_match"].mean() == 1.0
    told = [note for note in results.notes if note.code in ("message", "cost.model")]
    assert [sentence(note) for note in told] == [
        "The server gives no log-probabilities for small.",
        "The supervisor small took 8 requests (0 more from the cache), 40 + 16 tokens, cost 7.2e-05.",
    ]
    [cost] = results.provenance["costs"]
    assert (cost["who"], cost["asked"], cost["money"]) == ("the supervisor small", 8, pytest.approx(7.2e-05))
    assert again.provenance["notes"] == results.provenance["notes"]


def test_a_key_in_the_environment_is_in_no_file_of_a_run(tmp_path, decoder_folder, monkeypatch):
    key = "sk-planted-9876543210"
    monkeypatch.setenv("OPENAI_API_KEY", key)

    async def leaky(asked: Asked) -> Answer:
        if "good" in said(asked):
            return Answer({"error": {"message": f"not with {key}"}}, status=400)
        return Answer(reply(f"very {asked.headers['authorization']}"))

    with serving(leaky) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        Experiment.from_yaml(write_experiment(tmp_path, decoder_folder, server.url, seeds=1)).run()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"report.html", "config.yaml", "responses.sqlite", "predictions.parquet"} <= {path.name for path in written}
    assert not [path for path in written if key.encode() in path.read_bytes()]


def test_a_dry_run_says_what_would_be_asked_and_asks_nothing(tmp_path, decoder_folder):
    with serving(parrot) as server:
        path = write_experiment(tmp_path, decoder_folder, server.url)
        first = CliRunner().invoke(app, ["run", str(path), "--dry-run"])
        assert not server.asked
        assert not (tmp_path / "output").exists()
        Experiment.from_yaml(path).run()
        asked = len(server.asked)
        second = CliRunner().invoke(app, ["run", str(path), "--dry-run", "generate.max_new_tokens=3"])
        assert len(server.asked) == asked
    assert first.output.startswith("the supervisor small: 8 requests (0 more from the cache), about")
    assert "at most 24 tokens, cost at most about" in first.output
    assert second.output.startswith("the supervisor small: 0 requests (8 more from the cache)")


def test_a_declined_row_is_a_failure_with_the_server_s_reason(tmp_path):
    async def picky(asked: Asked) -> Answer:
        return Answer({"detail": "not that"}, status=400) if said(asked) == "b" else await parrot(asked)

    with serving(picky) as server:
        labels, notes = labels_of(server, tmp_path, ["a", "b", "c"], GenerateOptions(too_long="empty"))
    assert [len(cell) for [cell] in labels.texts] == [1, 0, 1]
    assert labels.errors == {("r1", "small"): "status 400: not that"}
    [note] = text_notes(labels, "test")
    assert sentence(note) == "small: 1 of 3 rows of the test part have no answer: status 400: not that."
    assert notes[-1] == "The supervisor small took 2 requests (0 more from the cache), 1 declined, 10 + 4 tokens."


def test_an_interrupted_stage_goes_on_with_what_was_not_answered(tmp_path):
    down = {"now": False}

    async def dying(asked: Asked) -> Answer:
        down["now"] = down["now"] or said(asked) == "5"
        return Answer({}, status=503) if down["now"] else await parrot(asked)

    prompts = [str(index) for index in range(10)]
    with serving(dying) as server:
        with pytest.raises(ModelError):
            labels_of(server, tmp_path, prompts, GenerateOptions(), concurrency=1)
        before = len(server.asked)
        server.handler = parrot
        labels, _ = labels_of(server, tmp_path, prompts, GenerateOptions(), concurrency=1)
        assert [said(asked) for asked in server.asked[before:]] == ["5", "6", "7", "8", "9"]
    assert labels.best(3, 0).text == "very 3"


def test_samples_without_log_probabilities_are_ordered_by_how_often_they_were_written():
    said = [Completion(text, (), (), finished=True) for text in ("a", "b", " b", "c")]
    assert [one.text for one in best_first(said)] == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"generate": {"beams": 2}}, "beams"),
        ({"methods": {"joint": {"combine": "joint_decoding"}}}, "(?s)Joint decoding.*chat endpoint.*api: completions"),
        ({"methods": {"preferred": {"prefer": {"name": "dpo"}}}}, "`prefer` need every supervisor's log-probabilities"),
        ({"supervisors": [{"server": "nowhere", "model": "small"}]}, "base URL"),
        (
            {
                "supervisors": [
                    {"server": "http://h/v1", "model": "s"},
                    {"server": "http://h/v1", "model": "s", "system": "Rhyme."},
                ]
            },
            "share a name",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_asked(tmp_path, decoder_folder, changes, match):
    path = write_experiment(tmp_path, decoder_folder, "http://localhost:1/v1", **changes)
    with pytest.raises(ConfigError, match=match):
        Experiment.from_yaml(path).estimate()


def test_two_servers_with_a_model_of_one_name_need_revisions(tmp_path, decoder_folder):
    both = [{"server": f"http://{host}/v1", "model": "small", "name": host} for host in "ab"]
    path = write_experiment(tmp_path, decoder_folder, "", supervisors=both)
    with pytest.raises(ConfigError, match="`revision` of its own"):
        load_config(path)
    load_config(path, ["supervisors.0.revision=first"])


def test_the_model_s_name_is_no_path_even_where_a_folder_has_it(tmp_path, decoder_folder):
    (tmp_path / "small").mkdir()
    path = write_experiment(tmp_path, decoder_folder, "http://localhost:1/v1")
    assert load_config(path).supervisors[0].model == "small"


def test_a_misspelt_key_of_a_server_is_named(tmp_path, decoder_folder):
    path = write_experiment(tmp_path, decoder_folder, "http://h/v1")
    with pytest.raises(ConfigError, match=r"supervisors.0.sistem: unknown key; did you mean 'system'\?"):
        load_config(path, ["supervisors.0.sistem=x"])
