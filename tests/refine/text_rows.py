"""Rows, weak texts and models that the tests of refiners share."""

from __future__ import annotations

import re

from outgrow.labels import Completion, Rows, TextLabels
from outgrow.models.protocols import GenerateOptions


def make_rows(prompts) -> Rows:
    prompts = tuple(prompts)
    return Rows(
        tuple(f"r{index}" for index in range(len(prompts))),
        prompts,
        ("unlabelled",) * len(prompts),
        (None,) * len(prompts),
    )


def make_labels(rows: Rows, *columns) -> TextLabels:
    """One column of texts per supervisor; None is a row without a text."""
    cells = [[() if text is None else (Completion(text, (), (), True),) for text in column] for column in columns]
    return TextLabels(rows.ids, tuple(f"s{index}" for index in range(len(columns))), tuple(zip(*cells, strict=True)))


def marked(count: int) -> tuple[Rows, TextLabels]:
    rows = make_rows(f"q{index}?" for index in range(count))
    return rows, make_labels(rows, [f"<<{index}>>" for index in range(count)])


def shown(prompt: str) -> list[int]:
    return [int(number) for number in re.findall(r"<<(\d+)>>", prompt)]


class Echo:
    """Answers every prompt with all of it on one line, and remembers what it was asked."""

    name = "echo"

    def __init__(self, room: int | None = None) -> None:
        self.asked: list[str] = []
        self.room = room

    def generate(self, prompts, options: GenerateOptions) -> list[list[Completion]]:
        self.asked += prompts
        return [[Completion(" " + " ".join(prompt.split()), (), (), True)] * options.n for prompt in prompts]

    def logprobs(self, pairs, *, end=False, too_long="error"):
        raise NotImplementedError

    def fits(self, prompts, new_tokens: int) -> list[bool]:
        return [self.room is None or len(prompt) + new_tokens <= self.room for prompt in prompts]
