"""ServerLanguageModel against `transformers serve`, and through a proxy that makes mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from http_server import serving
from outgrow.errors import ModelError
from outgrow.models.local import LocalLanguageModel
from outgrow.models.protocols import GenerateOptions
from outgrow.models.server import Limits, ServedModel, ServerLanguageModel
from real_server import FaultyProxy, make_chat_decoder, transformers_serve
from tiny_models import WORDS

pytestmark = pytest.mark.slow

GREEDY = GenerateOptions(max_new_tokens=4)
PROMPTS = ["the film was", "a plot", "very good heart"]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_chat_decoder(tmp_path_factory.mktemp("models") / "chat")


@pytest.fixture(scope="module")
def url(decoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with transformers_serve(decoder, tmp_path_factory.mktemp("log") / "serve.log") as running:
        yield running


def test_completions_are_those_of_the_same_model_here(decoder: Path, url: str, tmp_path: Path) -> None:
    served = ServedModel(str(decoder), api="completions")
    model = ServerLanguageModel(served, url, cache=tmp_path / "responses.sqlite")
    texts = [one.text.strip() for [one] in model.generate(PROMPTS, GREEDY)]
    here = LocalLanguageModel.load(decoder).generate(PROMPTS, GREEDY)
    assert texts == [one.text.strip() for [one] in here]
    assert model.notes == ["The server gives no log-probabilities for chat."]
    assert (model.usage.asked, model.usage.guessed) == (3, 0)


def test_chats_are_answered_behind_a_system_message(decoder: Path, url: str, tmp_path: Path) -> None:
    # The template joins messages with a space: what comes is the continuation of the joined text.
    served = ServedModel(str(decoder), system="not bad")
    model = ServerLanguageModel(served, url, cache=tmp_path / "responses.sqlite")
    [[answer]] = model.generate(["the film was"], GREEDY)
    [[here]] = LocalLanguageModel.load(decoder).generate(["not bad the film was"], GREEDY)
    assert answer.text.strip() == here.text.strip()


def test_a_model_that_the_server_does_not_have_is_an_error_with_its_words(url: str, tmp_path: Path) -> None:
    model = ServerLanguageModel(ServedModel("other"), url, cache=tmp_path / "responses.sqlite")
    with pytest.raises(ModelError, match="pinned to"):
        model.generate(PROMPTS, GREEDY)


def test_a_thousand_requests_with_a_fifth_of_faults_lose_nothing(decoder: Path, url: str, tmp_path: Path) -> None:
    prompts = [" ".join((one, two, three)) for one in WORDS for two in WORDS for three in WORDS][:1000]
    served, cache = ServedModel(str(decoder), api="completions"), tmp_path / "responses.sqlite"
    limits = Limits(concurrency=32, timeout=10.0, retries=10, first_wait=0.05, longest_wait=1.0)
    proxy = FaultyProxy(url, share=0.2)
    with serving(proxy) as server:
        answers = ServerLanguageModel(served, server.url, cache=cache, limits=limits).generate(prompts, GREEDY)
    assert proxy.faults > 150
    assert set(proxy.answered) == set(prompts)
    assert set(proxy.answered.values()) == {1}
    here = LocalLanguageModel.load(decoder).generate(prompts, GREEDY)
    assert [one.text.strip() for [one] in answers] == [one.text.strip() for [one] in here]
    again = ServerLanguageModel(served, "http://127.0.0.1:9/v1", cache=cache)
    assert again.generate(prompts, GREEDY) == answers
