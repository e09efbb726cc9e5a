"""The key goes to one host, and comes back from nowhere."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from http_server import Answer, Asked, echo, reply, said, serving
from outgrow.errors import ConfigError, ModelError
from outgrow.models.protocols import GenerateOptions
from outgrow.models.server import Limits, ServedModel, ServerLanguageModel

KEY = "sk-planted/0123456789"
NO_RETRIES = Limits(retries=0, first_wait=0.01, longest_wait=0.05, timeout=5.0)
ESCAPED = "".join(f"\\u{ord(one):04x}" for one in KEY)


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def model_at(url: str, tmp_path: Path) -> ServerLanguageModel:
    return ServerLanguageModel(ServedModel("small"), url, cache=tmp_path / "responses.sqlite", limits=NO_RETRIES)


def ask(url: str, tmp_path: Path, *prompts: str) -> list[str]:
    options = GenerateOptions(max_new_tokens=8, too_long="empty")
    return [own[0].text if own else "" for own in model_at(url, tmp_path).generate(prompts or ("a",), options)]


@pytest.mark.parametrize("home", [None, "http://localhost:1/v1", "https://127.0.0.1/v1"])
def test_another_host_than_that_of_the_key_gets_neither_key_nor_account(tmp_path, monkeypatch, home):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Gate: {KEY}\nAuthorization: Bearer {KEY}")
    if home:
        monkeypatch.setenv("OPENAI_BASE_URL", home)
    with serving(echo) as server:
        assert ask(server.url, tmp_path) == ["A"]
        sent = str(server.asked[0].headers)
    assert KEY not in sent
    assert "org-mine" not in sent


def test_the_host_of_the_base_url_gets_the_key_on_any_port(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    with serving(echo) as server:
        ask(server.url, tmp_path)
        assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_host_that_wants_a_key_and_gets_none_is_said_with_what_to_set(tmp_path):
    async def handler(asked: Asked) -> Answer:
        return Answer({"error": {"message": "who are you"}}, status=401)

    with serving(handler) as server, pytest.raises(ModelError, match="Set OPENAI_BASE_URL=http://127"):
        ask(server.url, tmp_path)


def written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("spelt", [KEY, ESCAPED, KEY.replace("/", "\\/")])
def test_an_answer_that_repeats_the_key_is_kept_without_it_however_it_is_spelt(tmp_path, monkeypatch, spelt):
    body = b'{"choices": [{"message": {"content": "it is KEY"}, "finish_reason": "stop", "logprobs": {"content": []}}]}'

    async def handler(asked: Asked) -> Answer:
        return Answer(body.replace(b"KEY", spelt.encode()))

    with serving(handler) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert ask(server.url, tmp_path) == ["it is [key]"]
        assert ask(server.url, tmp_path) == ["it is [key]"]
    assert KEY.encode() not in written(tmp_path)
    assert ESCAPED.encode() not in written(tmp_path)


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
@pytest.mark.parametrize("spelt", [KEY, ESCAPED])
@pytest.mark.parametrize(
    "body", ['{"error": {"message": "bad KEY"}}', "<html>KEY", '{"detail": "' + "x" * 490 + ' KEY"}']
)
def test_an_error_that_repeats_the_key_is_shown_without_it_causes_included(tmp_path, monkeypatch, status, spelt, body):
    async def handler(asked: Asked) -> Answer:
        return (
            Answer(body.replace("KEY", spelt).encode(), status=status) if said(asked) == "bad" else Answer(reply("b"))
        )

    with serving(handler) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        try:
            ask(server.url, tmp_path, "bad", "b")
            shown = ""
        except ModelError as error:
            shown = "".join(traceback.format_exception(error))
    assert "sk-planted" not in shown
    assert "\\u0073\\u006b" not in shown
    assert b"sk-planted" not in written(tmp_path)


@pytest.mark.parametrize("home", ["http://[::1", "https://me:pw-planted@host/v1", "nowhere"])
def test_a_base_url_in_the_environment_that_is_none_is_said_without_its_password(tmp_path, monkeypatch, home):
    monkeypatch.setenv("OPENAI_BASE_URL", home)
    with pytest.raises(ConfigError) as caught:
        ServerLanguageModel(ServedModel("small"), cache=tmp_path / "responses.sqlite")
    assert "pw-planted" not in str(caught.value)
    with serving(echo) as server:
        assert ask(server.url, tmp_path) == ["A"]
