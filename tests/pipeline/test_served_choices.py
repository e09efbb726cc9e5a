"""Choice tasks with a strong model behind a server: its provider trains it on names of choices, which it answers."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fine_tuning_provider import Provider
from http_server import Answer, Asked, Handler, reply, said, serving
from outgrow.errors import ConfigError
from outgrow.experiment import Experiment
from outgrow.files import read_table
from outgrow.models.server import tuning
from outgrow.report.notes import sentence
from outgrow.results import Results
from small_experiments import noisy_votes, planted_rows, write_experiment, write_lines

UNLABELLED, TEST = 40, 20
ROWS = [
    {**row, "part": "unlabelled" if place < UNLABELLED else "test"}
    for place, row in enumerate(planted_rows(UNLABELLED + TEST))
]
TEMPLATE = "{prompt}\n\nAnswer with one of these and nothing else: no, yes"
ICL = {"refine": {"name": "icl", "demonstrations": 4, "draws": 2, "share": 1}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "FIRST_WAIT", 0.01)


def seen(question: str) -> bool:
    return "good" in question.split()


async def world(asked: Asked) -> Answer:
    """The strong model says no, unless demonstrations tell it apart from what they call good."""
    turns = [one for one in asked.body["messages"] if one["role"] != "system"]
    question, alike = turns[-1]["content"], Counter[str]()
    for one, answer in zip(turns[:-1:2], turns[1::2], strict=True):
        alike[answer["content"] if seen(one["content"]) == seen(question) else other(answer["content"])] += 1
    return Answer(reply(alike.most_common(1)[0][0] if alike else "No."))


def other(answer: str) -> str:
    return {"no": "yes", "yes": "no"}[answer]


def learner(messages: list[dict[str, Any]], base: str) -> Handler:
    """Answers as most of its examples that share the word which matters."""
    turns = [[one for one in example["messages"] if one["role"] != "system"] for example in messages]
    learned = {
        good: Counter(answer["content"] for asked, answer in turns if seen(asked["content"]) == good)
        for good in (False, True)
    }

    async def answer(asked: Asked) -> Answer:
        return Answer(reply(learned[seen(said(asked))].most_common(1)[0][0]))

    return answer


def experiment(folder: Path, url: str, *, rows: list[dict[str, Any]] = ROWS, **changed: Any) -> Experiment:
    """Votes of which 3 in 10 are wrong; `strong` is added to the strong model's settings."""
    write_lines(folder / "votes.jsonl", noisy_votes(rows))
    server = {"server": url, "model": "big", "retries": 0, "logprobs": False}
    settings = {
        "task": {"path": "rows.jsonl", "columns": {"id": "id", "part": "part"}, "choices": ["no", "yes"]},
        "methods": {"naive": {}, "refined": ICL},
        **changed,
        "strong": server | changed.get("strong", {}),
    }
    return Experiment.from_yaml(write_experiment(folder, Path(), rows, **settings))


def accuracy(results: Results) -> dict[str, float]:
    return {one.name: float(one.scores["accuracy"].mean()) for one in results.models}


