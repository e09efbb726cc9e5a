"""What a dry run says, against what is then asked."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from http_server import Server, serving
from outgrow.experiment import Experiment
from served_experiments import crowd, settings_in
from small_experiments import planted_rows, write_experiment, write_text_task


def requests_by_model(lines: list[str]) -> dict[str, tuple[int, int]]:
    """Requests and cached answers, by model."""
    found = [re.match(r"the .* (\S+): ([\d,]+) requests \(([\d,]+) more", line) for line in lines]
    return {one[1]: (int(one[2].replace(",", "")), int(one[3].replace(",", ""))) for one in found if one}


def asked_by_model(server: Server) -> Counter[str]:
    return Counter(asked.body["model"] for asked in server.asked)


def test_every_request_to_everyone_is_foreseen_and_none_after_the_run(tmp_path: Path) -> None:
    with serving(crowd) as server:
        experiment = Experiment.from_dict(settings_in(tmp_path, server.url))
        lines = experiment.estimate()
        assert not server.asked
        assert not (tmp_path / "output").exists()
        experiment.run()
        asked = asked_by_model(server)
        later = experiment.estimate()
        assert asked_by_model(server) == asked
    foreseen = requests_by_model(lines)
    assert {model: count for model, (count, _) in foreseen.items() if model != "judge"} == {
        model: count for model, count in asked.items() if model != "judge"
    }
    assert asked["judge"] <= foreseen["judge"][0] < 1.5 * asked["judge"]
    assert {model: own[0] for model, own in requests_by_model(later).items()} == dict.fromkeys(asked, 0)
    assert lines[-1].startswith("all servers with prices together: at most about ")


def test_money_is_never_more_than_was_said(tmp_path: Path) -> None:
    with serving(crowd) as server:
        experiment = Experiment.from_dict(settings_in(tmp_path, server.url, seeds=1))
        said_before = float(experiment.estimate()[-1].rsplit(maxsplit=1)[-1])
        results = experiment.run()
    spent = sum(cost["money"] for cost in results.provenance["costs"])
    assert 0 < spent <= said_before
    assert {"code": "cost.all", "severity": "info", "values": {"money": f"{spent:.4g}"}} in results.provenance["notes"]


@pytest.mark.parametrize("trained", [False, True])
def test_a_judge_of_models_that_run_here_is_foreseen_too(tmp_path: Path, decoder_folder: Path, trained: bool) -> None:
    supervisor = {"model": str(decoder_folder), "name": "weak"} | ({"train": {"max_steps": 1}} if trained else {})
    with serving(crowd) as server:
        settings = settings_in(tmp_path, server.url, supervisors=[supervisor], strong={"model": str(decoder_folder)})
        settings |= {"methods": {"refined": {"refine": "ask_to_improve"}}, "trainer": {"max_steps": 1}, "seeds": 1}
        if trained:
            rows = (tmp_path / "rows.jsonl").read_text().splitlines()
            gold = json.dumps({"question": "a film", "gold": "good", "part": "gold"})
            (tmp_path / "rows.jsonl").write_text("\n".join([*rows, gold]) + "\n")
        experiment = Experiment.from_dict(settings)
        before = requests_by_model(experiment.estimate())
        experiment.run()
        asked = asked_by_model(server)
        after = requests_by_model(experiment.estimate())
    assert set(before) == {"judge"}
    assert asked["judge"] <= before["judge"][0]
    assert after["judge"][0] == 0


def refused(*arguments: object, **options: object) -> None:
    raise AssertionError("a model was loaded or trained")


@pytest.fixture
def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    places = ("models.local.LocalLanguageModel.load", "train.features.load_encoder", "train.text.load_causal_lm")
    places += ("train.preference.load_causal_lm", "train.supervised.fit", "train.probe.Probe.fit")
    for place in places:
        monkeypatch.setattr(f"outgrow.{place}", refused)


@pytest.mark.usefixtures("nothing_is_loaded")
def test_a_dry_run_of_a_text_experiment_loads_trains_and_keeps_nothing(tmp_path: Path) -> None:
    write_text_task(tmp_path)
    decoder = str(tmp_path / "decoder")
    experiment = Experiment.from_dict(
        {
            "task": {"path": str(tmp_path / "rows.jsonl"), "columns": {"id": "id", "part": "part"}},
            "supervisors": [
                {"model": decoder, "name": "trained", "train": {}},
                {"model": decoder, "name": "untrained"},
            ],
            "strong": {"model": decoder},
            "methods": {
                "joint": {"combine": "joint_decoding", "objective": "bayesian"},
                "refined": {"refine": {"name": "icl", "demonstrations": 2}},
                "inferred": {"refine": {"name": "infer_and_demonstrate", "demonstrations": 2, "batch": 2}},
                "improved": {"refine": "ask_to_improve"},
                "preferred": {"prefer": {"name": "cdpo", "epsilon": "ensemble"}},
                "kto": {"prefer": "kto"},
            },
            "generate": {"max_new_tokens": 3, "n_best": 2, "temperature": 1.0},
            "seeds": 2,
            "store": str(tmp_path / "store"),
        }
    )
    assert experiment.estimate() == []
    assert not (tmp_path / "store").exists()


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize("adapter", ["none", {"name": "probe", "epochs": 2}])
def test_a_dry_run_of_a_choice_experiment_loads_trains_and_keeps_nothing(
    tmp_path: Path, decoder_folder: Path, adapter: Any
) -> None:
    link = {"model": str(decoder_folder), "adapter": adapter, "folds": 2}
    methods = {
        "calibrated": {"calibrate": True, "objective": "confidence", "filter": 0.5},
        "linear": {"refine": "linear", "objective": "bayesian"},
        "neighbours": {"refine": "neighbours"},
        "icl": {"refine": {"name": "icl", "demonstrations": 2}},
        "chained": {"chain": [link], "objective": "evidential"},
        "pretuned": {"pretune": {}, "combine": "dependence"},
    }
    task = {
        "path": "rows.jsonl",
        "columns": {"id": "id"},
        "choices": ["no", "yes"],
        "split": {"gold": 40, "validation": 20, "unlabelled": 40, "test": 20},
    }
    supervisors = [{"votes": "votes.jsonl"}, {"features": "tfidf"}]
    supervisors.append({"model": str(decoder_folder), "train": {}, "adapter": adapter, "name": "small"})
    strong = {"model": str(decoder_folder), "adapter": adapter}
    changed = {"task": task, "supervisors": supervisors, "strong": strong, "methods": methods, "seeds": 2}
    path = write_experiment(tmp_path, decoder_folder, planted_rows(120), **changed)
    assert Experiment.from_yaml(path).estimate() == []
    assert not (tmp_path / "store").exists()
