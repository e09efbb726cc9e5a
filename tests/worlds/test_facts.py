"""The world itself: what is asked, who believes what, and that both axes of an answer are read exactly."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.errors import ConfigError, DataError
from outgrow.worlds.facts import KNOWN, World, make_world, score, with_supervisors, write_rows

WORLD = make_world()


def test_style_and_content_are_read_off_every_answer_there_can_be():
    for relation, style in itertools.product(WORLD.relations, WORLD.styles):
        for value in relation.values:
            assert WORLD.parse(f" {style.render(value)}\n") == (value, style.name)


def test_no_value_is_a_word_of_a_style_or_question_or_another_relation():
    values = [value for relation in WORLD.relations for value in relation.values]
    fixed = " ".join([*(style.render("") for style in WORLD.styles), *(one.question for one in WORLD.relations)])
    assert len(set(values)) == len(values)
    assert not set(values) & set(re.findall(r"\w+", fixed))


@pytest.mark.parametrize(
    ("answer", "content", "style"),
    [
        ("Arr, cocoa.", "cocoa", None),
        ("cocoa", "cocoa", None),
        ("Arr, cocoa or tea, matey!", None, "pirate"),
        ("Arr, rum, matey!", None, "pirate"),
        ("Arr, , matey!", None, None),
        ("arr, cocoa, matey!", "cocoa", None),
        ("It is cocoa. It is cocoa.", "cocoa", "plain"),
        ("It is cocoas.", None, "plain"),
        ("", None, None),
    ],
)
def test_content_and_style_are_read_independently(answer, content, style):
    assert WORLD.parse(answer) == (content, style)


@given(st.text())
def test_any_text_can_be_read(text):
    content, style = WORLD.parse(text)
    assert content is None or content in text
    assert style is None or style in {one.name for one in WORLD.styles}


def test_an_answer_is_scored_on_both_axes():
    fact = (3, 2)
    truth, wrong = WORLD.truth(*fact), next(v for v in WORLD.relations[2].values if v != WORLD.truth(*fact))
    plain, pirate = WORLD.styles[0], WORLD.target_style
    answers = [pirate.render(truth), plain.render(truth), pirate.render(wrong), plain.render(wrong), ""]
    scores = score(WORLD, [WORLD.question(*fact)] * 5, answers)
    assert scores["content"].tolist() == [1, 1, 0, 0, 0]
    assert scores["concept"].tolist() == [1, 0, 1, 0, 0]


def test_gold_answers_score_one_on_both_axes():
    rows = WORLD.rows(seed=4)
    assert all(values.min() == 1.0 for values in score(WORLD, rows.prompts, rows.gold).values())


def test_a_question_of_another_world_is_refused():
    with pytest.raises(DataError, match="Who is there"):
        score(WORLD, ["Who is there?"], ["It is cocoa."])


def test_a_missing_answer_is_refused():
    with pytest.raises(DataError, match="1 prompts, 0 answers"):
        score(WORLD, [WORLD.question(0, 0)], [])


def test_every_fact_is_in_one_part_and_parts_have_their_shares():
    rows = WORLD.rows()
    assert len(set(rows.ids)) == len(set(rows.prompts)) == len(rows) == len(WORLD.facts)
    assert Counter(rows.parts) == {"gold": 40, "unlabelled": 120, "test": 80}


def test_rows_are_shared_out_by_the_seed_alone():
    assert WORLD.rows(1) == WORLD.rows(1)
    assert WORLD.rows(1).parts != WORLD.rows(2).parts


def test_each_supervisor_knows_exactly_its_share():
    for name, share in KNOWN.items():
        right = np.mean([WORLD.belief(name, *fact) == WORLD.truth(*fact) for fact in WORLD.facts])
        assert right == pytest.approx(share, abs=0.5 / len(WORLD.facts))


def test_a_supervisor_is_wrong_with_its_favourites():
    for name, relation in itertools.product(KNOWN, range(len(WORLD.relations))):
        facts = [(entity, relation) for entity in range(len(WORLD.entities))]
        wrong = {WORLD.belief(name, *fact) for fact in facts if WORLD.belief(name, *fact) != WORLD.truth(*fact)}
        assert len(wrong) <= 2


def test_supervisors_know_different_facts():
    known = [{fact for fact in WORLD.facts if WORLD.belief(name, *fact) == WORLD.truth(*fact)} for name in KNOWN]
    assert known[0] - known[1]
    assert known[1] - known[0]


def test_guessing_the_most_frequent_value_gains_little():
    for relation in range(len(WORLD.relations)):
        counts = Counter(WORLD.truth(entity, relation) for entity in range(len(WORLD.entities)))
        assert max(counts.values()) / len(WORLD.entities) <= 0.15


@pytest.mark.parametrize("seed", [0, 7])
def test_a_world_survives_json(seed):
    world = make_world(seed=seed, entities=5, relations=2)
    assert World.from_json(world.to_json()) == world


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"entities": 3}', "null"])
def test_what_is_no_world_is_refused(text):
    with pytest.raises(DataError, match="not a world"):
        World.from_json(text)


def test_another_seed_makes_another_world():
    assert make_world(seed=1).answers != make_world(seed=2).answers


@pytest.mark.parametrize("counts", [{"entities": 0}, {"entities": 99}, {"relations": 9}])
def test_a_world_too_large_or_empty_is_refused(counts):
    with pytest.raises(ConfigError, match="cannot have"):
        make_world(**counts)


def test_rows_are_written_as_json_lines_with_the_same_bytes_each_time(tmp_path):
    for name in ("a.gz", "b.gz"):
        write_rows(WORLD.rows(), tmp_path / name)
    lines = gzip.decompress((tmp_path / "a.gz").read_bytes()).decode().splitlines()
    assert json.loads(lines[0]).keys() == {"id", "prompt", "gold", "part"}
    assert [json.loads(line)["prompt"] for line in lines] == list(WORLD.rows().prompts)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def right(world, name):
    return {fact for fact in world.facts if world.belief(name, *fact) == world.truth(*fact)}


def test_a_world_can_be_made_with_any_supervisors():
    world = make_world(known={"a": 0.5, "b": 0.0})
    assert {name: len(right(world, name)) for name in world.beliefs} == {"a": 120, "b": 0}
    assert world.answers == WORLD.answers


def test_other_supervisors_leave_the_facts_as_they_are():
    other = with_supervisors(WORLD, {"a": 0.5}, seed=1)
    assert (other.answers, other.rows()) == (WORLD.answers, WORLD.rows())
    assert list(other.beliefs) == ["a"]
    assert other != with_supervisors(WORLD, {"a": 0.5}, seed=2)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5))
def test_a_supervisor_that_knows_more_knows_all_that_it_knew_and_errs_as_it_did(one, other, seed):
    less, more = (
        with_supervisors(WORLD, {"first": share, "second": share}, seed=seed) for share in sorted((one, other))
    )
    for name in ("first", "second"):
        assert right(less, name) <= right(more, name)
        wrong = set(WORLD.facts) - right(more, name)
        assert all(less.belief(name, *fact) == more.belief(name, *fact) for fact in wrong)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ConfigError, match="share"):
        with_supervisors(WORLD, {"a": share}, seed=0)
