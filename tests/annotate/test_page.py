from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from rounds import a_round, some_rows

from chromium import barriers, chromium, console
from outgrow.annotate.server import listen, make_app

OWNED = "document.title = 'owned'"
HOSTILE = f'<script>{OWNED}</script><img src=x onerror="{OWNED}"> {{{{7*7}}}} \u202eright to left'


class Page:
    """A browser that has opened ann's link."""

    def __init__(self, driver: Any, session: Any, ledger: Any, link: str) -> None:
        self.driver, self.session, self.ledger = driver, session, ledger
        driver.get("about:blank")
        driver.get(link)
        self.wait("answered")

    def wait(self, text: str, seconds: float = 5) -> None:
        deadline = time.monotonic() + seconds
        while text not in (seen := self.driver.find_element("tag name", "main").text):
            assert time.monotonic() < deadline, seen
            time.sleep(0.01)

    def press(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def labels(self) -> list[str | None]:
        labels: list[str | None] = self.ledger.votes()["label"].to_pylist()
        return labels


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def ann(tmp_path: Path, driver: Any) -> Iterator[Page]:
    rows = some_rows(4)
    rows = replace(rows, prompts=(HOSTILE,) * 4, choices=(HOSTILE, "yes"))
    session, ledger, tokens = a_round(tmp_path, rows)
    listening = listen("127.0.0.1", 0)
    config = uvicorn.Config(make_app(session, tokens), log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield Page(driver, session, ledger, f"http://127.0.0.1:{listening.getsockname()[1]}/#{tokens['ann']}")
        assert console(driver) == []
    finally:
        driver.get("about:blank")
        server.should_exit = True
        thread.join()


pytestmark = pytest.mark.slow


def test_keys_vote_undo_and_skip(ann: Page) -> None:
    ann.press("2")
    ann.wait("1 answered, 3 left")
    ann.press("u")
    ann.wait("0 answered, 4 left")
    assert ann.labels() == []
    ann.press("1")
    ann.wait("1 answered")
    ann.press("s")
    ann.wait("2 answered")
    assert ann.labels() == [HOSTILE, None]


def test_buttons_are_reached_with_the_tab_key(ann: Page) -> None:
    ann.press("\ue004", "\ue004", "\ue007")  # Tab from the text to the second choice, Enter
    ann.wait("1 answered")
    assert ann.labels() == ["yes"]


def test_hostile_texts_are_shown_as_they_are_and_do_nothing(ann: Page) -> None:
    shown = ann.driver.find_element("id", "text").get_property("textContent")
    assert shown == HOSTILE
    assert ann.driver.title == "Annotate: ann"
    assert (
        ann.driver.execute_script("return document.images.length + document.querySelectorAll('main script').length")
        == 0
    )


def test_the_end_is_told_and_can_be_undone(ann: Page) -> None:
    for answered in range(4):
        ann.press("2")
        ann.wait(f"{answered + 1} answered")
    ann.wait("All rows are answered")
    ann.press("u")
    ann.wait("Taken back")
    assert ann.driver.find_element("id", "text").is_displayed()


def test_an_answer_from_another_window_is_told(ann: Page) -> None:
    state = ann.session.state("ann")
    ann.session.act("ann", 0, "vote", state["item"]["task"], 1)
    ann.press("1")
    ann.wait("answered in another window")
    assert ann.labels() == ["yes"]
    assert console(ann.driver) != []  # the browser notes the status 409


def test_an_answer_that_cannot_be_written_is_sent_until_it_is(ann: Page) -> None:
    record = ann.ledger.record
    from outgrow.errors import StoreError

    def full(event: object) -> None:
        raise StoreError("database or disk is full.")

    ann.ledger.record = full
    ann.press("2")
    ann.wait("Not saved yet. database or disk is full.")
    ann.ledger.record = record
    ann.wait("1 answered")
    assert ann.labels() == ["yes"]
    assert console(ann.driver) != []


def test_axe_finds_no_barrier_at_the_beginning_and_at_the_end(ann: Page) -> None:
    assert barriers(ann.driver) == []
    for answered in range(4):
        ann.press("2")
        ann.wait(f"{answered + 1} answered")
    ann.wait("All rows are answered")
    assert barriers(ann.driver) == []
