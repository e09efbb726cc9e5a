from __future__ import annotations

import numpy as np
import pytest
from judges import TalkingJudge

from outgrow.errors import ConfigError, DataError
from outgrow.evaluate import prefer
from outgrow.evaluate.pairwise import PAIR, read_verdict
from outgrow.models.protocols import GenerateOptions

GREEDY = GenerateOptions()


def longer(prompt: str, _: int) -> str:
    """Prefers the longer answer."""
    first, second = prompt.split("Answer A: ")[1].split("\n\nWrite")[0].split("\n\nAnswer B: ")
    return "[[tie]]" if len(first) == len(second) else "[[A]]" if len(first) > len(second) else "[[B]]"


def asked(count: int) -> list[dict[str, str]]:
    return [{"question": f"Which {{first}} {row}?"} for row in range(count)]


def test_a_fair_judge_is_followed_whatever_is_shown_first() -> None:
    found = prefer(TalkingJudge(longer), ["long one", "x", "ab"], ["no", "xyz", "cd"], asked(3), options=GREEDY)
    assert found.verdicts.tolist() == [1.0, 0.0, 0.5]
    assert found.scores.tolist() == [1.0, 0.0, 0.5]
    assert found.first_bias == 0.0


@pytest.mark.parametrize(("letter", "bias"), [("A", 0.5), ("B", -0.5)])
def test_a_judge_that_looks_at_the_place_only_makes_ties_and_its_bias_is_told(letter: str, bias: float) -> None:
    found = prefer(TalkingJudge(lambda *_: f"[[{letter}]]"), ["a", "b"], ["c", "d"], asked(2), options=GREEDY)
    assert found.verdicts.tolist() == [0.5, 0.5]
    assert found.first_bias == bias


def test_samples_are_averaged_within_an_order() -> None:
    judge = TalkingJudge(lambda prompt, place: "[[A]]" if place < 3 else "[[B]]")
    found = prefer(judge, ["a"], ["b"], asked(1), options=GenerateOptions(n=4, temperature=1.0))
    np.testing.assert_allclose(found.orders, [[0.75, 0.25]])
    assert found.scores.tolist() == [0.5]


def test_a_verdict_that_cannot_be_read_is_asked_for_once_more_and_then_missing() -> None:
    judge = TalkingJudge(lambda prompt, _: "[[tie]]" if "no verdict" in prompt and "Answer A: a" in prompt else "hm")
    found = prefer(judge, ["a"], ["b"], asked(1), options=GREEDY)
    assert (found.repaired, found.unread) == (1, 1)
    assert np.isnan(found.scores).all()
    assert np.isnan(found.verdicts).all()
    assert np.isnan(found.first_bias)


def test_two_verdicts_are_none() -> None:
    assert read_verdict("[[A]] or rather [[B]]") is None
    assert read_verdict("[[a]], yes, [[A]]") == 1.0


def test_answers_and_items_that_do_not_fit_are_refused() -> None:
    judge = TalkingJudge(longer)
    with pytest.raises(DataError, match="differ in number"):
        prefer(judge, ["a"], [], asked(1), options=GREEDY)
    with pytest.raises(ConfigError, match="verdict template"):
        prefer(judge, ["a"], ["b"], asked(1), options=GREEDY, template=PAIR.replace("{second}", ""))
