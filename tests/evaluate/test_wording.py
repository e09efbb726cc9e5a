import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.evaluate.wording import estimate_text, number_text, probability_text, share_text


@given(st.floats(-100, 100))
def test_a_written_number_reads_back_to_its_precision(value):
    assert float(number_text(value)) == pytest.approx(value, abs=0.0005001)


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, ".250"), (-0.25, "-.250"), (10.5, "10.500"), (0, ".000"), (0.9999, "1.000")]
)
def test_the_idle_zero_is_left_out(value, text):
    assert number_text(value) == text


def test_nothing_has_no_sign():
    assert number_text(-0.0002, signed=True) == number_text(0.0002, signed=True) == ".000"


def test_an_estimate_without_an_interval_stands_alone():
    assert estimate_text(0.5, None) == ".500"


def test_the_sign_of_a_difference_is_written_once():
    assert estimate_text(0.2, (-0.1, 0.5), signed=True, decimals=2) == "+.20 [-.10, .50]"


@pytest.mark.parametrize(("p", "text"), [(0.05, "p = .050"), (0.00099, "p < .001"), (1.0, "p = 1.000")])
def test_a_p_value_is_never_written_as_zero(p, text):
    assert probability_text(p) == text


@pytest.mark.parametrize(("share", "text"), [(0, "0 %"), (0.001, "< 1 %"), (0.5, "50 %")])
def test_a_share_that_is_not_nothing_is_not_written_as_nothing(share, text):
    assert share_text(share) == text
