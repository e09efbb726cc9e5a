"""The papers' experiments as recipes, their tables, and their miniatures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from example_scripts import EXAMPLES, load_script
from http_server import Answer, Asked, reply, said, serving
from outgrow.config import ExperimentConfig, load_config
from outgrow.experiment import Experiment

FOLDER = EXAMPLES / "papers"
RECIPES = sorted(path for path in FOLDER.rglob("*.yaml") if not path.name.endswith(".small.yaml"))
each_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)

data = load_script("papers/data.py")


def miniature(recipe: Path) -> Path:
    return recipe.with_suffix(".small.yaml")


def table(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the script on a command line."""

    def run(*arguments: str) -> list[dict[str, Any]]:
        monkeypatch.setattr("sys.argv", ["data.py", *arguments, "--output", str(tmp_path)])
        data.main()
        return written(tmp_path / f"{arguments[0]}.jsonl")

    return run


def science(*numbers: int) -> list[dict[str, str]]:
    wrong = {f"distractor{place}": f"wrong {place}" for place in (1, 2, 3)}
    return [{"question": f"What is {number}?", "correct_answer": f"it {number}", **wrong} for number in numbers]


def test_pairs_are_right_as_often_as_wrong_and_no_question_is_in_two_parts(tmp_path: Path, made: Any) -> None:
    train = table(tmp_path / "train.jsonl", science(*range(420), *range(40)))  # 40 questions occur twice
    rows = made("sciq", "--train", train, "--test", table(tmp_path / "test.jsonl", science(*range(400, 500))))
    parts: dict[str, list[str]] = {"gold": [], "unlabelled": [], "test": []}
    for row in rows:
        question, _, answer = row["text"].removeprefix("Q: What is ").partition("? A: ")
        assert row["label"] == (answer == f"it {question}")
        parts[row["part"]].append(question)
    assert [len({*own}) for own in parts.values()] == [pytest.approx(200, abs=20)] * 2 + [100]
    assert len({*parts["gold"], *parts["unlabelled"], *parts["test"]}) == 500
    assert not {*parts["gold"]} & {*parts["unlabelled"]}
    assert sum(row["label"] for row in rows) == pytest.approx(len(rows) / 2, abs=3 * (len(rows) / 4) ** 0.5)


def test_where_no_answer_fits_the_one_that_is_shown_is_wrong(tmp_path: Path, made: Any) -> None:
    none = "None of the above choices ."
    answers = {"answer0": "a", "answer1": "b", "answer2": none, "answer3": "c"}
    story = [{"context": f"story {n}", "question": "why", **answers, "label": 2 - n % 2} for n in range(80)]
    source = table(tmp_path / "all.jsonl", story)
    rows = made("cosmos_qa", "--train", source, "--test", table(tmp_path / "test.jsonl", story[:40]), "--rows", "70")
    assert len(rows) == 70
    for row in rows:
        number, shown = int(row["text"].split()[2]), row["text"].rpartition("Answer: ")[2]
        assert row["label"] == (shown == "b" and number % 2)
        assert shown != none or number % 2
    assert 0 < sum(row["label"] for row in rows) < 35


def test_questions_of_the_persona_experiment_are_one_table(tmp_path: Path, made: Any) -> None:
    dolly = table(tmp_path / "dolly.jsonl", [{"instruction": f"Do {n}."} for n in range(300)])
    tiny = table(tmp_path / "tiny.jsonl", [{"question": f"Is it {n}?"} for n in range(7)])
    rows = made("persona", "--train", dolly, "--test", tiny)
    assert [row["question"] for row in rows if row["part"] == "unlabelled"] == [f"Do {n}." for n in range(100)]
    assert [row["question"] for row in rows if row["part"] == "test"] == [f"Is it {n}?" for n in range(7)]


def sums(folder: Path, made: Any) -> list[dict[str, Any]]:
    told = [{"content": f"Question: {n} + {n}?\nAnswer:", "output": f"#### {2 * n}"} for n in range(9)]
    (folder / "weak.json").write_text(json.dumps(told))
    test = table(folder / "asked.jsonl", [{"question": f"{n} - 1?", "answer": f"#### {n - 1}"} for n in range(150)])
    rows: list[dict[str, Any]] = made("gsm8k", "--weak", str(folder / "weak.json"), "--test", test)
    return rows


def test_released_weak_answers_become_a_table_of_texts(tmp_path: Path, made: Any) -> None:
    rows = sums(tmp_path, made)
    assert [row["question"] for row in rows if row["part"] == "unlabelled"] == [f"{n} + {n}?" for n in range(3, 9)]
    assert sum(row["part"] == "test" for row in rows) == 100
    assert written(tmp_path / "gsm8k-weak.jsonl")[0] == {"task": "3 + 3?", "text": "#### 6"}


def test_weak_answers_must_be_named(made: Any) -> None:
    with pytest.raises(SystemExit):
        made("gsm8k")


