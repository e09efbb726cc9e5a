"""Every topic at a reduced size: the files it writes, and the page in the repository."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import sys
from pathlib import Path

import pytest

from outgrow import cli
from outgrow.errors import ConfigError, StoreError
from outgrow.progress import SilentReporter
from outgrow.registry import create, names
from outgrow.theory.figures import write
from outgrow.theory.topic import Finding, Table, page
from outgrow.theory.topics.regression import RegressionTopic

REPOSITORY = Path(__file__).parents[2]
DOCS, PAGES = REPOSITORY / "docs/theory", REPOSITORY / "src/outgrow/theory/pages"
SMALL = {
    "regression": {"counts": [1, 4], "kappas": [1.0, 0.5], "repetitions": 40, "labels": 30},
    "decay": {"repetitions": 2000, "kappas": [1.0], "concepts": [2]},
    "hull": {"sizes": [2, 3], "counts": [8, 32], "kappas": [0.5], "repetitions": 20},
    "deconvolution": {"prompts": 8, "counts": [1, 4], "repetitions": 10},
    "phase": {"cells": 4, "longest": 16, "repetitions": 20},
    "transformer": {
        "dimension": 3,
        "concepts": 2,
        "points": 4,
        "width": 8,
        "layers": 1,
        "heads": 1,
        "steps": 5,
        "prompts": 50,
    },
    "hmm_transformer": {"size": "tiny", "counts": [1, 2], "demonstrations": 2, "tasks": 2, "prompts": 20},
    "hmm": {
        "concepts": 3,
        "entities": 3,
        "properties": 4,
        "counts": [1, 4],
        "faults": [0.5],
        "prompts": 10,
        "worlds": 2,
    },
}
"""Settings under which a topic takes a second at most."""


def found(name: str) -> Finding:
    return create("topic", name, SMALL[name])(SilentReporter())


def number(cell: str) -> object:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(cell)
    return cell or None


@pytest.fixture(scope="module", params=sorted(SMALL))
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Path]]:
    """A topic's name and the files it writes."""
    return request.param, write(found(request.param), request.param, tmp_path_factory.mktemp("topic") / "made")


def test_a_topic_writes_page_figure_and_numbers(written: tuple[str, list[Path]]) -> None:
    name, (page_path, svg, png, numbers) = written
    assert f"]({name}.svg)" in page_path.read_text(encoding="utf-8")
    assert svg.read_text(encoding="utf-8").rstrip().endswith("</svg>")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert len(numbers.read_text(encoding="utf-8").splitlines()) > 2


def test_a_second_run_drawn_from_the_numbers_of_the_first_writes_the_same_bytes(
    written: tuple[str, list[Path]], tmp_path: Path
) -> None:
    # So a figure shows nothing that its csv file does not hold.
    name, first = written
    columns, *rows = csv.reader(first[3].read_text(encoding="utf-8").splitlines())
    table = Table(tuple(columns), [[number(cell) for cell in row] for row in rows])
    second = write(dataclasses.replace(found(name), data=table), name, tmp_path)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_page_with_a_place_for_which_there_is_no_fact_is_not_written() -> None:
    with pytest.raises(KeyError):
        page("regression", RegressionTopic(), Table(("n",), []))


def test_a_table_keeps_all_digits_for_machines_and_four_for_people() -> None:
    table = Table(("n", "risk"), [(1, 1 / 3), (2, None)])
    assert table.csv() == "n,risk\n1,0.3333333333333333\n2,\n"
    assert table.markdown() == "| n | risk |\n| --- | --- |\n| 1 | 0.3333 |\n| 2 | – |"


def test_the_command_prints_the_table_and_says_where_the_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--set", "repetitions=40", "--set", "counts=[1]", "--set", "kappas=[1]", "--set", "labels=30"]
    monkeypatch.setattr(sys, "argv", ["outgrow", "theory", "regression", *settings, "--output", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    said = capsys.readouterr().out
    assert "κ = 1, noise ×3" in said
    assert str(tmp_path / "regression.svg") in said


def test_settings_for_all_topics_at_once_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["outgrow", "theory", "all", "--set", "seed=1"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert "Settings belong to one topic" in capsys.readouterr().err


def test_settings_that_do_not_exist_or_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="has no parameter 'concept'") as refused:
        create("topic", "regression", {"concept": 3})
    assert "did you mean 'concepts'?" in str(refused.value)
    with pytest.raises(ConfigError, match="counts must be at least 1"):
        create("topic", "regression", {"counts": [0, 1]})


def test_a_folder_that_cannot_be_written_to_is_an_error_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        write(found("regression"), "regression", tmp_path / "file")


@pytest.mark.parametrize("name", sorted(path.stem for path in DOCS.glob("[a-z]*.md")))
def test_the_page_in_the_repository_was_made_from_its_template(name: str) -> None:
    """Lines of the template without a place for a fact stand in the page word for word, in their order."""
    assert name in names("topic")
    made = (DOCS / f"{name}.md").read_text(encoding="utf-8").splitlines()
    template = (PAGES / f"{name}.md").read_text(encoding="utf-8").splitlines()
    rest = iter(made)
    missing = [line for line in template if "$" not in line and line not in rest]
    assert not missing, "run `make theory`"
    assert (DOCS / f"{name}.svg").is_file()
    assert (DOCS / f"{name}.csv").is_file()
