"""docs/extending.md: every example is a plug-in file that runs through the command line, and short."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from outgrow import registry
from outgrow.cli import app
from outgrow.errors import ConfigError
from outgrow.kinds import KINDS
from outgrow.results import Results
from small_experiments import write_experiment, write_text_task

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
SECTIONS = {
    found[1]: found[2]
    for found in re.finditer(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
}
IN_TEXT_TASKS = {"model", "token_objective", "preference", "metric"}
"""Kinds whose example belongs to a text task."""


@pytest.fixture(autouse=True)
def _nothing_stays_registered() -> Iterator[None]:
    before = {kind: dict(own) for kind, own in registry._REGISTERED.items()}
    yield
    registry._REGISTERED.update(before)


def block(kind: str, language: str) -> str:
    """The code of a section in a language."""
    return re.search(rf"```{language}\n(.*?)```", SECTIONS[kind], re.DOTALL)[1]  # type: ignore[index]


def plugin(kind: str, folder: Path) -> Path:
    """The example of a section as a file."""
    path = folder / f"my {kind}.py"
    path.write_text(block(kind, "python"))
    return path


def experiment(kind: str, folder: Path, encoder: Path, **changed: Any) -> Path:
    """A small experiment with the settings of a section."""
    settings = yaml.safe_load(block(kind, "yaml")) | changed
    if kind not in IN_TEXT_TASKS:
        strong = {"model": str(encoder), "adapter": {"name": "probe", "epochs": 2}} | settings.pop("strong", {})
        return write_experiment(folder, encoder, strong=strong, **settings)
    write_text_task(folder)
    plain: dict[str, Any] = {
        "task": {"path": "rows.jsonl", "columns": {"id": "id", "part": "part"}} | settings.pop("task", {}),
        "supervisors": [{"model": "decoder", "name": "weak"}],
        "strong": {"model": "decoder"},
        "generate": {"max_new_tokens": 4},
        "trainer": {"max_steps": 1},
        "seeds": 1,
        "store": "store",
        "output": "output",
    }
    path = folder / "trial.yaml"
    path.write_text(yaml.safe_dump(plain | settings))
    return path


def run(*arguments: object) -> None:
    """Run the command line, with errors as they are raised."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], standalone_mode=False)
    if done.exception is not None:
        raise done.exception


def test_every_kind_is_run_here() -> None:
    assert {*CHANGES, "executor", "metric", "topic"} == set(KINDS)


def test_the_page_has_an_example_of_at_most_20_lines_for_every_kind() -> None:
    assert set(SECTIONS) == set(KINDS)
    for kind in KINDS:
        assert len([line for line in block(kind, "python").splitlines() if line.strip()]) <= 20, kind


def check_run(kind: str, folder: Path) -> None:
    """The run has trained students with the plug-in of a section."""
    results = Results.load(folder / "output")
    assert results.provenance["plugins"][0] == str(folder / f"my {kind}.py")
    assert any(model.role == "student" for model in results.models)


def test_the_example_of_a_metric_scores_a_text_task(tmp_path: Path, encoder_folder: Path) -> None:
    run("run", experiment("metric", tmp_path, encoder_folder), "--plugin", plugin("metric", tmp_path))
    check_run("metric", tmp_path)
    assert "same_length" in Results.load(tmp_path / "output").models[0].scores


def test_the_example_of_a_topic_makes_a_table_and_a_page(tmp_path: Path) -> None:
    run("theory", "halving", "--plugin", plugin("topic", tmp_path), "--output", tmp_path / "theory")
    assert "0.125" in (tmp_path / "theory" / "halving.csv").read_text()


def test_the_example_of_an_executor_makes_the_artefacts_of_the_local_one(tmp_path: Path, encoder_folder: Path) -> None:
    found = []
    for scale in ("{executor: patient}", "{executor: local}"):
        path = experiment("executor", tmp_path, encoder_folder)
        run("run", path, f"scale={scale}", f"store={tmp_path / scale[11]}", "--plugin", plugin("executor", tmp_path))
        check_run("executor", tmp_path)
        found.append(Results.load(tmp_path / "output").provenance["artefacts"])
    assert found[0] == found[1]


