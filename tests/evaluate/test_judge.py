from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judges import TalkingJudge

from outgrow.errors import ConfigError, ModelError
from outgrow.evaluate.judge import Ratings, Rubric, rate, rate_together
from outgrow.models.protocols import GenerateOptions

RUBRIC = Rubric("Question: {question}\nAnswer: {answer}\nRate from {low} to {high}:")
TEN = GenerateOptions(n=10, temperature=1.0)


def items(*answers: str) -> list[dict[str, str]]:
    return [{"question": "?", "answer": answer} for answer in answers]


def test_samples_are_averaged_and_their_standard_error_is_that_of_the_mean() -> None:
    found = rate(TalkingJudge(lambda _, place: f"[[{place + 1}]]"), RUBRIC, items("yes"), options=TEN)
    values = np.arange(1, 11)
    assert found.means.tolist() == [values.mean()]
    np.testing.assert_allclose(found.standard_errors, [values.std(ddof=1) / np.sqrt(10)])
    assert (found.unread, found.repaired) == (0, 0)


@given(st.integers(1, 10), st.text(alphabet="abc 10.\n", max_size=12))
def test_the_rating_is_found_in_any_talk_without_brackets(rating: int, talk: str) -> None:
    assert RUBRIC.read(f"{talk}[[ {rating} ]]{talk}") == rating


@pytest.mark.parametrize(
    "reply", ["", "7", "[7]", "[[seven]]", "[[0]]", "[[11]]", "[[3]] [[4]]", "[[7/10]]", "[[nan]]"]
)
def test_what_is_no_rating_on_the_scale_is_not_read(reply: str) -> None:
    assert RUBRIC.read(reply) is None


def test_a_reply_that_cannot_be_read_is_asked_for_once_more() -> None:
    judge = TalkingJudge(lambda prompt, place: "[[6]]" if "no rating" in prompt or place else "about six")
    found = rate(judge, RUBRIC, items("a", "b"), options=TEN)
    assert found.means.tolist() == [6.0, 6.0]
    assert (found.repaired, found.unread, found.example) == (2, 0, None)
    assert all("about six" in prompt for prompt in judge.asked[2:])


def test_a_judge_that_never_parses_gives_no_number_and_is_asked_twice_only() -> None:
    judge = TalkingJudge(lambda *_: "I would rather not say.")
    found = rate(judge, RUBRIC, items("a", "b"), options=TEN)
    assert np.isnan(found.means).all()
    assert np.isnan(found.standard_errors).all()
    assert (found.unread, found.repaired, found.example) == (20, 0, "I would rather not say.")
    assert len(judge.asked) == 2 + 20


def test_a_missing_reply_is_a_missing_rating() -> None:
    class Silent:
        def generate(self, prompts: list[str], options: GenerateOptions) -> list[list[object]]:
            return [[] for _ in prompts]

    assert rate(Silent(), RUBRIC, items("a"), options=TEN).unread == 10


def test_a_model_that_replies_to_some_prompts_only_is_an_error() -> None:
    class Short:
        def generate(self, prompts: list[str], options: GenerateOptions) -> list[list[object]]:
            return []

    with pytest.raises(ModelError, match="did not reply to every prompt"):
        rate(Short(), RUBRIC, items("a"), options=TEN)


@given(st.text(alphabet="{}[]\"'answerlowq%\\1 ", max_size=30))
def test_braces_and_quotes_reach_the_judge_as_they_are(answer: str) -> None:
    expected = f"Question: {{answer}}\nAnswer: {answer}\nRate from 1 to 10:"
    assert RUBRIC.prompt({"question": "{answer}", "answer": answer}) == expected


def test_ratings_that_are_missing_in_part_leave_the_mean_of_the_others() -> None:
    found = Ratings(np.array([[1.0, np.nan, 3.0], [np.nan] * 3]))
    np.testing.assert_equal(found.means, [2.0, np.nan])
    assert found.counts.tolist() == [2, 0]


@pytest.mark.parametrize("settings", [{"low": 5, "high": 5}, {"template": "no place"}])
def test_a_rubric_without_a_scale_or_a_place_for_the_answer_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Rubric(**{"template": "{answer}", **settings})  # type: ignore[arg-type]


BOTH = [Rubric("Question: {question}\nAnswer: {answer}\nTwo ratings:", of=2, place=place) for place in (0, 1)]


def test_two_ratings_in_one_reply_are_asked_for_once() -> None:
    judge = TalkingJudge(lambda _, place: f"Content Rating: [[{place + 1}]] Style Rating: [[7]]")
    content, style = rate_together(judge, BOTH, items("a", "b"), options=TEN)
    assert (content.means.tolist(), style.means.tolist()) == ([5.5, 5.5], [7.0, 7.0])
    assert len(judge.asked) == 2


@pytest.mark.parametrize("reply", ["[[5]]", "[[5]] [[6]] [[7]]", "five, six", ""])
def test_a_reply_with_another_number_of_ratings_is_asked_for_once_more(reply: str) -> None:
    judge = TalkingJudge(lambda prompt, place: "[[3]] [[4]]" if "the 2 ratings" in prompt or place else reply)
    content, style = rate_together(judge, BOTH, items("a"), options=TEN)
    assert (content.means.tolist(), style.means.tolist()) == ([3.0], [4.0])
    assert (content.repaired, style.repaired) == (1, 1)


def test_of_two_ratings_only_the_missing_one_is_taken_from_the_second_reply() -> None:
    judge = TalkingJudge(lambda prompt, _: "[[2]] [[4]]" if "the 2 ratings" in prompt else "[[9]] [[99]]")
    content, style = rate_together(judge, BOTH, items("a"), options=GenerateOptions())
    assert (content.means.tolist(), style.means.tolist()) == ([9.0], [4.0])
    assert (content.repaired, style.repaired) == (0, 1)
    lost = rate_together(TalkingJudge(lambda *_: "[[9]] [[99]]"), BOTH, items("a"), options=GenerateOptions())
    assert [(one.unread, one.example) for one in lost] == [(0, None), (1, "[[9]] [[99]]")]
