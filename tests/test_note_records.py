"""Notes of a run: JSON values only, there and back, and old sentences."""

import json

import numpy as np
import pytest

from outgrow.errors import DataError
from outgrow.labels import Note


@pytest.mark.parametrize(
    "note",
    [
        Note("plain"),
        Note("votes.failed", "warning", "ann", 0, {"rows": 3, "of": 10, "first": "timed out", "share": 0.3}),
        Note("nested", "caution", values={"names": ("a", "b"), "by": {"a": [1, None]}}),
    ],
)
def test_a_note_survives_json(note: Note) -> None:
    assert Note.from_json(json.loads(json.dumps(note.to_json(), allow_nan=False))) == note


def test_numpy_values_become_plain_and_undefined_numbers_none() -> None:
    values = {"n": np.int64(3), "shares": np.array([0.5, np.nan]), "ratio": float("inf"), "yes": np.bool_(True)}
    assert Note("x", values=values).values == {"n": 3, "shares": [0.5, None], "ratio": None, "yes": True}


def test_a_sentence_is_a_message() -> None:
    assert Note.from_json("Two rows failed.") == Note("message", values={"text": "Two rows failed."})


def test_equal_notes_can_be_dropped_from_a_list() -> None:
    notes = [Note("x", values={"n": 1}), Note("x", values={"n": 2}), Note("x", values={"n": 1})]
    assert list(dict.fromkeys(notes)) == notes[:2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Note("x", "fatal"), "unknown severity"),  # type: ignore[arg-type]
        (lambda: Note("x", values={"what": object()}), "cannot be written as JSON"),
        (lambda: Note.from_json({"codes": "x"}), "not a note"),
        (lambda: Note.from_json(3), "not a note"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_note_is_refused(make, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()
