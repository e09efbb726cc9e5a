"""Infer and respond ([TL] = arXiv 2405.16236, Algorithm 2): infer the concept of weak answers, then answer under it.

A row is answered under a concept that was inferred from *other* rows, so a row's own weak answer cannot reach its
prompt even through a model that repeats what it reads. Of the released results of the paper this method adopts the
concept best, and keeps somewhat less content than `icl`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from outgrow.errors import ConfigError
from outgrow.labels import Completion, Rows, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel, chats
from outgrow.refine.icl import Demonstrations
from outgrow.refine.refinement import weak_texts
from outgrow.refine.selection import batches_of_questions
from outgrow.refine.text_refiner import BLOCK, Preset, Prompt, Prompts, TextRefiner, check_at_least, fitted
from outgrow.refine.voting import medoid
from outgrow.templates import check_template, fill

INFER: dict[Preset, str] = {
    "default": (
        "{demonstrations}All of these answers are given in the same way. "
        "In one sentence, this is how whoever answers next should do it:"
    ),
    "paper": (
        "Your task is to detect a style. Below are questions of a user and an AI's answers, which all share one "
        'style. Say in one sentence what it is, and begin with "The used style is:".\n\n{demonstrations}'
    ),
}
"""Template of the request for a concept. That of the paper has the form of its persona experiment
(`prompts_persona.py`, github.com/UMich-FATML/w2s-refinement) in words of ours (reconstruction)."""
INSTRUCTION: dict[Preset, str] = {
    "default": "How to answer: {concept}\n\n",
    "paper": (
        "You are an assistant. Answer questions and follow instructions in the style that is given here. {concept}\n\n"
    ),
}
"""Template of the concept before a question."""


@dataclass(frozen=True, kw_only=True)
class ConceptInference(TextRefiner):
    """Base of the refiners that infer concepts: one sentence per batch of weak answers."""

    batch: int = 8
    """Weak answers per inferred concept."""
    pooled: bool = False
    """Whether all rows are answered under (nearly) the same concept: the one most similar to those of all other
    batches."""
    concept_tokens: int = 48
    """Most tokens of a concept."""
    preset: Preset = "default"
    """`paper` takes the paper's prompts (see `INFER`), and puts everything before the question into the system message
    of a chat model."""
    infer: str | None = None
    """Template of the request for a concept, with the `{demonstrations}`; by default that of the preset."""
    instruction: str | None = None
    """Template of the `{concept}` before a question; by default that of the preset."""
    example: str = BLOCK
    """Template of a weakly answered row in the request for a concept."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("batch", self.batch, 1)
        check_at_least("concept_tokens", self.concept_tokens, 1)
        check_template("infer", self._infer, needs=("demonstrations",), refuses=("prompt", "answer"))
        check_template("instruction", self._instruction, needs=("concept",), refuses=("answer",))
        check_template("example", self.example, needs=("prompt", "answer"))

    @property
    def _infer(self) -> str:
        return INFER[self.preset] if self.infer is None else self.infer

    @property
    def _instruction(self) -> str:
        return INSTRUCTION[self.preset] if self.instruction is None else self.instruction

    def instruct(self, concept: str) -> str:
        """Return what comes before a question; nothing without a concept."""
        return fill(self._instruction, {"concept": concept}) if concept else ""

    def concepts(
        self, rows: Rows, labels: TextLabels, model: LanguageModel | None, *, options: GenerateOptions, seed: int
    ) -> list[str]:
        """Return the concept for each row, inferred from rows with other prompts.

        The rows are dealt into random batches, and the model states for each what its answers share. A row gets the
        concept of the batch before its own; or, pooled, the one of all other batches that is most similar to the rest.
        Of the options, only the seed and what becomes of long prompts are used.

        Returns:
            N sentences, each the first line that the model generated; empty where there is none.

        Raises:
            DataError: The labels are about other rows, or there are not two different prompts.
            ConfigError: There is no model.
        """
        texts = weak_texts(rows, labels)
        if model is None:
            raise ConfigError("The inference of concepts needs the strong model.")
        rng = np.random.default_rng([seed, self.batch])
        batches = batches_of_questions(rows.prompts, self.batch, rng)
        requests = [self._request(rows, texts, batch, rng) for batch in batches]
        greedy = dataclasses.replace(
            options, max_new_tokens=self.concept_tokens, n=1, beams=1, temperature=0.0, stop=()
        )
        asked, _, _ = fitted(requests, model, self.concept_tokens)
        said = [first_line(each) for each in model.generate([one.asked for one in asked], greedy)]
        # A batch without any weak text has no concept.
        said = [sentence if request.blocks else "" for sentence, request in zip(said, requests, strict=True)]
        concepts = [""] * len(rows)
        for place, batch in enumerate(batches):
            others = [sentence for sentence in (*said[:place][::-1], *said[place + 1 :][::-1]) if sentence]
            sentence = others[medoid(others) if self.pooled else 0] if others else ""
            for item in batch:
                concepts[item] = sentence
        return concepts

    def _request(
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
        before, _, after = self._infer.partition("{demonstrations}")
        return Prompt(blocks, after, before)


@dataclass(frozen=True)
class InferAndRespond(ConceptInference):
    """Refines texts under a concept inferred from other rows (`refine: infer_and_respond`); every draw infers anew.

    The paper infers from a batch and answers the questions of that batch. Here a row is answered under the concept of
    *another* batch; that costs nothing.

    Example:
        >>> from outgrow.models.scripted import ScriptedLanguageModel
        >>> rows = Rows(("a", "b"), ("1 + 1?", "2 + 2?"), ("unlabelled",) * 2, (None,) * 2)
        >>> weak = [(Completion(text, (), (), finished=True),) for text in ("Arr, 3!", "Arr, 4!")]
        >>> labels = TextLabels(rows.ids, ("weak",), tuple((one,) for one in weak))
        >>> said = lambda prompt: " Arr, 2!" if prompt.startswith("How to") else " Talk like a pirate."
        >>> refined = InferAndRespond(batch=1).texts(
        ...     rows, labels, ScriptedLanguageModel(said), options=GenerateOptions(), seed=0
        ... )
        >>> refined.concepts[0], refined.texts()[0]
        ('Talk like a pirate.', 'Arr, 2!')
    """

    name: ClassVar[str] = "infer_and_respond"

    def _prompts(
        self, rows: Rows, labels: TextLabels, model: LanguageModel | None, options: GenerateOptions, seed: int
    ) -> Prompts:
        concepts = [
            self.concepts(rows, labels, model, options=options, seed=seed * self.draws + draw)
            for draw in range(self.draws)
        ]
        queries = self._queries(rows, model)
        draws = [
            [
                Prompt((), query, self.instruct(concept), chats(model))
                for query, concept in zip(queries, draw, strict=True)
            ]
            for draw in concepts
        ]
        return Prompts(draws, tuple(concepts[0]))


@dataclass(frozen=True)
class InferAndDemonstrate(Demonstrations, ConceptInference):
    """Refines texts by an inferred concept and demonstrations (`refine: infer_and_demonstrate`).

    Source:
        Ours: Algorithms 1 and 2 of [TL] in one prompt. The concept says what the demonstrations only show. Every draw
        shows other demonstrations under the same concepts.

    Example:
        >>> InferAndDemonstrate(demonstrations=2, pooled=True).batch
        8
    """

    name: ClassVar[str] = "infer_and_demonstrate"

    def _prompts(
        self, rows: Rows, labels: TextLabels, model: LanguageModel | None, options: GenerateOptions, seed: int
    ) -> Prompts:
        concepts = self.concepts(rows, labels, model, options=options, seed=seed)
        fronts = [(query, self.instruct(one)) for query, one in zip(self._queries(rows, model), concepts, strict=True)]
        draws = [
            [Prompt(blocks, *front, chats(model)) for blocks, front in zip(draw, fronts, strict=True)]
            for draw in self.blocks(rows, labels, seed=seed, model=model)
        ]
        return Prompts(draws, tuple(concepts))


def first_line(completions: Sequence[Completion]) -> str:
    r"""Return the first line with text of the first completion; empty where there is none.

    Example:
        >>> first_line([Completion("\n Answer like a pirate. \nQuestion:", (), (), False)])
        'Answer like a pirate.'
    """
    lines = [line.strip() for one in completions[:1] for line in one.text.splitlines()]
    return next((line for line in lines if line), "")
