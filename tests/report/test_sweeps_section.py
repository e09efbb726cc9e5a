"""What the report says and shows of students that differ in one number."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from outgrow.evaluate import ModelScores, find_sweeps, summarise
from outgrow.report.html import report_html
from outgrow.report.plots import sweep_plot
from outgrow.report.sweeps import sweep_sentences
from outgrow.report.table import table_text


def summary_of(counts, *, naive=40, metrics=("content",), name="icl-{}", part="refine", key="demonstrations"):
    """Students right on so many of 100 examples, by number; beside them the naive one, base and ceiling."""
    methods = {name.format(number): {part: {key: number}} for number in counts}
    right = dict(zip(methods, counts.values(), strict=True)) | ({"naive": naive} if naive is not None else {})
    scores = {who: {metric: np.arange(100)[None] < count for metric in metrics} for who, count in right.items()}
    models = [ModelScores(who, "student", own) for who, own in scores.items()]
    for role, count in (("base", 95), ("ceiling", 97)):
        models.append(ModelScores(role, role, {metric: np.arange(100)[None] < count for metric in metrics}))
    return summarise(models, {}, sweeps=find_sweeps({"naive": {}, **methods}))


def sentence(*args, **more):
    (only,) = sweep_sentences(summary_of(*args, **more))
    return only


def test_where_it_starts_to_pay_is_said_with_the_gain_there():
    said = sentence({1: 41, 2: 80, 4: 90})
    assert said.startswith("On content, refinement pays from demonstrations = 2 on: +.400 [")
    assert "over “naive”; at 1 not told apart (+.010 [" in said
    assert said.endswith("The mean never falls as the number grows.")


def test_where_every_value_pays_both_ends_are_given():
    said = sentence({1: 70, 2: 80, 4: 75})
    assert "pays at every value tested (demonstrations = 1 to 4): +.300 [" in said
    assert "+.350 [" in said


def test_a_start_at_the_largest_value_is_called_that():
    assert "pays at demonstrations = 4 only, the largest value tested: +.500" in sentence({1: 41, 2: 42, 4: 90})


def test_what_pays_in_the_middle_only_is_not_said_to_pay_from_there_on():
    said = sentence({1: 41, 2: 80, 4: 20})
    assert "pays at demonstrations = 2, but not from any value on; at 1 not told apart" in said
    assert "at 4 worse (-.200 [" in said
    assert " on:" not in said


def test_nowhere_is_said_with_the_largest_gain_and_the_harm():
    said = sentence({1: 10, 2: 41})
    assert "pays nowhere (demonstrations = 1 to 2): the largest gain over “naive” is +.010 [" in said
    assert "at 2; at 1 worse (-.300 [" in said


def test_without_anything_to_compare_nothing_is_claimed():
    said = sentence({1: 10, 2: 80}, naive=None)
    assert "it cannot be said whether refinement pays (demonstrations = 1 to 2)" in said


@pytest.mark.parametrize(
    ("counts", "shape"),
    [
        ((50, 60, 70), "The mean never falls as the number grows."),
        ((50, 50, 50), "The mean is the same at every value."),
        ((70, 60, 50), "the mean never rises: it is highest at 1 (.700), and the change from there to 4 is -.200 ["),
        ((50, 70, 60), "neither rises nor falls throughout: it is highest at 2 (.700), and the change"),
        ((50, 70, 69), "which may be chance."),
        ((70, 50, 70), "neither rises nor falls throughout: it is highest at 1 (.700)."),
    ],
)
def test_the_shape_of_the_curve_is_told_as_it_is(counts, shape):
    assert shape in sentence(dict(zip((1, 2, 4), counts, strict=True)))


def test_a_part_is_called_by_its_name():
    assert "On content, the objective pays" in sentence({0.1: 80, 0.5: 90}, part="objective", key="gamma")
    assert "`chain` pays" in sentence({10: 80, 20: 90}, part="chain", key="rows")


def test_every_metric_has_a_sentence_in_table_and_page():
    summary = summary_of({1: 41, 2: 80}, metrics=("content", "concept"))
    assert len(sweep_sentences(summary)) == 2
    for shown in (table_text(summary), report_html("r", summary, {})):
        for metric in ("content", "concept"):
            assert f"On {metric}, refinement pays" in shown


def test_the_page_shows_a_table_and_a_figure_for_each_metric():
    page = report_html("r", summary_of({1: 41, 2: 80}, metrics=("content", "concept")), {})
    section = page[page.index('<h2 id="sweeps">') :]
    section = section[: section.index("</section>")]
    assert section.count("<svg") == 2
    assert "content − naive’s" in section
    assert "+.400" in section


def test_without_a_sweep_there_is_no_section(one_metric):
    assert 'id="sweeps"' not in report_html("r", one_metric, {})


def test_names_of_students_are_escaped():
    page = report_html("r", summary_of({1: 41, 2: 80}, name="<script>{}"), {})
    assert "<script" not in page
    assert "&lt;script&gt;1" in page


@pytest.mark.parametrize("values", [(1, 2, 4, 8), (0, 1, 100), (-0.5, 0.25), (3, 4)])
def test_the_figure_names_every_value_and_every_line_it_is_compared_with(values):
    summary = summary_of(dict(zip(values, (41, 60, 80, 90), strict=False)))
    (sweep,) = summary.sweeps
    svg = sweep_plot(summary.metrics[0], sweep.metrics[0], sweep, "p")
    ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))
    texts = set(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
    named = {"naive", "base", "ceiling", "content", "refine.demonstrations"}
    assert named | {f"{value:g}" for value in values} <= texts
    assert svg == sweep_plot(summary.metrics[0], sweep.metrics[0], sweep, "p")
    assert not re.search(r"#a1000\d", svg)
