from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rounds import a_round, some_rows


class Annotator:
    """What the page does: an answer is posted until it is confirmed; here every fifth one is posted twice."""

    def __init__(self, name: str, token: str, port: int) -> None:
        self.name, self.token, self.port, self.confirmed = name, token, port, {}  # type: ignore[var-annotated]
        self.connection: http.client.HTTPConnection | None = None

    def call(self, body: dict[str, object] | None) -> dict[str, object]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                self.connection = self.connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
                method = "GET" if body is None else "POST"
                self.connection.request(method, "/state", json.dumps(body), {"x-annotator": self.token})
                answer = self.connection.getresponse()
                told = json.loads(answer.read())
                assert answer.status == 200, told
                return told  # type: ignore[no-any-return]
            except (OSError, http.client.HTTPException):
                self.close()
                time.sleep(0.02)
        raise TimeoutError(self.name)

    def close(self) -> None:
        if self.connection:
            self.connection.close()
        self.connection = None

    def work(self, votes: int) -> None:
        state = self.call(None)
        for number in range(votes):
            task, choice = state["item"]["task"], (number + len(self.name)) % 2  # type: ignore[index]
            body = {"turn": state["turn"], "action": "vote", "task": task, "choice": choice}
            for _ in range(2 if number % 5 == 0 else 1):
                state = self.call(body)
            self.confirmed[task] = ("no", "yes")[choice]
        self.close()


@contextmanager
def served(folder: Path, rows: int, names: list[str]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command = [sys.executable, str(Path(__file__).with_name("served_round.py")), str(folder), str(port), str(rows)]
    paths = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    process = subprocess.Popen(
        [*command, ",".join(names)], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths},
        start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def last_server(folder: Path) -> int | None:
    pids = (folder / "pids").read_text().split() if (folder / "pids").exists() else []
    return int(pids[-1]) if pids else None


@pytest.mark.parametrize(
    ("people", "votes", "kills"), [(4, 20, 2), pytest.param(20, 200, 5, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_no_vote_is_lost_or_doubled_when_the_server_is_killed(
    tmp_path: Path, people: int, votes: int, kills: int
) -> None:
    names = [f"person{number}" for number in range(people)]
    rows = some_rows(votes)
    _, ledger, tokens = a_round(tmp_path, rows, *names)
    with served(tmp_path, votes, names) as port:
        workers = [Annotator(name, tokens[name], port) for name in names]
        threads = [threading.Thread(target=worker.work, args=(votes,)) for worker in workers]
        for thread in threads:
            thread.start()
        killed: list[int] = []
        whole = people * votes
        while len(killed) < kills:
            running = last_server(tmp_path)
            written = len(ledger.events())
            if running not in (None, *killed) and written > whole * (len(killed) + 1) / (kills + 2):
                os.kill(running, signal.SIGKILL)  # type: ignore[arg-type]
                killed.append(running)  # type: ignore[arg-type]
            assert written < whole, "too late to kill"
            assert all(thread.is_alive() for thread in threads)
            time.sleep(0.005)
        for thread in threads:
            thread.join()
    found: dict[str, dict[str, str]] = {name: {} for name in names}
    lines = ledger.votes().to_pylist()
    for line in lines:
        found[line["worker"]][line["task"]] = line["label"]
    assert found == {worker.name: worker.confirmed for worker in workers}
    assert len(lines) == len(ledger.events()) == whole
    assert ledger._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    ledger.close()
