"""Infer and respond ([TL] = arXiv 2405.16236, Algorithm 2): the concept becomes a sentence, and the answer its own.

Of the released results of the paper this adopts the concept best, and keeps somewhat less content than `icl`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from outgrow.labels import Rows, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel
from outgrow.refine.asking import Asking, Prompt
from outgrow.refine.concepts import Inferring
from outgrow.refine.demonstrations import Demonstrating
from outgrow.refine.refinement import Refinement
from outgrow.templates import fill


@dataclass(frozen=True)
class InferAndRespond(Asking, Inferring):
    """Labels rows again under a sentence inferred from others; found as `refine: infer_and_respond`.

    The paper infers from a batch and answers the questions of that batch. Here a row is answered under the sentence of
    *another* batch, so that its own weak answer has no way into its prompt; that costs nothing.

    Example:
        >>> from outgrow.labels import Completion
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

    def __post_init__(self) -> None:
        Asking.__post_init__(self)
        Inferring.__post_init__(self)

    def texts(
        self, rows: Rows, labels: TextLabels, model: LanguageModel, *, options: GenerateOptions, seed: int
    ) -> Refinement:
        """Labels the rows again (see `Refiner`); every draw infers anew, from other batches.

        Raises:
            DataError: The labels are about other rows, or there are not two questions.
        """
        concepts = [
            self.concepts(rows, labels, model, options=options, seed=seed * self.draws + draw)
            for draw in range(self.draws)
        ]
        prompts = [
            [
                Prompt((), fill(self.query, {"prompt": prompt}), self.instruct(concept))
                for prompt, concept in zip(rows.prompts, draw, strict=True)
            ]
            for draw in concepts
        ]
        refined = self.ask(rows, prompts, model, options, name="infer_and_respond", preset=self.preset)
        return dataclasses.replace(refined, concepts=tuple(concepts[0]))


@dataclass(frozen=True)
class InferAndDemonstrate(Demonstrating, Inferring):
    """The inferred sentence, demonstrations and the question; found as `refine: infer_and_demonstrate`.

    Source:
        Ours: Algorithms 1 and 2 of [TL] in one prompt. The sentence says what the demonstrations only show.

    Example:
        >>> InferAndDemonstrate(demonstrations=2, pooled=True).batch
        8
    """

    def __post_init__(self) -> None:
        Demonstrating.__post_init__(self)
        Inferring.__post_init__(self)

    def texts(
        self, rows: Rows, labels: TextLabels, model: LanguageModel, *, options: GenerateOptions, seed: int
    ) -> Refinement:
        """Labels the rows again (see `Refiner`); every draw shows other demonstrations under the same sentences.

        Raises:
            DataError: The labels are about other rows, or there are too few of them.
        """
        concepts = self.concepts(rows, labels, model, options=options, seed=seed)
        prompts = [
            [
                Prompt(blocks, fill(self.query, {"prompt": prompt}), self.instruct(concept))
                for blocks, prompt, concept in zip(draw, rows.prompts, concepts, strict=True)
            ]
            for draw in self.blocks(rows, labels, seed=seed, model=model)
        ]
        refined = self.ask(rows, prompts, model, options, name="infer_and_demonstrate", preset=self.preset)
        return dataclasses.replace(refined, concepts=tuple(concepts))