def test_the_provider_trains_students_on_names_of_choices_and_they_answer_right(tmp_path: Path) -> None:
    provider = Provider(world, learner)
    prices = {"input": 1.0, "output": 2.0, "training": 5.0}
    with serving(provider) as server:
        trial = experiment(
            tmp_path, server.url, strong={"fine_tune": {"epochs": 2}, "system": "Be brief.", "prices": prices}
        )
        before = trial.estimate()
        assert not server.asked
        results = trial.run()
        asked = len(server.asked)
        assert trial.run().summary == results.summary
        assert len(server.asked) == asked
        trial.export("naive", tmp_path / "naive.jsonl")
    found = accuracy(results)
    assert found["noisy1"] < 0.9
    assert found["base"] == 0.5  # always no
    assert found["ceiling"] == found["naive"] == found["refined"] == 1.0
    # The ceiling and two methods; a refinement that is all right shares the job of the ceiling.
    jobs = [provider.messages(job) for job in provider.jobs.values()]
    assert [len(one) for one in jobs] == [UNLABELLED] * len(jobs)
    votes = {one["task"]: one["label"] for one in noisy_votes(ROWS)}
    lines = {TEMPLATE.replace("{prompt}", row["text"]): ("no", "yes")[votes[row["id"]]] for row in ROWS}
    exported = [json.loads(line) for line in (tmp_path / "naive.jsonl").read_text().splitlines()]
    assert exported in jobs
    for one in exported:
        assert one["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": one["messages"][1]["content"]},
            {"role": "assistant", "content": lines[one["messages"][1]["content"]]},
        ]
    [cost] = [one for one in results.provenance["costs"] if one["who"] == "the strong model big"]
    assert cost["trained_tokens"] == len(jobs) * 7 * UNLABELLED * 2
    [line] = [one for one in before if one.startswith("the strong model big:")]
    # Untouched on the test part; two draws for every refined row, and the audit without demonstrations.
    assert line.startswith(f"the strong model big: {TEST + 3 * UNLABELLED} requests")
    assert "tokens of fine-tuning" in line


async def in_doubt(asked: Asked) -> Answer:
    """Cannot tell about one unlabelled and one test row."""
    doubtful = any(row["text"] in said(asked) for row in (ROWS[0], ROWS[-1]))
    return Answer(reply("Yes or no.")) if doubtful else await world(asked)


def test_without_a_tuned_model_labels_are_refined_and_audited_and_exported(tmp_path: Path) -> None:
    with serving(in_doubt) as server:
        trial = experiment(tmp_path, server.url)
        [line] = trial.estimate()
        results = trial.run()
        asked = len(server.asked)
        count = trial.export("refined", tmp_path / "refined.jsonl")
        trial.export("ceiling", tmp_path / "gold.jsonl")
        assert len(server.asked) == asked
    # The row without a refined label is left out of the audit, which the dry run cannot know.
    assert line.startswith(f"the strong model big: {asked + 1} requests")
    assert [(one.role, one.name) for one in results.models] == [("supervisor", "noisy1"), ("base", "base")]
    assert accuracy(results)["base"] == pytest.approx((TEST / 2 + 0.5) / TEST)  # no, and one guess
    [audit] = results.provenance["refinement"]
    assert audit["scores"]["accuracy"]["refined"] > audit["scores"]["accuracy"]["weak"]
    notes = [sentence(note) for note in results.notes]
    for name in ("naive", "refined", "ceiling"):
        assert any(note.startswith(f"{name} is not in the table") for note in notes)
    assert "base: failed on 1 of 20 rows, first with: answered 'Yes or no.'" in notes
    assert any("1 row is skipped" in note and "names no choice" in note for note in notes)
    gold = [json.loads(line)["messages"] for line in (tmp_path / "gold.jsonl").read_text().splitlines()]
    right = {TEMPLATE.replace("{prompt}", row["text"]): ("no", "yes")[row["label"]] for row in ROWS[:UNLABELLED]}
    assert {asked["content"]: answer["content"] for asked, answer in gold} == right
    assert count == UNLABELLED - 1


def test_a_named_model_answers_with_probabilities_and_a_failed_answer_is_a_guess(tmp_path: Path) -> None:
    async def sure(asked: Asked) -> Answer:
        if not asked.body["model"].startswith("ft:") or ROWS[-1]["text"] in said(asked):
            return await in_doubt(asked)
        text = "yes" if seen(said(asked)) else "no"
        return Answer(reply(text, logprobs={"content": [{"token": text, "logprob": math.log(0.8)}]}))

    strong = {"tuned": {"naive": "ft:big"}, "logprobs": True}
    with serving(sure) as server:
        results = experiment(tmp_path, server.url, strong=strong, methods={"naive": {}}, ceiling=False).run()
    assert accuracy(results)["naive"] == pytest.approx((TEST - 1 + 0.5) / TEST)
    lines = read_table(tmp_path / "output/predictions.parquet").to_pylist()
    answers = [line for line in lines if line["name"] == "naive"]
    assert [round(max(line["probs"]), 6) for line in answers[:-1]] == [0.8] * (TEST - 1)
    assert np.isnan(answers[-1]["probs"]).all()
    assert any(note.code == "votes.failed" and note.who == "naive, seed 0" for note in results.notes)


