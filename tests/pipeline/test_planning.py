"""What `Experiment.plan` foresees, against the artefacts that are then made."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from outgrow.experiment import Experiment
from outgrow.models.planning import Speed
from outgrow.store import Store
from small_experiments import planted_rows, write_experiment, write_lines, write_text_task
from tiny_models import make_decoder

SLOW = Speed(flops=1e6, bandwidth=1e6)


def text_settings(folder: Path) -> dict[str, Any]:
    write_text_task(folder)
    decoder = str(folder / "decoder")
    return {
        "task": {"path": str(folder / "rows.jsonl"), "columns": {"id": "id", "part": "part"}},
        "supervisors": [{"model": decoder, "name": "trained", "train": {"max_steps": 1}}],
        "strong": {"model": decoder},
        "methods": {"naive": {}, "improved": {"refine": "ask_to_improve"}},
        "trainer": {"num_train_epochs": 2, "per_device_train_batch_size": 4},
        "generate": {"max_new_tokens": 3},
        "seeds": 1,
        "store": str(folder / "store"),
        "output": str(folder / "output"),
    }


def kinds(estimate: Any) -> Counter[str]:
    return Counter(stage.kind for stage in estimate.stages)


def test_a_text_experiment_is_foreseen_and_its_report_compares(tmp_path: Path) -> None:
    experiment = Experiment.from_dict(text_settings(tmp_path))
    estimate = experiment.plan()
    assert not (tmp_path / "store").exists()
    assert all(stage.seconds is not None and stage.seconds.low <= stage.seconds.likely for stage in estimate.stages)
    results = experiment.run()
    made = Counter(name.split("/")[0] for name in results.provenance["artefacts"])
    # A stage that asks a model twice is two calls.
    assert kinds(estimate).keys() == made.keys()
    assert kinds(estimate)["text-student"] == made["text-student"]
    assert "Estimate against actual" in (tmp_path / "output" / "report.html").read_text(encoding="utf-8")
    assert not experiment.plan(SLOW).stages


def test_a_stated_speed_loads_nothing_and_gives_the_time_of_the_flops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise AssertionError("a model was loaded")

    for place in ("models.local.LocalLanguageModel.load", "train.text.load_causal_lm"):
        monkeypatch.setattr(f"outgrow.{place}", refused)
    estimate = Experiment.from_dict(text_settings(tmp_path)).plan(SLOW)
    for stage in estimate.stages:
        if stage.kind == "text-student":
            assert stage.seconds is not None
            assert stage.seconds.likely == pytest.approx(stage.flops / 1e6)
    assert "Speeds were stated" in estimate.text()


def test_workers_with_devices_of_their_own_share_what_is_read_and_written(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    settings = text_settings(tmp_path)
    parts = ["gold", *["unlabelled", "test"] * 300]  # more than a piece each
    rows = [{"id": str(at), "text": f"a plot {at}", "label": "good", "part": part} for at, part in enumerate(parts)]
    write_lines(tmp_path / "rows.jsonl", rows)

    def seconds(**scale: Any) -> dict[str, float]:
        found: Counter[str] = Counter()
        for stage in Experiment.from_dict({**settings, "scale": scale}).plan(SLOW).stages:
            assert stage.seconds is not None
            found[stage.kind] += stage.seconds.likely  # type: ignore[assignment]
        return dict(found)

    alone, shared = seconds(), seconds(executor="ray", address="elsewhere:6379", workers=2)
    assert shared["text-student"] == alone["text-student"]
    assert shared["refined"] == pytest.approx(alone["refined"] / 2)
    assert seconds(executor="ray", workers=2) == alone  # two on the processors of this machine


def test_features_of_a_probe_are_read_once_for_all_its_students(tmp_path: Path, encoder_folder: Path) -> None:
    path = write_experiment(tmp_path, encoder_folder, planted_rows(60), seeds=2)
    experiment = Experiment.from_yaml(path)
    estimate = experiment.plan()
    experiment.run()
    store = Store(tmp_path / "store")
    planned = kinds(estimate)
    assert planned["features"] == len(list((store.root / "features").glob("*/manifest.json")))
    assert sum(stage.rows for stage in estimate.stages if stage.kind == "features") <= 60


def test_what_a_supervisor_reads_that_is_asked_for_choices_is_foreseen(tmp_path: Path) -> None:
    model = make_decoder(tmp_path / "decoder", context=48)
    asked = [{"model": str(model), "ask": {"content_free": []}}]
    path = write_experiment(tmp_path, model, planted_rows(60), supervisors=asked, ceiling=False)
    experiment = Experiment.from_yaml(path)
    estimate, sizes = experiment.plan(SLOW), experiment.run().provenance["sizes"]
    [own] = [stage.rows for stage in estimate.stages if stage.kind == "labels"]
    assert own == 2 * (sizes["unlabelled"] + sizes["test"])


def test_demonstrations_by_the_similarity_of_embeddings_are_foreseen(tmp_path: Path) -> None:
    settings = text_settings(tmp_path)
    settings["methods"] = {"similar": {"refine": {"name": "icl", "demonstrations": 1, "select": "embedding"}}}
    experiment = Experiment.from_dict(settings)
    assert "refined" in kinds(experiment.plan(SLOW))
    experiment.estimate()


@pytest.mark.slow
def test_an_estimate_of_other_settings_is_not_compared(tmp_path: Path) -> None:
    settings = text_settings(tmp_path)
    Experiment.from_dict(settings).plan(SLOW)
    other = Experiment.from_dict({**settings, "methods": {"naive": {}}, "ceiling": False})
    assert other.run().provenance["estimate"] is None
    assert yaml.safe_load((tmp_path / "output" / "config.yaml").read_text(encoding="utf-8"))["ceiling"] is False
