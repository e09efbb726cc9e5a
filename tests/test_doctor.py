"""What `outgrow doctor` finds, and that it says what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from outgrow import doctor
from outgrow.cli import app


def examined() -> tuple[int, dict[str, dict[str, Any]]]:
    done = CliRunner().invoke(app, ["doctor", "--json"])
    return done.exit_code, {check["name"]: check for check in json.loads(done.output)}


def test_this_installation_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    code, found = examined()
    assert code == 0
    assert "50 predictions" in found["self-test"]["found"]
    assert found["OPENAI_API_KEY"]["found"] == "set"
    assert "sk-secret" not in str(found)


def test_what_is_broken_is_said_with_a_way_to_mend_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash() -> Any:
        raise RuntimeError("no such kernel")
        yield

    monkeypatch.setattr(doctor, "_self_test", crash)
    monkeypatch.setenv("OUTGROW_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("ENCODER", str(tmp_path / "nowhere"))
    monkeypatch.setattr(
        doctor.importlib.metadata, "requires", lambda name: ["numpy>=99", 'nothing-here; extra == "api"']
    )
    (tmp_path / "store").write_text("")
    code, found = examined()
    assert code == 1
    assert {name for name, check in found.items() if check["state"] == "broken"} == {
        "packages",
        "ENCODER",
        "store",
        "crash",
    }
    assert "is not >=99" in found["packages"]["found"]
    assert found["extra api"]["fix"] == "pip install 'outgrow[api]', if you need it"
    assert "A file lies where a folder should be" in found["store"]["fix"]
