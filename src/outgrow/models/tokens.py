"""Character spans of tokens, for any tokenizer; together they cover the text.

A token that adds only part of a character (byte-level tokenizers) gets the span of that character.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from outgrow.bridge import piece_offsets
from outgrow.labels import Completion

Span = tuple[int, int]

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def decode_after(tokenizer: Any, prompt: Sequence[int], tokens: Sequence[int]) -> str:
    """Decode the text that tokens add to a prompt, without special tokens.

    Decoding after the prompt's last token keeps the space that tokenizers with word marks drop before the first word.
    """
    anchor = list(prompt[-1:])
    before, whole = _decode(tokenizer, anchor), _decode(tokenizer, [*anchor, *tokens])
    return whole[len(before) :] if whole.startswith(before) else _decode(tokenizer, tokens)


def encode_answer(tokenizer: Any, text: str) -> tuple[list[int], list[Span]]:
    """Return the tokens of a text after a prompt, and their spans; no special tokens."""
    if tokenizer.is_fast:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(encoded["input_ids"]), contiguous_spans(encoded["offset_mapping"], len(text))
    tokens = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    return tokens, _spans(tokenizer, [], tokens, text)


def generated_spans(tokenizer: Any, prompt: Sequence[int], tokens: Sequence[int], text: str) -> list[Span]:
    """Return the spans of generated tokens: the tokenizer's own if it encodes the text to the same tokens."""
    if tokenizer.is_fast:
        encoded, spans = encode_answer(tokenizer, text)
        if encoded == list(tokens):
            return spans
    return _spans(tokenizer, prompt, tokens, text)


def _spans(tokenizer: Any, prompt: Sequence[int], tokens: Sequence[int], text: str) -> list[Span]:
    # Spelling is a hundred times as fast as decoding prefixes. If the tokenizer changes the text, so that the tokens do
    # not decode to it, the pieces are aligned with it.
    special = set(tokenizer.all_special_ids)
    names = tokenizer.convert_ids_to_tokens(list(tokens))
    # A model may have more ids than its tokenizer: those have no name.
    pieces = [
        "" if token in special else (name or "").replace("▁", " ") for token, name in zip(tokens, names, strict=True)
    ]
    spelled = spelled_spans(pieces, text)
    if spelled is not None:
        return spelled
    if decode_after(tokenizer, prompt, tokens) == text:
        return spans_by_decoding(tokenizer, prompt, tokens, text)
    return piece_offsets(text, pieces)


def spelled_spans(pieces: Sequence[str], text: str) -> list[Span] | None:
    """Return the spans of pieces that spell a text, or None if they do not.

    A piece may be a byte (`<0xE2>`) or empty (a special token); the first may begin with a space that the text lacks.
    """
    matches = [_BYTE.fullmatch(piece) for piece in pieces]
    raw = [
        bytes([int(byte[1], 16)]) if byte else piece.encode("utf-8", "surrogatepass")
        for byte, piece in zip(matches, pieces, strict=True)
    ]
    wanted = text.encode("utf-8", "surrogatepass")
    first = next((place for place, piece in enumerate(raw) if piece), None)
    if first is not None and b"".join(raw) == b" " + wanted:
        raw[first] = raw[first][1:]
    if b"".join(raw) != wanted:
        return None
    leads = [byte & 0xC0 != 0x80 for byte in wanted]  # whether a byte begins a character
    begun = list(accumulate(leads, initial=0))
    spans = [
        (begun[start] - (not leads[start]), begun[end]) if start < end else (begun[start], begun[start])
        for start, end in pairwise(accumulate(map(len, raw), initial=0))
    ]
    return _closed(spans, len(text))


def spans_by_decoding(tokenizer: Any, prompt: Sequence[int], tokens: Sequence[int], text: str) -> list[Span]:
    """Return half-open character spans of the tokens of a text after a prompt, found by decoding all prefixes."""
    spans, complete = [], 0
    for count in range(1, len(tokens) + 1):
        beginning = decode_after(tokenizer, prompt, tokens[:count])
        agreed = max(complete, common_length(beginning, text))
        # More text than agrees with the whole: the last character is incomplete.
        partial = len(beginning) > agreed and agreed < len(text)
        spans.append((complete, agreed + partial))
        complete = agreed
    return _closed(spans, len(text))


def contiguous_spans(offsets: Sequence[tuple[int, int]], length: int) -> list[Span]:
    """Extend a tokenizer's offsets to cover the text: characters between two tokens go to the second."""
    spans, covered = [], 0
    for start, end in offsets:
        spans.append((min(start, covered), max(end, min(start, covered))))
        covered = max(covered, end)
    return _closed(spans, length)


def cut(completion: Completion, end: int) -> Completion:
    """Return the first `end` characters of a completion, with the tokens that begin before that."""
    offsets = tuple((start, min(stop, end)) for start, stop in completion.offsets if start < end)
    pairs = zip(completion.logprobs, completion.offsets, strict=False)
    logprobs = tuple(value for value, (start, _) in pairs if start < end)
    return Completion(completion.text[:end], logprobs, offsets, finished=False)


def cut_at(completion: Completion, stops: Sequence[str]) -> Completion:
    """Return a completion up to the first stop string, if it has one."""
    found = [place for place in (completion.text.find(stop) for stop in stops) if place >= 0]
    return cut(completion, min(found)) if found else completion


def common_length(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Return the length of the longest common prefix of two sequences."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def _closed(spans: list[Span], length: int) -> list[Span]:
    if spans:
        spans[-1] = (spans[-1][0], length)
    return spans


def _decode(tokenizer: Any, tokens: Sequence[int]) -> str:
    text: str = tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text
