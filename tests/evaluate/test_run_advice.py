"""Advice on a run: rows that an interval of PGR takes, the base, the method, and what can be learned."""

import numpy as np
import pytest

from outgrow.evaluate import ModelScores, performance_gap, summarise
from outgrow.evaluate.advice import gold_note, method_note, rows_by_bound, run_advice
from outgrow.evaluate.variance import mean_scores, rows_for_width
from outgrow.labels import Note

NOTHING = summarise([ModelScores("naive", "student", {})], {})
CHOICES = {"choices": {"names": ["no", "yes"], "by_row": False}, "sizes": {"validation": 0}}
TEXTS = {"choices": None, "sizes": {"validation": 0}}


def answers(share, examples, seeds=1, *, seed=0, together=0.0):
    """Right answers of models that agree on a part of the examples."""
    random = np.random.default_rng(seed)
    common = np.random.default_rng(99).random(examples)
    own = random.random((seeds, examples))
    return (np.where(np.random.default_rng(98).random(examples) < together, common, own) < share).astype(float)


def three(examples, *, seed=0, seeds=1, together=0.5):
    return [answers(share, examples, seeds, seed=seed + place, together=together) for place, share in
            enumerate((0.65, 0.75, 0.85))]  # fmt: skip


def models(examples=400, **shares):
    roles = {"ann": "supervisor", "naive": "student", "gold": "ceiling", "base": "base"}
    shares = {"ann": 0.6, "naive": 0.7, "gold": 0.85, **shares}
    return [
        ModelScores(name, roles[name], {"accuracy": answers(share, examples, seed=place, together=0.7)})
        for place, (name, share) in enumerate(shares.items())
    ]


def advice(given, provenance=CHOICES, notes=(), **options):
    found = run_advice(summarise(given, {}), given, provenance, notes, **options)
    return {note.code.removeprefix("advice."): note for note in found}


def test_as_many_rows_as_planned_make_the_interval_about_as_narrow_as_wanted():
    scores = mean_scores(three(400))
    rows = rows_for_width(scores, [-1, 1, 0], [-1, 0, 1], 0.2)
    assert rows > 400
    widths = []
    for seed in range(0, 60, 3):
        floor, student, ceiling = three(rows, seed=seed)
        low, high = performance_gap(student, floor, ceiling).pgr_interval
        widths.append(high - low)
    assert np.mean(widths) == pytest.approx(0.2, rel=0.25)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_interval_that_is_there_takes_no_further_rows(seeds):
    floor, student, ceiling = three(400, seeds=seeds)
    low, high = performance_gap(student, floor, ceiling).pgr_interval
    scores = mean_scores([floor, student, ceiling])
    assert rows_for_width(scores, [-1, 1, 0], [-1, 0, 1], high - low + 1e-6) == 400
    assert rows_for_width(scores, [-1, 1, 0], [-1, 0, 1], high - low - 0.01) > 400


def test_no_number_of_rows_helps_where_seeds_differ_or_there_is_no_gap():
    floor, student, ceiling = three(300)
    lucky = np.stack([student[0], np.zeros(300), np.ones(300)])
    apart = mean_scores([np.repeat(floor, 3, axis=0), lucky, np.repeat(ceiling, 3, axis=0)])
    assert rows_for_width(apart, [-1, 1, 0], [-1, 0, 1], 0.2) is None
    assert rows_for_width(mean_scores([ceiling, student, floor]), [-1, 1, 0], [-1, 0, 1], 0.2) is None


def test_the_bound_is_enough_rows_for_models_that_err_independently():
    rows = rows_by_bound(0.65, 0.2, 0.5)
    widths = []
    for seed in range(0, 60, 3):
        floor, student, ceiling = three(rows, seed=seed, together=0.0)
        low, high = performance_gap(student, floor, ceiling).pgr_interval
        widths.append(high - low)
    assert np.median(widths) < 0.5


