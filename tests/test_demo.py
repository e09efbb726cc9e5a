"""The demo, at the size of a smoke test; what it shows at full size is measured in benchmarks/RESULTS.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from outgrow.demo import demo_experiment
from outgrow.errors import ConfigError
from outgrow.experiment import Experiment
from outgrow.progress import SilentReporter


def test_in_the_tiny_world_all_students_take_the_style_that_the_base_lacks(
    tmp_path: Path, worlds_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(worlds_cache))
    results = demo_experiment(tmp_path / "demo", size="tiny", seeds=1, reporter=SilentReporter()).run()
    concept = {one.name: one.scores["concept"].mean() for one in results.models}
    content = {one.name: one.scores["content"].mean() for one in results.models}
    assert concept["base"] == 0
    students = ("naive", "refined", "inferred", "refined-bayesian")
    assert min(concept[name] for name in ("words", *students)) >= 0.8
    assert min(content[name] for name in students[1:]) > content["words"] + 0.2
    assert content["words"] < 0.6

    for name in ("experiment.yaml", "config.yaml"):
        by_hand = Experiment.from_yaml(tmp_path / "demo" / name).run()
        assert set(by_hand.provenance["seconds"]) == {"total"}  # the same experiment: nothing is made anew
        assert by_hand.table() == results.table()


def test_a_demo_of_an_unknown_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no demo of size 'huge'"):
        demo_experiment(tmp_path, size="huge", seeds=1, reporter=SilentReporter())
