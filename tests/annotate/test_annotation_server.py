from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rounds import a_round, some_rows
from starlette.testclient import TestClient

from outgrow.annotate.server import listen, make_app
from outgrow.errors import ConfigError, MissingExtraError
from outgrow.labels import Rows

HOST = "http://127.0.0.1:8765"


class Visitor:
    """A browser with ann's link."""

    def __init__(self, folder: Path, rows: Rows | None = None) -> None:
        self.session, self.ledger, tokens = a_round(folder, rows or some_rows())
        self.client = TestClient(make_app(self.session, tokens), base_url=HOST)
        self.headers = {"x-annotator": tokens["ann"], "origin": HOST}

    def vote(self, **changes: object) -> tuple[int, dict[str, object]]:
        state = self.client.get("/state", headers=self.headers).json()
        body = {"turn": state["turn"], "action": "vote", "task": state["item"]["task"], "choice": 1}
        answer = self.client.post("/state", json=body | changes, headers=self.headers)
        return answer.status_code, answer.json()


@pytest.fixture
def ann(tmp_path: Path) -> Visitor:
    return Visitor(tmp_path)


def test_a_vote_is_in_the_file_when_it_is_answered(ann: Visitor) -> None:
    status, state = ann.vote()
    assert (status, state["answered"], state["left"]) == (200, 1, 5)
    assert len(ann.ledger.votes()) == 1


@pytest.mark.parametrize("token", ["", "ann", "A" * 32, "é", "' OR 1=1 --", "A" * 10_000])
def test_a_guessed_link_shows_nothing(ann: Visitor, token: str) -> None:
    answer = ann.client.get("/state", headers={"x-annotator": token.encode()})  # type: ignore[dict-item]
    assert answer.status_code == 401
    assert answer.json() == {"error": "This link is not known. Ask for a new one."}


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:80", "null", ""])
def test_another_site_cannot_vote_even_with_a_token(ann: Visitor, origin: str) -> None:
    ann.headers["origin"] = origin
    assert ann.vote()[0] == 403
    assert len(ann.ledger.votes()) == 0


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/state/..%2f..", "/page.html"])
def test_there_is_nothing_but_the_page_and_its_calls(ann: Visitor, path: str) -> None:
    assert ann.client.get(path, headers=ann.headers).status_code == 404


@pytest.mark.parametrize(
    "changes",
    [{"turn": "0"}, {"turn": -1}, {"turn": True}, {"turn": 0.5}, {"action": "drop"}, {"action": "skip"}, {"task": 3},
     {"choice": None}, {"choice": 9}, {"choice": 10**30}],
)  # fmt: skip
def test_what_is_no_answer_is_refused(ann: Visitor, changes: dict[str, object]) -> None:
    status, told = ann.vote(**changes)
    assert status == 400
    assert told["error"]
    assert len(ann.ledger.votes()) == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"[]", b"[" * 60_000, b"{}",
     b'{"turn": 0, "action": "vote", "task": "\\ud800", "choice": 1}'],
)  # fmt: skip
def test_a_body_that_is_no_answer_is_refused(ann: Visitor, body: bytes) -> None:
    assert ann.client.post("/state", content=body, headers=ann.headers).status_code == 400


def test_a_body_without_end_is_not_read(ann: Visitor) -> None:
    assert ann.client.post("/state", content=b"x" * 100_000, headers=ann.headers).status_code == 413


def test_a_cell_of_a_megabyte_is_shown_and_voted_on(tmp_path: Path) -> None:
    ann = Visitor(tmp_path, replace(some_rows(), prompts=("x" * 2**20,) * 6))
    assert len(ann.client.get("/state", headers=ann.headers).json()["item"]["text"]) == 2**20
    assert ann.vote()[0] == 200


def test_an_answer_of_another_window_is_told_with_what_to_show(ann: Visitor) -> None:
    assert ann.vote()[0] == 200
    status, told = ann.vote(turn=0, choice=0)
    assert status == 409
    assert "another window" in str(told["error"])
    assert told["state"] == ann.client.get("/state", headers=ann.headers).json()


def test_a_full_disk_is_told_and_the_same_answer_counts_once_there_is_room(ann: Visitor) -> None:
    ann.ledger._connection.execute("PRAGMA max_page_count = 1")
    ann.session._rows = replace(
        ann.session._rows, choices=("no", "yes" * 10_000)
    )  # no page of the file has room for it
    before = ann.client.get("/state", headers=ann.headers).json()
    status, told = ann.vote()
    assert status == 507
    assert "full" in str(told["error"])
    assert told["state"] == before
    ann.ledger._connection.execute("PRAGMA max_page_count = 100000")
    assert ann.vote()[0] == 200


def test_no_page_of_another_site_may_frame_it_and_only_its_own_script_runs(ann: Visitor) -> None:
    page = ann.client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in page.text.replace("http-equiv", "")
    assert "innerHTML" not in page.text


def test_without_the_extra_its_install_line_is_named(ann: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'outgrow\[web\]'"):
        make_app(ann.session, {})


def test_a_port_that_is_taken_is_named() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigError, match="Choose another one with --port"),
    ):
        listen("127.0.0.1", taken.getsockname()[1])
