from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tokenizations import HOME_MADE, Spans, Tokenize, real, utf8_bytes, words

from outgrow.bridge import Bridged, bridge, bridge_many, bridge_words
from outgrow.errors import ConfigError, DataError

EMOJI = "👨‍👩‍👧‍👦 ok 🇩🇪👍🏽"
HEBREW = "שלום עולם, مرحبا"
NO_SPACES = "今日は天気がいい。ภาษาไทย"
MIXED = " \tcafé\u0301 ﬁne\u200b  x\n"
TEXTS = (EMOJI, HEBREW, NO_SPACES, MIXED)
texts = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="ab é.🙂\u200d界 \nא", max_size=40),
)


@st.composite
def any_spans(draw: st.DrawFn, length: int) -> Spans:
    """Spans that do not go back, with gaps, without width, and overlapping by a character."""
    spans: Spans = []
    reached = 0
    for gap, width, overlap in draw(st.lists(st.tuples(*[st.integers(0, 2)] * 3), max_size=8)):
        start = min(length, max(0, reached - overlap) + gap)
        start = max(start, spans[-1][0] if spans else 0)
        spans.append((start, min(length, start + width)))
        reached = max(reached, spans[-1][1])
    return spans


def drawn(spans: Spans) -> np.ndarray:
    return -np.random.default_rng(len(spans)).exponential(size=len(spans))


def cut_one_by_one(weak: Spans, student: Spans) -> list[list[int]]:
    """Segments of tokens with width, by asking for every pair of cuts whether any place will do."""
    cuts, begin = [], (0, 0)
    for i in range(1, len(weak)):
        for j in range(1, len(student)):
            low = max([end for _, end in weak[:i]] + [end for _, end in student[:j]])
            high = min([start for start, _ in weak[i:]] + [start for start, _ in student[j:]])
            if low <= high and i > begin[0] and j > begin[1]:
                cuts.append([begin[0], i, begin[1], j])
                begin = (i, j)
    return [*cuts, [begin[0], len(weak), begin[1], len(student)]]


def check_exact(found: Bridged, weak: Spans, logprobs: np.ndarray, student: Spans) -> None:
    assert found.logprobs.shape == (len(student),)
    assert found.logprobs.sum() == pytest.approx(logprobs.sum(), abs=1e-9)
    assert (found.logprobs <= 0).all()
    ranges = found.segments
    assert ranges[0, [0, 2]].tolist() == [0, 0]
    assert ranges[-1, [1, 3]].tolist() == [len(weak), len(student)]
    assert (ranges[1:, [0, 2]] == ranges[:-1, [1, 3]]).all()
    assert (ranges[:, [1, 3]] > ranges[:, [0, 2]]).all()
    for a, b, c, d in ranges:
        assert found.logprobs[c:d].sum() == pytest.approx(logprobs[a:b].sum(), abs=1e-9)


def check_all_pairs(text: str, tokenizers: Iterable[Tokenize]) -> None:
    tokenized = [spans for spans in (tokenize(text) for tokenize in tokenizers) if spans]
    for weak in tokenized:
        assert bridge(text, weak, drawn(weak), weak).logprobs.tolist() == drawn(weak).tolist()
        for student in tokenized:
            check_exact(bridge(text, weak, drawn(weak), student), weak, drawn(weak), student)


@given(st.data(), st.integers(0, 8))
def test_no_probability_is_lost_between_spans_of_any_kind(data: st.DataObject, length: int) -> None:
    text = "x" * length
    check_all_pairs(text, [lambda _: data.draw(any_spans(length)), lambda _: data.draw(any_spans(length))])


@given(texts)
def test_no_probability_is_lost_between_tokenizers(text: str) -> None:
    check_all_pairs(text, HOME_MADE.values())


@given(texts)
def test_no_probability_is_lost_between_real_tokenizers(real_data: Path, text: str) -> None:
    check_all_pairs(text, [*real(real_data / "models").values(), words, utf8_bytes])


@pytest.mark.parametrize("text", TEXTS)
def test_no_probability_is_lost_in_any_script(real_data: Path, text: str) -> None:
    check_all_pairs(text, [*real(real_data / "models").values(), *HOME_MADE.values()])


@given(texts, st.sampled_from(["characters", "words", "trailing space"]), st.sampled_from(["words", "trailing space"]))
@example("a !! b", "words", "characters")
def test_every_cut_that_both_sides_allow_is_made(text: str, weak: str, student: str) -> None:
    one, other = HOME_MADE[weak](text), HOME_MADE[student](text)
    assume(one and other)
    assert bridge(text, one, drawn(one), other).segments.tolist() == cut_one_by_one(one, other)


