"""Which runs there are, what stores hold for them, and what is deleted because it is for none."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from outgrow import store as store_module
from outgrow.cli import app
from outgrow.errors import StoreError
from outgrow.experiment import Experiment
from outgrow.files import write_json
from outgrow.models.server import ResponseCache
from outgrow.results import Results
from outgrow.runs.keeping import complete, damage, finished_runs, holdings, prune, users_of
from outgrow.store import Store
from small_experiments import planted_rows, write_experiment


def command(*arguments: str) -> Any:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0
    return done.output


def kinds(store: Store) -> list[str]:
    return [artefact.kind for artefact in complete(store.root)]


def stored(folder: Path, *names: str) -> Store:
    """A store with an artefact for each name, and the results of a run that used the first."""
    store = Store(folder / "store")
    for name in names:
        store.get("labels", {"name": name}, lambda made: write_json(made / "x.json", [0]))
    about = {"store": str(store.root), "artefacts": [next(iter(store.used))]}
    write_json(folder / "runs/mine/results.json", {"name": "mine", "summary": {"metrics": []}, "provenance": about})
    return store


def test_what_is_for_no_run_is_deleted_and_the_other_runs_student_is_still_there(
    tmp_path: Path, encoder_folder: Path
) -> None:
    file = write_experiment(tmp_path, encoder_folder, planted_rows(90), ceiling=False)
    Experiment.from_yaml(file, [f"output={tmp_path / 'runs/one'}"]).run()
    other = [f"output={tmp_path / 'runs/two'}", "methods.other={objective: confidence}"]
    Experiment.from_yaml(file, other).run()
    listed = json.loads(command("list", str(tmp_path / "runs"), "--json"))
    assert sorted(run["methods"] for run in listed["runs"]) == [["naive"], ["naive", "other"]]
    assert "naive, other" in command("list", str(tmp_path / "runs"))
    shutil.rmtree(tmp_path / "runs/two")
    before = kinds(Store(tmp_path / "store"))
    assert before.count("student") == 2
    assert "Nothing was deleted" in command("prune", str(tmp_path / "runs"))
    assert kinds(Store(tmp_path / "store")) == before
    assert "Deleted" in command("prune", str(tmp_path / "runs"), "--yes")
    assert kinds(Store(tmp_path / "store")).count("student") == 1
    Results.load(tmp_path / "runs/one").save_student("naive", tmp_path / "kept")
    assert "Everything in the store" in command("prune", str(tmp_path / "runs"))


def test_a_run_that_is_not_listed_keeps_what_it_used(
    tmp_path: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTGROW_STORE", str(tmp_path / "store"))
    Experiment.from_yaml(write_experiment(tmp_path, encoder_folder, planted_rows(60), ceiling=False)).run()
    (tmp_path / "elsewhere").mkdir()
    assert all(not each.unneeded for each in holdings(finished_runs([tmp_path / "elsewhere"])))
    shutil.rmtree(tmp_path / "output")
    assert all(each.unneeded for each in holdings(finished_runs([tmp_path / "elsewhere"])))


def test_nothing_is_deleted_while_a_run_uses_the_store(tmp_path: Path) -> None:
    store = stored(tmp_path, "a", "b")
    kept = holdings(finished_runs([tmp_path]))
    with store.in_use(), pytest.raises(StoreError, match=r"uses the store(.|\n)*process"):
        prune(kept)
    assert len(kinds(store)) == 2
    assert prune(kept) > 0
    assert len(kinds(store)) == 1


def test_an_artefact_that_a_process_works_on_stays(tmp_path: Path) -> None:
    store = stored(tmp_path, "a", "b")
    lock = next(each.path for each in complete(store.root) if f"labels/{each.key}" != next(iter(store.used)))
    with FileLock(lock.with_suffix(".lock")):
        assert prune(holdings(finished_runs([tmp_path]))) == 0
    assert len(kinds(store)) == 2


def test_damaged_results_are_an_error_not_a_run_that_needs_nothing(tmp_path: Path) -> None:
    stored(tmp_path, "a")
    (tmp_path / "runs/mine/results.json").write_text('{"name": "mine"}')
    with pytest.raises(StoreError, match="is damaged"):
        finished_runs([tmp_path])
    (tmp_path / "runs/mine/results.json").write_text('{"name": "mi')
    with pytest.raises(StoreError, match="is damaged"):
        finished_runs([tmp_path])


def test_two_runs_with_the_same_process_id_use_a_store_at_once(tmp_path):
    store = Store(tmp_path)
    with store.in_use(), store.in_use():
        assert users_of(tmp_path) == [os.getpid()] * 2
    assert users_of(tmp_path) == []


def test_a_store_is_checked_and_what_is_damaged_is_named(tmp_path: Path) -> None:
    store = stored(tmp_path, "a", "b")
    with ResponseCache(store.root / "responses.sqlite") as cache:
        cache.put("k", "{}")
    assert "2 artefacts, 0 damaged" in command("store", "check", str(store.root))
    next(store.root.glob("labels/*/x.json")).write_text("[1]")
    with sqlite3.connect(store.root / "responses.sqlite") as connection:
        connection.execute("UPDATE answers SET body = '[]'")
    store_module._whole.clear()
    done = CliRunner().invoke(app, ["store", "check", str(store.root)])
    assert done.exit_code == 1
    assert "x.json is not what its manifest says" in done.output
    assert "the answer k" in done.output
    with pytest.raises(StoreError, match="There is no store"):
        list(damage(tmp_path / "nowhere"))
