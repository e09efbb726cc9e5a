"""Whole choice experiments on a planted truth, with a tiny random encoder as the strong model."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from outgrow.errors import ConfigError, DataError
from outgrow.experiment import Experiment
from outgrow.files import read_table
from outgrow.labels import ChoiceTargets, Rows, positions
from outgrow.pipeline.choice import ChoicePipeline
from outgrow.results import Results
from outgrow.run import Run
from outgrow.store import Store
from outgrow.tasks import read_task
from small_experiments import noisy_votes, planted_rows, write_experiment, write_lines

SPLIT = {"gold": 200, "unlabelled": 800, "test": 400}


def scores(results: Results) -> dict[str, float]:
    """Mean accuracy of everyone."""
    return {each.name: float(each.scores["accuracy"].mean()) for each in results.models if each.role != "combined"}


def run(path: Path, *overrides: str) -> Results:
    return Experiment.from_yaml(path, overrides).run()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path) -> tuple[Path, Results]:
    """A supervisor that is wrong on 30 % of the rows at random, which a student need not imitate."""
    folder = tmp_path_factory.mktemp("planted")
    rows = planted_rows(1400)
    write_lines(folder / "votes.jsonl", noisy_votes(rows))
    task = {"path": "rows.jsonl", "columns": {"id": "id"}, "choices": ["no", "yes"], "split": SPLIT}
    methods = {
        "naive": {},
        "hard": {"combine": {"name": "mean", "harden": True}},
        "confidence": {"objective": {"name": "confidence", "window": 256}},
    }
    path = write_experiment(folder, encoder_folder, rows, task=task, methods=methods, seeds=3)
    return path, run(path)


def test_a_student_outgrows_a_supervisor_that_errs_at_random(planted: tuple[Path, Results]) -> None:
    found = scores(planted[1])
    assert found["noisy1"] == pytest.approx(0.7, abs=0.06)
    for method in ("naive", "hard", "confidence"):
        assert found[method] > 0.85
    assert found["ceiling"] > 0.95
    assert found["base"] <= 0.55


def test_the_recovered_gap_is_what_the_scores_say(planted: tuple[Path, Results]) -> None:
    found = scores(planted[1])
    lines = {line["name"]: line for line in planted[1].to_json()["summary"]["metrics"][0]["lines"]}
    expected = (found["naive"] - found["noisy1"]) / (found["ceiling"] - found["noisy1"])
    assert lines["naive"]["against_best"]["pgr"] == pytest.approx(expected, abs=1e-6)
    assert lines["naive"]["against_best"]["pgr_interval"][0] > 0


def test_chance_is_the_share_of_the_commonest_answer(planted: tuple[Path, Results]) -> None:
    assert 0.5 <= planted[1].chance["accuracy"] < 0.55


def test_predictions_of_every_model_seed_and_row_are_saved(planted: tuple[Path, Results]) -> None:
    table = read_table(planted[0].parent / "output/predictions.parquet")
    rows = table.select(["role", "name", "seed", "id"]).to_pylist()
    assert len({tuple(row.values()) for row in rows}) == len(rows) == 400 * (3 * 5 + 1)
    one = [row for row in table.to_pylist() if row["name"] == "naive" and row["seed"] == 2]
    assert np.mean([row["score.accuracy"] for row in one]) == pytest.approx(
        float(next(each for each in planted[1].models if each.name == "naive").scores["accuracy"][2].mean())
    )


def test_results_files_and_report_are_written(planted: tuple[Path, Results]) -> None:
    output = planted[0].parent / "output"
    assert {path.name for path in output.iterdir()} == {
        "certainty.parquet",
        "config.yaml",
        "labels.parquet",
        "predictions.parquet",
        "rows.parquet",
        "report.html",
        "results.json",
        "rows_to_label.csv",
        "scores.parquet",
    }
    assert scores(Results.load(output)) == scores(planted[1])


def test_the_report_holds_the_test_rows_and_what_was_learned_from_the_others(planted: tuple[Path, Results]) -> None:
    tested, learned = Results.load(planted[0].parent / "output").examples.values()
    assert tested.rows.parts == ("test",) * 400
    assert {*learned.rows.parts} == {"unlabelled"}
    known = learned.predictions.group_by(["role", "name"]).aggregate([]).to_pylist()
    methods = ("naive", "hard", "confidence")
    expected = [("supervisor", "noisy1"), *((role, name) for name in methods for role in ("label", "student"))]
    assert {(one["role"], one["name"]) for one in known} == {*expected}
    right = {role: [] for role, _ in expected}  # type: ignore[var-annotated]
    gold = dict(zip(learned.rows.ids, learned.rows.gold, strict=True))
    for one in learned.predictions.to_pylist():
        right[one["role"]].append(one["answer"] == ("no", "yes")[int(gold[one["id"]] or 0)])
    assert np.mean(right["student"]) > np.mean(right["label"]) + 0.1


def test_a_report_without_examples_holds_no_row(planted: tuple[Path, Results], tmp_path: Path) -> None:
    for examples in (True, False):
        planted[1].save_report(tmp_path / "report.html", examples=examples)
        assert ('id="example-data"' in (tmp_path / "report.html").read_text()) == examples


def test_everyone_on_a_choice_task_is_measured_for_calibration(planted: tuple[Path, Results]) -> None:
    calibration = planted[1].summary.calibration
    assert calibration is not None
    found = {line.name: line for line in calibration.lines}
    assert list(found) == [each.name for each in planted[1].models]
    # Hard votes that are wrong on three rows in ten claim certainty: all of that is calibration error.
    wrong = 1 - scores(planted[1])["noisy1"]
    assert found["noisy1"].error.value == pytest.approx(wrong)
    assert found["noisy1"].impossible == pytest.approx(wrong)
    assert Results.load(planted[0].parent / "output").summary.calibration == calibration


def test_the_written_configuration_runs_again_to_the_same_numbers(planted: tuple[Path, Results]) -> None:
    output = planted[0].parent / "output"
    assert scores(run(output / "config.yaml", f"output={output.parent}/again")) == scores(planted[1])


def test_a_rerun_does_no_model_work(planted: tuple[Path, Results], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a model was asked")

    for name in ("outgrow.train.probe.Probe.fit", "outgrow.train.features.load_encoder"):
        monkeypatch.setattr(name, refuse)
    again = run(planted[0], f"output={planted[0].parent}/rerun")
    assert scores(again) == scores(planted[1])
    assert set(again.provenance["seconds"]) == {"total"}


def test_experiments_on_one_store_share_features_and_ceilings(planted: tuple[Path, Results]) -> None:
    shared = run(planted[0], "methods={other: {objective: {name: confidence, maximum: 0.25}}}", "output=unused-output")
    made = [path for path in shared.provenance["seconds"] if path != "total"]
    assert made == ["student", "predictions"]  # of the new method; no features, no labels
    assert scores(shared)["ceiling"] == scores(planted[1])["ceiling"]
    students = [key for key in shared.provenance["artefacts"] if key.startswith("student/")]
    before = {key for key in planted[1].provenance["artefacts"] if key.startswith("student/")}
    assert len(set(students) - before) == 3  # one for each seed


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def small(folder: Path, model: Path, **changed: Any) -> Path:
    return write_experiment(folder, model, planted_rows(120), **changed)


def test_long_and_wide_tables_of_the_same_votes_give_the_same_students(tmp_path: Path, encoder_folder: Path) -> None:
    path = small(tmp_path, encoder_folder)
    wide = [{"task": vote["task"], "p_noisy1": vote["label"]} for vote in noisy_votes(planted_rows(120))]
    write_lines(tmp_path / "wide.jsonl", wide)
    long = scores(run(path))
    supervisors = f"supervisors=[{{votes: {tmp_path}/wide.jsonl, probabilities: p_*}}]"
    assert scores(run(path, supervisors, "output=wide")) == long


def test_votes_that_are_missing_are_counted_in_the_notes(tmp_path: Path, encoder_folder: Path) -> None:
    write_lines(tmp_path / "votes.jsonl", noisy_votes(planted_rows(120), missing=0.4))
    notes = {note["code"]: note for note in run(small(tmp_path, encoder_folder)).provenance["notes"]}
    assert notes["votes.some_missing"]["who"] == "noisy1"
    assert 0.25 <= notes["votes.some_missing"]["values"]["share"] <= 0.55
    assert 0 < notes["rows.without_vote"]["values"]["left_out"] < notes["rows.without_vote"]["values"]["rows"] == 96


def test_voters_on_other_rows_are_left_out_and_named(tmp_path: Path, encoder_folder: Path) -> None:
    votes = [*noisy_votes(planted_rows(120)), {"task": "elsewhere", "worker": "stranger", "label": 1}]
    write_lines(tmp_path / "votes.jsonl", votes)
    results = run(small(tmp_path, encoder_folder))
    assert "stranger" not in scores(results)
    (note,) = (note for note in results.provenance["notes"] if note["code"] == "votes.none")
    assert note["values"] == {"supervisors": ["stranger"]}


def test_several_kinds_of_supervisors_teach_together(tmp_path: Path, encoder_folder: Path) -> None:
    supervisors = [
        {"votes": "votes.jsonl"},
        {"features": {"name": "tfidf", "ngrams": 1}, "rows": 20},
        {"model": str(encoder_folder), "train": {}, "adapter": {"name": "probe", "epochs": 2}, "name": "small"},
    ]
    path = small(tmp_path, encoder_folder, supervisors=supervisors)
    assert {"noisy1", "tfidf", "small", "naive"} <= set(scores(run(path)))


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_fine_tuning_runs_and_a_rerun_trains_nothing(
    tmp_path: Path, encoder_folder: Path, adapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if adapter == "lora":
        pytest.importorskip("peft")
    trainer = {"num_train_epochs": 3, "learning_rate": 5e-3, "save_strategy": "no"}
    strong = {"model": str(encoder_folder), "adapter": adapter}
    path = small(tmp_path, encoder_folder, strong=strong, trainer=trainer, ceiling=False)
    first = run(path)
    assert 0 <= scores(first)["naive"] <= 1
    monkeypatch.setattr("outgrow.train.choice.train_choice", lambda *unused, **options: pytest.fail("trained again"))
    assert scores(run(path)) == scores(first)
    assert not list((tmp_path / "store").rglob("checkpoint*"))


def test_fine_tuning_learns_a_planted_rule(tmp_path: Path, encoder_folder: Path) -> None:
    write_lines(tmp_path / "votes.jsonl", noisy_votes(planted_rows(400), wrong=0.1))
    path = write_experiment(
        tmp_path,
        encoder_folder,
        planted_rows(400),
        strong={"model": str(encoder_folder)},
        trainer={"num_train_epochs": 12, "learning_rate": 5e-3, "save_strategy": "no"},
        ceiling=False,
    )
    assert scores(run(path))["naive"] > 0.9


def test_a_student_is_found_again_when_its_model_has_moved(tmp_path: Path, encoder_folder: Path) -> None:
    import shutil

    model = shutil.copytree(encoder_folder, tmp_path / "before")
    trainer = {"max_steps": 2, "save_strategy": "no"}
    path = small(tmp_path, model, strong={"model": str(model)}, trainer=trainer, ceiling=False)
    first = run(path)
    model.rename(tmp_path / "after")
    shutil.rmtree(tmp_path / "store/logits")
    assert scores(run(path, f"strong.model={tmp_path}/after")) == scores(first)


def test_without_gold_on_unlabelled_rows_there_is_no_ceiling_and_the_notes_say_so(
    tmp_path: Path, encoder_folder: Path
) -> None:
    rows = planted_rows(120)
    write_lines(tmp_path / "votes.jsonl", noisy_votes(rows))
    for row in rows[:40]:
        row["label"] = None
    results = run(write_experiment(tmp_path, encoder_folder, rows))
    assert "ceiling" not in scores(results)
    assert "ceiling.none" in [note["code"] for note in results.provenance["notes"]]


def test_a_run_reports_its_steps(tmp_path: Path, encoder_folder: Path) -> None:
    import io

    from outgrow.progress import PlainReporter

    stream = io.StringIO()
    Experiment.from_yaml(small(tmp_path, encoder_folder)).run(reporter=PlainReporter(stream))
    assert "train naive, seed 0: started (5)" in stream.getvalue()
    assert "embed with" in stream.getvalue()


def test_the_library_itself_prints_nothing(
    tmp_path: Path, encoder_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(small(tmp_path, encoder_folder))
    assert capfd.readouterr() == ("", "")


def test_the_store_holds_whole_artefacts_only(planted: tuple[Path, Results]) -> None:
    root = planted[0].parent / "store"
    folders = [path for path in root.glob("*/*") if path.is_dir()]
    assert folders
    assert all((folder / "manifest.json").is_file() for folder in folders)
    assert Store(root).made == []


@pytest.fixture(scope="module")
def three_people(tmp_path_factory: pytest.TempPathFactory, encoder_folder: Path) -> Path:
    """Three people who err at random, one of them often; some votes are missing."""
    folder = tmp_path_factory.mktemp("three")
    rows = planted_rows(900)
    errors = {1: 0.2, 2: 0.25, 3: 0.4}
    votes = [vote for seed, wrong in errors.items() for vote in noisy_votes(rows, wrong=wrong, seed=seed, missing=0.1)]
    write_lines(folder / "votes.jsonl", votes)
    task = {"path": "rows.jsonl", "columns": {"id": "id"}, "choices": ["no", "yes"]}
    methods = {
        "naive": {},
        "weighted": {
            "combine": {"name": "mean", "weights": {"noisy1": 3.0, "noisy2": 2.0, "noisy3": 1.0}},
            "objective": "bayesian",
        },
        "bayesian": {"objective": "bayesian"},
        "dirichlet_multinomial": {"objective": "dirichlet_multinomial"},
        "gce": {"objective": "gce"},
        "dawid_skene": {"combine": "dawid_skene"},
        "dependence": {"combine": "dependence", "objective": "evidential"},
        "majority": {"combine": "majority"},
    }
    return write_experiment(folder, encoder_folder, rows, task=task, methods=methods)


def test_every_objective_and_combiner_lets_a_student_outgrow_three_people(three_people: Path) -> None:
    found = scores(run(three_people))
    best = max(found["noisy1"], found["noisy2"], found["noisy3"])
    methods = set(found) - {"noisy1", "noisy2", "noisy3", "base", "ceiling"}
    assert len(methods) == 8
    assert run(three_people).summary.metrics[0].of("student")[0].against_combined is not None
    assert {name: found[name] for name in methods if found[name] <= best + 0.05} == {}


def test_each_combiner_in_use_is_scored_on_the_test_part(three_people: Path) -> None:
    results = run(three_people)
    combined = {each.name: each.scores["accuracy"].mean() for each in results.models if each.role == "combined"}
    # One for each combiner and its parameters, whatever the student does with it.
    assert set(combined) == {"mean", "mean (weighted)", "dawid_skene", "dependence", "majority"}
    assert combined["dawid_skene"] > 0.75
    # The majority of three people, counted by hand; a tie or no vote counts half.
    votes: dict[str, list[int]] = {}
    for line in map(json.loads, (three_people.parent / "votes.jsonl").read_text().splitlines()):
        votes.setdefault(line["task"], []).append(line["label"])
    gold = {row["id"]: row["label"] for row in planted_rows(900)}
    ids = results.ids or ()
    leads = [sum(1 if vote == gold[id_] else -1 for vote in votes.get(id_, [])) for id_ in ids]
    assert combined["majority"] == pytest.approx(np.mean([(np.sign(lead) + 1) / 2 for lead in leads]))


def test_class_proportions_make_no_combination_of_their_own(three_people: Path) -> None:
    config = Experiment.from_yaml(three_people, ["methods.naive.proportions=estimated"]).config
    _, rows = read_task(config.task)
    pipeline = ChoicePipeline(config, rows, Run(Store.default()))
    assert set(pipeline.combined(0)) == {"mean", "mean (weighted)", "dawid_skene", "dependence", "majority"}


def test_one_supervisor_is_not_combined(planted: tuple[Path, Results]) -> None:
    assert all(each.role != "combined" for each in planted[1].models)


def test_the_best_supervisor_is_chosen_on_validation_rows_where_there_are_any(three_people: Path) -> None:
    split = {"gold": 100, "validation": 200, "unlabelled": 300, "test": 300}
    results = run(
        three_people,
        f"task.split={json.dumps(split)}",
        "methods={naive: {}}",
        f"output={three_people.parent}/validated",
    )
    assert results.provenance["best supervisors"] == {"accuracy": "noisy1"}
    assert Results.load(three_people.parent / "validated").summary.metrics[0].best_supervisor_doubt == 0


@pytest.mark.parametrize(("gold_only", "expected"), [("null", True), ("true", True), ("false", False)])
def test_the_strong_model_is_trained_on_gold_alone_where_that_is_cheap(
    planted: tuple[Path, Results], gold_only: str, expected: bool
) -> None:
    results = run(
        planted[0], f"gold_only={gold_only}", "methods={naive: {}}", "seeds=1", f"output={planted[0].parent}/gold"
    )
    found = {each.name: each.scores["accuracy"].mean() for each in results.models if each.role == "gold"}
    assert list(found) == ["gold only"] * expected
    assert all(share > 0.75 for share in found.values())


def test_without_gold_rows_nothing_is_trained_on_them(planted: tuple[Path, Results]) -> None:
    split = {"gold": 0, "unlabelled": 800, "test": 400}
    results = run(
        planted[0], f"task.split={json.dumps(split)}", "gold_only=true", "seeds=1", f"output={planted[0].parent}/none"
    )
    assert all(each.role != "gold" for each in results.models)


def test_students_trained_with_evidence_say_how_much_they_have(three_people: Path) -> None:
    calibration = run(three_people).summary.calibration
    assert calibration is not None
    with_vacuity = {line.name for line in calibration.lines if line.vacuity}
    assert with_vacuity == {"weighted", "bayesian", "dirichlet_multinomial", "dependence"}
    every = read_table(three_people.parent / "output/predictions.parquet").to_pylist()
    table = [row for row in every if row["role"] != "combined"]
    assert all((row["vacuity"] is not None) == (row["name"] in with_vacuity) for row in table)
    assert all(0 < row["vacuity"] <= 1 for row in table if row["name"] in with_vacuity)


def test_an_objective_that_learns_from_each_supervisor_gets_every_vote_and_its_weight(three_people: Path) -> None:
    config = Experiment.from_yaml(three_people).config
    _, rows = read_task(config.task)
    pipeline = ChoicePipeline(config, rows, Run(Store.default()))
    votes, nobody = pipeline._cast(0), rows.part("validation")
    combined = pipeline._methods["naive"].combined(votes, nobody)
    each = pipeline._methods["weighted"].combined(votes, nobody)
    posterior = pipeline._methods["dawid_skene"].combined(votes, nobody)
    assert combined.votes is None
    assert posterior.votes is None
    assert each.votes is not None
    assert each.lambdas is not None
    assert each.lambdas.tolist() == [3.0, 2.0, 1.0]
    np.testing.assert_array_equal(each.votes, votes.take(positions(votes.ids, each.ids)).probs)
    again = ChoiceTargets.from_arrow(each.to_arrow())
    np.testing.assert_array_equal(again.votes, each.votes)
    np.testing.assert_array_equal(again.lambdas, each.lambdas)


def test_a_filtered_student_learns_from_the_surest_rows_only(tmp_path: Path, encoder_folder: Path) -> None:
    rows = planted_rows(800)
    # A third of the rows is judged rightly and surely, the others wrongly and with less conviction.
    wide = [
        {"task": row["id"], "p_x": abs(row["label"] - (0.05, 0.8, 0.8)[index // 2 % 3])}
        for index, row in enumerate(rows)
    ]
    write_lines(tmp_path / "votes.jsonl", wide)
    supervisors = [{"votes": "votes.jsonl", "probabilities": "p_*"}]
    methods = {"naive": {}, "surest": {"filter": {"keep": 0.3, "per_class": True}}}
    path = write_experiment(tmp_path, encoder_folder, rows, supervisors=supervisors, methods=methods)
    found = scores(run(path))
    assert found["naive"] < 0.5
    assert found["surest"] > 0.85


@pytest.mark.parametrize("refine", ["neighbours", "linear", "in_the_loop"])
def test_relabelled_targets_are_better_than_the_votes_and_a_rerun_does_no_work(
    tmp_path: Path, encoder_folder: Path, refine: str
) -> None:
    rows = planted_rows(600)
    path = write_experiment(tmp_path, encoder_folder, rows, methods={"relabelled": {"refine": refine}}, ceiling=False)
    first = run(path)
    assert scores(first)["relabelled"] > 0.85
    (refined,) = (tmp_path / "store/refined").glob("*/record.parquet")
    targets = ChoiceTargets.from_arrow(read_table(refined))
    gold = {row["id"]: row["label"] for row in rows}
    assert np.mean(targets.probs.argmax(axis=1) == [gold[row] for row in targets.ids]) > 0.78  # of the votes, 0.7
    assert set(run(path).provenance["seconds"]) == {"total"}


def test_a_chain_hands_labels_on_and_a_rerun_does_no_work(
    tmp_path: Path, encoder_folder: Path, decoder_folder: Path
) -> None:
    probe = {"name": "probe", "epochs": 5, "learning_rate": 0.02}
    chain = [
        {"model": str(decoder_folder), "adapter": probe},
        {"model": str(encoder_folder), "adapter": probe, "folds": 2},
    ]
    methods = {"chained": {"chain": chain}, "refined": {"filter": 0.9, "refine": "linear", "chain": chain[:1]}}
    path = write_experiment(tmp_path, encoder_folder, planted_rows(600), methods=methods, ceiling=False)
    first = run(path)
    students = [key for key in first.provenance["artefacts"] if key.startswith("student/")]
    assert len(students) == (1 + 2 + 1) + (1 + 1)
    assert scores(first)["chained"] > 0.78  # the supervisor has 0.7
    again = run(path)
    assert set(again.provenance["seconds"]) == {"total"}
    assert scores(again) == scores(first)


def combined_targets(experiment: Experiment, method: str) -> tuple[Rows, ChoiceTargets]:
    """All rows of an experiment, and what a method's student would learn."""
    _, rows = read_task(experiment.config.task)
    pipeline = ChoicePipeline(experiment.config, rows, Run(Store.default()))
    votes, validation = pipeline._cast(0), rows.part("validation")
    taught_by = positions(votes.ids, validation.ids + rows.part("unlabelled").ids)
    return rows, pipeline._methods[method].combined(votes.take(taught_by), validation)


