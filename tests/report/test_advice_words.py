"""Advice in words."""

import re
from pathlib import Path

import numpy as np
import pytest

from outgrow.combine import combine
from outgrow.combine.advice import votes_advice
from outgrow.evaluate.advice import gold_note, method_note
from outgrow.labels import Note
from outgrow.report.advice import advice_text, findings
from outgrow.report.html import report_html

ROWS = {"measure": 100, "correct": 50, "wrong": 0.3, "all": 0.02, "file": None}


def noted(names=("ann", "bob", "eve", "ida")):
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 800)
    cast = [
        (row, name, int(truth[row] if random.random() < right else 1 - truth[row]))
        for row in range(800)
        for name, right in zip(names, (0.9, 0.8, 0.7, 0.2), strict=True)
    ]
    return votes_advice(combine(cast))


def every_base():
    scores = {"metric": "exact", "base": 0.7, "weak": 0.3}
    yield {"verdict": "unknown"}
    yield {"verdict": "refine", **scores, "sample": 64}
    yield {"verdict": "keep", **scores, "student": "naive", "gain": [-0.2, -0.3, -0.1]}
    yield {"verdict": "train", **scores, "student": None, "gain": None}


def every_gold():
    about = {
        "metric": "accuracy",
        "student": "naive",
        "floor": "ann",
        "gap": 0.2,
        "rows": 300,
        "seeds": 3,
        "width": 0.5,
    }
    yield {**about, "pgr": [0.5, 0.1, 0.9], "needed": 900}
    yield {**about, "pgr": [0.5, 0.4, 0.6], "needed": 300}
    yield {**about, "pgr": None, "needed": None}
    yield {**about, "pgr": None, "needed": None, "gap": -0.1}
    yield gold_note(None, (), []).values
    yield gold_note(None, (), [Note("advice.votes", values={"expected": 0.999})]).values


EVERY = [
    *noted(),
    *votes_advice(combine([[0], [1], [1]])),
    *votes_advice(combine(np.full((4, 2), -1), choices=2)),
    method_note(texts=True),
    method_note(texts=False, choices=4, by_row=True),
    Note("advice.method", values={**method_note(texts=False, choices=2).values, "best": "naive", "score": 0.8}),
    method_note(texts=False, choices=2, gold=200),
    *[Note("advice.base", values=values) for values in every_base()],
    *[Note("advice.gold", values=values) for values in every_gold()],
    Note("advice.learnable", values={"kappa": None}),
    Note("advice.learnable", "caution", values={"kappa": None, "student": 0.55, "combined": 0.95}),
    Note("advice.learnable", values={"kappa": 0.6, "error": 0.02, "beyond": True}),
    Note("advice.learnable", "caution", values={"kappa": 0.01, "error": 0.02, "beyond": False}),
    Note("advice.rows", values=ROWS),
    Note("advice.rows", values={**ROWS, "file": "rows.csv"}),
    Note("advice.rows", values={**ROWS, "correct": 0}),
]


@pytest.mark.parametrize("note", EVERY, ids=lambda note: note.code)
def test_every_finding_has_a_reason_and_a_next_step(note):
    (found,) = findings([note])
    assert found.reason.endswith(".")
    assert found.next_step
    assert "None" not in found.reason + found.doubt + found.next_step
    assert "nan" not in found.reason


@pytest.mark.parametrize("note", [note for note in EVERY if note.code == "advice.method"])
def test_figures_of_methods_are_those_of_the_pages_that_have_measured_them(note):
    docs = Path(__file__).parents[2] / "docs"
    pages = "".join((docs / page).read_text() for page in ("choosing.md", "tutorials/persona.md"))
    (found,) = findings([note])
    for figure in re.findall(r"(?<![\d.])−?\.\d+ \[[^]]*\]", found.reason + found.doubt):
        assert figure in pages.replace("+", ""), figure


def test_notes_on_other_things_are_left_out():
    assert findings([Note("seeds.few", values={"seeds": 1})]) == []


def test_what_is_grave_is_marked_and_lines_fit_the_terminal():
    text = advice_text([*noted(), Note("advice.rows", values=ROWS)], width=60)
    assert "! Who is how good?" in text
    assert "\nWhich rows to label?" in text
    assert max(map(len, text.splitlines())) <= 60


def test_names_that_a_terminal_or_a_browser_would_obey_are_shown_as_text(one_metric):
    names = ("\x1b[31mred", "<script>alert(1)</script>", "eve", "x" * 500)
    notes = noted(names)
    assert "\x1b" not in advice_text(notes)
    assert "x" * 60 not in advice_text(notes)
    page = report_html("trial", one_metric, {}, advice=notes)
    assert "<script>alert" not in page
    assert "Who is how good?" in page


def test_a_report_without_advice_has_no_such_section(one_metric):
    assert 'id="advice"' not in report_html("trial", one_metric, {})
    assert 'id="advice"' in report_html("trial", one_metric, {}, advice=EVERY)
