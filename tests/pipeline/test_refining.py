"""Refinement as a stage of an experiment: what goes in, what is kept, what is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from outgrow.config import parse_config
from outgrow.demo import demo_settings
from outgrow.errors import DataError
from outgrow.experiment import Experiment
from outgrow.files import read_table
from outgrow.labels import ChoiceTargets, Note
from outgrow.models.local import LocalLanguageModel
from outgrow.progress import SilentReporter
from outgrow.refine.choice_icl import ChoiceICL
from outgrow.report.notes import sentence
from outgrow.results import Results
from outgrow.tasks import read_task
from outgrow.worlds import facts_models
from small_experiments import planted_rows, write_experiment, write_lines
from tiny_models import make_decoder


@pytest.fixture
def tiny_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A world whose models have hardly been trained: they say something, and nothing more is needed here."""
    short = {name: dataclasses.replace(one, steps=5) for name, one in facts_models.RECIPES["tiny"].items()}
    monkeypatch.setitem(facts_models.RECIPES, "tiny", short)
    return facts_models.build(tmp_path / "facts", size="tiny")


CHOICE_ICL = {"name": "icl", "demonstrations": 3, "draws": 3, "share": 8}


def test_draws_of_refined_choices_reach_an_objective_that_learns_from_each_and_a_rerun_does_no_work(
    tmp_path: Path,
) -> None:
    model = make_decoder(tmp_path / "decoder", context=48)
    methods = {"refined": {"refine": CHOICE_ICL, "objective": "bayesian"}}
    path = write_experiment(tmp_path, model, planted_rows(60), methods=methods, ceiling=False)
    Experiment.from_yaml(path).run()
    [kept] = (tmp_path / "store" / "refined").glob("*/record.parquet")
    targets = ChoiceTargets.from_arrow(read_table(kept))
    assert targets.votes is not None
    assert targets.votes.shape == (len(targets.ids), 3, 2)
    np.testing.assert_allclose(targets.votes.mean(axis=1), targets.probs)
    again = Experiment.from_yaml(path).run()
    assert set(again.provenance["seconds"]) == {"total"}


def test_what_refined_choices_had_no_room_for_is_noted(tmp_path: Path) -> None:
    model = make_decoder(tmp_path / "decoder", context=48)
    methods = {"refined": {"refine": {**CHOICE_ICL, "demonstrations": 6}}}
    path = write_experiment(tmp_path, model, planted_rows(60), methods=methods, ceiling=False)
    notes = {note.code: note for note in Experiment.from_yaml(path).run().notes}
    assert notes["demonstrations.dropped"].values["dropped"] > 0


def test_a_refinement_of_texts_is_audited_before_training_and_in_the_report_and_each_warning_is_shown_once(
    tmp_path: Path, tiny_facts: Path
) -> None:
    said: list[str] = []

    class Listening(SilentReporter):
        def note(self, message: str) -> None:
            said.append(message)

    settings = demo_settings(tiny_facts, tmp_path / "out", seeds=1)
    settings["methods"] = {
        "refined": {"refine": {"name": "icl", "demonstrations": 2}},
        "repeated": {"refine": {"name": "ask_to_improve", "improve": "{answer}\n", "query": "Say {prompt}:"}},
    }
    settings |= {"ceiling": False, "trainer": {"max_steps": 2, "learning_rate": 1e-3}, "store": str(tmp_path / "store")}
    results = Experiment.from_dict(settings).run(reporter=Listening())
    audits = {one["method"]: one for one in results.provenance["refinement"]}
    rows = results.provenance["sizes"]["unlabelled"]
    assert audits["refined"]["rows"] == rows
    assert set(audits["refined"]["scores"]) == {"content", "concept"}
    assert audits["refined"]["scores"]["concept"]["base"] == 0
    assert audits["refined"]["sample"] == audits["refined"]["wording"]["rows"] == min(rows, 64)
    for one in audits.values():
        for warning in one["warnings"]:
            assert said.count(sentence(Note.from_json(warning))) == 1
            assert warning in results.provenance["notes"]
    assert "Refinement, before training" in (tmp_path / "out" / "report.html").read_text()


