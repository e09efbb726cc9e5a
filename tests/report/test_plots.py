import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import pytest

from outgrow.evaluate import ModelScores, summarise
from outgrow.report.canvas import shortened
from outgrow.report.plots import dot_plot, plane

TEXT = re.compile(r"<text[^>]*>([^<]*)</text>")


def parsed(svg):
    # matplotlib writes xlink attributes; the namespace is declared on the root that the page does not need.
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))


def test_every_model_and_every_reference_line_is_named_in_the_dot_plot(one_metric):
    texts = TEXT.findall(dot_plot(one_metric.metrics[0], "p"))
    names = {"tfidf", "gpt2", "mean of supervisors", "untouched", "naive", "refined", "gold"}
    assert names | {"best supervisor", "base", "ceiling"} <= set(texts)


def test_a_lone_supervisor_is_not_called_the_best(bare):
    assert not {"best supervisor", "supervisor"} & set(TEXT.findall(dot_plot(bare.metrics[0], "p")))


def test_figures_are_well_formed(one_metric, two_metrics, bare, hostile):
    for summary in (one_metric, bare, hostile):
        parsed(dot_plot(summary.metrics[0], "p"))
    parsed(plane(*two_metrics.metrics, "q"))


def test_figures_are_the_same_every_time(two_metrics):
    assert dot_plot(two_metrics.metrics[0], "p") == dot_plot(two_metrics.metrics[0], "p")
    assert plane(*two_metrics.metrics, "p") == plane(*two_metrics.metrics, "p")


def test_figures_carry_no_date_and_no_colours_of_their_own(two_metrics):
    svg = plane(*two_metrics.metrics, "p")
    assert not re.search(r"#a1000\d|20\d\d-\d\d-\d\d|<metadata", svg)
    assert "var(--student)" in svg


def test_ids_of_two_figures_never_meet_and_all_references_resolve(two_metrics):
    figures = [dot_plot(metric, f"p{index}") for index, metric in enumerate(two_metrics.metrics)]
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in figures]
    assert not ids[0] & ids[1]
    for svg, own in zip(figures, ids, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= own


def test_names_are_text_not_markup_and_not_mathematics(hostile):
    svg = dot_plot(hostile.metrics[0], "p")
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg
    assert "$\\frac{1}{0}$ &amp; co" in TEXT.findall(svg)


def test_the_plane_names_every_model_that_has_both_metrics(two_metrics):
    texts = set(TEXT.findall(plane(*two_metrics.metrics, "p")))
    assert {"tfidf", "gpt2", "untouched", "naive", "refined", "gold", "content", "concept"} <= texts


def test_a_single_example_is_drawn_without_an_interval():
    summary = summarise([ModelScores("naive", "student", {"accuracy": [[1.0]], "f1": [[0.5]]})], {})
    parsed(dot_plot(summary.metrics[0], "p"))
    parsed(plane(*summary.metrics, "p"))


def test_letters_that_the_measuring_font_lacks_do_not_warn():
    summary = summarise([ModelScores("小さい模型", "student", {"accuracy": [[1.0, 0.0]]})], {})
    assert "小さい模型" in dot_plot(summary.metrics[0], "p")


def test_drawing_leaves_the_settings_of_the_caller_alone(one_metric):
    # Looking at the backend would choose one, and import pyplot for it.
    names = [name for name in matplotlib.rcParams if name != "backend"]
    before = {name: matplotlib.rcParams[name] for name in names}
    dot_plot(one_metric.metrics[0], "p")
    assert {name: matplotlib.rcParams[name] for name in names} == before


def test_drawing_does_without_pyplot():
    code = (
        "import sys; from outgrow.evaluate import ModelScores, summarise; from outgrow.report.plots import dot_plot; "
        "dot_plot(summarise([ModelScores('a', 'student', {'m': [[1.0, 0.0]]})], {}).metrics[0], 'p'); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("name", ["short", "a" * 26])
def test_a_short_name_stays_as_it_is(name):
    assert shortened(name) == name


def test_a_long_name_keeps_both_ends_and_control_characters_go():
    assert len(shortened("x" * 100)) <= 26
    assert shortened("start" + "-" * 50 + "end\x00\n") == "start--------…---------end"
