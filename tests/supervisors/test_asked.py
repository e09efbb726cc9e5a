"""Language models that vote on choices without training: zero-shot, and behind gold demonstrations."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from outgrow import registry
from outgrow.errors import ConfigError, DataError
from outgrow.experiment import Experiment
from outgrow.labels import Completion, Rows
from outgrow.models.local import LocalLanguageModel
from outgrow.models.specs import LocalModel
from outgrow.refine.choice_icl import ChoiceICL
from outgrow.registry import register
from outgrow.run import Run
from outgrow.store import Store
from outgrow.supervisors import Asking, ModelSupervisor
from small_experiments import planted_rows, write_experiment

CHOICES = ("no", "yes")
ROWS = Rows(
    ("g0", "g1", "g2", "g3", "u0", "u1", "t"),
    ("bad a", "good b", "bad c", "good d", "a good plot", "a bad plot", "good"),
    ("gold",) * 4 + ("unlabelled",) * 2 + ("test",),
    (0, 1, 0, 1, None, None, 1),
    CHOICES,
)
ASKED: list[str] = []


@dataclasses.dataclass(frozen=True)
class Planted:
    """Prefers yes where the question says good, and prefers yes anyway by `liking` nats; reads `room` characters."""

    liking: float = 0.0
    room: int = 10_000

    def generate(self, prompts: Sequence[str], options: Any) -> list[list[Completion]]:
        raise NotImplementedError

    def fits(self, prompts: Sequence[str], new_tokens: int) -> list[bool]:
        return [len(one) + new_tokens <= self.room for one in prompts]

    def logprobs(self, pairs: Sequence[tuple[str, str]], *, end: bool = False, too_long: str = "error") -> list[Any]:
        ASKED.extend(prompt for prompt, _ in pairs)
        return [self._score(prompt, text) for prompt, text in pairs]

    def _score(self, prompt: str, text: str) -> Completion:
        if len(prompt) + len(text) > self.room:
            return Completion(text, (), (), finished=False)
        question = prompt.rpartition("Question: ")[2]
        knows = ("good" in question) - ("bad" in question)
        log_odds = self.liking + knows
        value = -math.log1p(math.exp(-log_odds if text == " yes" else log_odds))
        return Completion(text, (value,), ((0, len(text)),), finished=False)


@dataclasses.dataclass(frozen=True)
class Mute:
    """Generates, and scores nothing."""

    def generate(self, prompts: Sequence[str], options: Any) -> list[list[Completion]]:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def planted() -> Iterator[None]:
    ASKED.clear()
    register("model", "planted")(Planted)
    register("model", "mute")(Mute)
    yield
    for name in ("planted", "mute"):
        del registry._REGISTERED["model"][name]


def votes(folder: Path, ask: dict[str, Any], *, seed: int = 0, rows: Rows = ROWS, **model: Any) -> Any:
    supervisor = ModelSupervisor.model_validate({"model": {"name": "planted", **model}, "ask": ask})
    supervisor.check("choice", Asking())
    return supervisor.vote(rows, Run(Store(folder / "store")), seed=seed)


def shown(prompt: str) -> list[tuple[str, str]]:
    return re.findall(r"Question: (.+)\nAnswer: (\w+)", prompt)


def test_a_zero_shot_vote_is_the_probability_of_the_choice_and_a_liking_is_calibrated_away(tmp_path: Path) -> None:
    found = votes(tmp_path, {}, liking=3.0)
    assert found.ids == ("u0", "u1", "t")
    assert found.supervisors == ("planted",)
    knows = 1 / (1 + math.exp(-1))
    np.testing.assert_allclose(found.probs[:, 0, 1], [knows, 1 - knows, knows])
    assert not any(shown(prompt) for prompt in ASKED)
    biased = votes(tmp_path, {"content_free": []}, liking=3.0)
    np.testing.assert_allclose(biased.probs[:, 0, 1], 1 / (1 + np.exp([-4.0, -2.0, -4.0])))


def test_demonstrations_are_gold_rows_with_their_gold_answers(tmp_path: Path) -> None:
    votes(tmp_path, {"demonstrations": 2})
    gold = {(prompt, CHOICES[answer]) for prompt, answer in zip(ROWS.prompts[:4], ROWS.gold[:4], strict=True)}
    blocks = [shown(prompt) for prompt in ASKED]
    assert {len(block) for block in blocks} == {2}
    assert {demonstration for block in blocks for demonstration in block} <= gold
    # Stratified by default: one of each choice.
    assert {tuple(sorted(answer for _, answer in block)) for block in blocks} == {CHOICES}


def test_zero_shot_votes_serve_all_seeds_and_demonstrations_are_drawn_anew_for_each(tmp_path: Path) -> None:
    votes(tmp_path, {})
    ASKED.clear()
    votes(tmp_path, {}, seed=1)
    assert not ASKED
    blocks = []
    for seed in range(6):
        ASKED.clear()
        votes(tmp_path, {"demonstrations": 2}, seed=seed)
        blocks.append(tuple(sorted(map(str, map(shown, ASKED)))))
    assert len(set(blocks)) > 1


def test_a_row_that_is_too_long_is_a_failed_vote(tmp_path: Path) -> None:
    long = Rows(ROWS.ids, (*ROWS.prompts[:5], "bad " * 50, "good"), ROWS.parts, ROWS.gold, CHOICES)
    found = votes(tmp_path, {"demonstrations": 1}, rows=long, room=150)
    assert found.status[:, 0].tolist() == ["ok", "failed", "ok"]
    assert found.errors == {("u1", "planted"): "its prompt is longer than the model's context"}


def test_too_few_gold_rows_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Too few rows to show 9"):
        votes(tmp_path, {"demonstrations": 9})


def test_a_local_model_votes_as_its_scores_say_and_teaches_a_student(tmp_path: Path, encoder_folder, decoder_folder):
    supervisors = [
        {"model": str(decoder_folder), "name": "zero", "ask": {}},
        {"model": str(decoder_folder), "name": "four", "ask": {"demonstrations": 2}},
    ]
    path = write_experiment(tmp_path, encoder_folder, planted_rows(60), supervisors=supervisors, ceiling=False)
    experiment = Experiment.from_yaml(path)
    assert experiment.estimate() == []
    results = experiment.run()
    assert {"zero", "four"} <= {line.name for line in results.models}
    model = LocalLanguageModel.load(decoder_folder)
    direct = ChoiceICL(draws=1).base(ROWS.part("unlabelled"), model)
    supervisor = ModelSupervisor(model=str(decoder_folder), ask={})
    found = supervisor.vote(ROWS, Run(Store(tmp_path / "other")), seed=0)
    np.testing.assert_allclose(found.probs[:2, 0], direct, rtol=1e-6)
    assert LocalModel(str(decoder_folder), "x").identity


@pytest.mark.parametrize(
    ("section", "task", "match"),
    [
        ({"ask": {"demonstration": 4}}, "choice", "refuses its parameters|leaves out"),
        ({"ask": {"demonstrations": -1}}, "choice", "too small"),
        ({"ask": {"shots": 4}}, "choice", "no parameter 'shots'"),
        ({"ask": {}, "train": {}}, "choice", "`train` beside `ask`"),
        ({"ask": {}}, "text", "a text task"),
        ({"ask": {}, "model": {"name": "mute"}}, "choice", "does not score given texts"),
    ],
)
def test_what_cannot_work_is_refused_at_once(section: dict[str, Any], task: Any, match: str) -> None:
    supervisor = ModelSupervisor.model_validate({"model": {"name": "planted"}, **section})
    with pytest.raises(ConfigError, match=match):
        supervisor.check(task, Asking())


def test_a_masked_language_model_is_refused_at_once(encoder_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"(?s)causal language model.*an encoder.*train: \{\}"):
        ModelSupervisor(model=str(encoder_folder), ask={}).check("choice", Asking())
