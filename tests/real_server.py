"""`transformers serve` on a tiny model, started and stopped by tests, and a proxy before it that makes mistakes."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import AutoTokenizer

from http_server import Answer, Asked, said
from tiny_models import make_decoder

FAULTS = (
    Answer({"error": {"message": "overloaded"}}, status=500),
    Answer({"error": {"message": "slow down"}}, status=429, headers={"retry-after": "0.1"}),
    Answer(b'{"choices": [{"mess'),
    Answer(b'{"choices": [{"mess', promised=100),
    Answer(dropped=True),
    Answer({}, delay=20.0),
)


def make_chat_decoder(folder: Path) -> Path:
    """A tiny random Llama that knows words and chats."""
    return chatting(make_decoder(folder, context=64))


def chatting(folder: Path) -> Path:
    """The model in a folder with a chat template that is nothing but the messages."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    tokenizer.save_pretrained(folder)
    return folder


@contextmanager
def transformers_serve(folder: Path, log: Path) -> Iterator[str]:
    """Serves a model folder on a free port; gives the base URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            stdout=output,
            stderr=output,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


class FaultyProxy:
    """Passes requests on, but for a share of them, with which it makes a mistake of its own; counts what it passed."""

    def __init__(self, upstream: str, share: float, seed: int = 0) -> None:
        self.upstream, self.share, self.rng = upstream, share, random.Random(seed)
        self.answered = Counter[str]()
        self.faults = 0

    async def __call__(self, asked: Asked) -> Answer:
        if self.rng.random() < self.share:
            self.faults += 1
            return self.rng.choice(FAULTS)
        answer = await asyncio.to_thread(self._pass_on, asked)
        self.answered[said(asked)] += 1
        return answer

    def _pass_on(self, asked: Asked) -> Answer:
        request = urllib.request.Request(
            self.upstream + asked.path.removeprefix("/v1"),
            data=json.dumps(asked.body).encode(),
            headers={"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request) as response:
                return Answer(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.read(), status=error.code)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url):
                return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    raise RuntimeError(f"transformers serve did not start:\n{log.read_text()[-2000:]}")
