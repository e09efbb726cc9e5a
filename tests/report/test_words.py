import numpy as np

from outgrow.evaluate import ModelScores, summarise
from outgrow.report.words import best_student, details, headline


def first(count, examples=200):
    return np.repeat((np.arange(examples) < count)[None].astype(float), 3, axis=0)


def summary_of(*models, metric="accuracy"):
    return summarise([ModelScores(name, role, {metric: first(count)}) for name, role, count in models], {})


def test_a_clear_lead_is_called_outgrowing():
    summary = summary_of(("weak", "supervisor", 100), ("naive", "student", 150))
    assert headline(summary) == "“naive” outgrows its supervisor (.750 against .500)."


def test_a_clear_loss_is_called_staying_below():
    summary = summary_of(("weak", "supervisor", 150), ("other", "supervisor", 10), ("naive", "student", 100))
    assert headline(summary) == "“naive” stays below its best supervisor (.500 against .750)."


def test_a_lead_that_could_be_luck_is_not_called_one():
    random = np.random.default_rng(0)
    weak, student = ((random.random((3, 50)) < share).astype(float) for share in (0.5, 0.55))
    summary = summarise(
        [ModelScores("weak", "supervisor", {"accuracy": weak}), ModelScores("naive", "student", {"accuracy": student})],
        {},
    )
    assert "cannot be told from its supervisor" in headline(summary)


def test_the_best_student_is_best_on_average_over_metrics(two_metrics):
    assert best_student(two_metrics) == "refined"


def test_metrics_with_the_same_verdict_share_it(two_metrics):
    found = headline(two_metrics)
    assert found.count("outgrows its best supervisor") == 1
    assert " on content (" in found
    assert " and on concept (" in found


def test_metrics_with_different_verdicts_get_one_each():
    models = [
        ModelScores("weak", "supervisor", {"content": first(50), "concept": first(180)}),
        ModelScores("icl", "student", {"content": first(190), "concept": first(100)}),
    ]
    expected = (
        "“icl” outgrows its supervisor on content (.950 against .250), "
        "and stays below its supervisor on concept (.500 against .900)."
    )
    assert headline(summarise(models, {})) == expected


def test_without_students_the_headline_says_so():
    summary = summary_of(("weak", "supervisor", 100))
    assert headline(summary) == "No student was trained: these are reference points only."
    assert details(summary) == ()


def test_without_supervisors_nothing_is_called_outgrown(bare):
    assert "has no supervisor to be compared with" in headline(bare)


def test_picking_the_best_of_several_students_on_test_is_admitted(one_metric):
    assert "one of 2 students" in details(one_metric)[-1]


def test_an_undefined_gap_is_explained_in_the_details(no_gap):
    assert "undefined, because the ceiling" in " ".join(details(no_gap))


def test_two_students_that_never_differ_are_said_not_to():
    summary = summary_of(("naive", "student", 100), ("copy", "student", 100))
    assert "On no test example does it differ from “copy”." in details(summary)[0]


def planted(share, seeds=3, examples=400, salt=0, spread=0.0):
    """Runs that are right on this share, with a seed effect of the given standard deviation."""
    random = np.random.default_rng([salt, int(1000 * share)])
    runs = np.clip(share + random.normal(0, spread, (seeds, 1)), 0, 1)
    return (random.random((seeds, examples)) < runs).astype(float)


def headline_of(chance=None, **models):
    roles = {"weak": "supervisor", "other": "supervisor", "mean": "combined", "vote": "combined"}
    built = [
        ModelScores(name, roles.get(name, name if name in ("base", "ceiling") else "student"), {"accuracy": scores})
        for name, scores in models.items()
    ]
    return headline(summarise(built, {} if chance is None else {"accuracy": chance}))


def test_outgrowing_needs_a_lead_over_supervisors_combination_base_and_chance():
    student = first(180)
    beaten = {"weak": first(100), "other": first(90), "mean": first(110), "base": first(60)}
    found = headline_of(0.5, naive=student, **beaten)
    assert found == "“naive” outgrows its best supervisor and its supervisors combined (.900 against .500 and .550)."


