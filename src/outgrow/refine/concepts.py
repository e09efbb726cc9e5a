"""What weak answers have in common, said by the strong model in one sentence per batch of them.

A row is answered under a sentence that was inferred from *other* rows: even a model that repeats what it has read
cannot hand a row's own weak answer back to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from outgrow.labels import Rows, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel
from outgrow.refine.asking import Prompt, fitted, one_line
from outgrow.refine.refinement import weak_texts
from outgrow.refine.selection import batches_of_questions
from outgrow.refine.voting import medoid
from outgrow.refine.wording import BLOCK, Preset, check_at_least
from outgrow.templates import check_template, fill

INFER: dict[Preset, str] = {
    "default": (
        "{demonstrations}All of these answers are given in the same way. "
        "In one sentence, this is how whoever answers next should do it:"
    ),
    "paper": "{demonstrations}State in one sentence the concept that these answers share.\nConcept:",
}
"""How the concept is asked for."""
INSTRUCTION: dict[Preset, str] = {"default": "How to answer: {concept}\n\n", "paper": "{concept}\n\n"}
"""How it is put before a question."""


@dataclass(frozen=True, kw_only=True)
class Inferring:
    """How concepts are inferred; a part of the refiners that answer under one."""

    batch: int = 8
    """Weak answers that a sentence is inferred from."""
    pooled: bool = False
    """Whether all rows are answered under (nearly) the same sentence: the one most like those of all other batches."""
    concept_tokens: int = 48
    """Most tokens of the sentence."""
    preset: Preset = "default"
    """`paper` keeps the structure of the paper's prompts: see `INFER`; a model that speaks chat is told what stands
    before a question in the system turn."""
    infer: str | None = None
    """How the concept is asked for, with a place for the `{demonstrations}`; by default that of the preset."""
    instruction: str | None = None
    """How the `{concept}` is put before a question; by default that of the preset."""
    example: str = BLOCK
    """How a weakly answered row is shown where the concept is asked for."""

    def __post_init__(self) -> None:
        check_at_least("batch", self.batch, 1)
        check_at_least("concept_tokens", self.concept_tokens, 1)
        check_template("infer", self.infer_template, needs=("demonstrations",), refuses=("prompt", "answer"))
        check_template("instruction", self.instruction_template, needs=("concept",), refuses=("answer",))
        check_template("example", self.example, needs=("prompt", "answer"))

    @property
    def infer_template(self) -> str:
        """How the concept is asked for."""
        return INFER[self.preset] if self.infer is None else self.infer

    @property
    def instruction_template(self) -> str:
        """How the concept is put before a question."""
        return INSTRUCTION[self.preset] if self.instruction is None else self.instruction

    def instruct(self, concept: str) -> str:
        """What stands before a question; nothing where no concept is known."""
        return fill(self.instruction_template, {"concept": concept}) if concept else ""

    def concepts(
        self, rows: Rows, labels: TextLabels, model: LanguageModel, *, options: GenerateOptions, seed: int
    ) -> list[str]:
        """The sentence that each row is to be answered under.

        The rows are dealt into random batches, and the model says for each what its answers share. A row is answered
        under the sentence of the batch before its own, or, pooled, under the one among the sentences of all other
        batches that is most like the rest of them.

        Args:
            rows: The rows, N of them.
            labels: What the supervisors wrote for them.
            model: The strong model, untrained.
            options: How it generates otherwise: of these the seed and what becomes of long prompts count.
            seed: Seed of the batches, and of which supervisor's text is shown.

        Returns:
            N sentences, each the first line of what the model said; empty where it said nothing. None was inferred from
            a row that asks the same as the one it is for.

        Raises:
            DataError: The labels are about other rows, or there is nothing to infer from.
        """
        texts = weak_texts(rows, labels)
        rng = np.random.default_rng([seed, self.batch])
        batches = batches_of_questions(rows.prompts, self.batch, rng)
        prompts = [self._prompt(rows, texts, batch, rng) for batch in batches]
        greedy = dataclasses.replace(
            options, max_new_tokens=self.concept_tokens, n=1, beams=1, temperature=0.0, stop=()
        )
        asked, _, _ = fitted(prompts, model, self.concept_tokens)
        said = [one_line(each) for each in model.generate(asked, greedy)]
        # A batch without any weak text has nothing in common that could be said.
        said = [sentence if prompt.blocks else "" for sentence, prompt in zip(said, prompts, strict=True)]
        concepts = [""] * len(rows)
        for place, batch in enumerate(batches):
            others = [sentence for sentence in (*said[:place][::-1], *said[place + 1 :][::-1]) if sentence]
            sentence = others[medoid(others) if self.pooled else 0] if others else ""
            for item in batch:
                concepts[item] = sentence
        return concepts

    def _prompt(
        self, rows: Rows, texts: Sequence[Sequence[str]], batch: Sequence[int], rng: np.random.Generator
    ) -> Prompt:
        shown = [int(index) for index in rng.permutation(batch) if texts[index]][: self.batch]
        blocks = tuple(
            fill(
                self.example,
                {"prompt": rows.prompts[index], "answer": texts[index][int(rng.integers(len(texts[index])))]},
            )
            for index in shown
        )
        before, _, after = self.infer_template.partition("{demonstrations}")
        return Prompt(blocks, after, before)
