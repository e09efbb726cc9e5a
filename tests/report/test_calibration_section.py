import re

import numpy as np
import pytest

from outgrow.evaluate import Certainty, ModelScores, summarise
from outgrow.report.calibration import calibration_section, calibration_sentences
from outgrow.report.html import report_html


@pytest.fixture(scope="module")
def sentences(calibrated):
    return calibration_sentences(calibrated.calibration)


def about(sentences, start):
    (found,) = [sentence for sentence in sentences if sentence.startswith(start)]
    return re.findall(r"“(\w+)”", found) + ["the ceiling"] * ("the ceiling" in found)


def test_who_is_too_sure_and_who_not_sure_enough_is_named_the_worst_first(sentences):
    first, *others = about(sentences, "Overconfident")
    assert (first, set(others)) == ("mute", {"naive", "contrary"})
    assert about(sentences, "Underconfident") == ["timid"]
    assert about(sentences, "Neither over- nor underconfidence") == ["bayesian", "the ceiling"]


def test_a_shortfall_of_confidence_is_written_without_a_sign(sentences):
    (found,) = [sentence for sentence in sentences if sentence.startswith("Underconfident")]
    assert re.search(r"\(by \.0\d\d \[\.\d{3}, \.\d{3}\]\)", found)


def test_students_are_sorted_by_their_calibration_against_the_naive_one(sentences):
    assert set(about(sentences, "Better calibrated")) == {"naive", "timid", "bayesian"}
    assert set(about(sentences, "Worse calibrated")) == {"naive", "mute"}
    assert set(about(sentences, "Not to be told from")) == {"naive", "contrary"}


def test_vacuity_is_judged_by_whether_it_tells_of_errors(sentences):
    assert about(sentences, "Vacuity detects errors") == ["bayesian"]
    assert about(sentences, "Vacuity is higher for right answers") == ["contrary"]
    assert about(sentences, "Vacuity is not shown") == ["mute"]


def test_votes_that_called_right_answers_impossible_are_named_with_how_many(sentences):
    assert sentences[-1].startswith("Some right answers have a probability below 1e-12.")
    assert "“people” (50 %)" in sentences[-1]


def test_with_one_example_nothing_is_claimed():
    one = Certainty.of_choices([[0.9, 0.1]], [0], [0.5])
    found = summarise([ModelScores("naive", "student", {"accuracy": one.correct}, certainty=one)], {})
    assert [each.partition(":")[0] for each in calibration_sentences(found.calibration)] == [
        "Neither over- nor underconfidence is shown on these examples"
    ]


def test_many_students_are_counted_rather_than_listed():
    sure = Certainty.of_choices(np.tile([0.9, 0.1], (50, 1)), np.ones(50, dtype=int))
    many = [ModelScores(f"student{n}", "student", {"accuracy": sure.correct}, certainty=sure) for n in range(12)]
    (first, *_) = calibration_sentences(summarise(many, {}).calibration)
    assert first.count("student") == 8
    assert first.endswith("and 4 more.")


def test_the_table_has_a_row_for_everyone_and_every_number_with_its_interval(calibrated):
    section = calibration_section(calibrated.calibration)
    assert [row["name"] for row in section["rows"]] == [
        *("people", "naive", "timid", "bayesian", "contrary", "mute", "gold")
    ]
    cells = dict(zip(("ece", "change", "overconfidence", "brier", "nll"), section["rows"][2]["cells"], strict=True))
    assert re.fullmatch(r"−\.\d{3}", cells["change"][0])
    assert all(re.fullmatch(r"\[−?[\d.]+, −?[\d.]+\]", interval) for _, interval in cells.values())
    assert section["rows"][1]["cells"][1] == ("", "")


def test_without_students_there_is_a_table_and_no_figure():
    sure = Certainty.of_choices([[0.9, 0.1]] * 10, [0] * 10)
    found = summarise([ModelScores("votes", "supervisor", {"accuracy": sure.correct}, certainty=sure)], {})
    section = calibration_section(found.calibration)
    assert (section["reliability"], section["vacuity"], section["against"]) == (None, None, None)
    page = report_html("x", found, {})
    assert 'id="calibration"' in page
    assert "Reliability diagrams" not in page


def test_the_page_shows_calibration_only_where_somebody_is_sure_of_something(calibrated, one_metric):
    page = report_html("x", calibrated, {})
    assert page.count('role="img"') == 3
    assert "Reliability diagrams of naive, timid" in page
    assert "Error rate by vacuity of bayesian, contrary, mute" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert 'id="calibration"' not in report_html("x", one_metric, {})


def test_markup_in_names_comes_out_as_text_here_too():
    evil = "<script>alert(1)</script>"
    sure = Certainty.of_choices([[0.9, 0.1], [0.6, 0.4]] * 20, [0, 1] * 20, [0.1, 0.9] * 20)
    names = ("naive", evil)
    models = [ModelScores(name, "student", {"accuracy": sure.correct}, certainty=sure) for name in names]
    page = report_html("x", summarise([*models], {}), {})
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 4
