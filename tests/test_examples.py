"""The examples say what the code understands, and read the real data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outgrow.config import load_config
from outgrow.run import Run
from outgrow.store import Store
from outgrow.tasks import read_task

FOLDER = Path(__file__).parents[1] / "examples"
LAUNCH = sorted((FOLDER / "accelerate").glob("*.yaml"))
BEHIND = sorted(FOLDER.rglob("*.*.yaml"))
FILES = sorted({*FOLDER.rglob("*.yaml")} - {*LAUNCH, *BEHIND})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_an_experiment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINILM", "encoder")
    assert load_config(path).name == path.stem


@pytest.mark.parametrize("path", BEHIND, ids=lambda path: path.stem)
def test_a_file_behind_an_example_changes_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINILM", "encoder")
    name = f"{path.stem.split('.')[0]}.yaml"
    example = path.parent / name if (path.parent / name).exists() else FOLDER / name
    assert load_config(example, [str(path)]) != load_config(example)


@pytest.mark.parametrize("path", LAUNCH, ids=lambda path: path.stem)
def test_accelerate_launches_what_the_name_of_its_configuration_says(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate.commands import launch

    monkeypatch.setattr("os.environ", dict(os.environ))
    options = launch.launch_command_parser().parse_args(["--config_file", str(path), "-m", "outgrow", "run", "x.yaml"])
    options, *_ = launch._validate_launch_command(options)
    kind, sizes = path.stem.split("_")
    machines, gpus = map(int, sizes.split("x"))
    assert (options.num_machines, options.num_processes) == (machines, machines * gpus)
    environment = launch.prepare_multi_gpu_env(options)
    assert (options.module, options.training_script) == (True, "outgrow")
    assert environment.get("ACCELERATE_USE_FSDP", "false") == ("true" if kind == "fsdp2" else "false")
    if kind == "fsdp2":
        assert (environment["FSDP_VERSION"], environment["FSDP_CPU_RAM_EFFICIENT_LOADING"]) == ("2", "false")


@pytest.mark.usefixtures("real_data")
@pytest.mark.parametrize(("name", "voters"), [("crowd_rte/crowd_rte", 164), ("llm_predictions/strategyqa", 12)])
def test_the_votes_of_an_example_are_read(name: str, voters: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINILM", "encoder")
    config = load_config(FOLDER / f"{name}.yaml")
    _, rows = read_task(config.task)
    votes = config.supervisors[0].vote(rows, Run(Store.default()), seed=0)
    assert len(votes.supervisors) == voters
    assert len(votes.ids) == len(rows)
