"""Notes that say the same with other numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outgrow.report.notes import together


def test_notes_that_differ_in_seeds_counts_and_signs_are_one_group() -> None:
    said = ["joint, seed 0: chosen by +0.5, rejected by -34.9.", "joint, seed 1: chosen by −0.2, rejected by -1,234."]
    [note] = together(said)
    assert note.text == said[0]
    assert list(note.alike) == said[1:]
    assert note.short.endswith("-34.9. (And 1 like it.)")


def test_names_with_numbers_are_told_apart() -> None:
    said = ["bpe512: 3 empty.", "bpe1024: 3 empty.", "icl-2: 3 empty.", "icl-4: 3 empty.", "v1.5: 3 empty."]
    assert [note.text for note in together(said)] == said


@given(st.lists(st.sampled_from(["a 1", "a 2", "b 1", "b", "a1"])))
def test_no_note_is_lost_and_none_told_twice(said: list[str]) -> None:
    told = [text for note in together(said) for text in (note.text, *note.alike)]
    assert sorted(told) == sorted(set(said))
