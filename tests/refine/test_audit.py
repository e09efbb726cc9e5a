"""The audit calls out a refinement that changes nothing, has no effect, or breaks down, and keeps quiet otherwise."""

from __future__ import annotations

import json

import numpy as np
import pytest

from outgrow.refine.audit import TextAudit
from outgrow.refine.wording import Wording
from outgrow.report.notes import sentence

COUNT = 20
PROMPTS = [f"what is {index}?" for index in range(COUNT)]
WEAK = [[f"Arr, {index + 1}, matey!"] for index in range(COUNT)]
BASE = [f"It is {index}." for index in range(COUNT)]
GOOD = [f"Arr, {index}, matey!" for index in range(COUNT)]


def checked(refined, *, scores=None, weak=WEAK, **about) -> TextAudit:
    return TextAudit.of(PROMPTS, weak, refined, **about).compared(weak, BASE, refined, scores or {})


def warnings(audit: TextAudit) -> list[str]:
    notes = audit.notes("icl", 0)
    assert {note.severity for note in notes} <= {"warning"}
    return [sentence(note) for note in notes]


def test_a_good_refinement_is_passed_without_a_word():
    found = checked(GOOD)
    assert warnings(found) == []
    assert (found.as_weak, found.as_base, found.length, found.silent, found.copied) == (0, 0, 1.0, 0, 0)


@pytest.mark.parametrize(
    ("refined", "said"),
    [
        ([own[0].upper() for own in WEAK], "changes nothing: 100 %"),
        (BASE, "have no effect on the refined ones: 100 % of these"),
        ([None] * COUNT, "breaks down: of its answers 100 % are empty"),
        (["  "] * COUNT, "are empty"),
        (["I'm sorry, but I cannot answer that."] * 10 + GOOD[10:], "50 % refuse"),
        ([f"I can’t say {index}" for index in range(COUNT)], "refuse"),
        (["As an AI, I have no opinion."] * COUNT, "refuse"),
        (["yes"] * 15 + GOOD[15:], "70 % (more than of the weak texts) are one and the same"),
        ([f"You ask {prompt} and again" for prompt in PROMPTS], "repeat the question"),
    ],
)
def test_a_refinement_not_worth_training_on_is_called_out(refined, said):
    [warning] = warnings(checked(refined))[:1]
    assert said in warning


def test_answers_that_are_one_and_the_same_are_no_breakdown_where_the_weak_ones_are_too():
    weak = [["yes"] if index % 4 else ["no"] for index in range(COUNT)]
    assert warnings(checked(["yes"] * 17 + ["no"] * 3, weak=weak)) == []


def test_a_word_that_only_begins_like_a_refusal_is_none():
    assert TextAudit.of(["q"], [["a"]], ["I cannotate texts"]).refusals == 0


def test_a_concept_that_was_not_adopted_and_content_that_was_lost_are_told():
    ones, zeros = np.ones(COUNT), np.zeros(COUNT)
    scores = {
        "content": {"weak": np.arange(COUNT) % 2 * 1.0, "base": ones, "refined": zeros},
        "concept": {"weak": ones, "base": zeros, "refined": np.arange(COUNT) % 4 == 0},
    }
    found = checked(GOOD, scores=scores)
    assert found.not_adopted == 0.75
    assert found.lower == ("content",)
    lower = "On content: icl (seed 0): refined answers score .000, lower than the weak ones (.500) and the untrained "
    rest = "strong model (1.000), by two standard errors on a sample of 20 rows."
    assert lower + rest in warnings(found)
    assert any("75 % of the refined answers did not adopt the concept" in one for one in warnings(found))


def reworded(low: float, high: float, *, refined=GOOD, scores=None):
    found = TextAudit.of(PROMPTS, WEAK, refined)
    found = found.compared(WEAK, BASE, refined, scores or {}, Wording(COUNT, 0.95, (low + high) / 2, low, high))
    return [(note.code, note.severity, sentence(note)) for note in found.notes("icl", 0)]


def test_lost_wording_is_a_warning_below_half_a_caution_below_nine_tenths_and_else_not_told():
    [(code, severity, text)] = reworded(0.3, 0.49)
    assert (code, severity) == ("refine.reworded", "warning")
    assert "40 % of them (95 % interval 30 % to 49 %) have it" in text
    assert "apart in 95 % of unseen answers" in text
    assert [told[:2] for told in reworded(0.6, 0.85)] == [("refine.reworded", "caution")]
    assert reworded(0.6, 0.95) == []
    assert reworded(float("nan"), float("nan")) == []


def test_ratings_of_the_concept_and_graver_warnings_take_the_place_of_lost_wording():
    ones = np.ones(COUNT)
    assert reworded(0.0, 0.1, scores={"concept": {"weak": ones, "base": ones * 0, "refined": ones}}) == []
    assert [told[0] for told in reworded(0.0, 0.1, refined=BASE)] == ["refine.no_effect"]


def test_a_strong_model_that_knows_no_more_than_the_weak_ones_is_told_and_no_conclusion_drawn():
    weak, none = np.tile([1.0, 0, 0], 10), np.zeros(30)
    unknowing = {"content": {"weak": weak, "base": none, "refined": weak}}
    [note] = checked(GOOD, scores=unknowing).notes("icl", 0)
    assert note.severity == "caution"
    assert (
        "not clearly above the supervisors on any score (content .000 against .333, on a sample of 20 rows)"
        in sentence(note)
    )
    knowing = unknowing | {"form": {"weak": none, "base": weak, "refined": none + 1}}
    assert checked(GOOD, scores=knowing).notes("icl", 0) == []


def test_scores_between_those_of_the_weak_and_the_base_are_no_loss():
    half = np.arange(COUNT) % 2 * 1.0
    scores = {"content": {"weak": np.zeros(COUNT), "base": np.ones(COUNT), "refined": half}}
    assert checked(GOOD, scores=scores).lower == ()


def test_concepts_are_counted_and_votes_averaged():
    concepts = ["pirate"] * 12 + ["brief"] * 5 + [""] * 3
    found = TextAudit.of(PROMPTS, WEAK, GOOD, agreement=[0.5] * 10 + [float("nan")] * 10, concepts=concepts)
    assert found.concepts == (("pirate", 12), ("brief", 5))
    assert found.agreement == 0.5


def test_all_weak_answers_equal_and_nothing_refined_do_no_harm():
    found = TextAudit.of(["q"], [[]], [None])
    assert (found.as_weak, found.silent) == (0, 1)
    assert np.isnan(found.length)
    json.dumps(found.to_json("icl", 0))
