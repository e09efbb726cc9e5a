"""The cache of replies: what is damaged in it is asked for again, and costs of an interrupted attempt are not lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from http_server import echo, serving
from outgrow.models.protocols import GenerateOptions
from outgrow.models.server import ResponseCache, ServedModel, ServerLanguageModel

GREEDY = GenerateOptions(max_new_tokens=8)


def model_at(url: str, path: Path, owner: str | None = None) -> ServerLanguageModel:
    model = ServerLanguageModel(ServedModel("small"), url, cache=path)
    model.owner = owner
    return model


def changed(path: Path, query: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(query)
    connection.close()


@pytest.mark.parametrize(
    "query",
    [
        "UPDATE answers SET body = replace(body, 'A', 'B')",
        "UPDATE answers SET body = CAST(X'FF' AS TEXT) || body",
        "UPDATE answers SET body = CAST(X'FF' AS TEXT) || body, digest = NULL",
        "UPDATE answers SET body = X'00FF'",
        "UPDATE answers SET body = '', digest = NULL",
        "UPDATE answers SET body = '[[[[', digest = NULL",
    ],
)
def test_a_damaged_reply_is_asked_for_again(tmp_path: Path, query: str) -> None:
    path = tmp_path / "responses.sqlite"
    with serving(echo) as server:
        model_at(server.url, path).generate(["a"], GREEDY)
        changed(path, query)
        for _ in range(2):
            [[answer]] = model_at(server.url, path).generate(["a"], GREEDY)
            assert answer.text == "A"
        assert len(server.asked) == 2


def test_a_file_of_an_older_version_is_read_and_extended(tmp_path: Path) -> None:
    path = tmp_path / "responses.sqlite"
    changed(path, "CREATE TABLE answers (key TEXT PRIMARY KEY, body TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID")
    changed(path, "INSERT INTO answers VALUES ('old', '{}', 0)")
    with ResponseCache(path) as cache:
        cache.put("new", "[]", "labels/1")
        assert cache.get(["old", "new", "none"]) == {"old": "{}", "new": "[]"}
        assert cache.owned(["old", "new"], "labels/1") == {"new"}
        assert list(cache.damage()) == []


@pytest.mark.parametrize(("owner", "asked", "cached"), [("labels/1", 3, 0), ("labels/2", 1, 2), (None, 1, 2)])
def test_what_an_interrupted_attempt_paid_for_an_artefact_is_its_cost(
    tmp_path: Path, owner: str | None, asked: int, cached: int
) -> None:
    with serving(echo) as server:
        model_at(server.url, tmp_path / "r.sqlite", "labels/1").generate(["a", "b"], GREEDY)
        again = model_at(server.url, tmp_path / "r.sqlite", owner)
        again.generate(["a", "b", "c"], GREEDY)
        assert (again.usage.asked, again.usage.cached) == (asked, cached)
        assert again.usage.prompt_tokens == 5 * asked


def test_a_request_that_a_stage_makes_twice_costs_once(tmp_path: Path) -> None:
    with serving(echo) as server:
        model = model_at(server.url, tmp_path / "r.sqlite", "labels/1")
        model.generate(["a"], GREEDY)
        model.generate(["a"], GREEDY)
    assert (model.usage.asked, model.usage.cached) == (1, 1)
