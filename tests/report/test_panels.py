import re
from xml.etree import ElementTree

import pytest

from outgrow.evaluate import Certainty, ModelScores, summarise
from outgrow.report.calibration import reliability_diagram, vacuity_plot

TEXT = re.compile(r"<text[^>]*>([^<]*)</text>")


def parsed(svg):
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))


@pytest.fixture(scope="module")
def students(calibrated):
    return [line for line in calibrated.calibration.lines if line.role != "supervisor"]


@pytest.fixture(scope="module")
def evidential(students):
    return [line for line in students if line.vacuity]


def test_every_model_has_a_panel_with_its_name(students, evidential):
    assert {"naive", "timid", "gold", "confidence", "accuracy"} <= set(TEXT.findall(reliability_diagram(students, "p")))
    assert {"bayesian", "mute", "error rate"} <= set(TEXT.findall(vacuity_plot(evidential, "p")))


def test_panels_stand_three_in_a_row_and_rows_add_height(students):
    heights = [
        float(re.search(r'viewBox="0 0 \S+ (\S+)"', reliability_diagram(students[:count], "p")).group(1))
        for count in (1, 3, 4, 6)
    ]
    assert heights[0] == heights[1] < heights[2] == heights[3]


def test_the_area_is_written_into_the_panel(evidential):
    areas = [text for text in TEXT.findall(vacuity_plot(evidential, "p")) if text.startswith("AUROC")]
    assert areas == [f"AUROC {line.vacuity.detection.value:.2f}".replace("0.", ".") for line in evidential]


def test_figures_are_well_formed_the_same_every_time_and_without_colours_of_their_own(students, evidential):
    for draw, lines in ((reliability_diagram, students), (vacuity_plot, evidential)):
        svg = draw(lines, "p")
        parsed(svg)
        assert svg == draw(lines, "p")
        assert not re.search(r"#a1000\d|<metadata", svg)
        assert "var(--student)" in svg


def test_one_sure_example_and_a_vacuity_that_is_always_the_same_can_be_drawn():
    sure = Certainty.of_choices([[1.0, 0.0]], [0], [1.0])
    summary = summarise([ModelScores("naive", "student", {"accuracy": sure.correct}, certainty=sure)], {})
    parsed(reliability_diagram(summary.calibration.lines, "p"))
    parsed(vacuity_plot(summary.calibration.lines, "p"))
