"""Supervisors behind servers that score given texts: joint decoding, estimated weights and preferences."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any

import pytest

from http_server import Answer, Asked, reply, said, serving
from outgrow.experiment import Experiment
from outgrow.pipeline.text import TextPipeline
from outgrow.report.notes import sentence
from outgrow.run import Run
from outgrow.store import Store
from outgrow.tasks import read_task
from small_experiments import write_text_task
from tiny_models import WORDS

SAYS = {"mild": "good", "harsh": "bad", "fair": "fine"}
LIKES = {
    "mild": {"good": 0.6, "bad": 0.1, "fine": 0.3},
    "harsh": {"good": 0.1, "bad": 0.6, "fine": 0.3},
    "fair": {"good": 0.3, "bad": 0.1, "fine": 0.6},
}
"""Each model's probability of a word; 1/8 of any other."""


async def words(asked: Asked) -> Answer:
    """Language models of single words, which begin with `<s>` and echo as vLLM does."""
    model, prompt = asked.body["model"], said(asked)
    if not asked.body.get("echo"):
        return Answer(reply(f" {SAYS[model]}", api="completions"))
    tokens = re.findall(r"\s*\S+", prompt)
    logs = [math.log(LIKES[model].get(one.strip(), 0.125)) for one in tokens]
    logprobs = {"tokens": ["<s>", *tokens], "token_logprobs": [None, *logs]}
    return Answer(reply(prompt, reason="length", api="completions", logprobs=logprobs))


def settings_in(folder: Path, url: str, **changes: Any) -> dict[str, Any]:
    write_text_task(folder)
    server = {"server": url, "api": "completions", "retries": 0, "prices": {"input": 1.0, "output": 1.0}}
    return {
        "task": {"path": str(folder / "rows.jsonl"), "columns": {"id": "id", "part": "part"}},
        "supervisors": [{**server, "model": name} for name in LIKES],
        "strong": {"model": str(folder / "decoder")},
        "methods": {"joint": {"combine": "joint_decoding"}},
        "generate": {"max_new_tokens": 3},
        "trainer": {"max_steps": 1},
        "seeds": 1,
        "ceiling": False,
        "store": str(folder / "store"),
        "output": str(folder / "output"),
        **changes,
    }


def test_joint_decoding_takes_the_text_that_served_models_together_find_most_probable(tmp_path: Path) -> None:
    with serving(words) as server:
        config = Experiment.from_dict(settings_in(tmp_path, server.url)).config
        pipeline = TextPipeline(config, *read_task(config.task), Run(Store(tmp_path / "store")))
        targets = pipeline.targets("joint", 0)
        scored = [said(one) for one in server.asked if one.body.get("echo")]
        written = {said(one) for one in server.asked if not one.body.get("echo")}
    best = max(LIKES, key=lambda text: sum(math.log(own[SAYS[text]]) for own in LIKES.values()))
    assert set(targets.texts) == {f" {SAYS[best]}"} == {" fine"}
    # What is scored continues what was asked.
    assert set(scored) == {f"{prompt} {word}" for prompt, word in itertools.product(written, SAYS.values())}
    assert [one.completion.logprobs for one in targets.opinions[0]] == [
        pytest.approx((math.log(own["fine"]),)) for own in LIKES.values()
    ]


def test_a_dry_run_foresees_the_scores_and_the_run_says_what_they_cost(tmp_path: Path) -> None:
    with serving(words) as server:
        experiment = Experiment.from_dict(settings_in(tmp_path, server.url))
        lines = experiment.estimate()
        assert not server.asked
        results = experiment.run()
        asked = [one for one in server.asked if one.body["model"] == "mild"]
        later = experiment.estimate()
    # The unlabelled and the test rows, each with one answer and the scores of three candidates.
    rows = 2 * len(WORDS) // 3
    assert len(asked) == 4 * rows
    assert lines[0].startswith(f"the supervisor mild: {4 * rows} requests (0 more from the cache)")
    assert later[0].startswith(f"the supervisor mild: 0 requests ({4 * rows} more from the cache)")
    assert any(f"The supervisor mild took {4 * rows} requests" in sentence(note) for note in results.notes)
    spent = sum(one["money"] for one in results.provenance["costs"])
    assert 0 < spent <= float(lines[-1].rsplit(maxsplit=1)[-1])


def test_weights_and_preferences_are_estimated_from_the_scores_of_servers(tmp_path: Path) -> None:
    methods = {
        "weighted": {"combine": {"name": "mean", "weights": "estimated"}},
        "preferred": {"prefer": {"name": "cdpo", "candidates": 2, "trainer": {"max_steps": 1}}},
    }
    with serving(words) as server:
        results = Experiment.from_dict(settings_in(tmp_path, server.url, methods=methods)).run()
    codes = {note.code: note for note in results.notes}
    assert set(codes["combine.weights"].values["weights"]) == set(LIKES)
    assert codes["preferences.pairs"].values["pairs"] > 0
    assert [line.name for line in results.models if line.role == "student"] == ["weighted", "preferred"]
