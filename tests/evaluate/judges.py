"""Judges for tests: what they say is a function of the prompt and the sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from outgrow.labels import Completion
from outgrow.models.protocols import GenerateOptions


@dataclass
class TalkingJudge:
    """Says whatever a function makes of prompt and sample number, and remembers what it was asked."""

    says: Callable[[str, int], str]
    asked: list[str] = field(default_factory=list)

    def generate(self, prompts: Sequence[str], options: GenerateOptions) -> list[list[Completion]]:
        self.asked += prompts
        return [
            [Completion(self.says(prompt, place), (), (), finished=True) for place in range(options.n)]
            for prompt in prompts
        ]
