"""A server that does what it can: no answer lost, none foreign, every cost right, also after kills."""

from __future__ import annotations

import gzip
import itertools
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from hard.small_runs import in_a_child
from http_server import Answer, Asked, echo, reply, said, serving
from outgrow.models.protocols import GenerateOptions
from outgrow.models.server import Limits, ServedModel, ServerLanguageModel

GREEDY = GenerateOptions(max_new_tokens=8)
LIMITS = Limits(concurrency=16, timeout=2.0, retries=40, first_wait=0.005, longest_wait=0.02)
KEY = "sk-planted-0123456789"
FAULTS = [
    Answer({}, status=500),
    Answer({}, status=502),
    Answer(b"<html>", status=503, headers={"retry-after": "0.01"}),
    Answer({}, status=429, headers={"retry-after": "0.01"}),
    Answer({}, status=429, headers={"retry-after": "Thu, 01 Jan 99999 00:00:05 GMT"}),
    Answer({}, status=408),
    Answer(b'{"choi'),
    Answer(b'{"choi', promised=9),
    Answer(dropped=True),
    Answer(b"[" * 100_000),
    Answer(b"\xff\xfe\x00"),
    Answer(b""),
    Answer({"choices": []}),
    Answer({"choices": [{"message": {"content": 7}}]}),
    Answer({"error": {"message": [[["deep"]]]}}, status=500),
    Answer({"error": {"message": f"not with {KEY}"}}, status=500),
    Answer(gzip.compress(b" " * 2**25), headers={"content-encoding": "gzip"}),
    Answer(b"x", headers={"content-encoding": "gzip, br"}),
    Answer(reply("late"), delay=2.5),
    Answer(status=204),
]
ODD = [
    {"logprobs": {"content": [{"token": "a", "logprob": -1, "bytes": 2**64}]}},
    {"logprobs": {"content": [{"token": "a", "logprob": "x" * 999, "bytes": [-1]}]}},
    {"stop_reason": {"a": []}, "finish_reason": [1]},
    {"logprobs": 3},
]
"""Nonsense beside a proper answer."""


def besiege(cache: Path, count: int, kills: int, seed: int) -> Counter[str]:
    """Asks `count` questions of a server with 30 % faults, by processes that are killed, and checks all that came."""
    chance, answered, faults = random.Random(seed), Counter[str](), Counter[int]()

    async def hostile(asked: Asked) -> Answer:
        if chance.random() < 0.3:
            number = chance.randrange(len(FAULTS))
            faults[number] += 1
            return FAULTS[number]
        answered[said(asked)] += 1
        if chance.random() < 0.2:
            return Answer(reply(said(asked).upper(), **chance.choice(ODD)))
        return await echo(asked)

    prompts = [f"question {number}" for number in range(count)]
    with serving(hostile) as server:

        def ask(stop_after: int | None = None) -> ServerLanguageModel:
            model = ServerLanguageModel(ServedModel("small"), server.url, cache=cache, limits=LIMITS)
            model.owner = "labels/1"
            if stop_after is not None:
                model._reporter = _Killing(stop_after)
            assert [one.text for [one] in model.generate(prompts, GREEDY)] == [each.upper() for each in prompts]
            return model

        for kill in range(kills):
            assert in_a_child(lambda kill=kill: ask(count * (kill + 1) // (kills + 2))) == -signal.SIGKILL
        usage = ask().usage
    assert (usage.asked, usage.cached, usage.refused) == (count, 0, 0)
    assert usage.prompt_tokens == 5 * count
    assert answered.total() - count <= kills * LIMITS.concurrency  # what was on its way when a process was killed
    assert KEY.encode() not in b"".join(path.read_bytes() for path in cache.parent.iterdir())
    return Counter({"faults": faults.total(), "kinds": len(faults), "kills": kills})


class _Killing:
    """Ends its own process when so many requests are done."""

    def __init__(self, after: int) -> None:
        self._count, self._after = itertools.count(1), after

    def step(self, name: str, total: int) -> _Killing:
        return self

    def __enter__(self) -> _Killing:
        return self

    def __exit__(self, *unused: object) -> None: ...

    def advance(self, amount: int = 1) -> None:
        if next(self._count) == self._after:
            os.kill(os.getpid(), signal.SIGKILL)

    def note(self, message: str) -> None: ...


def test_eighty_questions_and_a_kill(tmp_path: Path) -> None:
    besiege(tmp_path / "responses.sqlite", 80, kills=1, seed=0)


@pytest.mark.slow
def test_a_thousand_questions_and_ten_kills(tmp_path: Path) -> None:
    found = besiege(tmp_path / "responses.sqlite", 1000, kills=10, seed=1)
    print(dict(found))
    assert found["kinds"] == len(FAULTS)
