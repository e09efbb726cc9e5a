import dataclasses

import pyarrow as pa
import pytest
from example_rows import choice_examples, data_of, text_examples, unpacked

from outgrow.labels import Rows
from outgrow.report import examples
from outgrow.report.examples import Examples, examples_data
from outgrow.report.html import report_html


def only_part(of, **sizes):
    return unpacked(examples_data({"test": of}, [], sizes)["packed"])["parts"][0]


def test_the_data_hold_every_answer_of_every_model():
    part = only_part(choice_examples(8))
    assert part["gold"] == [1] * 8
    by_name = {model["name"]: model for model in part["models"]}
    assert by_name["ann"]["answers"] == [1, 1, 0, 0, 1, 1, 0, 0]
    assert by_name["ben"]["answers"] == [-1] * 8
    assert "probs" not in by_name["ann"]  # plain votes
    assert by_name["majority"]["probs"][0] == [75, 25]


def test_parts_have_their_names_and_answers_to_unlabelled_rows_are_called_so():
    own = choice_examples(4)
    unlabelled = Examples(dataclasses.replace(own.rows, parts=("unlabelled",) * 4), own.predictions)
    for parts, names in (({"test": own, "hard": own}, ["test", "hard"]), ({"test": unlabelled}, ["unlabelled"])):
        assert [part["name"] for part in unpacked(examples_data(parts, [], {})["packed"])["parts"]] == names


def test_a_student_of_several_seeds_is_shown_by_its_mean():
    naive = only_part(choice_examples(4))["models"][-1]
    assert naive["probs"][0] == [35, 65]  # seeds with .6 and .7


def test_texts_are_shown_with_their_scores():
    part = only_part(text_examples())
    assert part["models"][0] == {"role": "supervisor", "name": "ann", "answers": ["say", ""], "scores": [1.0, 0.0]}
    assert part["gold"] == ["say", None]


def test_long_texts_are_cut_and_say_so():
    part = only_part(text_examples(prompt="p" * 10**6, answer="a" * 10**6))
    for text in (part["prompts"][0], part["models"][0]["answers"][0]):
        assert len(text) < 5_100
        assert text.endswith("… (1,000,000 characters)")


def test_of_many_rows_some_are_shown_and_the_page_says_how_many(monkeypatch, one_metric):
    monkeypatch.setattr(examples, "MOST_ROWS", 10)
    assert only_part(choice_examples(40))["ids"][:3] == ["r0", "r4", "r8"]
    monkeypatch.setattr(examples, "MOST_ROWS", 10_000)
    monkeypatch.setattr(examples, "LARGEST", 700)
    page = report_html("x", one_metric, {}, examples={"test": choice_examples(400)})
    shown = len(data_of(page)["parts"][0]["ids"])
    assert 1 <= shown < 400
    assert f"Of the 400 rows of the test part, {shown} are in this page" in page


def test_a_sample_of_a_part_is_called_one(one_metric):
    page = report_html("x", one_metric, {"sizes": {"test": 1234}}, examples={"test": choice_examples(40)})
    assert "Of the 1,234 rows of the test part, 40 are in this page" in page
    assert "are in this page" not in report_html("x", one_metric, {}, examples={"test": choice_examples(40)})


def test_without_rows_there_is_no_browser_and_no_script(one_metric):
    nothing = Examples(Rows((), (), (), (), ("no", "yes")), pa.table({}))
    for parts in ({}, {"test": nothing}):
        page = report_html("x", one_metric, {}, examples=parts)
        assert "<script" not in page
        assert "script-src" not in page


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--<script>", "\u202e]]>", "{{ 7 * 7 }}"])
def test_hostile_texts_do_not_leave_the_data(one_metric, text):
    for own in (choice_examples(8, prompt=text), text_examples(prompt=text, answer=text)):
        page = report_html("x", one_metric, {}, examples={"test": own})
        assert data_of(page)["parts"][0]["prompts"][0] == text
        assert text not in page.replace("{{ 7 * 7 }}", "", 0)
        assert page.count("<script") == 2


def test_the_same_rows_give_the_same_page(one_metric):
    assert len({report_html("x", one_metric, {}, examples={"test": choice_examples()}) for _ in range(2)}) == 1
