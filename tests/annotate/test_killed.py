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

from chromium import chromium
from outgrow.annotate import Ledger


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
        kill_while_they_vote(tmp_path, ledger, people * votes, kills)
        for thread in threads:
            thread.join()
    assert all_votes(ledger) == {worker.name: worker.confirmed for worker in workers}
    assert len(ledger.votes()) == len(ledger.events()) == people * votes
    ledger.close()


@pytest.mark.slow
def test_no_vote_is_lost_or_doubled_when_twenty_windows_vote_at_once_and_the_server_is_killed(tmp_path: Path) -> None:
    people, votes = 20, 200
    names = [f"person{number}" for number in range(people)]
    _, ledger, tokens = a_round(tmp_path, some_rows(votes), *names)
    with served(tmp_path, votes, names) as port, chromium(tmp_path / "profile") as driver:
        windows = {}
        for name in names:
            driver.switch_to.new_window("window")
            driver.get(f"http://127.0.0.1:{port}/#{tokens[name]}")
            windows[name] = driver.current_window_handle
            driver.execute_script(VOTE_BY_KEYS)
        kill_while_they_vote(tmp_path, ledger, people * votes, kills=5)
        confirmed = {}
        for name, window in windows.items():
            driver.switch_to.window(window)
            deadline = time.monotonic() + 300
            while "All rows are answered" not in driver.find_element("id", "message").text:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            confirmed[name] = driver.execute_script("return pressed")
    assert all_votes(ledger) == confirmed
    assert len(ledger.votes()) == len(ledger.events()) == people * votes
    ledger.close()


VOTE_BY_KEYS = """
window.pressed = {};
setInterval(() => {
  if (busy || !state || !state.item) return;
  const yes = Number(state.item.task.slice(1)) % 3 === state.worker.length % 3;
  pressed[state.item.task] = yes ? "yes" : "no";
  dispatchEvent(new KeyboardEvent("keydown", { key: yes ? "2" : "1" }));
}, 5);
"""
"""A person at the page: presses a key whenever a row is shown."""


def kill_while_they_vote(folder: Path, ledger: Ledger, whole: int, kills: int) -> None:
    """Kill each server as soon as its share of the votes is written."""
    killed: list[int] = []
    while len(killed) < kills:
        running = last_server(folder)
        written = len(ledger.events())
        if running not in (None, *killed) and written > whole * (len(killed) + 1) / (kills + 2):
            os.kill(running, signal.SIGKILL)  # type: ignore[arg-type]
            killed.append(running)  # type: ignore[arg-type]
        assert written < whole, "too late to kill"
        time.sleep(0.005)


def all_votes(ledger: Ledger) -> dict[str, dict[str, str]]:
    """Label of each task by each worker, from a file that is whole."""
    assert ledger._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    found: dict[str, dict[str, str]] = {}
    for line in ledger.votes().to_pylist():
        found.setdefault(line["worker"], {})[line["task"]] = line["label"]
    return found
