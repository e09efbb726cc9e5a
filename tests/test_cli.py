from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from outgrow import cli
from outgrow._version import __version__
from outgrow.results import Results
from small_experiments import planted_rows, write_experiment


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Runs the command line in this process; gives its exit code."""
    monkeypatch.setattr(sys, "argv", ["outgrow", *arguments])
    monkeypatch.setattr(sys.modules["__main__"], "__package__", None)  # or it is `python -m pytest.outgrow`, there
    try:
        cli.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    return 0


@pytest.fixture
def trial(tmp_path: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_experiment(tmp_path, encoder_folder, planted_rows(120))


def test_the_version_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.strip() == __version__


def test_a_run_ends_with_a_table_and_the_place_of_the_report(
    trial: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "run", str(trial)) == 0
    said = capsys.readouterr()
    assert "naive" in said.out
    assert said.out.rstrip().endswith("output/report.html")
    assert "train naive, seed 0: done" in said.err


def test_results_for_machines_are_json_and_nothing_else(
    trial: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "run", str(trial), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["name"] == "trial"


def test_overrides_on_the_command_line_count(trial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "run", str(trial), "seeds=2", "output=other") == 0
    assert Results.load(trial.parent / "other").models[-1].scores["accuracy"].shape[0] == 2


def test_a_finished_run_is_reported_again(
    trial: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, "run", str(trial))
    table = capsys.readouterr().out.split("\nReport:")[0]
    assert call(monkeypatch, "report", "output", "--output", "again.html") == 0
    assert capsys.readouterr().out.split("\nReport:")[0] == table
    assert (trial.parent / "again.html").stat().st_size > 1000


def test_a_folder_without_results_cannot_be_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "report", str(tmp_path)) == 1
    assert "There are no results in" in capsys.readouterr().err


def test_the_resolved_file_is_printed_and_can_be_read_again(
    trial: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "config", str(trial), "seeds=7") == 0
    resolved = yaml.safe_load(capsys.readouterr().out)
    assert resolved["seeds"] == list(range(7))
    assert resolved["ceiling"] is True


def test_the_schema_is_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "schema") == 0
    assert "methods" in json.loads(capsys.readouterr().out)["properties"]


@pytest.mark.parametrize("arguments", [("-h",), ("run", "-h")])
def test_help_has_a_short_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert call(monkeypatch, *arguments) == 0
    assert "Usage: outgrow" in capsys.readouterr().out


def test_a_shell_completes_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {"_OUTGROW_COMPLETE": "complete_bash", "COMP_WORDS": "outgrow pre", "COMP_CWORD": "1"}.items():
        monkeypatch.setenv(name, value)
    assert call(monkeypatch) == 0
    assert capsys.readouterr().out.split() == ["predict"]


def test_a_quiet_run_says_nothing_and_a_quiet_failure_says_why(
    trial: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "run", str(trial), "--quiet") == 0
    assert capfd.readouterr() == ("", "")
    assert (trial.parent / "output/report.html").exists()
    assert call(monkeypatch, "run", str(trial), "--quiet", "sedes=1") == 1
    assert "did you mean 'seeds'?" in capfd.readouterr().err


def test_errors_for_machines_are_json_and_offer_the_nearest_file(
    trial: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "run", "trail.yaml", "--json") == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["error"] == {
        "kind": "ConfigError",
        "what": "There is no experiment file trail.yaml.",
        "found": None,
        "wanted": "a YAML file",
        "fix": "did you mean 'trial.yaml'?",
        "exit_code": 1,
    }
    assert "did you mean 'trial.yaml'?" in said.err
    assert call(monkeypatch, "run", str(trial), f"task.path={trial.parent / 'row.jsonl'}") == 1
    assert "rows.jsonl'?" in capsys.readouterr().err


def test_a_missing_data_file_is_made_by_the_command_in_the_comments_of_its_experiment(
    trial: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    header = "# What is it for?\n#\n#   make trial, which is\n#   python make_rows.py      (a minute)\n"
    trial.write_text(header + trial.read_text())
    assert call(monkeypatch, "run", str(trial), "task.path=nowhere.jsonl") == 1
    assert f"next:   Make it first, as the comments of {trial} say: make trial\n" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("run",), ("walk",), ("run", "x.yaml", "--no-such-option")])
def test_wrong_usage_ends_with_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert call(monkeypatch, *arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_name_with_brackets_in_an_error_is_shown_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "run", str(tmp_path / "[red]x[/red].yaml")) == 1
    assert "[red]x[/red].yaml" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error_with_a_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m outgrow schema | head -c 10"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(
    trial: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Seconds of work are left when the signal comes.
    command = ["run", str(trial), "seeds=2", "strong.adapter.epochs=500"]
    heard = []
    # A group of its own, so that the signal does not reach the tests.
    with subprocess.Popen(
        [sys.executable, "-m", "outgrow", *command],
        cwd=trial.parent,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Tests that a shell runs in the background ignore the signal, and what they start would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        for line in running.stderr or ():
            heard.append(line)
            if line.startswith("train ceiling, seed 1: started"):
                os.kill(running.pid, signal.SIGINT)
    assert running.returncode == 130, "".join(heard)
    told = "".join(heard)
    assert "Interrupted. Finished work is kept: the same command goes on from there." in told
    assert "Traceback" not in told
    assert not (trial.parent / "output/results.json").exists()
    assert not list(trial.parent.rglob("*.tmp"))
    finished = len(list((trial.parent / "store/student").glob("*/manifest.json")))
    assert finished == 1
    assert call(monkeypatch, *command) == 0
    told = capsys.readouterr().err
    assert "train ceiling, seed 1: " in told
    assert "train ceiling, seed 0: " not in told
    assert (trial.parent / "output/results.json").exists()


def test_a_run_that_replaces_the_results_of_another_configuration_says_so(
    trial: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for overrides, said in (((), False), ((), False), (("ceiling=false",), True)):
        assert call(monkeypatch, "run", str(trial), *overrides) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert ("(changed: ceiling). Its work is kept" in shown) == said


def test_a_misspelt_trainer_key_is_refused_where_a_probe_does_not_use_it(
    trial: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "run", str(trial), "trainer.learning_rat=1e-4") == 1
    assert "did you mean 'learning_rate'?" in capsys.readouterr().err


def test_posteriors_go_among_the_results_under_the_name_of_their_votes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("crowd.csv").write_text("task,worker,label\na,ann,yes\na,ben,yes\nb,ann,no\nb,ben,yes\n", encoding="utf-8")
    assert call(monkeypatch, "combine", "crowd.csv", "--method", "majority") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crowd.csv", "outgrow-runs"]
    assert Path("outgrow-runs/crowd-posteriors.parquet").is_file()


def test_posteriors_are_not_written_under_a_suffix_of_another_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "votes.csv").write_text("task,worker,label\na,x,1\na,y,0\nb,x,0\nb,y,0\n")
    assert call(monkeypatch, "combine", str(tmp_path / "votes.csv"), "-o", str(tmp_path / "x.xlsx")) == 1
    assert "wanted: .parquet or .csv" in capsys.readouterr().err
    assert not (tmp_path / "x.xlsx").exists()


def test_names_from_a_data_file_move_no_cursor_and_colours_pass(monkeypatch, capsys) -> None:
    @cli.app.command(name="shout")
    def shout() -> None:
        typer.echo("\x1b[1mbold\x1b[0m ann\x1b[2J\x1b]0;title\x07\rx", color=True)

    assert call(monkeypatch, "shout") == 0
    assert capsys.readouterr().out == "\x1b[1mbold\x1b[0m ann\\x1b[2J\\x1b]0;title\\x07\\rx\n"
    cli.app.registered_commands.pop()
