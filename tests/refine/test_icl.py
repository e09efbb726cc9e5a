"""In-context refinement: who is shown to whom, and what the student gets to learn."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from text_rows import make_labels, make_rows, marked, shown

from outgrow.errors import ConfigError, DataError
from outgrow.labels import Completion
from outgrow.models.protocols import GenerateOptions
from outgrow.models.scripted import ScriptedLanguageModel
from outgrow.refine.icl import ICL
from outgrow.registry import create


@given(count=st.integers(2, 30), demonstrations=st.integers(1, 8), seed=st.integers(0, 2**32))
def test_a_row_never_sees_its_own_weak_answer(count, demonstrations, seed):
    rows, labels = marked(count)
    icl = ICL(demonstrations=min(demonstrations, count - 1))
    for item, prompt in enumerate(icl.prompts(rows, labels, seed=seed)):
        others = shown(prompt)
        assert item not in others
        assert len(set(others)) == len(others) == icl.demonstrations


@given(
    prompts=st.lists(st.sampled_from(["a", " A", "b", "c", "d", "b  "]), min_size=4, max_size=12),
    seed=st.integers(0, 99),
)
def test_a_row_that_asks_the_same_is_no_demonstration(prompts, seed):
    rows = make_rows(prompts)
    labels = make_labels(rows, [f"<<{index}>>" for index in range(len(prompts))])
    asked = [prompt.strip().lower() for prompt in prompts]
    assume(len(set(asked)) > 1)
    for item, prompt in enumerate(ICL(demonstrations=1).prompts(rows, labels, seed=seed)):
        assert all(asked[other] != asked[item] for other in shown(prompt))


def test_whole_batches_show_their_members_to_each_other():
    rows, labels = marked(12)
    prompts = ICL(demonstrations=3).prompts(rows, labels, seed=1)
    batches = {frozenset([item, *shown(prompt)]) for item, prompt in enumerate(prompts)}
    assert sorted(len(batch) for batch in batches) == [4, 4, 4]


def test_the_format_is_blocks_and_an_open_question():
    rows = make_rows(["one?", "two?"])
    prompts = ICL(demonstrations=1).prompts(rows, make_labels(rows, [" Arr, 1! ", "Arr, 2!\n"]), seed=0)
    assert prompts[0] == "Question: two?\nAnswer: Arr, 2!\n\nQuestion: one?\nAnswer:"
    assert prompts[1] == "Question: one?\nAnswer: Arr, 1!\n\nQuestion: two?\nAnswer:"


def test_prompts_are_the_same_for_the_same_seed_only():
    rows, labels = marked(20)
    first, again, other = (ICL().prompts(rows, labels, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_order_of_the_demonstrations_varies():
    rows, labels = marked(5)
    orders = {tuple(shown(prompt)) == tuple(sorted(shown(prompt))) for prompt in ICL().prompts(rows, labels, seed=0)}
    assert False in orders


def test_each_supervisor_is_shown_about_equally_often():
    rows = make_rows(f"q{index}?" for index in range(200))
    labels = make_labels(rows, ["first"] * 200, ["second"] * 200)
    text = "".join(ICL(share=1).prompts(rows, labels, seed=0))
    assert 0.4 < text.count("first") / 800 < 0.6
    assert text.count("first") + text.count("second") == 800


def test_a_missing_text_of_one_supervisor_is_made_up_for_by_the_other():
    rows = make_rows(f"q{index}?" for index in range(6))
    prompts = ICL().prompts(rows, make_labels(rows, [None] * 6, ["second"] * 6), seed=0)
    assert all(prompt.count("second") == 4 for prompt in prompts)


@pytest.mark.parametrize("nothing", [None, "", " \n"])
def test_a_row_without_a_usable_text_is_refined_but_not_shown(nothing):
    rows = make_rows(f"q{index}?" for index in range(6))
    labels = make_labels(rows, [nothing, *(f"<<{index}>>" for index in range(1, 6))])
    prompts = ICL().prompts(rows, labels, seed=0)
    assert prompts[0].endswith("Question: q0?\nAnswer:")
    assert len(shown(prompts[0])) == 4
    assert all("q0?" not in prompt for prompt in prompts[1:])


@given(prompt=st.text(), answer=st.text())
def test_braces_in_data_are_just_text(prompt, answer):
    rows = make_rows([f"1 {prompt} {{answer}}", f"2 {{prompt}} {{0}} {answer}"])
    labels = make_labels(rows, ["own", f"{{prompt}} {answer} {{"])
    text = ICL(demonstrations=1).prompts(rows, labels, seed=0)[0]
    shown_prompt, shown_answer, asked = rows.prompts[1], f"{{prompt}} {answer} {{", rows.prompts[0]
    assert text == f"Question: {shown_prompt}\nAnswer: {shown_answer}\n\nQuestion: {asked}\nAnswer:"


def test_own_templates_are_used():
    rows = make_rows(["one?", "two?"])
    icl = ICL(1, demonstration="{answer} <- {prompt} {other}; ", query="? <- {prompt}")
    assert icl.prompts(rows, make_labels(rows, ["a", "b"]), seed=0)[0] == "b <- two? {other}; ? <- one?"


@pytest.mark.parametrize("count", [1, 4])
def test_too_few_rows_are_refused_by_number(count):
    rows, labels = marked(count)
    with pytest.raises(DataError, match=rf"(?s)Too few rows.*{count - 1} other.*at least 4"):
        ICL().prompts(rows, labels, seed=0)


def test_labels_of_other_rows_are_refused():
    rows, labels = marked(6)
    with pytest.raises(DataError, match="not about the rows"):
        ICL().prompts(rows, dataclasses.replace(labels, ids=tuple("abcdef")), seed=0)


def test_no_rows_give_no_prompts():
    rows, labels = marked(0)
    assert ICL().prompts(rows, labels, seed=0) == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"demonstrations": 0},
        {"demonstration": "Question: {prompt}"},
        {"demonstration": "{answer}"},
        {"query": "Answer:"},
        {"query": "{prompt} {answer}"},
    ],
)
def test_parameters_that_cannot_work_are_refused(parameters):
    with pytest.raises(ConfigError):
        create("refiner", "icl", parameters)


def test_refined_texts_come_from_the_strong_model_without_their_leading_space():
    rows, labels = marked(6)
    model = ScriptedLanguageModel(lambda prompt: f"  refined {re.findall(r'q[0-9]', prompt)[-1]}\nQuestion: more?")
    refined = ICL().texts(rows, labels, model, options=GenerateOptions(stop=("\n",)), seed=0).labels
    assert (refined.ids, refined.supervisors) == (rows.ids, ("icl",))
    assert [refined.best(row, 0).text for row in range(6)] == [f" refined q{row}" for row in range(6)]
    best = refined.best(0, 0)
    assert max(end for _, end in best.offsets) == len(best.text)


def test_several_samples_are_ordered_by_mean_token_log_prob():
    class Sampling:
        name = "sampling"

        def generate(self, prompts, options):
            unsure, sure = Completion("unsure", (-9.0,), ((0, 6),), True), Completion("sure", (-1.0,) * 20, (), True)
            return [[unsure, sure] for _ in prompts]

        def logprobs(self, pairs):
            raise NotImplementedError

    rows, labels = marked(6)
    refined = ICL().texts(rows, labels, Sampling(), options=GenerateOptions(n=2, temperature=1.0), seed=0).labels
    assert [one.text for one in refined.texts[0][0]] == ["sure", "unsure"]
