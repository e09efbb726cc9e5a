"""Tokenizers of every kind, each as a function from a text to the spans of its tokens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path

from example_scripts import load_script
from outgrow.bridge import piece_offsets

Spans = list[tuple[int, int]]
Tokenize = Callable[[str], Spans]


def characters(text: str) -> Spans:
    return [(place, place + 1) for place in range(len(text))]


def utf8_bytes(text: str) -> Spans:
    """One token a byte: the bytes of a character share its span."""
    return [(place, place + 1) for place, character in enumerate(text) for _ in character.encode()]


def words(text: str) -> Spans:
    """White space belongs to no token."""
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


def trailing_space(text: str) -> Spans:
    return [match.span() for match in re.finditer(r"\S*\s|\S+", text)]


def marked(text: str) -> Spans:
    """A token at the beginning, one at the end, and a mark without width before every word."""
    spans: Spans = [(0, 0)]
    for start, end in words(text):
        spans += [(start, start), (start, end)]
    return [*spans, (len(text), len(text))]


def normalising(text: str) -> Spans:
    """Pieces of an NFKC, lower-cased text, found again in the text by alignment."""
    return piece_offsets(text, re.findall(r"\s?\w{1,4}|\s|[^\w\s]", unicodedata.normalize("NFKC", text).lower()))


HOME_MADE: dict[str, Tokenize] = {
    "characters": characters,
    "bytes": utf8_bytes,
    "words": words,
    "trailing space": trailing_space,
    "marked": marked,
    "normalising": normalising,
}


@cache
def real(models: Path) -> dict[str, Tokenize]:
    """GPT-2 (byte pairs) and stories260K (byte fallback, begins with a token) by offset mapping; Llama's sentencepiece
    by its own offsets, and by its pieces alone.
    """
    from sentencepiece import SentencePieceProcessor
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import BPE

    folder = models / "gpt2_tokenizer"
    gpt2 = Tokenizer(BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    gpt2.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False)
    llama = SentencePieceProcessor(model_file=str(models / "llama_tokenizer" / "tokenizer.model"))

    stories = load_script("hh_harmless/llama2c.py").load_tokenizer(models / "stories260K" / "tok512.bin")

    return {
        "gpt2": lambda text: gpt2.encode(text).offsets,
        "llama": lambda text: llama.encode(text, return_type="offset_mapping")["offsets"],
        "stories": lambda text: stories(text, return_offsets_mapping=True)["offset_mapping"],
        "llama pieces": lambda text: piece_offsets(text, llama.encode(text, return_type=str)),
    }