CHANGES = {
    "adapter": ("strong.adapter.norms=false", "", ""),
    "combiner": ("methods.bold.combine.floor=0.2", "shares,", "shares[:, ::-1],"),
    "features": ("supervisors.0.features.smoothing=2", "", ""),
    "labelling_function": ("supervisors.0.word=bad", "", ""),
    "model": ("supervisors.0.model.greeting=Yo", "", ""),
    "objective": ("methods.focal.objective.gamma=2", "", ""),
    "preference": ("methods.hinge.prefer.margin=1", "", ""),
    "refiner": ("methods.sharp.refine.power=2", "", ""),
    "supervisor": ("supervisors.0.oracle.accuracy=0.9", "< self", "> self"),
    "task": ("task.digits=7", "Random(0)", "Random(1)"),
    "token_objective": ("methods.smooth.objective.amount=0.3", "", ""),
}
"""Kind → a parameter to change, and a change of the source where only another result makes another key: targets, votes
and rows are known by their content."""


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.slow) if kind in ("adapter", "preference") else kind for kind in CHANGES],
)
def test_each_example_runs_and_a_parameter_or_another_source_makes_new_artefacts(
    kind: str, tmp_path: Path, encoder_folder: Path
) -> None:
    path, source = experiment(kind, tmp_path, encoder_folder), plugin(kind, tmp_path)

    def artefacts(*overrides: str) -> set[str]:
        run("run", path, *overrides, "--plugin", source)
        return set(Results.load(tmp_path / "output").provenance["artefacts"])

    parameter, old, new = CHANGES[kind]
    before = artefacts()
    check_run(kind, tmp_path)
    assert artefacts() == before
    assert artefacts(parameter) - before
    source.write_text(source.read_text().replace(old, new) if old else source.read_text() + "# an edit\n")
    assert artefacts() - before


BROKEN = {
    "lacks a method": ("class Mine:\n    k: int = 1", "(?s)lacks a method.*without choices and texts"),
    "raises": (
        "class Mine:\n    def choices(self, votes, gold=None):\n        return 1 / 0",
        "ZeroDivisionError.*line 7",
    ),
    "returns the wrong type": (
        "class Mine:\n    def choices(self, votes, gold=None):\n        return votes.probs",
        "(?s)returned the wrong type.*ndarray.*ChoiceTargets",
    ),
    "imports something missing": (
        "class Mine:\n    import nothing_of_this_name",
        "ModuleNotFoundError: No module named",
    ),
    "does not parse": ("class Mine(:", "SyntaxError"),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_a_broken_plug_in_is_explained_in_one_message(problem: str, tmp_path: Path, encoder_folder: Path) -> None:
    body, said = BROKEN[problem]
    source = tmp_path / "broken plug-in.py"
    head = 'from dataclasses import dataclass\nfrom outgrow import register\n@register("combiner", "mine")\n'
    source.write_text(f"{head}@dataclass(frozen=True)\n{body}")
    path = write_experiment(tmp_path, encoder_folder, methods={"m": {"combine": "mine"}})
    with pytest.raises(ConfigError, match=said):
        run("run", path, "--plugin", source)
    assert not (tmp_path / "output" / "results.json").exists()


def test_a_loss_of_the_wrong_shape_is_explained(tmp_path: Path, encoder_folder: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text(block("objective", "python").replace(".sum(-1)", ".sum()"))
    with pytest.raises(ConfigError, match=r"(?s)'focal' returned something else than losses.*a loss for each row"):
        run("run", experiment("objective", tmp_path, encoder_folder), "--plugin", source)


@pytest.mark.parametrize("taken", ["mean", "boldest"])
def test_a_name_that_is_taken_is_refused_and_nothing_is_registered(taken: str, tmp_path: Path) -> None:
    first, second = plugin("combiner", tmp_path), tmp_path / "second.py"
    second.write_text(block("objective", "python") + block("combiner", "python").replace('"boldest"', f'"{taken}"'))
    registry.load_plugin(str(first))
    with pytest.raises(ConfigError, match=f"There is a combiner named '{taken}' already"):
        registry.load_plugin(str(second))
    assert "focal" not in registry.names("objective")


@pytest.mark.parametrize("where", ["nowhere.py", "no_such_module", "a folder/with no file.py"])
def test_a_plug_in_that_does_not_exist_is_refused(where: str) -> None:
    with pytest.raises(ConfigError, match=rf"There is no plug-in {where}"):
        registry.load_plugin(where)


def test_a_plug_in_that_misses_a_file_of_its_own_is_not_said_to_be_missing(tmp_path: Path) -> None:
    place = tmp_path / "reads.py"
    place.write_text('open("its_word_list.txt")\n')
    with pytest.raises(ConfigError, match=r"reads.py cannot be loaded(.|\n)*its_word_list.txt"):
        registry.load_plugin(str(place))


def test_a_supervisor_that_cannot_write_is_refused_in_a_text_task(tmp_path: Path) -> None:
    registry.load_plugin(str(plugin("supervisor", tmp_path)))
    settings = {"supervisors": [{"oracle": {"accuracy": 0.7}}], "task": {"path": "rows.jsonl"}}
    with pytest.raises(ConfigError, match="must write texts"):
        run("run", experiment("metric", tmp_path, tmp_path, **settings))
