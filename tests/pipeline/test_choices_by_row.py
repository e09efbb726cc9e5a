"""Rows with choices of their own, from a file to results: every model scores each choice behind its prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from http_server import Answer, Asked, reply, said, serving
from outgrow.errors import ConfigError, DataError
from outgrow.experiment import Experiment
from outgrow.files import read_table
from outgrow.labels import ChoiceTargets, Rows
from outgrow.models.scripted import ScriptedLanguageModel
from outgrow.refine.choice_icl import ChoiceICL
from outgrow.results import Results
from outgrow.run import Run
from outgrow.store import Store
from outgrow.supervisors import ServerSupervisor
from small_experiments import FILLERS, write_experiment, write_lines

TASK = {"path": "rows.jsonl", "columns": {"id": "id", "choices": "choices"}}


def quiz(count: int = 300, seed: int = 0) -> list[dict[str, Any]]:
    """Distinct prompts without a hint; of three choices the one with `good` in it is right, wherever it stands."""
    rng = np.random.default_rng(seed)
    prompts: dict[str, None] = {}
    while len(prompts) < count:
        prompts[" ".join(rng.choice(FILLERS, size=6))] = None
    rows = []
    for index, prompt in enumerate(prompts):
        first, second, third = (str(word) for word in rng.permutation(FILLERS)[:3])
        choices = [f"{first} good", f"{second} bad", f"{third} bad"]
        order = rng.permutation(3).tolist()
        shown = [choices[place] for place in order]
        rows.append({"id": f"r{index}", "text": prompt, "choices": shown, "label": order.index(0)})
    return rows


def wrong_at_random(rows: list[dict[str, Any]], wrong: float = 0.3) -> list[dict[str, Any]]:
    """Votes by text, by letter and by index in turn."""
    rng, votes = np.random.default_rng(1), []
    for number, row in enumerate(rows):
        place = (row["label"] + int(rng.integers(1, 3)) * (rng.random() < wrong)) % 3
        label = (row["choices"][place], "ABC"[place], str(place))[number % 3]
        votes.append({"task": row["id"], "worker": "noisy", "label": label})
    return votes


def experiment(folder: Path, model: Path, **changed: Any) -> Experiment:
    rows = quiz()
    write_lines(folder / "votes.jsonl", wrong_at_random(rows))
    return Experiment.from_yaml(write_experiment(folder, model, rows, **{"task": TASK, **changed}))


def accuracy(results: Results, name: str) -> float:
    return float(next(each for each in results.models if each.name == name).scores["accuracy"].mean())


@pytest.mark.parametrize(
    "strong",
    [
        {"adapter": {"name": "probe", "epochs": 20, "learning_rate": 0.02}},
        {"adapter": "none"},
    ],
    ids=["probe", "network"],
)
def test_a_student_learns_which_choice_is_right_wherever_it_stands(
    tmp_path: Path, encoder_folder: Path, strong: dict[str, Any]
) -> None:
    trainer = {"num_train_epochs": 8, "learning_rate": 5e-3, "per_device_train_batch_size": 16}
    supervisors = [{"votes": "votes.jsonl"}, {"features": "tfidf"}]
    methods = {"naive": {"combine": "majority"}, "evidence": {"objective": "bayesian"}}
    results = experiment(
        tmp_path, encoder_folder, strong={"model": str(encoder_folder), **strong}, trainer=trainer, methods=methods,
        supervisors=supervisors,
    ).run()  # fmt: skip
    assert accuracy(results, "noisy") == pytest.approx(0.7, abs=0.15)
    assert accuracy(results, "base") < 0.5
    for name in ("tfidf", "naive", "evidence", "ceiling"):
        assert accuracy(results, name) > 0.9
    answers = read_table(tmp_path / "output/predictions.parquet").to_pylist()
    rows = {row["id"]: row for row in quiz()}
    assert all(len(row["probs"]) == 3 for row in answers)
    students = [row for row in answers if row["name"] == "naive"]
    assert np.mean(["good" in row["answer"] for row in students]) == accuracy(results, "naive")
    assert all(row["answer"] in rows[row["id"]]["choices"] for row in students)
    found = Experiment.from_yaml(tmp_path / "trial.yaml").evaluate(tmp_path / "output/predictions.parquet")
    assert accuracy(found, "naive") == accuracy(results, "naive")


def test_a_supervisor_that_is_a_trained_model_votes_on_choices_of_rows(tmp_path: Path, encoder_folder: Path) -> None:
    trained = {"model": str(encoder_folder), "train": {}, "adapter": {"name": "probe", "learning_rate": 0.02}}
    results = experiment(tmp_path, encoder_folder, supervisors=[{**trained, "name": "weak"}], ceiling=False).run()
    assert accuracy(results, "weak") > 0.9


def test_a_further_part_may_have_choices_of_its_own(tmp_path: Path, encoder_folder: Path) -> None:
    write_lines(tmp_path / "other.jsonl", quiz(40, seed=5))
    task = {**TASK, "tests": {"other": {"path": "other.jsonl"}}}
    results = experiment(tmp_path, encoder_folder, task=task, supervisors=[{"features": "tfidf"}]).run()
    assert accuracy(results.tests["other"], "naive") > 0.7


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        ({"supervisors": [{"rules": [{"pattern": "a", "label": "A"}]}]}, ConfigError, "reads prompts alone"),
        ({"methods": {"near": {"refine": "neighbours"}}}, ConfigError, "needs the same choices for all rows"),
        ({"methods": {"loop": {"refine": "in_the_loop"}}}, ConfigError, "needs the same choices for all rows"),
    ],
)
def test_what_cannot_see_choices_of_rows_is_refused(
    tmp_path: Path, encoder_folder: Path, changed: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        experiment(tmp_path, encoder_folder, **changed).run()


def test_a_vote_for_what_is_no_choice_of_its_row_is_said(tmp_path: Path, encoder_folder: Path) -> None:
    trial = experiment(tmp_path, encoder_folder)
    votes = wrong_at_random(quiz())
    write_lines(tmp_path / "votes.jsonl", [*votes[:-1], {**votes[-1], "label": "the sun"}])
    with pytest.raises(DataError, match=r"outside the choices(.|\n)*'the sun'"):
        trial.run()


ROWS = Rows(
    ("a", "b", "c", "d"),
    ("hot or cold?", "ice or steam?", "hot or cold?!", "steam or ice?"),
    ("unlabelled",) * 3 + ("test",),
    (None, None, None, 1),
    ("A", "B"),
    (("hot", "cold"), ("ice", "steam"), ("cold", "hot"), ("ice", "steam")),
)


async def likes_heat(asked: Asked) -> Answer:
    shown = said(asked).rpartition("nothing else: ")[2].split("\n")
    return Answer(reply(next((choice for choice in shown if choice in ("hot", "steam")), "none")))


def test_a_server_is_shown_the_choices_of_each_row(tmp_path: Path) -> None:
    with serving(likes_heat) as server:
        votes = ServerSupervisor(server=server.url, model="small").vote(ROWS, Run(Store(tmp_path)), seed=0)
    assert votes.probs[:, 0].argmax(axis=1).tolist() == [0, 1, 1, 1]


def test_a_language_model_scores_the_choices_of_each_row_behind_demonstrations() -> None:
    rows, asked = ROWS.take([0, 1, 2]), []
    wrong = ChoiceTargets(rows.ids, np.eye(2)[[1, 0, 0]], np.ones(3))

    def knows(prompt: str) -> str:
        asked.append(prompt)
        return " hot" if "hot or" in prompt.rpartition("Question: ")[2] else " steam"

    icl = ChoiceICL(demonstrations=1, draws=1, share=1, content_free=())
    found = icl.refine(rows, wrong, ScriptedLanguageModel(knows), seed=0)
    assert found.targets.probs.argmax(axis=1).tolist() == [0, 1, 1]
    demonstrated = {prompt.partition("Answer: ")[2].partition("\n")[0] for prompt in asked}
    assert demonstrated <= {"cold", "ice"}  # the texts behind the weak labels


def test_refinement_by_demonstrations_runs_in_an_experiment(tmp_path: Path, decoder_folder: Path) -> None:
    refine = {
        "name": "icl",
        "demonstrations": 1,
        "draws": 1,
        "demonstration": "{prompt} {answer} ",
        "query": "{prompt}",
    }
    strong = {"model": str(decoder_folder), "adapter": {"name": "probe", "epochs": 1}}
    split = {"gold": 20, "unlabelled": 20, "test": 20}
    results = experiment(
        tmp_path, decoder_folder, strong=strong, task={**TASK, "split": split}, methods={"icl": {"refine": refine}}
    ).run()
    assert results.provenance["refinement"][0]["method"] == "icl"