def test_every_row_shows_choices_of_its_own(tmp_path: Path) -> None:
    rows = [
        {"id": row["id"], "text": row["text"], "part": row["part"], "label": place % 2,
         "choices": [f"{'right' if place % 2 == at else 'wrong'} {place} {at}" for at in range(2)]}
        for place, row in enumerate(ROWS)
    ]  # fmt: skip

    def tuned(messages: list[dict[str, Any]], base: str) -> Handler:
        [[word, _]] = Counter(one["messages"][-1]["content"].split()[0] for one in messages).most_common(1)

        async def answer(asked: Asked) -> Answer:
            shown = said(asked).rpartition("nothing else: ")[2].split("\n")
            return Answer(reply(next(choice for choice in shown if choice.startswith(word))))

        return answer

    columns = {"id": "id", "part": "part", "choices": "choices"}
    provider = Provider(in_doubt, tuned)
    with serving(provider) as server:
        results = experiment(
            tmp_path, server.url, rows=rows, strong={"fine_tune": {}}, methods={"naive": {}},
            task={"path": "rows.jsonl", "columns": columns},
        ).run()  # fmt: skip
    assert accuracy(results)["naive"] == accuracy(results)["ceiling"] == 1.0
    assert accuracy(results)["noisy1"] < 0.9


async def echoes(asked: Asked) -> Answer:
    """Prefers `yes` to a text with good in its last question, as a server that echoes does."""
    prompt = said(asked)
    tokens = re.findall(r"\s*\S+", prompt)
    if not asked.body.get("echo"):
        return Answer(reply(" no", api="completions"))
    question = prompt.rsplit("Question: ", 1)[-1]
    likely = tokens[-1].strip() == ("yes" if seen(question) else "no")
    logs = [None, *[-1.0] * (len(tokens) - 2), math.log(0.9 if likely else 0.1)]
    logprobs = {"tokens": tokens, "token_logprobs": logs}
    return Answer(reply(prompt, reason="length", api="completions", logprobs=logprobs))


def test_a_completions_endpoint_scores_the_choices_behind_demonstrations(tmp_path: Path) -> None:
    refine = {**ICL["refine"], "content_free": []}
    with serving(echoes) as server:
        trial = experiment(
            tmp_path, server.url, strong={"api": "completions"}, methods={"refined": {"refine": refine}}, ceiling=False
        )
        [line] = trial.estimate()
        results = trial.run()
        assert line.startswith(f"the strong model big: {len(server.asked)} requests")
    [audit] = results.provenance["refinement"]
    assert audit["scores"]["accuracy"]["refined"] == 1.0
    assert audit["confidence"]["refined"] == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"methods": {"x": {"objective": "confidence"}}}, "methods.x: `objective` is a way to train the strong model"),
        ({"methods": {"x": {"prefer": "cdpo"}}}, "methods.x: `prefer`"),
        ({"methods": {"x": {"pretune": {}}}}, "methods.x: `pretune`"),
        ({"methods": {"x": {"refine": "neighbours"}}}, "a model behind a server gives none"),
        ({"methods": {"x": {"refine": "linear"}}}, "a model behind a server gives none"),
        ({"methods": {"x": {"refine": {"name": "icl", "select": "embedding"}}}}, "does not embed texts"),
        ({"strong": {"adapter": "probe"}}, "leave adapter out"),
        ({"strong": {"template": "Which?"}}, "template cannot be filled"),
        ({"strong": {"server": "nowhere"}}, "base URL"),
        ({"gold_only": True}, "`gold_only` trains the strong model"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_asked(
    tmp_path: Path, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(ConfigError, match=match):
        experiment(tmp_path, "http://localhost:1/v1", **changes).run()
