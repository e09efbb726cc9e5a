from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.evaluate.slu import read_slots, slots_of, slu_f1, tidy, write_slots

SCHEMA = ("date", "time")
fillers = st.text(max_size=8).map(tidy)


@given(st.lists(st.tuples(st.sampled_from(SCHEMA), fillers), max_size=6))
def test_written_slots_are_read_as_they_were_type_by_type(pairs: list[tuple[str, str]]) -> None:
    reading = read_slots(write_slots(slots_of(pairs)), SCHEMA)
    assert reading.problem is None
    first_seen = list(dict.fromkeys(name for name, _ in pairs))
    assert reading.slots == slots_of(sorted(pairs, key=lambda pair: first_seen.index(pair[0])))


@given(st.text() | st.lists(st.sampled_from(list('{}[]":, \\date1')), max_size=30).map("".join))
def test_any_answer_can_be_read(answer: str) -> None:
    reading = read_slots(answer, SCHEMA)
    assert not reading.slots or reading.problem in (None, "unknown slots")


@pytest.mark.parametrize("answer", ["", " ", "\n\t"])
def test_an_empty_answer_is_told_from_one_without_slots(answer: str) -> None:
    assert read_slots(answer, SCHEMA).problem == "empty"
    assert read_slots("{}", SCHEMA).problem is None


@pytest.mark.parametrize(
    "answer",
    [
        '{"date": ["today"]',
        "date: today",
        "[]",
        '"date"',
        "5",
        "null",
        '{"date": 5}',
        '{"date": [["today"]]}',
        '{"date": {"time": "noon"}}',
        '{"date": null}',
        "{'date': ['today']}",
        '{"a":' * 100_000,
        "[" * 100_000,
        '{"date": ' + "9" * 10_000 + "}",
    ],
)
def test_what_is_no_object_of_texts_has_no_slots(answer: str) -> None:
    assert read_slots(answer, SCHEMA) == read_slots("no", SCHEMA)
    assert read_slots(answer, SCHEMA).problem == "unparsable"


def test_another_case_is_an_error_as_in_the_official_scorer() -> None:
    assert read_slots('{"date": ["Today"]}', SCHEMA).slots == slots_of([("date", "Today")])
    score = slu_f1([slots_of([("date", "today")])], [read_slots('{"date": "Today"}', SCHEMA).slots])
    assert (score.span_f1, score.word_f1) == (0.0, 0.5)


def test_unknown_slots_are_kept_so_that_they_count_as_wrong() -> None:
    reading = read_slots('{"date": ["today"], "mood": "gay"}', SCHEMA)
    assert reading.problem == "unknown slots"
    assert reading.slots == slots_of([("date", "today"), ("mood", "gay")])


def test_a_name_that_occurs_twice_loses_nothing() -> None:
    assert read_slots('{"date": ["a"], "date": ["b"]}', SCHEMA).slots == slots_of([("date", "a"), ("date", "b")])


def test_what_follows_the_object_does_not_matter() -> None:
    assert read_slots(' {"date": ["a"]}\nQuestion: and now?', SCHEMA).slots == slots_of([("date", "a")])


def test_other_scripts_are_written_as_they_are() -> None:
    assert write_slots(slots_of([("date", "今日")])) == '{"date": ["今日"]}'