@given(st.lists(texts, max_size=5), st.sampled_from(sorted(HOME_MADE)), st.sampled_from(sorted(HOME_MADE)))
def test_many_texts_at_once_are_as_one_by_one(many: list[str], weak: str, student: str) -> None:
    pairs = [(text, HOME_MADE[weak](text), HOME_MADE[student](text)) for text in many]
    pairs = [pair for pair in pairs if bool(pair[1]) == bool(pair[2])]
    columns = list(zip(*pairs, strict=True)) or [(), (), ()]
    together = bridge_many(columns[0], columns[1], [drawn(one) for one in columns[1]], columns[2], split="characters")
    for (text, one, other), found in zip(pairs, together, strict=True):
        alone = bridge(text, one, drawn(one), other, split="characters")
        assert found.logprobs.tolist() == pytest.approx(alone.logprobs.tolist())
        assert found.segments.tolist() == alone.segments.tolist()


@given(st.lists(texts, max_size=5), st.sampled_from(sorted(HOME_MADE)), st.sampled_from(sorted(HOME_MADE)))
@example(["a bc", " d"], "words", "words")
def test_words_of_many_texts_are_as_one_by_one(many: list[str], weak: str, student: str) -> None:
    pairs = [(text, HOME_MADE[weak](text), HOME_MADE[student](text)) for text in many]
    pairs = [pair for pair in pairs if bool(pair[1]) == bool(pair[2])]
    columns = list(zip(*pairs, strict=True)) or [(), (), ()]
    together = bridge_many(columns[0], columns[1], [drawn(one) for one in columns[1]], columns[2], where="words")
    for (text, one, other), found in zip(pairs, together, strict=True):
        assert found.segments.tolist() == bridge_words(text, one, drawn(one), other).segments.tolist()


def test_bytes_of_a_character_are_segments_of_their_own_where_both_sides_have_them() -> None:
    found = bridge("é", utf8_bytes("é"), [-1.0, -3.0], utf8_bytes("é"))
    assert found.segments.tolist() == [[0, 1, 0, 1], [1, 2, 1, 2]]
    assert found.logprobs.tolist() == [-1.0, -3.0]


@given(texts)
def test_the_end_of_sequence_is_a_segment_of_its_own(text: str) -> None:
    end = (len(text), len(text))
    one, other = [*utf8_bytes(text), end], [*words(text), end]
    found = bridge(text, one, drawn(one), other)
    if words(text):
        assert found.logprobs[-1] == drawn(one)[-1]
        assert found.segments[-1].tolist() == [len(one) - 1, len(one), len(other) - 1, len(other)]


def test_an_end_that_only_one_side_has_stays_with_the_last_segment() -> None:
    assert bridge("ab", [(0, 1), (1, 2), (2, 2)], [-1, -2, -4], [(0, 1), (1, 2)]).logprobs.tolist() == [-1, -6]
    assert bridge("ab", [(0, 1), (1, 2)], [-1, -2], [(0, 1), (1, 2), (2, 2)]).logprobs.tolist() == [-1, -1, -1]


def test_the_end_keeps_its_log_probability_where_the_text_is_empty() -> None:
    assert bridge("", [(0, 0)], [-0.5], [(0, 0)]).logprobs.tolist() == [-0.5]


def test_a_token_at_the_beginning_belongs_to_the_token_after_it() -> None:
    found = bridge("ab", [(0, 0), (0, 1), (1, 2)], [-1, -2, -4], [(0, 1), (1, 2)])
    assert found.logprobs.tolist() == [-3, -4]


def test_an_end_that_a_tokenizer_places_at_zero_is_known_by_its_place_in_the_row() -> None:
    found = bridge("ab", [(0, 1), (1, 2), (0, 0)], [-1, -2, -4], [(0, 2), (2, 2)])
    assert found.logprobs.tolist() == [-3, -4]


def test_tokens_that_share_a_character_are_not_parted() -> None:
    weak, student = [(0, 1), (0, 1), (1, 2)], [(0, 1), (1, 2)]
    assert bridge("é!", weak, [-1, -2, -4], student).logprobs.tolist() == [-3, -4]


def test_shares_follow_the_widths_of_tokens() -> None:
    found = bridge("abcd", [(0, 4)], [-8], [(0, 1), (1, 4)], split="characters")
    assert found.logprobs.tolist() == [-2, -6]


