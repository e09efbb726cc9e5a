from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizations import real

from outgrow.bridge import piece_offsets


@given(st.lists(st.text(max_size=5), max_size=8))
def test_pieces_that_spell_the_text_lie_where_they_were_cut(pieces: list[str]) -> None:
    ends = [len("".join(pieces[: count + 1])) for count in range(len(pieces))]
    expected = [(end - len(piece), end) for piece, end in zip(pieces, ends, strict=True)]
    assert piece_offsets("".join(pieces), pieces) == expected


@given(st.text(max_size=20), st.lists(st.text(max_size=5), max_size=8))
def test_spans_never_go_back_and_cover_the_text(text: str, pieces: list[str]) -> None:
    spans = piece_offsets(text, pieces)
    assert len(spans) == len(pieces)
    ends = [0, *(end for _, end in spans)]
    assert ends == sorted(ends)
    assert all(start == end for start, end in zip([start for start, _ in spans], ends[:-1], strict=True))
    assert ends[-1] == (len(text) if any(pieces) else 0)


def test_replaced_characters_keep_their_places() -> None:
    assert piece_offsets("HELLO World", ["hello", "▁world"]) == [(0, 5), (5, 11)]


def test_text_that_no_piece_has_goes_to_the_next() -> None:
    assert piece_offsets("a\u200bb", ["a", "b"]) == [(0, 1), (1, 3)]


@pytest.mark.parametrize("text", ["Hello  world.", "naïve café", "今日は", "tabs\tand\nlines", "it's 12,345"])
def test_pieces_of_a_real_tokenizer_lie_where_it_says(real_data: Path, text: str) -> None:
    llama = real(real_data / "models")
    mine, own = llama["llama pieces"](text), llama["llama"](text)
    assert [end for _, end in mine] == [end for _, end in own]
