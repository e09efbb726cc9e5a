"""Secrets planted in environment, file, replies and model card: none in any file, log or formatted exception."""

from __future__ import annotations

import logging
import os
import shutil
import traceback
from pathlib import Path

import pytest

from hard.small_runs import crowd, run, settings
from http_server import Answer, Asked, reply, said, serving
from outgrow.config import load_config
from outgrow.errors import ConfigError, OutgrowError
from outgrow.results import Results

SECRETS = {
    "OPENAI_API_KEY": "sk-planted/openai-1",
    "HF_TOKEN": "hf_planted2",
    "AWS_SECRET_ACCESS_KEY": "planted3/aws+",
    "GITHUB_TOKEN": "ghp_planted4",
    "DATABASE_PASSWORD": "planted5",
    "OPENAI_ORG_ID": "org-planted6",
}
CARD = "planted7-in-a-model-card"


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def spelt(secret: str) -> list[bytes]:
    """A secret as it is, and in JSON escapes."""
    return [secret.encode(), "".join(f"\\u{ord(one):04x}" for one in secret).encode()]


def found_in(data: bytes) -> list[str]:
    return [each for each in (*SECRETS.values(), CARD) if any(form in data for form in spelt(each))]


async def leaky(asked: Asked) -> Answer:
    """Repeats the key in answers and errors, plain and in escapes."""
    key = asked.headers["authorization"].removeprefix("Bearer ")
    number = len(said(asked)) % 4
    if number == 0:
        return Answer({"error": {"message": f"not with {key}"}}, status=400)
    if number == 1:
        body = '{"choices": [{"message": {"content": "yes, and KEY"}, "finish_reason": "stop"}]}'
        return Answer(body.replace("KEY", spelt(key)[1].decode()).encode())
    if number == 2:
        return Answer(reply(f"no {key}"))
    return await crowd(asked)


def test_a_run_writes_and_logs_no_secret(encoder_folder, tmp_path, monkeypatch, caplog):
    model = Path(shutil.copytree(encoder_folder, tmp_path / "models/encoder"))
    (model / "README.md").write_text(f"# Card\n\n{CARD}\n")
    caplog.set_level(logging.DEBUG)
    with serving(leaky) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        run(settings(model, server.url, tmp_path / "run"))
    results = Results.load(tmp_path / "run/output")
    results.save_student("naive", tmp_path / "run/student")
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {"report.html", "manifest.json", "responses.sqlite", "config.yaml", "README.md"} <= {p.name for p in files}
    assert [(path, found_in(path.read_bytes())) for path in files if found_in(path.read_bytes())] == []
    assert found_in(caplog.text.encode()) == []
    assert found_in(results.table().encode()) == []


@pytest.mark.parametrize("status", [302, 400, 401, 500])
def test_no_exception_of_a_run_shows_a_secret(encoder_folder, tmp_path, monkeypatch, status):
    async def refusing(asked: Asked) -> Answer:
        said = f"no {asked.headers['authorization']} {spelt(SECRETS['OPENAI_API_KEY'])[1].decode()}"
        return Answer(f'{{"error": {{"message": "{said}"}}}}'.encode(), status, {"location": f"http://x/{said[:30]}"})

    with serving(refusing) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        config = settings(encoder_folder, server.url, tmp_path)
        config["supervisors"] = [{**config["supervisors"][1], "retries": 0}]
        with pytest.raises(OutgrowError) as caught:
            run(config)
    assert found_in("".join(traceback.format_exception(caught.value)).encode()) == []
    assert found_in(repr(vars(caught.value)).encode()) == []


@pytest.mark.parametrize("place", ["trainer: {hub_token: %s}", "name: %s", "strong: {server: 'http://h/%s', model: m}"])
@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "HF_TOKEN"])
def test_no_experiment_file_takes_a_secret(tmp_path: Path, place: str, name: str) -> None:
    value = os.environ[name] if "token" in place else f"${{{name}}}"
    (tmp_path / "x.yaml").write_text(place % f"'{value}'" if "server" not in place else place % value)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "x.yaml")
    assert found_in("".join(traceback.format_exception(caught.value)).encode()) == []
