"""Students that differ in one number: which they are, whom they are compared with, and from where on it pays."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.evaluate import ModelScores, find_sweeps, performance_gap, summarise
from outgrow.evaluate.summary import Estimate, SweepPoint
from outgrow.evaluate.sweeps import pays_from

EXAMPLES = 100


def icl(*numbers, **more):
    return {f"icl-{n}": {"refine": {"name": "icl", "demonstrations": n}, **more} for n in numbers}


def right(count):
    """Two runs, right on the first examples."""
    return np.tile(np.arange(EXAMPLES) < count, (2, 1)).astype(float)


def swept(methods, **counts):
    """The sweeps of students that are right on so many examples, on every metric."""
    models = [
        ModelScores(name.replace("_", "-"), "student", {"content": right(count)} if isinstance(count, int) else count)
        for name, count in counts.items()
    ]
    return summarise(models, {}, sweeps=find_sweeps(methods)).sweeps


def test_methods_that_differ_in_one_number_are_a_sweep_in_its_order():
    (sweep,) = find_sweeps({**icl(8, 1, 2), "naive": {"refine": None}})
    assert (sweep.setting, sweep.reference) == ("refine.demonstrations", "naive")
    assert list(sweep.values.items()) == [("icl-1", 1), ("icl-2", 2), ("icl-8", 8)]


@pytest.mark.parametrize(
    "methods",
    [
        {},
        icl(4),
        {"a": {"refine": {"demonstrations": 4}}, "b": {"refine": {"demonstrations": 4}}},
        {"a": {"refine": {"demonstrations": 4, "draws": 1}}, "b": {"refine": {"demonstrations": 2, "draws": 3}}},
        {"a": {"refine": {"demonstrations": 4}}, "b": {"refine": {"demonstrations": 2}, "objective": "bayesian"}},
        {"a": {"refine": {"pooled": True}}, "b": {"refine": {"pooled": False}}},
        {"a": {"refine": {"demonstrations": 4}}, "b": {"refine": {"demonstrations": None}}},
        {"a": {"refine": {"demonstrations": 4}}, "b": {}},
        {"a": {"gamma": float("nan")}, "b": {"gamma": 1.0}},
    ],
    ids=["nothing", "one", "equal", "two numbers", "more than it", "truth values", "unset", "default", "not finite"],
)
def test_anything_else_is_none(methods):
    assert find_sweeps(methods) == ()


def test_a_grid_is_a_sweep_for_every_row_and_column():
    grid = {f"{n}x{d}": {"refine": {"demonstrations": n, "draws": d}} for n in (1, 2) for d in (3, 5)}
    found = {(sweep.setting, tuple(sweep.values)) for sweep in find_sweeps(grid)}
    rows = {("refine.demonstrations", ("1x3", "2x3")), ("refine.demonstrations", ("1x5", "2x5"))}
    assert found == rows | {("refine.draws", ("1x3", "1x5")), ("refine.draws", ("2x3", "2x5"))}


def test_a_number_in_a_list_is_found():
    methods = {str(n): {"chain": [{"model": "m", "rows": n}]} for n in (10, 20)}
    assert find_sweeps(methods)[0].setting == "chain.0.rows"


def test_of_equal_methods_the_first_counts():
    methods = {**icl(1, 2), "again": {"refine": {"name": "icl", "demonstrations": 2}}}
    assert list(find_sweeps(methods)[0].values) == ["icl-1", "icl-2"]


def test_the_same_method_without_the_part_is_the_reference_before_naive():
    methods = {"naive": {}, "plain": {"objective": "bayesian", "refine": None}, **icl(1, 2, objective="bayesian")}
    assert find_sweeps(methods)[0].reference == "plain"


def test_another_choice_at_the_same_door_is_no_reference():
    methods = {"inferred": {"refine": "infer_and_respond"}, **icl(1, 2)}
    assert find_sweeps(methods)[0].reference is None


def test_the_start_that_was_planted_is_found():
    (sweep,) = swept({"naive": {}, **icl(1, 2, 4)}, naive=40, icl_1=41, icl_2=70, icl_4=90)
    (content,) = sweep.metrics
    assert content.pays_from == 2
    assert [point.gain.value for point in content.points] == pytest.approx([0.01, 0.3, 0.5])
    assert (content.best, content.fall) == (4, None)


def test_what_does_not_last_to_the_largest_number_does_not_pay_from_any_on():
    (sweep,) = swept({"naive": {}, **icl(1, 2, 4)}, naive=40, icl_1=70, icl_2=90, icl_4=40)
    content = sweep.metrics[0]
    assert content.pays_from is None
    assert [point.sign > 0 for point in content.points] == [True, True, False]
    assert (content.best, content.fall.value) == (2, pytest.approx(-0.5))
    assert content.fall.interval[1] < 0


def test_differences_that_may_be_chance_pay_nowhere():
    (sweep,) = swept({"naive": {}, **icl(1, 2)}, naive=40, icl_1=41, icl_2=42)
    assert sweep.metrics[0].pays_from is None
    assert not any(point.sign for point in sweep.metrics[0].points)


def test_harm_is_not_taken_for_gain():
    (sweep,) = swept({"naive": {}, **icl(1, 2)}, naive=60, icl_1=20, icl_2=40)
    assert sweep.metrics[0].pays_from is None
    assert all(point.sign < 0 for point in sweep.metrics[0].points)


def test_the_gain_is_the_paired_one_of_the_same_scores_alone():
    (sweep,) = swept({"naive": {}, **icl(1, 2)}, naive=40, icl_1=41, icl_2=70)
    alone = performance_gap(right(70), right(10), right(90), base=right(40))
    assert sweep.metrics[0].points[1].gain.interval == pytest.approx(alone.gain_interval)


def test_every_metric_has_a_start_of_its_own():
    scores = {
        "naive": {"content": right(40), "concept": right(99)},
        "icl_1": {"content": right(70), "concept": right(10)},
        "icl_2": {"content": right(80), "concept": right(99)},
    }
    (sweep,) = swept({"naive": {}, **icl(1, 2)}, **scores)
    assert {each.metric: each.pays_from for each in sweep.metrics} == {"content": 1, "concept": None}


def test_a_metric_that_only_one_of_them_has_is_left_out():
    scores = {
        "icl_1": {"content": right(70)},
        "icl_2": {"content": right(80), "rating": right(9)},
    }
    (sweep,) = swept(icl(1, 2), **scores)
    assert [each.metric for each in sweep.metrics] == ["content"]
    assert all(point.gain is None for point in sweep.metrics[0].points)
    assert swept(icl(1, 2), icl_1={"content": right(70)}) == ()


def test_a_single_example_says_nothing():
    scores = {
        name: {"content": np.array([[value]])} for name, value in (("naive", 0.0), ("icl_1", 1.0), ("icl_2", 1.0))
    }
    (sweep,) = swept({"naive": {}, **icl(1, 2)}, **scores)
    assert sweep.metrics[0].pays_from is None


def test_sweeps_are_plain_json():
    models = [ModelScores(name, "student", {"content": right(50)}) for name in ("icl-1", "icl-2")]
    summary = summarise(models, {}, sweeps=find_sweeps(icl(1, 2)))
    (plain,) = json.loads(json.dumps(summary.to_dict(), allow_nan=False))["sweeps"]
    assert plain["setting"] == "refine.demonstrations"
    assert [point["value"] for point in plain["metrics"][0]["points"]] == [1, 2]


@given(st.lists(st.sampled_from([(0.1, 0.3), (-0.1, 0.1), (-0.3, -0.1)]), min_size=1))
def test_it_pays_from_the_first_number_after_the_last_that_is_not_better(intervals):
    points = [
        SweepPoint(number, str(number), Estimate(0.5, None), Estimate(0.0, interval))
        for number, interval in enumerate(intervals)
    ]
    start = 1 + max((number for number, (low, _) in enumerate(intervals) if low <= 0), default=-1)
    assert pays_from(points) == (start if start < len(points) else None)
