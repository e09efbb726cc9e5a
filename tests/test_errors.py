from __future__ import annotations

import pytest

from outgrow import errors
from outgrow.errors import MissingExtraError, OutgrowError, did_you_mean


def test_a_message_says_what_found_wanted_and_next_on_lines_of_their_own() -> None:
    error = OutgrowError("The cup is empty.", found=0, wanted="tea", fix="Pour some.")
    assert str(error) == "The cup is empty.\n  found:  0\n  wanted: tea\n  next:   Pour some."


def test_what_is_not_known_has_no_line() -> None:
    assert str(OutgrowError("The cup is empty.", wanted="tea")) == "The cup is empty.\n  wanted: tea"


def test_the_parts_of_a_message_can_be_read_by_a_program() -> None:
    error = OutgrowError("The cup is empty.", found=0, wanted="tea", fix="Pour some.")
    assert (error.what, error.found, error.wanted, error.fix) == ("The cup is empty.", 0, "tea", "Pour some.")


def test_a_missing_extra_names_its_install_line() -> None:
    assert "pip install 'outgrow[peft]'" in str(MissingExtraError("LoRA", "peft"))


def test_every_error_is_an_outgrow_error() -> None:
    found = [thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, Exception)]
    assert len(found) > 6
    assert all(issubclass(error, OutgrowError) for error in found)


@pytest.mark.parametrize(("typed", "meant"), [("confidense", "confidence"), ("cross-entropy", "cross_entropy")])
def test_a_near_name_is_offered(typed: str, meant: str) -> None:
    assert did_you_mean(typed, ["confidence", "cross_entropy"]) == f"did you mean {meant!r}?"


def test_without_a_near_name_all_are_listed_in_order() -> None:
    assert did_you_mean("xyz", ["b", "a"]) == "known: a, b"