def test_validation_rows_say_whom_to_believe_and_teach_nobody(tmp_path: Path, encoder_folder: Path) -> None:
    rows = planted_rows(600)
    votes = [
        vote for seed, wrong in enumerate((0.45, 0.45, 0.05)) for vote in noisy_votes(rows, wrong=wrong, seed=seed)
    ]
    write_lines(tmp_path / "votes.jsonl", votes)
    task = {
        "path": "rows.jsonl",
        "columns": {"id": "id"},
        "choices": ["no", "yes"],
        "split": {"gold": 0, "validation": 200, "unlabelled": 200, "test": 200},
    }
    methods = {"naive": {}, "calibrated": {"combine": {"name": "mean", "weights": "calibrated"}}}
    path = write_experiment(tmp_path, encoder_folder, rows, task=task, methods=methods)
    experiment = Experiment.from_yaml(path)
    rows_read, targets = combined_targets(experiment, "calibrated")
    assert targets.ids == rows_read.part("unlabelled").ids
    gold = rows_read.take(positions(rows_read.ids, targets.ids)).gold_indices()
    assert (targets.probs.argmax(axis=1) == gold).mean() > 0.9  # the one good supervisor outvotes the two poor ones
    assert scores(run(path))["calibrated"] > 0.85


def test_calibrating_without_validation_rows_is_refused_before_anything_is_computed(
    tmp_path: Path, encoder_folder: Path
) -> None:
    path = write_experiment(tmp_path, encoder_folder, methods={"calibrated": {"calibrate": True}})
    with pytest.raises(ConfigError, match=r"no validation rows(.|\n)*task.split.validation"):
        run(path)
    assert not (tmp_path / "store/student").exists()


