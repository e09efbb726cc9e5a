from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow import registry
from outgrow.errors import ConfigError, DataError, UnknownNameError
from outgrow.labels import ChoiceVotes, Rows
from outgrow.registry import register
from outgrow.run import Run
from outgrow.store import Store
from outgrow.supervisors import Asking, FunctionSupervisor, ask
from outgrow.supervisors.functions import distribution

ROWS = Rows(
    ids=("g", "u1", "u2", "t"),
    prompts=("gold", "a long prompt indeed", "short", "test"),
    parts=("gold", "unlabelled", "unlabelled", "test"),
    gold=(0, None, None, 1),
    choices=("no", "yes"),
)
CHOICES = ("no", "yes")


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """Registers two labelling functions, and gives the prompts that the first is asked about."""
    prompts: list[str] = []

    @register("labelling_function", "long")
    def long(prompt: str, *, words: int = 2, says: str) -> str | None:
        prompts.append(prompt)
        return says if len(prompt.split()) > words else None

    @register("labelling_function", "starts")
    @dataclasses.dataclass(frozen=True)
    class Starts:
        letter: str = "s"

        def __call__(self, prompt: str) -> list[float]:
            return [0.25, 0.75] if prompt.startswith(self.letter) else [1, 0]

    yield prompts
    for name in ("long", "starts"):
        del registry._REGISTERED["labelling_function"][name]


def label(**settings: Any) -> ChoiceVotes:
    return FunctionSupervisor(**settings).vote(ROWS, Run(Store.default()), seed=0)


def answered(answer: object) -> ChoiceVotes:
    """The votes of a function that gives this answer to the first row and abstains on the others."""
    return ask(lambda prompt: answer if prompt == "gold" else None, ROWS, name="f")


@pytest.mark.usefixtures("asked")
def test_a_function_is_found_by_name_and_gets_its_parameters() -> None:
    votes = label(function="long", words=3, says="yes")
    assert votes.supervisors == ("long",)
    assert votes.ids == ("u1", "u2", "t")
    assert votes.status[:, 0].tolist() == ["ok", "abstained", "abstained"]
    assert label(function="long", words=0, says="no", name="any").probs[:, 0].tolist() == [[1, 0]] * 3


@pytest.mark.usefixtures("asked")
def test_an_object_that_can_be_called_is_a_labelling_function() -> None:
    assert label(function="starts").probs[:, 0].tolist() == [[1, 0], [0.25, 0.75], [1, 0]]
    assert label(function="starts", letter="t").probs[:, 0].tolist() == [[1, 0], [1, 0], [0.25, 0.75]]


def test_a_function_is_asked_once_for_all_seeds(asked: list[str]) -> None:
    supervisor = FunctionSupervisor(function="long", says="yes")
    votes = [supervisor.vote(ROWS, Run(Store.default()), seed=seed) for seed in range(3)]
    assert asked == list(ROWS.prompts[1:])
    assert all(np.array_equal(votes[0].probs, other.probs, equal_nan=True) for other in votes[1:])


def test_a_function_is_asked_again_once_its_source_has_changed(tmp_path: Path) -> None:
    counts = []
    for limit in (2, 2, 3):
        (tmp_path / "lengths.py").write_text(
            "from outgrow import register\n\n\n@register('labelling_function', 'lengthy')\n"
            f"def lengthy(prompt):\n    return int(len(prompt.split()) > {limit})\n"
        )
        registry.load_plugin(str(tmp_path / "lengths.py"))
        run = Run(Store.default())
        FunctionSupervisor(function="lengthy").vote(ROWS, run, seed=0)
        counts.append(len(run.store.made))
    del registry._REGISTERED["labelling_function"]["lengthy"]
    assert counts == [1, 0, 1]


def test_what_cannot_be_hashed_is_kept_for_the_run_alone_and_noted() -> None:
    asked, lock = [], threading.Lock()

    @register("labelling_function", "locked")
    def locked(prompt: str) -> int:
        with lock:
            asked.append(prompt)
        return 1

    try:
        for _ in range(2):
            run = Run(Store.default())
            for seed in (0, 1):
                FunctionSupervisor(function="locked").vote(ROWS, run, seed=seed)
            assert [(note.code, note.who) for note in run.notes] == [("store.not_kept", "locked")]
            assert run.store.made == []
    finally:
        del registry._REGISTERED["labelling_function"]["locked"]
    assert len(asked) == 2 * len(ROWS.prompts[1:])  # once in each run, for all seeds


