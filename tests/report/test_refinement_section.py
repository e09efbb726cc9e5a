"""The report's section on refinement."""

from __future__ import annotations

import json

import numpy as np

from outgrow.labels import ChoiceTargets
from outgrow.refine.audit import TextAudit
from outgrow.refine.choice_audit import ChoiceAudit
from outgrow.refine.wording import Wording
from outgrow.report.html import report_html
from outgrow.report.refinement import audit_text, refinement_section
from outgrow.results import plain


def audited(**about) -> dict:
    found = TextAudit.of(["a?", "b?"], [["x"], ["y"]], ["x", "z"], concepts=["<script>pirate</script>"] * 2)
    return plain({**found.to_json("m <b>", 0), **about})


def test_what_was_inferred_is_shown_and_escaped(two_metrics) -> None:
    page = report_html("r", two_metrics, {"refinement": [audited()]})
    assert "Refinement, before training" in page
    assert "&lt;script&gt;pirate" in page
    assert "<script>" not in page
    assert "m &lt;b&gt;" in page


def test_an_audit_is_told_on_a_terminal_without_what_is_not_known_or_what_a_terminal_obeys() -> None:
    scores = {"content": {"weak": 0.4, "refined": 0.9, "base": 1.0}}
    told = audit_text(audited(scores=scores, sample=1, concepts=[("pirate\x1b[2J", 2)]))
    assert told.splitlines() == [
        "2 refined answers; 1 of them looked at closely",
        "as weak                        50 %",
        "length                         1.00",
        "empty or refusing              0 %",
        "content (weak, refined, base)  .400, .900, 1.000",
        "2 rows behind 'pirate\\x1b[2J'",
    ]


def test_scores_stand_in_the_order_weak_refined_base(two_metrics) -> None:
    scores = {"content": {"weak": 0.4, "refined": 0.9, "base": 1.0}}
    page = report_html("r", two_metrics, {"refinement": [audited(scores=scores, sample=64)]})
    assert ".400, .900, 1.000" in page
    assert "64 rows" in page


def test_warnings_are_records_and_entries_of_older_files_whose_warnings_are_sentences_still_show(two_metrics) -> None:
    own = audited(silent=1.0)
    assert {note["severity"] for note in own["warnings"]} <= {"warning"}
    json.dumps(own)
    old = {**own, "warnings": ["refinement breaks down."]}
    assert refinement_section([old]) == refinement_section([own])
    assert "m &lt;b&gt;" in report_html("r", two_metrics, {"refinement": [old]})


def test_whose_wording_it_is_stands_with_its_interval_or_with_how_well_it_can_be_told() -> None:
    def cell(**worded) -> str:
        section = refinement_section([audited(**worded)])
        assert section is not None
        return dict(zip(section["columns"], section["rows"][0]["cells"], strict=True))["worded as weak"]

    assert cell(wording=plain(vars(Wording(64, 0.98, 0.42, 0.3, 0.54)))) == "42 % [30 %, 54 %]"
    assert cell(wording=plain(vars(Wording(64, 0.52)))) == "cannot tell (52 %)"
    assert cell(wording=plain(vars(Wording(3)))) == "—"
    assert cell() == "—"


def test_without_refinement_there_is_no_section(two_metrics) -> None:
    assert 'id="refinement"' not in report_html("r", two_metrics, {})


def choices_audited(choices=("no", "yes")) -> dict:
    count = len(choices)
    weak = ChoiceTargets(("a", "b"), np.eye(count)[[0, 1]], np.ones(2))
    refined = ChoiceTargets(("a", "b"), np.eye(count)[[1, 1]] * 0.5 + 0.5 / count, np.ones(2))
    found = ChoiceAudit.of(choices, weak, refined).compared(weak.probs, refined.probs, None, np.array([1, 1]))
    return plain(found.to_json("icl", 2))


def test_refined_choices_are_told_before_and_after() -> None:
    section = refinement_section([choices_audited()])
    assert section is not None
    told = dict(zip(section["columns"], section["rows"][0]["cells"], strict=True))
    assert told == {
        "as weak": "50 %",
        "as base": "—",
        "labels": "no 50 % → 0 %, yes 50 % → 100 %",
        "confidence": "1.00 → .75",
        "entropy": ".00 → .81",
        "draws agree": "100 %",
        "accuracy": ".500, 1.000, —",
    }


def test_of_many_choices_those_that_changed_most_are_told() -> None:
    section = refinement_section([choices_audited(tuple("abcdefgh"))])
    assert section is not None
    assert section["rows"][0]["cells"][2].startswith("a 50 % → 0 %, b 50 % → 100 %, ")


def test_names_of_choices_are_escaped(two_metrics) -> None:
    page = report_html("r", two_metrics, {"refinement": [choices_audited(("<b>no", "yes"))]})
    assert "&lt;b&gt;no 50 %" in page
    assert "2 unlabelled rows" in page
