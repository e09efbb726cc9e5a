"""What a dry run says, against what is then asked."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from http_server import Server, serving
from outgrow.experiment import Experiment
from served_experiments import crowd, settings_in


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
