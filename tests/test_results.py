import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from outgrow.errors import DataError, StoreError
from outgrow.evaluate import Certainty, ModelScores
from outgrow.labels import Note
from outgrow.results import Results


def older(folder: Path) -> dict[str, Any]:
    """What `results.json` says, without the hashes that older versions did not write."""
    about = json.loads((folder / "results.json").read_text())
    return {name: own for name, own in about.items() if name not in ("sum", "sha256")}


@pytest.fixture
def results():
    random = np.random.default_rng(0)
    models = (
        ModelScores(
            "small", "supervisor", {"accuracy": random.random((1, 20)), "f1": random.random((1, 20))}, "a note"
        ),
        ModelScores("naive", "student", {"accuracy": random.random((3, 20)), "f1": random.random((3, 20))}),
        ModelScores("gold", "ceiling", {"accuracy": 1 + random.random((3, 20))}),
    )
    provenance = {"config": {"seeds": (0, 1, 2), "task": {"path": Path("data")}}, "notes": ["left out"]}
    ids = tuple(f"row-{index}" for index in range(20))
    return Results("trial", models, {"accuracy": 0.25}, provenance, ids)


def test_saved_results_load_as_they_were(results, tmp_path):
    results.save(tmp_path)
    loaded = Results.load(tmp_path)
    assert loaded.to_json() == results.to_json()
    assert loaded.ids == results.ids
    for mine, theirs in zip(results.models, loaded.models, strict=True):
        assert (mine.name, mine.role, mine.note, list(mine.scores)) == (
            theirs.name,
            theirs.role,
            theirs.note,
            list(theirs.scores),
        )
        for metric in mine.scores:
            assert np.array_equal(mine.scores[metric], theirs.scores[metric])


def test_weighted_scores_load_as_they_were_and_give_the_same_means(results, tmp_path):
    weights = {"f1": np.arange(60.0).reshape(3, 20)}
    models = [ModelScores("naive", "student", dict(results.models[1].scores), weights=weights)]
    mine = Results("trial", models, {})
    mine.save(tmp_path)
    loaded = Results.load(tmp_path)
    assert loaded.to_json() == mine.to_json()
    assert np.array_equal(loaded.models[0].weights["f1"], weights["f1"])
    assert list(loaded.models[0].weights) == ["f1"]


def test_results_without_ids_load_without_ids(results, tmp_path):
    Results("trial", results.models, {}).save(tmp_path)
    assert Results.load(tmp_path).ids is None


def test_scores_are_saved_one_line_per_model_metric_seed_and_example(results, tmp_path):
    results.save(tmp_path)
    table = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    assert len(table) == 20 * (1 + 1 + 3 + 3 + 3)
    line = next(line for line in table if (line["name"], line["metric"], line["seed"]) == ("naive", "f1", 2))
    assert line["score"] == results.models[1].scores["f1"][2, 0]
    assert (line["role"], line["example"], line["id"]) == ("student", 0, "row-0")


def test_saving_leaves_nothing_but_the_two_files(results, tmp_path):
    results.save(tmp_path / "new" / "folder")
    results.save(tmp_path / "new" / "folder")
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["results.json", "scores.parquet"]


@pytest.fixture
def sure(results):
    """The same models, of which two say how sure they are, one of them with vacuity."""
    random = np.random.default_rng(1)
    gold, probs = random.integers(3, size=20), random.dirichlet(np.ones(3), size=(3, 20))
    student = Certainty.stack([Certainty.of_choices(each, gold, random.random(20)) for each in probs])
    given = {"small": Certainty.of_choices(probs[0], gold), "naive": student}
    models = [
        ModelScores(each.name, each.role, each.scores, each.note, given.get(each.name)) for each in results.models
    ]
    return Results("trial", models, {"accuracy": 0.25}, {}, results.ids)


def test_certainties_load_as_they_were_and_give_the_same_calibration(sure, tmp_path):
    sure.save(tmp_path)
    loaded = Results.load(tmp_path)
    assert loaded.to_json() == sure.to_json()
    assert [line["name"] for line in loaded.to_json()["summary"]["calibration"]["lines"]] == ["small", "naive"]
    for mine, theirs in zip(sure.models, loaded.models, strict=True):
        assert (mine.certainty is None) == (theirs.certainty is None)
        if mine.certainty:
            assert list(mine.certainty.arrays()) == list(theirs.certainty.arrays())
            for name, array in mine.certainty.arrays().items():
                assert np.array_equal(array, theirs.certainty.arrays()[name])


