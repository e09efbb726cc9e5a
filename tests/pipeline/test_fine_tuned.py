"""Students that a provider trains: from an experiment file to results, killed and resumed, with their costs."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from fine_tuning_provider import Provider
from http_server import Answer, Asked, Handler, conversation, reply, said, serving
from outgrow.config import parse_config
from outgrow.errors import ConfigError, ModelError
from outgrow.experiment import Experiment
from outgrow.models.server import tuning
from outgrow.report.notes import sentence
from small_experiments import write_lines
from tiny_models import WORDS


def word_of(prompt: str) -> str:
    return prompt.split()[2]


async def world(asked: Asked) -> Answer:
    """The weak model knows the style, the strong one the content, and behind demonstrations both."""
    prompt = said(asked)
    if asked.body["model"] == "weak":
        return Answer(reply("arr bad plot"))
    return Answer(reply(f"arr very {word_of(prompt)}" if "arr" in conversation(asked) else f"very {word_of(prompt)}"))


def learner(messages: list[dict[str, Any]], base: str) -> Handler:
    """Says what all of its answers said, or has learned to answer with the word of the question."""
    answers = {one["messages"][-1]["content"] for one in messages}

    async def answer(asked: Asked) -> Answer:
        return Answer(reply(answers.copy().pop() if len(answers) == 1 else f"arr very {word_of(said(asked))}"))

    return answer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "FIRST_WAIT", 0.01)


@pytest.fixture
def provider() -> Provider:
    return Provider(world, learner)


def settings_in(folder: Path, url: str, **strong: Any) -> dict[str, Any]:
    rows = [
        {"id": str(n), "text": f"a plot {word}", "label": f"arr very {word}", "part": ["unlabelled", "test"][n % 2]}
        for n, word in enumerate(WORDS)
    ]
    write_lines(folder / "rows.jsonl", rows)
    server = {"server": url, "retries": 0, "logprobs": False}
    prices = {"input": 1.0, "output": 2.0, "training": 5.0}
    return {
        "task": {"path": str(folder / "rows.jsonl"), "columns": {"id": "id", "part": "part"}},
        "supervisors": [{**server, "model": "weak"}],
        "strong": {
            **server, "model": "strong", "system": "Be brief.", "prices": prices, "fine_tune": {"epochs": 2}, **strong
        },
        "methods": {"naive": {}, "refined": {"refine": {"name": "icl", "demonstrations": 2}}},
        "seeds": 2,
        "store": str(folder / "store"),
        "output": str(folder / "output"),
    }  # fmt: skip


def scores(results: Any) -> dict[str, float]:
    return {line.name: float(line.scores["exact_match"].mean()) for line in results.models}


def test_every_student_and_the_ceiling_are_trained_once_and_evaluated(tmp_path: Path, provider: Provider) -> None:
    with serving(provider) as server:
        experiment = Experiment.from_dict(settings_in(tmp_path, server.url))
        results = experiment.run()
        asked = len(server.asked)
        again = experiment.run()
        assert len(server.asked) == asked
    assert scores(results) == {"weak": 0.0, "base": 0.0, "ceiling": 1.0, "naive": 0.0, "refined": 1.0}
    assert again.summary == results.summary
    # Two seeds of three students; the refined answers are the gold ones here, so that two students share their jobs.
    assert sorted((one["seed"], one["model"]) for one in provider.jobs.values()) == [
        (0, "strong"), (0, "strong"), (1, "strong"), (1, "strong"),
    ]  # fmt: skip
    first = provider.messages(provider.jobs["ftjob-0"])[0]["messages"]
    assert [one["role"] for one in first] == ["system", "user", "assistant"]
    assert first[1]["content"] == "a plot the"
    assert not any(note.code == "student.not_trained_here" for note in results.notes)
    [audit, _] = results.provenance["refinement"]
    assert audit["scores"]["exact_match"]["refined"] == 1.0


def test_all_jobs_are_created_before_the_first_is_waited_for(tmp_path: Path, provider: Provider) -> None:
    with serving(provider) as server:
        Experiment.from_dict(settings_in(tmp_path, server.url)).run()
        asked = [(one.method, one.path) for one in server.asked if one.path.startswith("/v1/fine_tuning/jobs")]
    last = max(index for index, (method, _) in enumerate(asked) if method == "POST")
    looks = [path for method, path in asked[:last] if method == "GET" and "ftjob" in path]
    assert len(looks) == len(set(looks)) == 3


def test_a_provider_with_room_for_one_job_trains_them_one_after_the_other(tmp_path: Path, provider: Provider) -> None:
    provider.at_most = 1
    with serving(provider) as server:
        results = Experiment.from_dict(settings_in(tmp_path, server.url)).run()
    assert scores(results)["refined"] == 1.0
    assert len(provider.jobs) == 4


def test_the_cost_is_estimated_before_and_taken_from_the_provider_after(tmp_path: Path, provider: Provider) -> None:
    with serving(provider) as server:
        experiment = Experiment.from_dict(settings_in(tmp_path, server.url))
        before = experiment.estimate()
        assert not server.asked
        results = experiment.run()
        after = experiment.estimate()
        shutil.rmtree(tmp_path / "store/fine-tuned")
        known = experiment.estimate()
    # A token is guessed at four bytes; every job learns its examples twice.
    contents = [
        message["content"]
        for job in provider.jobs.values()
        for example in provider.messages(job)
        for message in example["messages"]
    ]
    tokens = 2 * sum(math.ceil(len(content) / 4) for content in contents)
    [line] = [one for one in known if one.startswith("the strong model strong:")]
    assert f", about {tokens:,} tokens of fine-tuning, cost at most about" in line
    [cost] = [one for one in results.provenance["costs"] if one["who"] == "the strong model strong"]
    assert cost["trained_tokens"] == 4 * 7 * 6 * 2
    asked = 1.0 * cost["prompt_tokens"] + 2.0 * cost["completion_tokens"]
    assert cost["money"] == pytest.approx((asked + 5.0 * cost["trained_tokens"]) / 1e6)
    notes = [sentence(note) for note in results.notes]
    assert any(
        note.startswith("The strong model strong took") and "336 tokens of fine-tuning" in note for note in notes
    )
    assert not any("tokens of fine-tuning" in one for one in after)
    assert cost["money"] <= float(before[-1].rsplit(maxsplit=1)[-1])


def test_training_at_no_known_price_is_said_to_be_missing_from_the_cost(tmp_path: Path, provider: Provider) -> None:
    provider.tells_tokens = False
    with serving(provider) as server:
        settings = settings_in(tmp_path, server.url, prices={"input": 1.0, "output": 2.0})
        [line] = [one for one in Experiment.from_dict(settings).estimate() if "fine-tuning" in one]
        results = Experiment.from_dict(settings).run()
    assert line.endswith("without its fine-tuning")
    notes = [sentence(note) for note in results.notes]
    assert any("does not say how many tokens it trained" in note for note in notes)


@pytest.mark.parametrize("place", [1, 3, 6, 9])
def test_killed_at_any_request_a_run_makes_no_second_job_and_gives_the_same_numbers(
    tmp_path: Path, provider: Provider, place: int
) -> None:
    victims: list[int] = []
    counted = []

    def deadly(asked: Asked) -> None:
        counted.append(asked)
        if len(counted) == place:
            os.kill(victims.pop(), signal.SIGKILL)

    provider.after = deadly
    read, write = os.pipe()
    with serving(provider) as server:
        experiment = Experiment.from_dict(settings_in(tmp_path, server.url) | {"seeds": 1})
        child = os.fork()
        if not child:
            try:
                os.read(read, 1)
                experiment.run()
            finally:
                os._exit(1)
        victims.append(child)
        os.write(write, b"x")
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        results = experiment.run()
    assert scores(results) == {"weak": 0.0, "base": 0.0, "ceiling": 1.0, "naive": 0.0, "refined": 1.0}
    assert len(provider.jobs) == 2


def test_a_failed_job_ends_the_run_in_words_and_the_next_run_trains_again(tmp_path: Path, provider: Provider) -> None:
    def break_first(asked: Asked) -> None:
        if "ftjob-0" in provider.jobs:
            provider.jobs["ftjob-0"] |= {"status": "failed", "error": {"message": "no money"}}

    provider.after = break_first
    with serving(provider) as server:
        experiment = Experiment.from_dict(settings_in(tmp_path, server.url))
        with pytest.raises(ModelError, match=r"(?s)ftjob-0 failed.*no money"):
            experiment.run()
        assert scores(experiment.run())["refined"] == 1.0


def test_models_that_exist_are_taken_where_they_are_named(tmp_path: Path, provider: Provider) -> None:
    tuned = {"refined": ["ft:mine", "ft:mine:1"], "naive": "strong"}
    with serving(provider) as server:
        results = Experiment.from_dict(settings_in(tmp_path, server.url, tuned=tuned) | {"ceiling": False}).run()
        asked = {one.body["model"] for one in server.asked if one.path == "/v1/chat/completions"}
    assert {"ft:mine", "ft:mine:1"} < asked
    assert [one["seed"] for one in provider.jobs.values()] == [1]
    assert [line.name for line in results.models if line.role == "student"] == ["naive", "refined"]


def test_fine_tuning_is_on_chat_messages(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="providers fine-tune on chat messages"):
        parse_config(settings_in(tmp_path, "http://h/v1", api="completions"))


def test_the_training_file_is_the_exported_one(tmp_path: Path, provider: Provider) -> None:
    with serving(provider) as server:
        experiment = Experiment.from_dict(settings_in(tmp_path, server.url) | {"seeds": 1})
        experiment.run()
        experiment.export("naive", tmp_path / "naive.jsonl")
    exported = [json.loads(line) for line in (tmp_path / "naive.jsonl").read_text().splitlines()]
    assert exported in [provider.messages(job) for job in provider.jobs.values()]
