"""What the benchmark of the world `facts` plants and reckons; its numbers are in benchmarks/RESULTS.md."""

from __future__ import annotations

import numpy as np
import pytest

from example_scripts import load_script
from outgrow.worlds.facts import make_world, score

facts = load_script("../benchmarks/facts.py")
WORLD = make_world()
ROWS = WORLD.rows()


def test_planted_supervisors_know_their_share_and_mix_theirs():
    labels = facts.Setting(2, 0.75, otherwise=0.25).labels(WORLD, ROWS, seed=3)
    for m in range(2):
        said = [row[m][0].text.strip() for row in labels.texts]
        assert score(WORLD, ROWS.prompts, said)["content"].mean() == 0.75
        styles = [WORLD.parse(text).style for text in said]
        assert styles.count("formal") == len(ROWS) / 4
        assert styles.count("pirate") == 3 * len(ROWS) / 4


def test_other_seeds_are_other_supervisors():
    first, second = (facts.Setting(1, 0.5).labels(WORLD, ROWS, seed).texts for seed in (0, 1))
    assert first != second


def test_a_planted_line_is_fitted():
    means = {"base": 0.9} | {f"supervisor {known}": known for known in facts.KNOWN}
    means |= {f"naive {known}": 0.9 - (0.1 + 0.6 * (1 - known)) for known in facts.KNOWN}
    assert [float(facts.fitted("naive", what, means)) for what in range(3)] == pytest.approx([0.6, 0.1, 1.0])
    bent = means | {"naive 0.5": 0.9}
    draws = {name: np.array([means[name], bent[name]]) for name in means}
    fits = facts.fitted("naive", 2, draws)
    assert fits[0] == pytest.approx(1.0)
    assert fits[1] < 0.9


def test_differences_and_ratios_of_columns_are_paired():
    right = np.tile(np.arange(100) < 50, (2, 1)).astype(float)
    columns = facts.Columns({"base": np.ones((1, 100)), "half": right, "same": right})
    assert columns.mean("half").startswith(".500 [")
    assert columns.difference("half", "same").startswith(".000 [-")
    assert columns.ratio("half", "base") == columns.mean("half")


def test_a_function_of_the_means_has_the_interval_of_its_linear_part():
    easy, hard = (np.tile(np.arange(100) < right, (2, 1)).astype(float) for right in (80, 60))
    columns = facts.Columns({"easy": easy, "hard": hard})
    assert f"+{columns.of(lambda means: means['easy'] - means['hard'])}" == columns.difference("easy", "hard")
    assert columns.of(lambda means: means["easy"] - means["easy"]) == ".000"