def methods_of(config: ExperimentConfig) -> dict[str, Any]:
    return {
        name: (
            one.combine,
            one.objective,
            one.refine and one.refine.name,
            one.prefer and one.prefer.name,
            bool(one.chain),
        )
        for name, one in config.methods.items()
    }


@each_recipe
def test_a_miniature_has_the_methods_of_its_recipe_and_small_models(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MINIMIND", "SMOLLM2", "SLURP"):
        monkeypatch.delenv(name, raising=False)
    full, small = load_config(recipe), load_config(recipe, [str(miniature(recipe))])
    assert small.name == f"{full.name}-small"
    assert methods_of(small) == methods_of(full)
    assert len(small.supervisors) == len(full.supervisors)
    assert small.task.name == full.task.name or small.task.name == "sciq"
    assert small.strong.model in ("jingyaogong/MiniMind2-Small", "HuggingFaceTB/SmolLM2-135M-Instruct")
    monkeypatch.setenv("MINIMIND", "/models/small")
    monkeypatch.setenv("SMOLLM2", "/models/small")
    assert load_config(recipe, [str(miniature(recipe))]).strong.model == "/models/small"


def test_a_sum_is_refined_and_judged_with_the_published_prompts(tmp_path: Path, made: Any) -> None:
    sums(tmp_path, made)

    async def everyone(asked: Asked) -> Answer:
        return Answer(reply("Score: [[1]]" if "by the true solution" in said(asked) else "#### 4"))

    recipe = FOLDER / "transfer_learning/gsm8k.yaml"
    with serving(everyone) as server:
        names = [f"strong.server={server.url}", f"judge.server={server.url}", f"task.path={tmp_path}/gsm8k.jsonl"]
        texts = [f"supervisors.0.texts={tmp_path}/gsm8k-weak.jsonl", "judge.samples=2", f"output={tmp_path}/output"]
        results = Experiment(load_config(recipe, [*names, *texts])).run()
        asked = [one.body["messages"] for one in server.asked]
    assert {metric.metric for metric in results.summary.metrics} == {"final_answer", "judged"}
    refined = [messages for messages in asked if messages[0]["role"] == "system"]
    assert len(refined) == 6
    for system, user in refined:
        assert system["content"].count("Question: ") == 3
        assert user["content"].endswith("?\nAnswer:")


def test_a_pirate_is_judged_on_both_axes_at_once(tmp_path: Path, made: Any) -> None:
    dolly = table(tmp_path / "dolly.jsonl", [{"instruction": f"Do {n}."} for n in range(11)])
    made(
        "persona",
        "--train",
        dolly,
        "--test",
        table(tmp_path / "tiny.jsonl", [{"question": f"Is it {n}?"} for n in range(4)]),
    )

    async def everyone(asked: Asked) -> Answer:
        if asked.body["model"].startswith("gpt-4o"):
            return Answer(reply("Content Rating: [[8]] Style Rating: [[3]]"))
        return Answer(reply("The used style is: arr." if "to detect a style" in said(asked) else "Arr!"))

    recipe = FOLDER / "transfer_learning/persona.yaml"
    with serving(everyone) as server:
        weak = {"server": server.url, "model": "weak", "name": "weak", "system": "You are an AI pirate."}
        names = [f"strong.server={server.url}", f"judge.server={server.url}", f"supervisors.0={json.dumps(weak)}"]
        places = [f"task.path={tmp_path}/persona.jsonl", f"output={tmp_path}/output"]
        results = Experiment(load_config(recipe, [*names, *places, "judge.samples=2"])).run()
        asked = [one.body for one in server.asked]
    [content, concept] = results.summary.metrics
    assert {(line.score.value) for line in content.lines} == {8.0}
    assert {(line.score.value) for line in concept.lines} == {3.0}
    systems = [body["messages"][0]["content"] for body in asked if body["messages"][0]["role"] == "system"]
    assert sum("in the style that is given here. The used style is: arr." in system for system in systems) == 11
    assert sum(system.count("Question: ") == 4 for system in systems) == 11


@pytest.mark.slow
@each_recipe
@pytest.mark.usefixtures("real_data")
def test_a_miniature_runs(recipe: Path, tmp_path: Path) -> None:
    for name in ("MINIMIND", "SMOLLM2"):
        if not Path(os.environ.get(name, "")).is_dir() or name not in os.environ:
            pytest.skip(f"the environment variable {name} names no model folder")
    command = [sys.executable, "-m", "outgrow", "run", str(recipe), str(miniature(recipe)), "--json"]
    places = [f"store={tmp_path}/store", f"output={tmp_path}/output"]
    done = subprocess.run([*command, *places], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    trained = {line["name"] for metric in json.loads(done.stdout)["summary"]["metrics"] for line in metric["lines"]}
    assert {*load_config(recipe, [str(miniature(recipe))]).methods} <= trained
    assert (tmp_path / "output/report.html").is_file()
