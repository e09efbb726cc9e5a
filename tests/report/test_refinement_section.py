"""The report's section on refinement."""

from __future__ import annotations

from outgrow.refine.audit import audit
from outgrow.report.html import report_html
from outgrow.results import _plain


def audited(**about) -> dict:
    found = audit(["a?", "b?"], [["x"], ["y"]], ["x", "z"], concepts=["<script>pirate</script>"] * 2)
    return _plain({"method": "m <b>", "seed": 0, **found.to_json(), **about})


def test_what_was_inferred_is_shown_and_escaped(two_metrics) -> None:
    page = report_html("r", two_metrics, {"refinement": [audited()]})
    assert "Refinement, before training" in page
    assert "&lt;script&gt;pirate" in page
    assert "<script>" not in page
    assert "m &lt;b&gt;" in page


def test_scores_stand_in_the_order_weak_refined_base(two_metrics) -> None:
    scores = {"content": {"weak": 0.4, "refined": 0.9, "base": 1.0}}
    page = report_html("r", two_metrics, {"refinement": [audited(scores=scores, sample=64)]})
    assert ".400, .900, 1.000" in page
    assert "64 rows" in page


def test_without_refinement_there_is_no_section(two_metrics) -> None:
    assert "before training" not in report_html("r", two_metrics, {})