def audited_choices(tmp_path: Path, refine: object, **changed: Any) -> tuple[dict[str, Any], Results]:
    """The audit of one method's refinement, and the results."""
    path = write_experiment(
        tmp_path, tmp_path / "decoder", methods={"refined": {"refine": refine}}, ceiling=False, **changed
    )
    results = Experiment.from_yaml(path).run()
    [audit] = results.provenance["refinement"]
    return audit, results


@pytest.mark.parametrize("refine", [CHOICE_ICL, "linear"])
def test_a_refinement_of_choices_is_audited_and_in_the_report(tmp_path: Path, refine: object) -> None:
    make_decoder(tmp_path / "decoder", context=48)
    audit, results = audited_choices(tmp_path, refine, rows=planted_rows(60))
    assert (audit["method"], audit["seed"], audit["choices"]) == ("refined", 0, ("no", "yes"))
    shown = {*results.examples["unlabelled"].predictions["role"].to_pylist()}
    assert shown == {"supervisor", "combined", "refined", "student"}
    assert audit["rows"] == audit["sample"] == results.provenance["sizes"]["unlabelled"]
    asked = refine is CHOICE_ICL
    assert ("base" in audit["shares"]) == ("base" in audit["scores"]["accuracy"]) == asked
    assert np.isfinite(audit["as_base"]) == asked
    for warning in audit["warnings"]:
        assert warning in results.provenance["notes"]
    page = (tmp_path / "output" / "report.html").read_text()
    assert "Refinement, before training" in page
    assert "draws agree" in page


def test_the_base_of_an_audit_is_what_the_model_says_without_demonstrations(tmp_path: Path) -> None:
    make_decoder(tmp_path / "decoder", context=48)
    audit, _ = audited_choices(tmp_path, CHOICE_ICL, rows=planted_rows(60))
    config = parse_config(yaml.safe_load((tmp_path / "output" / "config.yaml").read_text()))
    unlabelled = read_task(config.task)[1].part("unlabelled")
    model = LocalLanguageModel.load(tmp_path / "decoder")
    probs = ChoiceICL().base(unlabelled, model)
    assert audit["shares"]["base"] == pytest.approx(np.bincount(probs.argmax(axis=1), minlength=2) / len(unlabelled))
    assert audit["confidence"]["base"] == pytest.approx(probs.max(axis=1).mean(), abs=1e-5)


def test_refined_choices_do_not_depend_on_the_batch_size(tmp_path: Path) -> None:
    model = make_decoder(tmp_path / "decoder", context=48)
    audits = []
    for size in (1, 32):
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / "decoder").symlink_to(model)
        strong = {"model": str(model), "batch_size": size, "adapter": {"name": "probe", "epochs": 1}}
        audits.append(audited_choices(folder, CHOICE_ICL, rows=planted_rows(30), strong=strong)[0])
    assert audits[0]["confidence"] == pytest.approx(audits[1]["confidence"], abs=1e-5)
    assert audits[0]["shares"] == audits[1]["shares"]


def test_weak_labels_that_are_all_equal_are_called_out(tmp_path: Path) -> None:
    make_decoder(tmp_path / "decoder", context=48)
    rows = planted_rows(60)
    write_lines(tmp_path / "votes.jsonl", [{"task": row["id"], "worker": "al", "label": 1} for row in rows])
    audit, results = audited_choices(tmp_path, CHOICE_ICL, rows=rows)
    assert audit["shares"]["weak"] == (0.0, 1.0)
    assert any("all weak labels are 'yes'" in sentence(note) for note in results.notes)


def test_one_row_to_be_refined_is_refused_with_advice(tmp_path: Path) -> None:
    make_decoder(tmp_path / "decoder", context=48)
    rows = [{**row, "part": ("gold", "test")[index % 2]} for index, row in enumerate(planted_rows(20))]
    rows[0]["part"] = "unlabelled"
    task = {"path": "rows.jsonl", "columns": {"id": "id", "part": "part"}, "choices": ["no", "yes"]}
    with pytest.raises(DataError, match="Too few rows to show 3 demonstration") as caught:
        audited_choices(tmp_path, CHOICE_ICL, rows=rows, task=task)
    assert "Give more rows" in str(caught.value)
