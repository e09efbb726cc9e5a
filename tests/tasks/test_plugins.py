"""Tasks and metrics of third parties: dataclasses and functions that know nothing of the protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from outgrow import registry
from outgrow.config import TaskConfig, load_config, parse_config
from outgrow.errors import ConfigError
from outgrow.evaluate.judge import Rubric
from outgrow.experiment import Experiment
from outgrow.labels import Rows, Weighted
from outgrow.tasks import assign_parts, load_task, read_task, rows_in_parts, scores_texts
from outgrow.tasks.protocol import scored
from small_experiments import write_experiment
from tiny_models import WORDS, make_decoder


@dataclass(frozen=True)
class Dice:
    """A choice task without a file: is the number even?"""

    sides: int = 6
    seed: int = 0

    def read(self, config: TaskConfig) -> Rows:
        numbers = np.random.default_rng(self.seed).permutation(self.sides)
        prompts = [f"{'good' if number % 2 == 0 else 'bad'} {number}" for number in numbers]
        gold = [int(number % 2 == 0) for number in numbers]
        parts = assign_parts(prompts, gold, config.split)
        return rows_in_parts(parts, prompts=prompts, gold=gold, choices=("odd", "even"))


@dataclass(frozen=True)
class Echo:
    """A text task: say the prompt."""

    exact: bool = False

    def read(self, config: TaskConfig) -> Rows:
        prompts = [f"a plot {word}" for word in WORDS]
        return rows_in_parts(assign_parts(prompts, prompts, config.split), prompts=prompts, gold=prompts)

    def score(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> dict[str, Any]:
        pairs = zip(answers, rows.gold, strict=True)
        return {"echo": np.array([float(a == b if self.exact else a in str(b)) for a, b in pairs])}


class Rated:
    """A text task that a judge rates; not even a dataclass."""

    needs_judge = True

    def read(self, config: TaskConfig) -> Rows:
        return Rows(("a", "b"), ("x", "y"), ("unlabelled", "test"), (None, None))

    def rubrics(self, config: TaskConfig) -> dict[str, Rubric]:
        return {"taste": Rubric("{question} {answer}")}


@dataclass(frozen=True)
class Clashing:
    limit: int = 1

    def read(self, config: TaskConfig) -> Rows:
        raise AssertionError


def length(answers: Sequence[str | None], gold: Sequence[str], *, power: float = 1.0) -> NDArray[np.float64]:
    """A metric that is a function: the length of an answer over that of the gold text."""
    return np.array([(len(mine or "") / len(right)) ** power for mine, right in zip(answers, gold, strict=True)])


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, Any], None]]:
    with monkeypatch.context() as patched:
        for kind in ("task", "metric"):
            patched.setitem(registry._REGISTERED, kind, dict(registry._REGISTERED[kind]))

        def add(kind: str, name: str, thing: Any) -> None:
            registry.register(kind, name)(thing)

        for name, thing in {"dice": Dice, "echo": Echo, "rated": Rated, "clashing": Clashing}.items():
            add("task", name, thing)
        add("metric", "length", length)
        yield add


def test_parameters_beside_the_name_reach_the_task_and_survive_being_written() -> None:
    config = TaskConfig.model_validate({"name": "dice", "sides": 20, "split": {"gold": 0.2, "test": 0.4}})
    rows = load_task(config).read(config)
    assert len(rows) == 20
    assert rows.parts.count("test") == 8
    again = TaskConfig.model_validate(config.model_dump(mode="json"))
    assert load_task(again).read(again) == rows


def test_a_task_may_be_a_function(plugins: Callable[[str, str, Any], None]) -> None:
    def coins(config: TaskConfig, *, count: int = 10) -> Rows:
        prompts = [f"coin {row}" for row in range(count)]
        return rows_in_parts(assign_parts(prompts, prompts, config.split), prompts=prompts, gold=prompts)

    plugins("task", "coins", coins)
    task, rows = read_task(config := TaskConfig.model_validate({"name": "coins", "count": 20}))
    assert len(rows) == 20
    assert not scores_texts(task, config)


def test_a_task_that_reads_no_file_runs_a_whole_experiment(tmp_path: Path, encoder_folder: Path) -> None:
    task = {"name": "dice", "sides": 60}
    path = write_experiment(tmp_path, encoder_folder, task=task, supervisors=[{"features": "tfidf"}])
    results = Experiment.from_yaml(path, ["task.seed=3", "methods.naive={}"]).run()
    assert results.provenance["config"]["task"]["seed"] == 3
    assert results.provenance["sizes"]["test"] == 12
    # What a run has written down is an experiment too.
    assert load_config(tmp_path / "output/config.yaml").task.params == {"sides": 60, "seed": 3}


def test_a_text_task_with_nothing_but_scores_runs_a_whole_experiment(tmp_path: Path) -> None:
    model = str(make_decoder(tmp_path / "decoder"))
    settings = {
        "task": {"name": "echo", "exact": True},
        "supervisors": [{"model": model, "name": "first"}],
        "strong": {"model": model},
        "generate": {"max_new_tokens": 2},
        "seeds": 1,
        "store": str(tmp_path / "store"),
        "output": str(tmp_path / "output"),
    }
    results = Experiment.from_dict(settings).run()
    assert [each["metric"] for each in results.to_json()["summary"]["metrics"]] == ["echo"]


def test_what_a_task_does_not_define_has_a_default() -> None:
    config = TaskConfig(name="rated", concept="salty")
    task = load_task(config)
    rows, answers = task.read(config), ["p", "q"]
    assert scores_texts(task, config)
    assert (task.takes_metric, task.needs_judge) == (False, True)
    assert (task.remarks(config, rows, answers), task.usable(config, answers)) == ([], [True, True])
    assert scored(task, config, rows, answers) == {}
    [item, _] = task.items(config, rows, answers)
    assert task.rubrics(config)["taste"].prompt(item) == "x p"
    assert item["concept"] == "salty"


def test_a_task_with_neither_choices_nor_scores_is_refused(
    tmp_path: Path, encoder_folder: Path, plugins: Callable[[str, str, Any], None]
) -> None:
    @dataclass(frozen=True)
    class Silent:
        def read(self, config: TaskConfig) -> Rows:
            return Rows(("a", "b"), ("x", "y"), ("unlabelled", "test"), ("1", "2"))

    plugins("task", "silent", Silent)
    path = write_experiment(tmp_path, encoder_folder, task={"name": "silent"})
    with pytest.raises(ConfigError, match="'silent' needs choices"):
        Experiment.from_yaml(path).run()


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"name": "dice", "side": 6}, "task: unknown key 'side'; did you mean 'sides'?"),
        ({"name": "dice", "limits": 6}, "task: unknown key 'limits'; did you mean 'limit'?"),
        ({"name": "sciq", "pth": "x"}, "task: unknown key 'pth'; did you mean 'path'?"),
        ({"name": "rated", "sides": 6}, "task: unknown key 'sides'; known: choices, "),
        ({"name": "dise", "sides": 6}, "There is no task named 'dise'"),
    ],
)
def test_an_unknown_key_is_refused_when_the_file_is_read(task: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config({"task": task, "supervisors": [{"features": "tfidf"}], "strong": {"model": "m"}})
    assert said in str(refused.value)


@pytest.mark.parametrize("name", [*registry.BUILT_IN["task"]])
def test_a_built_in_task_says_that_it_needs_a_path(name: str) -> None:
    config = TaskConfig(name=name, concept="any")
    with pytest.raises(ConfigError, match=rf"The task '{name}' reads its rows from a file(.|\n)*Set task.path"):
        load_task(config).read(config)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": "dice", "sides": "many"}, "refuses its parameters: sides: "),
        ({"name": "dice", "metric": "length"}, "has its own metrics"),
        ({"name": "clashing"}, "parameters named like settings of every task.\n  found:  limit"),
    ],
)
def test_a_plug_in_that_cannot_work_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_task(TaskConfig.model_validate(settings))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ([("good", 1)], r"does not return rows(.|\n)*found:  list"),
        (Rows(("a",), ("x",), ("test",), (1,)), r"gold answer of the wrong type(.|\n)*a text or None"),
        (Rows(("a",), ("x",), ("test",), ("no",), ("no", "yes")), r"found:  'no'(.|\n)*an index from 0 to 1"),
        (Rows(("a",), ("x",), ("test",), (2,), ("no", "yes")), "found:  2"),
    ],
)
def test_rows_of_the_wrong_type_are_refused(returned: Any, said: str, plugins: Callable[[str, str, Any], None]) -> None:
    class Wrong:
        def read(self, config: TaskConfig) -> Any:
            return returned

    plugins("task", "wrong", Wrong)
    with pytest.raises(ConfigError, match=said):
        read_task(TaskConfig(name="wrong"))


def test_scores_that_are_no_mapping_are_refused(plugins: Callable[[str, str, Any], None]) -> None:
    class Bare:
        def read(self, config: TaskConfig) -> Rows:
            return TEXTS

        def score(self, config: TaskConfig, rows: Rows, answers: Sequence[str]) -> Any:
            return [1.0] * len(answers)

    plugins("task", "bare", Bare)
    task, rows = read_task(config := TaskConfig(name="bare"))
    with pytest.raises(ConfigError, match=r"does not return scores by metric(.|\n)*list"):
        scored(task, config, rows, ["", ""])


TEXTS = Rows(("a", "b"), ("x", "y"), ("test",) * 2, ("four", "two"))


def test_a_metric_is_a_function_with_keyword_parameters() -> None:
    config = TaskConfig.model_validate({"path": "any", "metric": [{"name": "length", "power": 2}, "exact_match"]})
    found = scored(load_task(config), config, TEXTS, ["fo", "six"])
    assert {name: values.tolist() for name, values in found.items()} == {"length": [0.25, 1.0], "exact_match": [0, 0]}


def test_scores_may_be_plain_lists(plugins: Callable[[str, str, Any], None]) -> None:
    plugins("metric", "listed", lambda answers, gold: [1] * len(gold))
    config = TaskConfig.model_validate({"path": "any", "metric": "listed"})
    assert scored(load_task(config), config, TEXTS, ["", ""])["listed"].dtype == np.float64


@pytest.mark.parametrize(
    "scores",
    [1.0, [1.0], [[1.0, 0.0]], [1.0, np.nan], ["good", "bad"], None, [None, 1.0], Weighted(np.ones(2), np.ones(3))],
)
def test_a_metric_that_does_not_return_one_number_per_answer_is_refused(
    scores: Any, plugins: Callable[[str, str, Any], None]
) -> None:
    plugins("metric", "odd", lambda answers, gold: scores)
    config = TaskConfig.model_validate({"path": "any", "metric": "odd"})
    with pytest.raises(ConfigError, match=r"'odd' of the task 'file' does not return one number per answer(.|\n)*2,"):
        scored(load_task(config), config, TEXTS, ["", ""])
