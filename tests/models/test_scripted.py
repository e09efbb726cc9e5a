"""ScriptedLanguageModel keeps the contract that real models keep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import ModelError
from outgrow.models.protocols import GenerateOptions
from outgrow.models.scripted import EXPECTED, SURPRISING, ScriptedLanguageModel

ANSWER = " It is Paris.\n\nQuestion: next?"


def answer(options: GenerateOptions, script: str = ANSWER):
    return ScriptedLanguageModel({"q": script}).generate(["q"], options)[0][0]


def test_an_answer_is_the_script_and_ends_by_itself():
    whole = answer(GenerateOptions())
    assert (whole.text, whole.finished) == (ANSWER, True)
    assert whole.logprobs == (EXPECTED,) * 6
    assert whole.offsets[-1] == (len(ANSWER), len(ANSWER))


def test_a_function_answers_prompts_that_no_table_could_hold():
    model = ScriptedLanguageModel(str.upper, name="loud")
    assert [one.text for [one] in model.generate(["a", "b"], GenerateOptions())] == ["A", "B"]


def test_a_stop_string_ends_the_text_before_it():
    stopped = answer(GenerateOptions(stop=("never", "\n")))
    assert (stopped.text, stopped.finished) == (" It is Paris.", False)


def test_the_number_of_words_is_limited():
    short = answer(GenerateOptions(max_new_tokens=2))
    assert (short.text, short.finished, len(short.logprobs)) == (" It is", False, 2)


def test_an_answer_of_exactly_the_limit_has_no_room_for_its_end():
    assert not answer(GenerateOptions(max_new_tokens=2), " It is").finished


def test_n_samples_are_n_equal_texts():
    [texts] = ScriptedLanguageModel({"q": "x"}).generate(["q"], GenerateOptions(n=3, temperature=1.0))
    assert [one.text for one in texts] == ["x"] * 3


def test_a_text_is_scored_high_where_it_agrees_with_the_script():
    [scored] = ScriptedLanguageModel({"q": " It is Paris"}).logprobs([("q", " It was Paris, yes")])
    assert scored.logprobs == (EXPECTED, SURPRISING, SURPRISING, SURPRISING)
    assert (scored.text, scored.finished) == (" It was Paris, yes", False)


def test_a_prompt_without_an_answer_is_named():
    with pytest.raises(ModelError, match="'other'"):
        ScriptedLanguageModel({"q": "x"}).generate(["other"], GenerateOptions())


@given(st.text())
def test_spans_cover_any_text(text):
    [scored] = ScriptedLanguageModel({"q": "x"}).logprobs([("q", text)])
    assert "".join(text[start:end] for start, end in scored.offsets) == text
    assert len(scored.logprobs) == len(scored.offsets)


@given(st.text())
def test_an_answer_without_limits_is_the_whole_script(text):
    assert answer(GenerateOptions(max_new_tokens=10_000), text).text == text