@pytest.mark.parametrize("answer", ["yes", 1, 1.0, True, np.int64(1), np.str_("yes"), np.bool_(True)])
def test_a_choice_is_named_or_numbered(answer: object) -> None:
    assert answered(answer).probs[0, 0].tolist() == [0, 1]


@pytest.mark.parametrize("answer", [None, -1, "", "-1", np.int64(-1)])
def test_nothing_and_minus_one_are_abstentions(answer: object) -> None:
    votes = answered(answer)
    assert votes.status[0, 0] == "abstained"
    assert votes.errors == {}


def test_minus_one_is_a_vote_where_a_choice_has_that_name() -> None:
    assert distribution(-1, ("1", "-1"), where="f").tolist() == [0, 1]


@given(counts=st.lists(st.integers(0, 50), min_size=2, max_size=9).filter(any))
def test_probabilities_are_kept(counts: list[int]) -> None:
    probs = np.array(counts) / sum(counts)
    choices = [f"c{index}" for index in range(len(counts))]
    for given_as in (probs, probs.tolist(), tuple(probs)):
        np.testing.assert_allclose(distribution(given_as, choices, where="f"), probs, rtol=1e-12)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("maybe", "DataError: A label in the answers of f is outside the choices. found: 'maybe'"),
        (2, "outside the choices"),
        (-2, "outside the choices"),
        (0.7, "outside the choices"),
        (float("nan"), "outside the choices"),
        ({"yes": 1.0}, "outside the choices"),
        ([0.5, 0.2, 0.3], "wrong length. found: 3 wanted: 2"),
        ([0.5, 0.4], "do not sum to one"),
        ([1.5, -0.5], r"outside \[0, 1\]"),
        ([float("nan"), 1.0], "NaN"),
        (["a", "b"], "ValueError"),
    ],
)
def test_an_answer_that_is_no_vote_is_a_failed_one_with_its_reason(answer: object, said: str) -> None:
    votes = answered(answer)
    assert votes.status[:, 0].tolist() == ["failed", "abstained", "abstained", "abstained"]
    assert re.search(said, votes.errors["g", "f"])
    assert np.isnan(votes.probs).all()


def test_a_function_that_raises_fails_on_that_row_alone() -> None:
    votes = ask(lambda prompt: {"gold": 1, "test": 0}[prompt], ROWS, name="f")
    assert votes.status[:, 0].tolist() == ["ok", "failed", "failed", "ok"]
    assert votes.errors == {("u1", "f"): "KeyError: 'a long prompt indeed'", ("u2", "f"): "KeyError: 'short'"}


def test_a_function_that_always_fails_is_an_error_that_says_why() -> None:
    def broken(prompt: str) -> int:
        raise RuntimeError("the lexicon\nis missing")

    with pytest.raises(DataError, match=r"f failed on every row(.|\n)*RuntimeError: the lexicon is missing"):
        ask(broken, ROWS, name="f")


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"function": "lang"}, UnknownNameError, "no labelling_function named 'lang'(.|\\n)*did you mean 'long'"),
        ({"function": "long", "word": 1}, ConfigError, "no parameter 'word'(.|\\n)*did you mean 'words'"),
        ({"function": "long"}, ConfigError, "refuses its parameters: says must be given"),
        ({"function": "long", "says": "yes", "words": "many"}, ConfigError, "words: Input should be a valid integer"),
    ],
)
def test_what_is_misspelt_is_said_before_anything_is_asked(
    settings: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        FunctionSupervisor(**settings).check("choice", Asking())


def test_something_that_cannot_be_called_is_no_labelling_function() -> None:
    @dataclasses.dataclass(frozen=True)
    class Mute:
        """Has no `__call__`."""

    with pytest.raises(ConfigError, match=r"'mute' lacks a method(.|\n)*__call__"):
        register("labelling_function", "mute")(Mute)
