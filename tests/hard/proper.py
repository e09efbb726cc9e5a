"""What a reader takes, as JSON values with every part that it looks at: fuzzers change one or two of these parts."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np

from outgrow.config import ExperimentConfig
from outgrow.evaluate import Certainty, ModelScores
from outgrow.labels import Note
from outgrow.results import Results
from outgrow.store import with_sum
from outgrow.students.student import Student

EXPERIMENT: dict[str, Any] = {
    "name": "trial",
    "task": {
        "path": "rows.csv",
        "columns": {"prompt": "text"},
        "choices": ["no", "yes"],
        "template": "{text}?",
        "split": {"gold": 0.2, "unlabelled": 0.5, "test": 0.3, "seed": 1},
    },
    "supervisors": [
        {"votes": "votes.csv", "name": "crowd"},
        {"server": "http://localhost:8000/v1", "model": "small", "prices": {"input": 1.0, "output": 2.0}},
        {"model": "tiny", "train": {"learning_rate": 1e-3}, "adapter": {"name": "lora", "r": 4}, "system": "Be brief."},
        {"rules": [{"pattern": "good", "label": "yes"}]},
    ],
    "strong": {"model": "large", "adapter": "lora", "dtype": "bfloat16"},
    "methods": {
        "naive": {},
        "bayesian": {"objective": {"name": "bayesian", "gamma": 0.25}, "combine": "dependence"},
        "refined": {"refine": {"name": "icl", "demonstrations": 4}, "filter": 0.5},
    },
    "trainer": {"num_train_epochs": 1},
    "seeds": [0, 1],
}
"""An experiment file with most sections."""


def scores() -> Results:
    """Small results with certainties, notes, advice, a refinement and a student."""
    right = np.arange(16) % 4 > 0
    sure = Certainty.of_choices(np.tile([0.3, 0.7], (16, 1)), right.astype(int))
    models = [
        ModelScores(name, role, {"accuracy": (right | (np.arange(16) < gain))[None]}, certainty=sure)
        for name, role, gain in (("ann", "supervisor", 0), ("naive", "student", 4), ("gold", "ceiling", 8))
    ]
    config = ExperimentConfig.model_validate({**EXPERIMENT, "supervisors": [{"votes": "votes.csv"}]})
    about = {
        "config": config.model_dump(mode="json"),
        "versions": {"outgrow": "1"},
        "seeds": [0],
        "sizes": {"gold": 2, "validation": 2, "unlabelled": 9, "test": 16},
        "seconds": {"student": 1.0},
        "hashes": {"rows": "ab"},
        "choices": {"names": ["no", "yes"], "by_row": False},
        "students": [{"method": "naive", "seed": 0, "artefact": "student/ab", "base": "large"}],
        "refinement": [],
        "started": "2026-01-01T00:00:00+00:00",
        "store": "store",
        "notes": [Note("refined.agreement", values={"kappa": 0.5, "error": 0.1})],
        "advice": [Note("advice.votes", values={"expected": 0.7, "rows": 9, "gold": 2, "verdict": "enough"})],
    }
    return Results("trial", models, {"accuracy": 0.5}, about)


def _lines(*records: dict[str, Any]) -> list[dict[str, Any]]:
    return list(records)


def _reply(answer: dict[str, Any], logprobs: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "stop_reason": None, "logprobs": logprobs, **answer}
    return {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1}, "model": "small"}


TOKEN = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": [{"token": "a", "logprob": -0.1}]}
PROPER: dict[str, list[Any]] = {
    "jsonl": [[{"a": letter, "b": index % 2, "c": [index]} for index, letter in enumerate("stuvwx")]],
    "json": [[{"a": letter, "b": index % 2} for index, letter in enumerate("stuvwx")]],
    "votes": [_lines({"a": "0", "b": "ann", "c": "yes"}, {"a": "1", "b": "ben", "c": "no"})],
    "texts": [_lines({"a": "0", "b": "so"}, {"a": "1", "b": "or so"})],
    "items": [_lines({"a": "x", "b": 1}, {"a": "y", "b": 0}, {"a": "z", "b": None})],
    "export": [
        [
            {
                "id": 1,
                "data": {"text": "x"},
                "annotations": [
                    {
                        "completed_by": {"email": "ann", "id": 1},
                        "was_cancelled": False,
                        "result": [{"from_name": "q", "type": "choices", "value": {"choices": ["yes"]}}],
                    }
                ],
                "predictions": [{"model_version": "m", "result": []}],
            }
        ],
        [
            {
                "id": "1",
                "fields": {"text": "x"},
                "responses": {"q": [{"user_id": "ann", "value": "yes"}]},
                "suggestions": {"q": {"agent": "m", "value": "no"}},
            }
        ],
    ],
    "experiment": [EXPERIMENT],
    "reply": [
        _reply({"message": {"role": "assistant", "content": "a", "refusal": None}}, {"content": [TOKEN]}),
        _reply({"text": "a"}, {"tokens": ["a"], "token_logprobs": [-0.1], "text_offset": [0]}),
    ],
    "results": [scores().to_json()],
    "manifest": [
        {
            "kind": "labels",
            "format": 1,
            "recipe": {"a": 1},
            "files": {"record.parquet": 3},
            "sha256": {"record.parquet": "0" * 64},
            "seconds": 1.0,
        }
    ],
    "student": [
        Student(
            experiment="trial", method="naive", seed=0, base="large", adapter="none", separate=False,
            objective={"name": "bayesian", "gamma": 0.5}, columns={"prompt": "text"}, template="{text}?",
            max_length=8, choices=("no", "yes"), pooling="mean",
        ).model_dump(mode="json")
    ],
    "model": [
        {
            "model_type": "llama",
            "num_hidden_layers": 2,
            "hidden_size": 8,
            "vocab_size": 9,
            "rope_parameters": {"rope_theta": 1e4},
            "padding": {"strategy": {"Fixed": 8}, "pad_to_multiple_of": None},
        }
    ],
}  # fmt: skip
"""By reader, values that it takes."""

LINES = {"jsonl", "votes", "texts", "items"}
"""Readers of a JSON object in each line."""
FORGED = {"results", "manifest"}
"""Readers of values with a hash of themselves, as someone who forges them would write it."""


def written(name: str, value: Any) -> bytes:
    """A value as the file of a reader."""
    if name in LINES and isinstance(value, list):
        return "\n".join(map(json.dumps, value)).encode()
    if name in FORGED and isinstance(value, dict):
        with contextlib.suppress(ValueError):  # of a text that cannot be hashed
            value = with_sum(value)
    return json.dumps(value).encode()
