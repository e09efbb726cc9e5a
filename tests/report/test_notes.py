"""Notes in words: what is grouped, what comes first, and codes and values that have no wording."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outgrow.labels import Note
from outgrow.report.notes import WORDINGS, ranked, sentence


def test_what_limits_every_number_stands_before_other_notes_of_its_severity() -> None:
    codes = ["pgr.undefined", "seeds.few", "test.few_examples", "acme.other"]
    values = {"reason": "x", "best_of_several": True, "seeds": 1, "examples": 8}
    words = [group.text for group in ranked([Note(code, "caution", values=values) for code in codes])]
    assert [text.split()[2] for text in words[:2]] == ["only", "trained"]


def test_notes_that_differ_in_seeds_and_values_are_one_group() -> None:
    notes = [Note("acme.moved", who="joint", seed=seed, values={"by": -seed}) for seed in (0, 1, 2)]
    [group] = ranked([*notes, notes[0]])
    assert group.text == sentence(notes[0])
    assert list(group.alike) == [sentence(note) for note in notes[1:]]
    assert group.short.endswith("by=0 (And 2 like it.)")


def test_notes_on_others_on_other_metrics_and_of_other_codes_are_told_apart() -> None:
    notes = [Note("a", who="bpe512"), Note("a", who="bpe1024"), Note("b", who="bpe512")]
    notes += [Note("seeds.few", values={"seeds": 2, "metric": metric}) for metric in ("content", "concept")]
    assert not any(group.alike for group in ranked(notes))


def test_free_texts_are_one_only_where_they_are_equal() -> None:
    texts = ["3 rows failed.", "4 rows failed.", "3 rows failed."]
    assert [group.text for group in ranked(map(Note.from_json, texts))] == texts[:2]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["info", "caution", "warning"]), st.integers(0, 2))))
def test_no_note_is_lost_none_told_twice_and_the_gravest_come_first(made: list[tuple[str, str, int]]) -> None:
    notes = [Note(code, severity, values={"n": n}) for code, severity, n in made]  # type: ignore[arg-type]
    groups = ranked(notes)
    told = [(group.severity, text) for group in groups for text in (group.text, *group.alike)]
    assert sorted(told) == sorted({(note.severity, sentence(note)) for note in notes})
    ranks = [("warning", "caution", "info").index(group.severity) for group in groups]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize(
    ("note", "text"),
    [
        (Note("message", values={"text": "ann {said} [[this]]."}), "ann {said} [[this]]."),
        (Note("message", who="ann", seed=3, values={"text": "slow."}), "ann (seed 3): slow."),
        (Note("seeds.few", seed=1, values={"seeds": 2}), "Seed 1: students were trained with 2 seeds: too few"),
        (Note("test.few_examples", values={"examples": 1}), "There are only 1 test example:"),
        (Note("score.below_base", who="n", values={"gain": [-0.3, -0.4, -0.2]}), "'n' is worse than the untouched "
         "strong model (-.300 [-.400, -.200])"),
        (Note("score.below_base", who="n", values={"other": 1}), "n: score.below_base: other=1"),
        (Note("acme/odd", values={"rows": 2, "names": ["a"]}), "acme/odd: rows=2, names=['a']"),
        (Note("acme/odd"), "acme/odd"),
        (Note("cost.model", who="the judge {big}", values={"usage": "2 requests"}), "The judge {big} took 2 requests."),
        (Note("combine.weights", who="m", values={"weights": {"{who}": 0.5, "b": None}, "single": 1, "rows": 2}),
         "m: the supervisors' weights are {who} 0.50, b unknown; 1 of 2 rows"),
        (Note("seeds.few", values={"seeds": None}), "Students were trained with unknown seeds"),
    ],
)  # fmt: skip
def test_a_note_is_worded_by_its_code_or_shown_with_its_values(note: Note, text: str) -> None:
    assert sentence(note).startswith(text)


def test_wordings_name_no_numbered_places_and_begin_in_lower_case() -> None:
    for wording in WORDINGS.values():
        if isinstance(wording, str):
            assert "{}" not in wording
            assert wording[0] == "{" or not wording[0].isupper()


def test_a_code_about_many_models_is_one_group_and_about_few_is_one_each() -> None:
    def groups(models: int) -> int:
        return len(ranked(Note("score.below_base", "warning", f"m{i}", values={"gain": -0.1}) for i in range(models)))

    assert [groups(models) for models in (1, 3, 4, 9)] == [1, 3, 1, 1]