def test_a_student_below_the_combination_of_its_supervisors_did_not_outgrow_them():
    found = headline_of(naive=first(150), weak=first(120), other=first(100), mean=first(130), vote=first(180))
    assert found == (
        "“naive” beats its best supervisor but stays below the combination “vote” of its supervisors "
        "(.750 against .600 and .900)."
    )


def test_a_student_below_the_untouched_model_did_not_outgrow_its_supervisor():
    found = headline_of(naive=first(120), weak=first(60), base=first(160))
    assert (
        found == "“naive” beats its supervisor but stays below the untouched strong model (.600 against .300 and .800)."
    )


def test_a_student_at_chance_did_not_outgrow_its_supervisor_and_is_told_what_would_settle_it():
    found = headline_of(0.637, naive=planted(0.65), weak=planted(0.50, 1))
    assert found.startswith("“naive” beats its supervisor but cannot be told from chance (.")
    assert "against .490 and .637). Settling a lead of .014 over chance would take both more seeds and" in found


def test_a_lead_over_the_floor_that_only_one_lucky_seed_makes_is_not_outgrowing():
    runs = np.concatenate([first(100), first(100)[:1] * 0 + (np.arange(200) < 190)])[-3:]
    runs[0], runs[1] = first(101)[0], first(103)[0]
    found = headline_of(naive=runs, weak=first(100)[:1])
    assert found.startswith("“naive” cannot be told from its supervisor (.657 against .500).")
    assert "seeds" in found


def test_a_lead_in_one_run_needs_more_examples_and_another_run():
    found = headline_of(naive=planted(0.55, 1, salt=1), weak=planted(0.50, 1))
    assert found.startswith("“naive” cannot be told from its supervisor (.527 against .490) in one training run.")
    assert found.endswith("would take about 2,800 test examples, and more than one seed.")


def test_one_seed_is_called_one_training_run():
    found = headline_of(naive=first(150)[:1], weak=first(100)[:1])
    assert found == "“naive” outgrows its supervisor (.750 against .500) in one training run."


def test_floor_and_ceiling_that_are_equal_leave_the_headline_to_the_student():
    found = headline_of(naive=first(150), weak=first(100), ceiling=first(100))
    assert found.startswith("“naive” outgrows its supervisor")


def test_the_best_of_many_students_without_any_merit_is_seldom_called_better():
    # 20 students as good as their supervisor: the best of them leads by chance.
    called = 0
    for salt in range(40):
        students = {f"s{n}": planted(0.6, salt=100 * salt + n + 1) for n in range(20)}
        called += "outgrows" in headline_of(weak=planted(0.6, 1, salt=100 * salt), **students)
    assert called <= 4


def test_the_hardest_supervisor_is_the_one_to_beat_not_the_best_on_average():
    # “other” is nearly as good as “weak”, and right on other examples: its lead is the less certain.
    random = np.random.default_rng(0)
    student = first(130)
    other = random.permutation(first(118)[0])[None]
    found = headline_of(naive=student, weak=first(120)[:1], other=other)
    assert "cannot be told from the supervisor “other”" in found


def test_the_details_recover_the_gap_above_the_hardest_floor():
    summary = summarise(
        [
            ModelScores("weak", "supervisor", {"accuracy": first(80)}),
            ModelScores("other", "supervisor", {"accuracy": first(60)}),
            ModelScores("mean", "combined", {"accuracy": first(100)}),
            ModelScores("naive", "student", {"accuracy": first(150)}),
            ModelScores("gold", "ceiling", {"accuracy": first(180)}),
        ],
        {},
    )
    line = summary.metrics[0].of("student")[0]
    assert (line.against_best.pgr, line.against_combined.pgr) == (0.7, 0.625)
    assert line.hardest is line.against_combined
    assert "It recovers .62" in details(summary)[0]
    assert "between its supervisors combined (.500) and the same model trained on gold (.900)" in details(summary)[0]
