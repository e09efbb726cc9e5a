from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.config import ExperimentConfig, parse_config
from outgrow.errors import ConfigError, DataError
from outgrow.labels import ChoiceVotes, Rows
from outgrow.run import Run
from outgrow.store import Store
from outgrow.supervisors.rules import decide

PROMPTS = ("gold", "great film", "Great and bad", "neither of both", "bad\nGREAT")
ROWS = Rows(
    ids=("g", "u1", "u2", "u3", "t"),
    prompts=PROMPTS,
    parts=("gold", "unlabelled", "unlabelled", "unlabelled", "test"),
    gold=(0, None, None, None, 1),
    choices=("no", "yes"),
)
NO, YES, NOTHING = [1.0, 0.0], [0.0, 1.0], [np.nan, np.nan]


def parsed(*rules: dict[str, Any], **settings: Any) -> ExperimentConfig:
    """An experiment with these rules, as a file would give them."""
    supervisor = {"rules": list(rules), **settings}
    return parse_config({"task": {"path": "x.csv"}, "supervisors": [supervisor], "strong": {"model": "m"}})


def label(*rules: dict[str, Any], rows: Rows = ROWS, **settings: Any) -> ChoiceVotes:
    """What rules say about the unlabelled and the test rows."""
    [supervisor] = parsed(*rules, **settings).supervisors
    return supervisor.vote(rows, Run(Store.default()), seed=0)


GREAT = {"pattern": r"(?i)\bgreat\b", "label": "yes"}
BAD = {"pattern": r"\bbad\b", "label": "no"}


def test_the_first_rule_that_is_found_decides_and_no_match_is_an_abstention() -> None:
    votes = label(GREAT, BAD, name="words")
    assert votes.supervisors == ("words",)
    np.testing.assert_array_equal(votes.probs[:, 0], [YES, YES, NOTHING, YES])
    assert votes.status[:, 0].tolist() == ["ok", "ok", "abstained", "ok"]
    np.testing.assert_array_equal(label(BAD, GREAT).probs[:, 0], [YES, NO, NOTHING, NO])


def test_rules_can_vote() -> None:
    votes = label(GREAT, BAD, {"pattern": "and", "label": 1}, decide="vote")
    np.testing.assert_allclose(votes.probs[:, 0], [YES, [1 / 3, 2 / 3], NOTHING, [0.5, 0.5]])


def test_each_rule_can_be_a_supervisor_of_its_own() -> None:
    votes = label(GREAT, {**BAD, "name": "bad"}, decide="each", name="word")
    assert votes.supervisors == ("word 1", "bad")
    np.testing.assert_array_equal(votes.probs[:, 0], [YES, YES, NOTHING, YES])
    np.testing.assert_array_equal(votes.probs[:, 1], [NOTHING, NO, NOTHING, NO])


def test_a_rule_can_withhold_the_vote_from_those_after_it() -> None:
    votes = label({"pattern": "and", "label": -1}, GREAT)
    np.testing.assert_array_equal(votes.probs[:, 0], [YES, NOTHING, NOTHING, YES])


def test_flags_hold_for_all_patterns() -> None:
    assert label({"pattern": "^great", "label": 1}).status[:, 0].tolist().count("ok") == 1
    assert label({"pattern": "^great", "label": 1}, flags=["ignorecase"]).status[:, 0].tolist().count("ok") == 2
    assert label({"pattern": "^great", "label": 1}, flags=["ignorecase", "multiline"]).status[-1, 0] == "ok"


@given(
    found=st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=6),
    labels=st.lists(st.none() | st.integers(0, 2), min_size=4, max_size=4),
)
def test_rules_decide_as_they_do_one_by_one(found: list[list[bool]], labels: list[int | None]) -> None:
    one_by_one = []
    for row in found:
        said = [label for was_found, label in zip(row, labels, strict=True) if was_found]
        one_by_one.append([np.nan] * 3 if not said or said[0] is None else np.eye(3)[said[0]])
    np.testing.assert_array_equal(decide(np.array(found), labels, classes=3), one_by_one)
    shares = decide(np.array(found), labels, classes=3, first=False)
    for row, share in zip(found, shares, strict=True):
        said = [label for was_found, label in zip(row, labels, strict=True) if was_found and label is not None]
        np.testing.assert_allclose(share, np.bincount(said, minlength=3) / len(said) if said else [np.nan] * 3)


@given(words=st.lists(st.sampled_from(["great", "bad", "so", "so-so"]), max_size=4))
def test_a_pattern_is_found_where_the_standard_library_finds_it(words: list[str]) -> None:
    prompt = " ".join(words)
    rows = Rows(("a",), (prompt,), ("test",), (1,), ("no", "yes"))
    for pattern in (r"\bso\b", r"^(great|bad)", r"(?<!-)so$", r"(\w+) \1"):
        found = label({"pattern": pattern, "label": 1}, rows=rows).status[0, 0] == "ok"
        assert found == bool(re.search(pattern, prompt))


@pytest.mark.parametrize(
    ("rules", "settings", "said"),
    [
        ([GREAT, {"pattern": "(bad", "label": 0}], {}, r"supervisors.0: the pattern of rule 1, '\(bad', does not comp"),
        ([{"patern": "bad", "label": 0}], {}, "rules.0.patern: unknown key; did you mean 'pattern'"),
        ([GREAT], {"decides": "each"}, "supervisors.0.decides: unknown key; did you mean 'decide'"),
        ([GREAT], {"decide": "all"}, "supervisors.0.decide: wanted 'first', 'vote' or 'each'"),
        ([GREAT], {"flags": ["global"]}, "supervisors.0.flags.0: wanted 'ascii'"),
        ([GREAT], {"timeout": 0}, "supervisors.0.timeout: "),
        ([], {}, "supervisors.0.rules: "),
        ([{"pattern": "x"}], {}, "supervisors.0.rules.0.label: Field required"),
    ],
)
def test_wrong_rules_are_refused_when_the_experiment_is_read(
    rules: list[dict[str, Any]], settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        parsed(*rules, **settings)


def test_a_label_outside_the_choices_is_refused() -> None:
    with pytest.raises(DataError, match=r"in the rules words is outside the choices(.|\n)*'maybe'"):
        label({"pattern": "x", "label": "maybe"}, name="words")


def test_a_pattern_that_would_search_for_ages_is_refused_with_its_row() -> None:
    rows = Rows(("slow",), ("a" * 60 + "-",), ("test",), (1,), ("no", "yes"))
    with pytest.raises(DataError, match=r"takes too long(.|\n)*more than 0.05 s on row slow, which has 61 characters"):
        label({"pattern": "^(a|aa)+[bc]$", "label": 1}, rows=rows, timeout=0.05)


def test_the_checked_configuration_can_be_written_and_read_again() -> None:
    config = parsed(GREAT, {"pattern": "x", "label": True}, flags=["dotall"])
    assert parse_config(config.model_dump(mode="json")) == config