def test_certainties_are_saved_one_line_per_model_seed_and_example(sure, tmp_path):
    sure.save(tmp_path)
    table = pq.read_table(tmp_path / "certainty.parquet").to_pylist()
    assert len(table) == 20 * (1 + 3)
    line = next(line for line in table if (line["name"], line["seed"], line["id"]) == ("naive", 2, "row-4"))
    assert line["nll"] == sure.models[1].certainty.nll[2, 4]
    assert {line["vacuity"] for line in table if line["name"] == "small"} == {None}


def test_results_saved_without_certainties_still_load(results, tmp_path):
    results.save(tmp_path)
    about = older(tmp_path)
    for each in about["models"]:
        del each["certainty"]
    (tmp_path / "results.json").write_text(json.dumps(about))
    assert Results.load(tmp_path).summary.calibration is None


def test_certainties_that_are_announced_but_missing_are_named(sure, tmp_path):
    sure.save(tmp_path)
    (tmp_path / "certainty.parquet").unlink()
    with pytest.raises(StoreError, match=r"no certainty\.parquet"):
        Results.load(tmp_path)


def test_ids_that_do_not_fit_are_refused_before_anything_is_written(results, tmp_path):
    with pytest.raises(DataError, match="as many ids"):
        Results("trial", results.models, {}, {}, ("one",)).save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_results_of_which_any_bit_is_another_are_refused(sure, tmp_path):
    sure.save(tmp_path)
    for name in ("results.json", "scores.parquet", "certainty.parquet"):
        whole = (tmp_path / name).read_bytes()
        for place in range(0, len(whole), max(1, len(whole) // 40)):
            (tmp_path / name).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(StoreError, match="damaged"):
                Results.load(tmp_path)
        (tmp_path / name).write_bytes(whole)
    assert Results.load(tmp_path).to_json() == sure.to_json()


@pytest.mark.parametrize("missing", ["results.json", "scores.parquet"])
def test_a_folder_without_results_is_named(results, tmp_path, missing):
    results.save(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(StoreError, match=f"no {missing}"):
        Results.load(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1, "name": "x"}'])
def test_damaged_results_are_refused(results, tmp_path, content):
    results.save(tmp_path)
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(StoreError, match="damaged"):
        Results.load(tmp_path)


def test_scores_that_are_missing_from_the_table_are_refused(results, tmp_path):
    results.save(tmp_path)
    pq.write_table(pq.read_table(tmp_path / "scores.parquet").slice(0, 30), tmp_path / "scores.parquet")
    with pytest.raises(StoreError, match="damaged"):
        Results.load(tmp_path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("name",), ["trial"]),
        (("models", 0, "metrics"), {}),
        (("chance", "accuracy"), "half"),
        (("provenance", "config", "task"), True),
        (("provenance", "students"), [7]),
        (("provenance", "seconds"), {"student": "long"}),
        (("provenance", "refinement"), [{"scores": 1}]),
        (("provenance", "notes"), [{"code": []}]),
        (("provenance", "advice"), [{"code": "advice.votes", "who": {}}]),
    ],
)
def test_forged_results_are_refused(results, tmp_path, place, value):
    results.save(tmp_path)
    about = older(tmp_path)
    *inside, last = place
    functools.reduce(lambda own, key: own[key], inside, about)[last] = value
    (tmp_path / "results.json").write_text(json.dumps(about))
    with pytest.raises(StoreError, match="damaged"):
        Results.load(tmp_path)


def test_a_student_of_which_too_little_is_said_is_refused(results, tmp_path):
    student = {"method": "naive", "seed": 0, "artefact": "student/ab", "base": "large"}
    poor = Results("trial", results.models, {}, {"students": [student]})
    with pytest.raises(StoreError, match="cannot be saved from what these results say"):
        poor.save_student("naive", tmp_path / "saved")


def test_results_of_another_version_are_refused(results, tmp_path):
    results.save(tmp_path)
    about = older(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps({**about, "format": 99}))
    with pytest.raises(StoreError, match="another version"):
        Results.load(tmp_path)


def test_json_has_no_nan_and_no_foreign_types(results):
    odd = {"nan": float("nan"), "array": np.arange(2), "number": np.float32(0.5), "path": Path("a"), "set": {1}}
    plain = Results("x", results.models, {}, odd).to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["provenance"] == {"nan": None, "array": [0, 1], "number": 0.5, "path": "a", "set": [1]}


def test_keys_and_passwords_are_hidden_in_everything_written(results, tmp_path):
    config = {
        "trainer": {"hub_token": "hf_SECRET"},
        "supervisors": [{"api_key": "sk-SECRET"}, {"server": "https://me:SECRET@host/v1"}],
    }
    note = Note("server.slow", values={"url": "https://me:SECRET@host/v1", "api_key": "sk-SECRET"})
    leaky = Results("x", results.models, {}, {"config": config, "notes": [note]})
    leaky.save(tmp_path)
    leaky.save_report(tmp_path / "report.html")
    for name in ("results.json", "report.html"):
        text = (tmp_path / name).read_text()
        assert "SECRET" not in text
        assert "hidden" in text
        assert "host/v1" in text
    assert "SECRET" not in leaky.table()


def test_words_that_only_look_like_secrets_are_kept(results):
    config = {"pad_token": "<pad>", "max_tokens": 5, "token": None}
    assert Results("x", results.models, {}, config).to_json()["provenance"] == config


def test_the_summary_is_computed_once(results):
    assert results.summary is results.summary


def test_the_table_shows_the_notes_of_the_run(results):
    assert "- left out" in results.table()


def test_notes_are_saved_as_records_and_sentences_of_older_files_still_load(results, tmp_path):
    failed = Note("votes.failed", "warning", "ann", 0, {"rows": np.int64(3), "share": float("nan")})
    Results("x", results.models, {}, {"notes": [failed, "2 rows left out."]}).save(tmp_path)
    about = older(tmp_path)
    assert about["provenance"]["notes"][0] == failed.to_json()
    assert Results.load(tmp_path).notes[:2] == (failed, Note.from_json("2 rows left out."))
    about["provenance"]["notes"] = ["2 rows left out."]
    (tmp_path / "results.json").write_text(json.dumps(about))
    loaded = Results.load(tmp_path)
    assert "- 2 rows left out." in loaded.table()
    assert [each.name for each in loaded.models] == ["small", "naive", "gold"]


def test_a_saved_report_is_one_file(results, tmp_path):
    results.save_report(tmp_path / "deep" / "report.html")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.html"]
    assert (tmp_path / "deep" / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_importing_results_imports_nothing_heavy():
    heavy = ("scipy", "matplotlib", "rich", "jinja2", "torch", "transformers", "sklearn")
    code = f"import sys, outgrow.results; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_methods_that_differ_in_one_number_are_summed_up_as_a_sweep_before_and_after_saving(tmp_path):
    methods = {"naive": {}} | {f"icl-{n}": {"refine": {"name": "icl", "demonstrations": n}} for n in (1, 4)}
    right = np.arange(100)[None]
    students = zip(methods, (40, 41, 80), strict=True)
    models = [ModelScores(name, "student", {"content": (right < count).astype(float)}) for name, count in students]
    found = Results("swept", models, {}, {"config": {"methods": methods}})
    found.save(tmp_path)
    for results in (found, Results.load(tmp_path)):
        (sweep,) = results.to_json()["summary"]["sweeps"]
        assert (sweep["setting"], sweep["reference"]) == ("refine.demonstrations", "naive")
        assert sweep["metrics"][0]["pays_from"] == 4
        assert "pays at demonstrations = 4 only" in " ".join(results.table().split())


def test_a_test_part_of_anchors_gives_estimates_of_the_whole_benchmark(tmp_path: Path) -> None:
    # Where all items are alike, the estimate of a model without prior is its mean on the anchors.
    scores = {"accuracy": np.array([[1, 0, 1, 1], [1, 0, 0, 1]], dtype=np.float64)}
    part = Results("tiny", [ModelScores("s", "student", scores)], {}, ids=[f"tiny/q{index}" for index in range(4)])
    items = [{"id": f"q{index}", "difficulty": 0.0, "discrimination": [1.0], "weight": 0.25} for index in range(50)]
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    found = part.benchmark(path, prior=0.0)["student", "s"]
    assert found.irt == pytest.approx(5 / 8)
    assert found.gp_irt == pytest.approx(5 / 8)
    path.write_text(json.dumps(items[0]) + "\n")
    with pytest.raises(DataError, match=r"3 test examples are not among the items(.|\n)*q1"):
        part.benchmark(path)


@pytest.mark.parametrize(
    "provenance",
    [{"config": 3}, {"config": {"methods": {"a": []}}}, {"notes": "x"}, {"students": [1]}, {"seconds": {"a": []}}],
)
def test_results_from_elsewhere_whose_provenance_is_of_other_types_are_refused(results, tmp_path, provenance):
    results.save(tmp_path)
    about = older(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps({**about, "provenance": provenance}))
    with pytest.raises(StoreError, match="damaged"):
        Results.load(tmp_path)