def test_gold_rows_are_planned_from_the_scores_of_the_run():
    values = advice(models(), width=0.2)["gold"].values
    assert (values["student"], values["floor"], values["rows"]) == ("naive", "ann", 400)
    assert values["needed"] > 400


def test_gold_rows_are_planned_by_the_bound_above_the_combined_votes_without_a_ceiling():
    votes = [Note("advice.votes", values={"expected": 0.9})]
    values = gold_note(None, (), votes, 0.5).values
    assert values["floor"] == 0.9
    assert values["bound"] == {
        "0.05": rows_by_bound(0.9, 0.05, 0.5),
        "0.10": rows_by_bound(0.9, 0.1, 0.5),
        "0.20": None,
    }
    assert gold_note(None, (), [], 0.5).values["source"] == "not known"


@pytest.mark.parametrize(
    ("settings", "start"),
    [
        ({"texts": True}, "texts"),
        ({"texts": False, "choices": 2}, "in_the_loop"),
        ({"texts": False, "choices": 18}, "in_the_loop"),
        ({"texts": False, "choices": 18, "by_row": True}, "naive"),
        ({"texts": False, "choices": 2, "gold": 100}, "validated"),
        ({"texts": False, "choices": 4, "by_row": True, "gold": 500}, "naive"),
    ],
)
def test_the_method_depends_on_task_choices_and_gold(settings, start):
    assert method_note(**settings).values["start"] == start


def test_the_best_student_of_the_run_is_named():
    values = advice(models())["method"].values
    assert (values["best"], values["start"]) == ("naive", "in_the_loop")


def test_rows_with_choices_of_their_own_and_results_without_a_task_have_less_advice():
    own = {**CHOICES, "choices": {"names": ["A", "B"], "by_row": True}}
    assert advice(models(), provenance=own).keys() == {"method", "gold"}
    assert advice(models(), provenance={}).keys() == {"gold"}


@pytest.mark.parametrize(("kappa", "severity"), [(0.4, "info"), (0.02, "caution")])
def test_a_kappa_that_may_be_chance_is_a_caution(kappa, severity):
    note = Note("refined.agreement", values={"kappa": kappa, "error": 0.03})
    assert advice(models(), notes=[note])["learnable"].severity == severity


def test_votes_far_above_every_student_are_a_caution():
    votes = ModelScores("majority", "combined", {"accuracy": answers(0.99, 400)})
    note = advice([*models(), votes])["learnable"]
    assert (note.severity, note.values["combined"] > 0.95) == ("caution", True)


def test_without_a_cross_fitted_student_nothing_is_said_of_learning():
    assert advice(models())["learnable"].values == {"kappa": None}


@pytest.mark.parametrize(
    ("base", "student", "verdict"), [(0.95, 0.6, "keep"), (0.95, 0.95, "refine"), (0.3, 0.7, "train")]
)
def test_a_base_that_no_student_reaches_is_kept(base, student, verdict):
    found = advice(models(base=base, naive=student), provenance=TEXTS)
    assert found["base"].values["verdict"] == verdict
    assert "learnable" not in found


@pytest.mark.parametrize(("known", "verdict"), [(["exact"], "refine"), ([], "train")])
def test_without_scores_the_audit_says_whether_the_base_knows_more(known, verdict):
    audit = {"scores": {"concept": {"weak": 1, "base": 0}, "exact": {"weak": 0.3, "base": 0.7}}, "known": known}
    found = run_advice(NOTHING, [], TEXTS | {"refinement": [{**audit, "sample": 64}]}, [])
    (note,) = [note for note in found if note.code == "advice.base"]
    assert (note.values["verdict"], note.values["metric"]) == (verdict, "exact")
    (unknown,) = [note for note in run_advice(NOTHING, [], TEXTS, []) if note.code == "advice.base"]
    assert unknown.values["verdict"] == "unknown"