def test_shares_follow_the_softmax_of_the_students_doubt() -> None:
    confidence = np.array([0.9, 0.2])
    found = bridge("ab", [(0, 2)], [-3.0], [(0, 1), (1, 2)], split="student", student_confidence=confidence)
    shares = np.exp(-confidence) / np.exp(-confidence).sum()
    assert found.logprobs == pytest.approx(-3 * shares)


def test_words_are_cut_at_spaces_only() -> None:
    text = "un do  it"
    weak, student = utf8_bytes(text), [(0, 2), (2, 5), (5, 7), (7, 9)]
    found = bridge_words(text, weak, [-1.0] * 9, student, student_confidence=[0.5] * 4)
    assert found.segments.tolist() == [[0, 2, 0, 1], [2, 5, 1, 2], [5, 9, 2, 4]]
    assert found.logprobs.tolist() == pytest.approx([-2, -3, -2, -2])


@given(texts, st.sampled_from(sorted(HOME_MADE)), st.sampled_from(sorted(HOME_MADE)))
def test_words_lose_no_probability_and_are_unions_of_segments(text: str, weak: str, student: str) -> None:
    one, other = HOME_MADE[weak](text), HOME_MADE[student](text)
    assume(one and other)
    found = bridge_words(text, one, drawn(one), other)
    check_exact(found, one, drawn(one), other)
    fine = bridge(text, one, drawn(one), other).segments
    assert {tuple(cut) for cut in found.segments[:, [1, 3]]} <= {tuple(cut) for cut in fine[:, [1, 3]]}
    ends = one[-1][0] == one[-1][1] and other[-1][0] == other[-1][1]
    assert len(found.segments) <= len(text.split(" ")) + ends


def test_impossible_tokens_carry_over() -> None:
    assert bridge("ab", [(0, 2)], [-np.inf], [(0, 1), (1, 2)]).logprobs.tolist() == [-np.inf, -np.inf]


@pytest.mark.parametrize(
    ("weak", "logprobs", "student", "said"),
    [
        ([(0, 3)], [-1.0], [(0, 2)], "weak token lies outside text 0"),
        ([(0, 2)], [-1.0], [(2, 1)], "student token lies outside text 0"),
        ([(0, 2)], [-1.0, -1.0], [(0, 2)], "one log-probability per weak token"),
        ([(0, 2)], [float("nan")], [(0, 2)], "not log-probabilities"),
        ([(0, 2)], [0.5], [(0, 2)], "not log-probabilities"),
        ([], [], [(0, 2)], "Text 0 has student tokens only"),
        ([(0, 2)], [-1.0], [], "Text 0 has weak tokens only"),
        ([(0, 1, 2)], [-1.0], [(0, 2)], "weak offsets have the wrong shape"),
    ],
)
def test_what_cannot_be_bridged_is_refused(weak: Spans, logprobs: list[float], student: Spans, said: str) -> None:
    with pytest.raises(DataError, match=said):
        bridge("ab", weak, logprobs, student)


def test_a_split_that_does_not_exist_or_lacks_what_it_needs_is_refused() -> None:
    with pytest.raises(ConfigError, match="no split 'even'"):
        bridge("a", [(0, 1)], [-1], [(0, 1)], split="even")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="Give student_confidence"):
        bridge("a", [(0, 1)], [-1], [(0, 1)], split="student")
    with pytest.raises(ConfigError, match="no bridge over 'sentences'"):
        bridge_many(["a"], [[(0, 1)]], [[-1]], [[(0, 1)]], where="sentences")  # type: ignore[arg-type]


def test_a_last_byte_without_width_is_part_of_its_character_not_of_the_end() -> None:
    # “aé” as a, two bytes of é of which the second has no width, and the end; the student has é in one token.
    found = bridge("aé", [(0, 1), (1, 2), (2, 2), (2, 2)], [-1.0, -2.0, -3.0, -0.5], [(0, 1), (1, 2), (2, 2)])
    assert found.logprobs.tolist() == [-1.0, -5.0, -0.5]
    back = bridge("aé", [(0, 1), (1, 2), (2, 2)], [-1.0, -5.0, -0.5], [(0, 1), (1, 2), (2, 2), (2, 2)])
    assert back.logprobs.tolist() == [-1.0, -2.5, -2.5, -0.5]


def test_log_probabilities_that_rounding_left_above_zero_are_zero() -> None:
    found = bridge("ab", [(0, 1), (1, 2)], [5e-4, -1.0], [(0, 1), (1, 2)])
    assert found.logprobs.tolist() == [0.0, -1.0]
    with pytest.raises(DataError, match="not log-probabilities"):
        bridge("ab", [(0, 1), (1, 2)], [5e-3, -1.0], [(0, 1), (1, 2)])
