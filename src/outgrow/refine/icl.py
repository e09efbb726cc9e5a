"""Refinement by in-context learning ([TL] = arXiv 2405.16236, Algorithm 1): weak answers show how, not what.

The strong model is asked every question of the unlabelled part again, behind a few *other* questions with their weak
answers. From those it takes the concept that all supervisors share; the content of its answer is its own, since the
weak answer to the question at hand is not in the prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

from outgrow.labels import Rows, TextLabels
from outgrow.models.protocols import GenerateOptions, LanguageModel
from outgrow.refine.asking import Prompt
from outgrow.refine.demonstrations import Demonstrating
from outgrow.refine.refinement import Refinement
from outgrow.templates import fill


@dataclass(frozen=True)
class ICL(Demonstrating):
    """Labels rows again behind demonstrations; found as `refine: icl` in an experiment file.

    The batches and the leave-one-out rule are the paper's; so are four demonstrations, its choice for personas (three
    for explanation techniques), one draw, and greedy answers. The paper puts the demonstrations in the system turn of a
    chat, and so does `preset: paper`; by default all is one text, which also fits models without a chat format. Other
    ways to choose demonstrations, several draws and votes are ours.

    Example:
        >>> from outgrow.labels import Completion
        >>> from outgrow.models.scripted import ScriptedLanguageModel
        >>> rows = Rows(("a", "b"), ("1 + 1?", "2 + 2?"), ("unlabelled",) * 2, (None,) * 2)
        >>> weak = [(Completion(text, (), (), finished=True),) for text in ("Arr, 3!", "Arr, 4!")]
        >>> labels = TextLabels(rows.ids, ("weak",), tuple((one,) for one in weak))
        >>> icl = ICL(demonstrations=1)
        >>> print(icl.prompts(rows, labels, seed=0)[0])
        Question: 2 + 2?
        Answer: Arr, 4!
        <BLANKLINE>
        Question: 1 + 1?
        Answer:
        >>> strong = ScriptedLanguageModel(lambda prompt: " Arr, 2!")
        >>> icl.texts(rows, labels, strong, options=GenerateOptions(), seed=0).texts()
        ['Arr, 2!', 'Arr, 2!']
    """

    def prompts(self, rows: Rows, labels: TextLabels, *, seed: int, model: LanguageModel | None = None) -> list[str]:
        """The prompts in which the rows are labelled again; arguments and errors as for `blocks`.

        Returns:
            One prompt per draw and row, the rows of the first draw first; none contains the weak answer to its own row.
        """
        return [one.text for draw in self._prompts(rows, labels, seed, model) for one in draw]

    def texts(
        self, rows: Rows, labels: TextLabels, model: LanguageModel, *, options: GenerateOptions, seed: int
    ) -> Refinement:
        """Labels the rows again.

        Args:
            rows: The rows to label.
            labels: What the supervisors wrote for them.
            model: The strong model, untrained.
            options: How it generates; a stop string keeps it from going on with a question of its own. All samples
                vote.
            seed: Seed of the demonstrations.

        Returns:
            Labels of one supervisor named `icl`, without the space that separates them from the prompt.

        Raises:
            DataError: The labels are about other rows, or there are too few rows for that many demonstrations.
        """
        return self.ask(rows, self._prompts(rows, labels, seed, model), model, options, name="icl", preset=self.preset)

    def _prompts(self, rows: Rows, labels: TextLabels, seed: int, model: LanguageModel | None) -> list[list[Prompt]]:
        queries = [fill(self.query, {"prompt": prompt}) for prompt in rows.prompts]
        return [
            [Prompt(blocks, query) for blocks, query in zip(draw, queries, strict=True)]
            for draw in self.blocks(rows, labels, seed=seed, model=model)
        ]
