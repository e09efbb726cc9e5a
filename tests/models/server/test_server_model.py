"""ServerLanguageModel against real HTTP: what it asks, what it makes of answers, and what survives a bad server."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import math
import os
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from http_server import Answer, Asked, echo, reply, said, serving
from outgrow.errors import ConfigError, MissingExtraError, ModelError, StoreError
from outgrow.models.protocols import GenerateOptions
from outgrow.models.server import DryRunServer, Limits, Prices, ResponseCache, ServedModel, ServerLanguageModel
from outgrow.models.server.usage import guess_tokens
from outgrow.progress import SilentReporter

CHAT = ServedModel("small")
FAST = Limits(first_wait=0.01, longest_wait=0.05, timeout=5.0)
GREEDY = GenerateOptions(max_new_tokens=8)
SAMPLED = GenerateOptions(max_new_tokens=8, temperature=1.0, n=3)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "responses.sqlite"


def model_of(server, cache: Path, served: ServedModel = CHAT, limits: Limits = FAST, **more) -> ServerLanguageModel:
    return ServerLanguageModel(served, server.url, cache=cache, limits=limits, **more)


def answering(*answers: Answer):
    """Gives these answers in turn, the last one for ever."""
    turns = itertools.chain(answers, itertools.repeat(answers[-1]))

    async def handler(asked: Asked) -> Answer:
        return next(turns)

    return handler


def test_answers_come_in_the_order_of_the_prompts(cache):
    prompts = [f"prompt {index}" for index in range(40)]
    with serving(echo) as server:
        answers = model_of(server, cache).generate(prompts, GREEDY)
    assert [one.text for [one] in answers] == [prompt.upper() for prompt in prompts]


def test_a_chat_request_holds_system_message_and_options(cache):
    served = ServedModel("small", system="Be brief.", parameters={"top_p": 0.5, "temperature": None})
    with serving(echo) as server:
        model_of(server, cache, served).generate(["2 + 2?"], dataclasses.replace(GREEDY, stop=("\n",)))
        [asked] = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.body == {
        "model": "small",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}],
        "max_tokens": 8,
        "stop": ["\n"],
        "logprobs": True,
        "top_p": 0.5,
    }


def test_completions_are_asked_at_their_own_endpoint(cache):
    with serving(echo) as server:
        [[one]] = model_of(server, cache, ServedModel("small", api="completions")).generate(["so"], GREEDY)
        [asked] = server.asked
    assert (asked.path, asked.body["prompt"], one.text) == ("/v1/completions", "so", "SO")


def test_every_sample_is_a_request_with_a_seed_of_its_own(cache):
    with serving(echo) as server:
        [texts] = model_of(server, cache).generate(["a"], SAMPLED)
        seeds = {asked.body["seed"] for asked in server.asked}
    assert (len(texts), len(seeds)) == (3, 3)


def test_nothing_answered_is_asked_again(cache):
    with serving(echo) as server:
        model_of(server, cache).generate(["a", "b"], GREEDY)
        again = model_of(server, cache)
        answers = again.generate(["b", "a", "c", "c"], GREEDY)
        asked = [said(each) for each in server.asked]
    assert sorted(asked) == ["a", "b", "c"]
    assert [one.text for [one] in answers] == ["B", "A", "C", "C"]
    assert (again.usage.asked, again.usage.cached) == (1, 2)


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "other"},
        {"system": "Be rude."},
        {"revision": "2"},
        {"parameters": {"top_p": 0.1}},
        {"api": "completions"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_model_has_answers_of_its_own(cache, changed):
    with serving(echo) as server:
        model_of(server, cache).generate(["a"], GREEDY)
        model_of(server, cache, dataclasses.replace(CHAT, **changed)).generate(["a"], GREEDY)
        assert len(server.asked) == 2


def test_concurrency_is_used_and_never_exceeded(cache):
    async def slow(asked: Asked) -> Answer:
        return dataclasses.replace(await echo(asked), delay=0.02)

    with serving(slow) as server:
        model_of(server, cache, limits=dataclasses.replace(FAST, concurrency=5)).generate(
            list(map(str, range(30))), GREEDY
        )
        assert server.most_busy == 5


@pytest.mark.parametrize(
    "fault",
    [
        Answer({"error": {"message": "overloaded"}}, status=500),
        Answer({"error": {"message": "slow down"}}, status=429),
        Answer(b'{"choices": [{"message": {"con'),
        Answer(b'{"choices": [{"message": {"con', promised=50),
        Answer(b"<html>a login page</html>"),
        Answer({"choices": []}),
        Answer({"error": {"message": "no memory"}}),
        Answer(dropped=True),
        Answer(reply("late"), delay=1.0),
    ],
    ids=["500", "429", "cut JSON", "cut body", "HTML", "no choice", "error in 200", "dropped", "stall"],
)
def test_a_passing_failure_is_retried(cache, fault):
    with serving(answering(fault, Answer(reply("good")))) as server:
        model = model_of(server, cache, limits=dataclasses.replace(FAST, timeout=0.3))
        [[one]] = model.generate(["a"], GREEDY)
        assert (one.text, len(server.asked)) == ("good", 2)
    assert (model.usage.asked, model.usage.retried) == (1, 1)


def test_after_a_rate_limit_no_request_comes_before_its_time(cache):
    times: list[float] = []

    async def limited(asked: Asked) -> Answer:
        times.append(time.monotonic())
        return Answer({}, status=429, headers={"retry-after": "0.4"}) if len(times) == 6 else await echo(asked)

    limits = dataclasses.replace(FAST, concurrency=4)
    with serving(limited) as server:
        model_of(server, cache, limits=limits).generate(list(map(str, range(30))), GREEDY)
    late = [at for at in times[6:] if at < times[5] + 0.4]
    assert len(late) <= 3  # those that were on their way
    assert len(times) == 31


@pytest.mark.parametrize("status", [200, 429])
def test_a_used_up_limit_is_waited_for_before_anything_is_declined(cache, status):
    times: list[float] = []
    used_up = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "400ms"}

    async def limited(asked: Asked) -> Answer:
        times.append(time.monotonic())
        last = len(times) == 2
        return Answer(reply("good"), status=status if last else 200, headers=used_up if last else {})

    with serving(limited) as server:
        model_of(server, cache, limits=dataclasses.replace(FAST, concurrency=1)).generate(list("abcd"), GREEDY)
    assert len(times) == (4 if status == 200 else 5)
    assert times[2] - times[1] >= 0.4


def test_a_wait_too_long_ends_the_run(cache):
    day = Answer({}, status=429, headers={"retry-after": "86400"})
    with serving(answering(day)) as server, pytest.raises(ModelError, match="86400 s"):
        model_of(server, cache).generate(["a"], GREEDY)


def test_a_server_that_is_down_is_named(cache):
    with serving(echo) as server:
        pass
    with pytest.raises(ModelError, match=r"does not answer(.|\n)*no connection"):
        model_of(server, cache).generate(["a"], GREEDY)


def test_a_server_that_goes_down_ends_the_run(cache):
    async def dying(asked: Asked) -> Answer:
        return Answer({}, status=503) if int(said(asked)) > 20 else await echo(asked)

    limits = dataclasses.replace(FAST, retries=1, concurrency=2)
    with serving(dying) as server:
        with pytest.raises(ModelError, match=r"does not answer(.|\n)*503"):
            model_of(server, cache, limits=limits).generate(list(map(str, range(1000))), GREEDY)
        assert len(server.asked) < 40


@pytest.mark.parametrize(("status", "next_step"), [(401, "OPENAI_API_KEY"), (404, "URL")])
def test_a_wrong_key_or_name_costs_one_request(cache, status, next_step):
    with serving(answering(Answer({"error": {"message": "no"}}, status=status))) as server:
        with pytest.raises(ModelError, match=next_step):
            model_of(server, cache).generate(list("abcdef"), GREEDY)
        assert len(server.asked) == 1


async def picky(asked: Asked) -> Answer:
    """Declines prompts of more than three characters."""
    if len(said(asked)) > 3:
        return Answer({"error": {"message": "the context is 3 tokens"}}, status=400)
    return await echo(asked)


def test_a_declined_prompt_has_no_completion_and_a_reason(cache):
    with serving(picky) as server:
        model = model_of(server, cache)
        answers = model.generate(["long", "so"], dataclasses.replace(GREEDY, too_long="empty"))
    assert [len(each) for each in answers] == [0, 1]
    assert model.refusals == {"long": "status 400: the context is 3 tokens"}
    with ResponseCache(cache) as kept:
        assert [reason for _, reason in kept.failures()] == ["status 400: the context is 3 tokens"]


def test_a_declined_prompt_is_an_error_unless_told_otherwise(cache):
    with serving(picky) as server, pytest.raises(ModelError, match="the context is 3 tokens"):
        model_of(server, cache).generate(["long", "so"], GREEDY)


def test_a_server_that_declines_everything_is_an_error(cache):
    with serving(picky) as server, pytest.raises(ModelError, match="declines 2 of 2"):
        model_of(server, cache).generate(["long", "also long"], dataclasses.replace(GREEDY, too_long="empty"))


def test_a_call_of_declined_prompts_alone_is_none_where_others_were_answered(cache):
    with serving(picky) as server:
        model = model_of(server, cache)
        model.generate(["so"], GREEDY)
        assert model.generate(["long"], dataclasses.replace(GREEDY, too_long="empty")) == [[]]


def test_what_a_content_filter_withholds_is_declined(cache):
    with serving(answering(Answer(reply("x")), Answer(reply("", reason="content_filter")))) as server:
        model = model_of(server, cache, limits=dataclasses.replace(FAST, concurrency=1))
        answers = model.generate(["a", "b"], dataclasses.replace(GREEDY, too_long="empty"))
    assert [len(each) for each in answers] == [1, 0]
    assert "filter" in model.refusals["b"]


def test_a_failure_is_no_answer_and_is_asked_again(cache):
    broken = {"on": True}

    async def sometimes(asked: Asked) -> Answer:
        return Answer({}, status=500) if broken["on"] and said(asked) == "bad" else await echo(asked)

    prompts = ["a", "bad", *map(str, range(20))]
    limits = dataclasses.replace(FAST, retries=2, concurrency=1)
    with serving(sometimes) as server:
        broken_model = model_of(server, cache, limits=limits)
        with pytest.raises(ModelError, match="1 of 22 requests"):
            broken_model.generate(prompts, GREEDY)
        broken["on"] = False
        before = len(server.asked)
        model_of(server, cache, limits=limits).generate(prompts, GREEDY)
        assert [said(asked) for asked in server.asked[before:]] == ["bad"]


def test_one_request_that_always_fails_does_not_stop_the_others(cache):
    async def sometimes(asked: Asked) -> Answer:
        if said(asked) == "bad":
            return Answer({}, status=500)
        return dataclasses.replace(await echo(asked), delay=0.02)

    prompts = ["a", "bad", *map(str, range(60))]
    with serving(sometimes) as server:
        model = model_of(server, cache, limits=dataclasses.replace(FAST, retries=2, concurrency=2))
        with pytest.raises(ModelError, match="1 of 62 requests"):
            model.generate(prompts, GREEDY)
        assert {said(asked) for asked in server.asked} == set(prompts)
    with ResponseCache(cache) as kept:
        assert len(kept.failures()) == 1


def test_a_server_that_declines_log_probabilities_is_asked_without(cache):
    async def strict(asked: Asked) -> Answer:
        if "logprobs" in asked.body:
            return Answer({"error": {"message": "unknown field logprobs"}}, status=422)
        return await echo(asked)

    with serving(strict) as server:
        model = model_of(server, cache)
        answers = model.generate(list("abc"), GREEDY)
        assert [one.text for [one] in answers] == ["A", "B", "C"]
        assert len(server.asked) == 4
    assert model.notes == ["The server gives no log-probabilities for small."]


def test_that_log_probabilities_are_ignored_is_said_once(cache):
    with serving(echo) as server:
        model = model_of(server, cache)
        [[one]] = model.generate(["a"], GREEDY)
        model.generate(["b"], GREEDY)
    assert (one.logprobs, one.offsets, one.finished) == ((), (), True)
    assert model.notes == ["The server gives no log-probabilities for small."]


def test_log_probabilities_are_taken_where_offered(cache):
    tokens = [{"token": "so", "logprob": -0.5}, {"token": " it", "logprob": -1.5}, {"token": "<end>", "logprob": -0.1}]
    with serving(answering(Answer(reply("so it", logprobs={"content": tokens})))) as server:
        model = model_of(server, cache)
        [[one]] = model.generate(["a"], GREEDY)
    assert (one.logprobs, one.offsets) == ((-0.5, -1.5, -0.1), ((0, 2), (2, 5), (5, 5)))
    assert not model.notes


def test_the_server_scores_texts_that_it_echoes(cache):
    async def echoing(asked: Asked) -> Answer:
        words = [" was" if index else "it" for index in range(3)]
        logprobs = {"tokens": words, "token_logprobs": [None, -1.0, -2.0]}
        assert (asked.body["echo"], asked.body["max_tokens"]) == (True, 0)
        return Answer(reply(said(asked), reason="length", api="completions", logprobs=logprobs))

    with serving(echoing) as server:
        model = model_of(server, cache, ServedModel("small", api="completions"))
        [scored] = model.logprobs([("it", " was was")])
    assert (scored.text, scored.logprobs, scored.offsets) == (" was was", (-1.0, -2.0), ((0, 4), (4, 8)))


def test_scoring_is_refused_where_the_server_cannot(cache):
    with serving(echo) as server:
        with pytest.raises(ConfigError, match="chat endpoint"):
            model_of(server, cache).logprobs([("a", " b")])
        with pytest.raises(ModelError, match="does not echo"):
            model_of(server, cache, ServedModel("small", api="completions")).logprobs([("a", " b")])


def test_a_beginning_of_sequence_token_counts_for_nothing(cache):
    """As vLLM lists it for models that begin with one."""

    async def echoing(asked: Asked) -> Answer:
        logprobs = {"tokens": ["<s>", "it", " was"], "token_logprobs": [None, -3.0, -1.0]}
        return Answer(reply(said(asked), reason="length", api="completions", logprobs=logprobs))

    with serving(echoing) as server:
        [scored] = model_of(server, cache, ServedModel("small", api="completions")).logprobs([("it", " was")])
    assert (scored.logprobs, scored.offsets) == ((-1.0,), ((0, 4),))


def test_texts_that_the_tokens_do_not_spell_have_no_score_and_are_counted(cache):
    async def echoing(asked: Asked) -> Answer:
        tokens = ["it", " was"] if "was" in said(asked) else ["it", "�"]
        logprobs = {"tokens": tokens, "token_logprobs": [None, -1.0]}
        return Answer(reply(said(asked), reason="length", api="completions", logprobs=logprobs))

    with serving(echoing) as server:
        model = model_of(server, cache, ServedModel("small", api="completions"))
        found = model.logprobs([("it", " was"), ("it", " é")])
    assert [one.logprobs for one in found] == [(-1.0,), ()]
    assert model.notes == ["1 of 2 texts have no score by small: the tokens of its server do not spell them."]


def test_a_score_costs_its_prompt_alone_and_no_parameter_makes_the_server_write(cache):
    async def echoing(asked: Asked) -> Answer:
        assert (asked.body["max_tokens"], asked.body["top_p"]) == (0, 0.5)
        logprobs = {"tokens": ["it", " was"], "token_logprobs": [None, -1.0]}
        body = reply(said(asked), reason="length", api="completions", logprobs=logprobs)
        return Answer(body | {"usage": {"prompt_tokens": 2, "completion_tokens": 0}})

    served = ServedModel("small", api="completions", parameters={"max_tokens": 9, "top_p": 0.5})
    with serving(echoing) as server:
        model = model_of(server, cache, served)
        model.logprobs([("it", " was")])
    assert (model.usage.prompt_tokens, model.usage.completion_tokens) == (2, 0)


def test_a_server_that_refuses_log_probabilities_is_not_asked_for_an_echo_without(cache):
    async def strict(asked: Asked) -> Answer:
        return Answer({"error": {"message": "no logprobs here"}}, status=400)

    with serving(strict) as server:
        with pytest.raises(ModelError, match="no logprobs here"):
            model_of(server, cache, ServedModel("small", api="completions")).logprobs([("it", " was")])
        assert len(server.asked) == 1


def test_a_missing_client_is_named_with_its_install_line(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"outgrow\[api\]"):
        ServerLanguageModel(CHAT, "http://localhost:1/v1", cache=cache).generate(["a"], GREEDY)


def test_servers_do_not_search_with_beams(cache):
    with pytest.raises(ConfigError, match="beams"):
        ServerLanguageModel(CHAT, cache=cache).generate(["a"], dataclasses.replace(GREEDY, beams=2))


def test_tokens_that_cannot_be_right_are_guessed_from_lengths(cache):
    lies = reply("four by four byte") | {"usage": {"prompt_tokens": 10**12, "completion_tokens": 0}}
    with serving(answering(Answer(lies))) as server:
        model = model_of(server, cache)
        model.generate(["12345678"], GREEDY)
    assert (model.usage.prompt_tokens, model.usage.completion_tokens, model.usage.guessed) == (2, 5, 1)
    assert "cost 7e-06" in model.usage.text(Prices(1.0, 1.0))


def test_a_dry_run_sends_nothing_and_knows_the_cache(cache):
    with serving(echo) as server:
        model = model_of(server, cache)
        model.generate(["a"], GREEDY)
        dry = DryRunServer(model)
        answers = dry.generate(["a", "12345678", "12345678"], GREEDY)
        dry.generate(["12345678"], GREEDY)
        assert len(server.asked) == 1
    estimate = dry.estimate
    assert answers[0][0].text == "A"
    assert guess_tokens(answers[1][0].text) == GREEDY.max_new_tokens
    assert (estimate.requests, estimate.cached, estimate.prompt_tokens, estimate.completion_tokens) == (1, 1, 2, 8)


class Listening(SilentReporter):
    """Calls a function for every answer."""

    def __init__(self, told: Callable[[], object]) -> None:
        self.told = told

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Listening]:
        yield self

    def advance(self, amount: int = 1) -> None:
        self.told()


def test_progress_is_told_of_every_distinct_request(cache):
    told: list[int] = []
    with serving(echo) as server:
        model = model_of(server, cache, reporter=Listening(lambda: told.append(1)))
        model.generate(["a", "b"], GREEDY)
        model.generate(["a", "b", "c"], GREEDY)
    assert len(told) == 5


def test_a_running_event_loop_is_no_obstacle(cache):
    async def notebook() -> str:
        [[one]] = model_of(server, cache).generate(["a"], GREEDY)
        return one.text

    with serving(echo) as server:
        assert asyncio.run(notebook()) == "A"


def test_the_key_goes_to_the_server_and_nowhere_else(cache, tmp_path, monkeypatch):
    key = "sk-planted-0123456789"
    monkeypatch.setenv("OPENAI_API_KEY", key)

    async def leaky(asked: Asked) -> Answer:
        if said(asked) == "bad":
            return Answer({"error": {"message": f"key {key} may not say that"}}, status=400)
        return Answer(reply(f"your key is {asked.headers['authorization']}"))

    with serving(leaky) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        model = model_of(server, cache)
        answers = model.generate(["a", "bad"], dataclasses.replace(GREEDY, too_long="empty"))
        assert all(asked.headers["authorization"] == f"Bearer {key}" for asked in server.asked)
    assert answers[0][0].text == "your key is Bearer [key]"
    assert key not in str(model.refusals)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if key.encode() in path.read_bytes()]


@pytest.mark.parametrize("key", ["sk-1\nx: y", "sk-1 “quoted”"])
def test_what_can_be_no_key_is_refused_and_not_shown(cache, monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigError, match="holds no key") as caught:
        ServerLanguageModel(CHAT, "http://localhost:1/v1", cache=cache).generate(["a"], GREEDY)
    assert "sk-1" not in str(caught.value)


def test_white_space_around_a_key_is_not_part_of_it(cache, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", " sk-1\n")
    with serving(echo) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        model_of(server, cache).generate(["a"], GREEDY)
        assert server.asked[0].headers["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize(
    "parameters", [{"n": 2}, {"stream": True}, {"api_key": "sk"}, {"x": object()}, {"x": math.nan}]
)
def test_parameters_that_are_none_are_refused(parameters):
    with pytest.raises(ConfigError, match="parameters"):
        ServedModel("small", parameters=parameters)


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host/v1", "http://", "http://me:sk-1@host/v1", "http://host/v1?key=sk-1"]
)
def test_a_url_that_is_none_or_could_hold_a_key_is_refused(url):
    with pytest.raises(ConfigError) as caught:
        ServerLanguageModel(CHAT, url)
    assert "sk-1" not in str(caught.value)


def test_a_damaged_cache_is_named(cache):
    cache.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"responses\.sqlite"):
        ServerLanguageModel(CHAT, "http://localhost:1/v1", cache=cache).generate(["a"], GREEDY)


def test_hundreds_of_requests_with_a_fifth_of_faults_lose_nothing(cache):
    rng, answered = random.Random(0), Counter[str]()
    faults = [
        Answer({}, status=500),
        Answer({}, status=429, headers={"retry-after": "0.01"}),
        Answer(b'{"choi'),
        Answer(b'{"choi', promised=9),
        Answer(dropped=True),
        Answer(reply("late"), delay=8.0),
    ]

    async def faulty(asked: Asked) -> Answer:
        if rng.random() < 0.2:
            return rng.choice(faults)
        answered[said(asked)] += 1
        return await echo(asked)

    prompts = [f"p{index}" for index in range(300)]
    limits = Limits(concurrency=32, timeout=4.0, retries=9, first_wait=0.01, longest_wait=0.1)
    with serving(faulty) as server:
        answers = model_of(server, cache, limits=limits).generate(prompts, GREEDY)
    assert [one.text for [one] in answers] == [prompt.upper() for prompt in prompts]
    assert set(answered.values()) == {1}
    with sqlite3.connect(cache) as database:
        assert database.execute("SELECT count(*) FROM answers").fetchone() == (300,)


def test_after_a_kill_only_requests_in_flight_are_asked_again(cache):
    prompts, concurrency = [f"p{index}" for index in range(200)], 8
    limits = dataclasses.replace(FAST, concurrency=concurrency)
    told: list[int] = []

    def killed_halfway() -> None:
        told.append(1)
        if len(told) == 100:
            os.kill(os.getpid(), signal.SIGKILL)

    async def slowly(asked: Asked) -> Answer:
        return dataclasses.replace(await echo(asked), delay=0.01)

    with serving(slowly) as server:
        child = os.fork()
        if not child:
            try:
                model_of(server, cache, limits=limits, reporter=Listening(killed_halfway)).generate(prompts, GREEDY)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        with ResponseCache(cache) as kept, sqlite3.connect(cache) as database:
            answered = {key for (key,) in database.execute("SELECT key FROM answers")}
            assert len(answered) == len(kept.get(sorted(answered))) == 100
        before = len(server.asked)
        again = model_of(server, cache, limits=limits)
        answers = again.generate(prompts, GREEDY)
        times = Counter(said(asked) for asked in server.asked)
        assert len(server.asked) - before == 100
    assert (again.usage.cached, [one.text for [one] in answers]) == (100, [prompt.upper() for prompt in prompts])
    assert set(times.values()) <= {1, 2}
    assert sum(count == 2 for count in times.values()) < concurrency