def test_temperatures_take_back_a_supervisors_overconfidence(tmp_path: Path, encoder_folder: Path) -> None:
    rows = planted_rows(600)
    sure = [
        {"task": vote["task"], "p_sure": 0.999 if vote["label"] else 0.001} for vote in noisy_votes(rows, wrong=0.3)
    ]
    write_lines(tmp_path / "votes.jsonl", sure)
    task = {
        "path": "rows.jsonl",
        "columns": {"id": "id"},
        "choices": ["no", "yes"],
        "split": {"gold": 0, "validation": 200, "unlabelled": 200, "test": 200},
    }
    path = write_experiment(
        tmp_path,
        encoder_folder,
        rows,
        task=task,
        supervisors=[{"votes": "votes.jsonl", "probabilities": "p_*"}],
        methods={"calibrated": {"calibrate": True}},
    )
    _, targets = combined_targets(Experiment.from_yaml(path), "calibrated")
    assert targets.probs.max(axis=1).mean() == pytest.approx(0.7, abs=0.08)


def test_a_supervisors_leaning_is_taken_out_by_class_proportions(tmp_path: Path, encoder_folder: Path) -> None:
    rows = planted_rows(600)
    random = np.random.default_rng(0)
    leaning = [
        {"task": row["id"], "p_leaning": float(1 / (1 + np.exp(-random.normal(2.0 * row["label"] - 1 + 1.5))))}
        for row in rows
    ]
    write_lines(tmp_path / "votes.jsonl", leaning)
    methods = {"naive": {}, "matched": {"proportions": {"no": 0.5, "yes": 0.5}}, "gold": {"proportions": "gold"}}
    path = write_experiment(
        tmp_path,
        encoder_folder,
        rows,
        supervisors=[{"votes": "votes.jsonl", "probabilities": "p_*"}],
        methods=methods,
    )
    found = scores(run(path))
    assert found["matched"] > found["naive"] + 0.1
    assert found["gold"] == pytest.approx(found["matched"], abs=0.05)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"proportions": {"no": 1.0}}, "one share per choice"),
        ({"proportions": {"no": 0.7, "yes": 0.7}}, "no distribution"),
        ({"proportions": "gold", "objective": "bayesian"}, "learns from single votes"),
    ],
)
def test_proportions_that_make_no_sense_are_refused(
    tmp_path: Path, encoder_folder: Path, method: dict[str, Any], said: str
) -> None:
    path = write_experiment(tmp_path, encoder_folder, methods={"wrong": method})
    with pytest.raises((ConfigError, DataError), match=said):
        run(path)


