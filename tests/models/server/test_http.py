"""A server's headers: no redirect is followed, no body is larger than its bound, no charset is believed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from http_server import Answer, Asked, echo, reply, said, serving
from outgrow import bounds
from outgrow.errors import ModelError
from outgrow.models.protocols import GenerateOptions
from outgrow.models.server import Limits, ServedModel, ServerLanguageModel

GREEDY = GenerateOptions(max_new_tokens=8)
NO_RETRIES = Limits(retries=0, first_wait=0.01, longest_wait=0.05, timeout=5.0)


def model_at(url: str, tmp_path: Path) -> ServerLanguageModel:
    return ServerLanguageModel(ServedModel("small"), url, cache=tmp_path / "responses.sqlite", limits=NO_RETRIES)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_with_both_hosts_named_and_no_prompt_goes_there(tmp_path, status):
    with serving(echo) as other:

        async def redirecting(asked: Asked) -> Answer:
            return Answer(status=status, headers={"location": f"{other.url}/chat/completions"})

        with serving(redirecting) as server, pytest.raises(ModelError) as caught:
            model_at(server.url, tmp_path).generate(["my secret plan"], GREEDY)
        assert not other.asked
        for url in (server.url, other.url):
            assert url.removeprefix("http://").removesuffix("/v1") in str(caught.value)


@pytest.mark.parametrize("location", ["", "http://[::1", "http://\x1b[31mred/", "//host\x07"])
def test_a_redirect_to_nowhere_is_refused_all_the_same(tmp_path, location):
    async def redirecting(asked: Asked) -> Answer:
        return Answer(status=302, headers={"location": location})

    with serving(redirecting) as server, pytest.raises(ModelError, match="redirect to") as caught:
        model_at(server.url, tmp_path).generate(["a"], GREEDY)
    assert str(caught.value).replace("\n", "").isprintable()


def bad_for(prompt: str, answer: Answer):
    """Gives this answer to one prompt, and its echo to the others."""

    async def handler(asked: Asked) -> Answer:
        return answer if said(asked) == prompt else await echo(asked)

    return handler


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"[" * 100_000),
        Answer({"error": {"message": [[[["deep"]]]]}}, status=500),
        Answer(b"[" * 100_000, status=500),
        Answer(b"{}", headers={"content-type": "text/html"}),
        Answer(b"\xff\xfe{}"),
        Answer({"choices": []}),
        Answer({"choices": [{"message": {"content": 3}}]}),
        Answer(b"x", headers={"content-encoding": "gzip"}),
        Answer(status=503, headers={"retry-after": "Thu, 01 Jan 99999 00:00:05 GMT"}),
        Answer(status=204),
        Answer(dropped=True),
        Answer({}, promised=5),
    ],
)
def test_a_bad_reply_costs_one_request_and_not_the_others(tmp_path, answer):
    with serving(bad_for("bad", answer)) as server:
        model = model_at(server.url, tmp_path)
        with pytest.raises(ModelError, match="1 of 3 requests"):
            model.generate(["a", "bad", "b"], GREEDY)
        assert model.usage.asked == 2
        again = model_at(server.url, tmp_path)
        assert [one.text for [one] in again.generate(["a", "b"], GREEDY)] == ["A", "B"]


@pytest.mark.parametrize("charset", ["rot13", "idna", "zlib_codec", "utf-16", "unicode_escape", "no-such"])
def test_a_reply_is_utf_8_whatever_charset_it_names(tmp_path, charset):
    async def handler(asked: Asked) -> Answer:
        return Answer(reply("é"), headers={"content-type": f"application/json; charset={charset}"})

    with serving(handler) as server:
        [[answer]] = model_at(server.url, tmp_path).generate(["a"], GREEDY)
    assert answer.text == "é"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b" " * 3000),
        Answer(gzip.compress(b" " * 3_000_000), headers={"content-encoding": "gzip"}),
        Answer(gzip.compress(gzip.compress(b" ")), headers={"content-encoding": "gzip, gzip"}),
        Answer(b"x", headers={"content-encoding": "br"}),
        Answer({"error": {"message": "x" * 3000}}, status=500),
    ],
)
def test_a_body_beyond_its_bound_costs_one_request_and_not_the_others(tmp_path, monkeypatch, answer):
    monkeypatch.setattr(bounds, "REPLY_BYTES", bounds.Bound("REPLY_BYTES", 2000, "bytes in a server's reply"))
    with serving(bad_for("big", answer)) as server:
        model = model_at(server.url, tmp_path)
        with pytest.raises(ModelError, match="1 of 4 requests"):
            model.generate(["a", "big", "b", "c"], GREEDY)
        assert model.usage.asked == 3


def test_the_message_that_refuses_a_body_names_the_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "REPLY_BYTES", bounds.Bound("REPLY_BYTES", 2000, "bytes in a server's reply"))
    with serving(bad_for("big", Answer(b" " * 3000))) as server, pytest.raises(ModelError, match="REPLY_BYTES"):
        model_at(server.url, tmp_path).generate(["a", "big"], GREEDY)
