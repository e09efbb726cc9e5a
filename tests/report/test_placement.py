import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from outgrow.report.canvas import Box, place_labels, spread_apart, stack_levels

FRAME = Box(0, 0, 300, 300)


def boxes_of(corners, sizes):
    return [Box(x, y, x + width, y + height) for (x, y), (width, height) in zip(corners, sizes, strict=True)]


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(1, 80)), max_size=8))
def test_labels_on_one_level_never_meet_on_either_side(spans):
    levels = stack_levels(spans)
    for one in range(len(spans)):
        for other in range(one):
            if levels[one] == levels[other]:
                assert abs(spans[one][0] - spans[other][0]) >= spans[one][1] + spans[other][1]


def test_labels_far_apart_share_the_lowest_level():
    assert stack_levels([(0, 10), (100, 10), (200, 10)]) == [0, 0, 0]


def test_labels_of_points_in_one_place_do_not_cover_each_other():
    sizes = [(40.0, 11.0)] * 6
    placed = boxes_of(place_labels([(150, 150)] * 6, sizes, [], FRAME), sizes)
    assert all(one.overlap(other) == 0 for index, one in enumerate(placed) for other in placed[:index])


def test_a_label_keeps_clear_of_bars():
    bar = Box(100, 148, 200, 152)
    sizes = [(40.0, 11.0)]
    placed = boxes_of(place_labels([(150, 150)], sizes, [bar, Box(148, 140, 152, 180)], FRAME), sizes)
    assert placed[0].overlap(bar) == 0


def test_a_label_at_the_edge_stays_inside_the_frame():
    sizes = [(40.0, 11.0)]
    (placed,) = boxes_of(place_labels([(299, 299)], sizes, [], FRAME), sizes)
    assert placed.overlap(FRAME) == 40 * 11


def test_distance_is_to_the_nearest_edge_and_zero_inside():
    box = Box(0, 0, 10, 10)
    assert (box.distance((5, 5)), box.distance((13, 14)), box.distance((-2, 5))) == (0, 5, 2)


@given(st.lists(st.floats(0, 100), max_size=8))
def test_places_are_spread_apart_in_their_order_and_on_the_line(places):
    moved = spread_apart(places, 10.0, 100.0)
    order = np.argsort(places, kind="stable")
    assert (np.diff(np.array(moved)[order]) >= 10.0 - 1e-9).all()
    assert all(-1e-9 <= place <= 100 for place in moved)


@given(st.lists(st.integers(0, 9), unique=True))
def test_places_that_are_apart_stay(places):
    wanted = [10.0 * place for place in places]
    assert spread_apart(wanted, 10.0, 100.0) == wanted