def test_a_pretuned_student_starts_from_what_language_modelling_made_and_a_rerun_does_no_work(
    tmp_path: Path, encoder_folder: Path
) -> None:
    pretune = {"trainer": {"max_steps": 20, "learning_rate": 5e-3, "save_strategy": "no"}}
    methods = {"naive": {}, "pretuned": {"pretune": pretune, "refine": "linear"}}
    path = write_experiment(tmp_path, encoder_folder, planted_rows(600), methods=methods, ceiling=False)
    first = run(path)
    artefacts = Counter(key.partition("/")[0] for key in first.provenance["artefacts"])
    by_part = {"features": 4, "predictions": 2}
    assert artefacts == {"pretuned": 1, "refined": 1, "student": 2, **by_part}
    assert scores(first)["pretuned"] > 0.78  # the supervisor has 0.7
    again = run(path)
    assert set(again.provenance["seconds"]) == {"total"}
    assert scores(again) == scores(first)


def test_pretuning_reads_the_unlabelled_prompts_only(tmp_path: Path, encoder_folder: Path) -> None:
    rows = planted_rows(120)
    for index, row in enumerate(rows):
        row["part"] = ("gold", "unlabelled", "test")[index // 2 % 3]
    write_lines(tmp_path / "votes.jsonl", noisy_votes(rows))
    changed = {
        "task": {"path": "rows.jsonl", "columns": {"id": "id", "part": "part"}, "choices": ["no", "yes"]},
        "methods": {"pretuned": {"pretune": {"trainer": {"max_steps": 1, "save_strategy": "no"}}}},
        "ceiling": False,
    }
    run(write_experiment(tmp_path, encoder_folder, rows, **changed))
    before = set((tmp_path / "store/pretuned").glob("*/manifest.json"))
    for row in rows:
        if row["part"] != "unlabelled":
            row["text"] += " plot"
    run(write_experiment(tmp_path, encoder_folder, rows, **changed))
    assert set((tmp_path / "store/pretuned").glob("*/manifest.json")) == before


def test_a_run_without_any_gold_answer_trains_and_says_that_nothing_was_evaluated(
    tmp_path: Path, encoder_folder: Path
) -> None:
    rows = planted_rows(60)
    votes = [vote for seed in (1, 2, 3) for vote in noisy_votes(rows, wrong=0.2, missing=0.1, seed=seed)]
    write_lines(tmp_path / "votes.jsonl", votes)
    without = [{"id": row["id"], "text": row["text"]} for row in rows]
    task = {"path": "rows.jsonl", "columns": {"id": "id", "gold": None}, "choices": ["no", "yes"]}
    path = write_experiment(tmp_path, encoder_folder, without, task=task, methods={"naive": {}}, ceiling=True)
    results = run(path)
    assert "Not evaluated" in (tmp_path / "output/report.html").read_text()
    assert [model.name for model in results.models if model.role == "student"] == ["naive"]

    (note,) = [note for note in results.notes if note.code == "run.not_evaluated"]
    label = {(vote["worker"], vote["task"]): vote["label"] for vote in votes}
    agreed = [
        one == other
        for row in rows
        for one, other in combinations([own for (_, task), own in label.items() if task == row["id"]], 2)
    ]
    assert note.values["votes"] == len(votes)
    assert note.values["agreement"] == pytest.approx(np.mean(agreed))
    assert note.values["coverage"] == pytest.approx(len({vote["task"] for vote in votes}) / 60)
    assert 0.5 < note.values["expected"]["mean"] < 1
    assert "othing was evaluated" in results.table()

    again = Results.load(tmp_path / "output")
    assert again.to_json() == results.to_json()
    assert again.to_json()["evaluated"] is False
    answers = read_table(tmp_path / "output/predictions.parquet").to_pylist()
    student = [row for row in answers if row["role"] == "student"]
    assert sorted(row["id"] for row in student) == sorted(row["id"] for row in rows)
    right = {row["id"]: ("no", "yes")[row["label"]] for row in rows}
    assert np.mean([row["answer"] == right[row["id"]] for row in student]) > 0.7
    with pytest.raises(DataError, match="no test rows to score"):
        Experiment.from_yaml(path).evaluate(tmp_path / "output/predictions.parquet")
