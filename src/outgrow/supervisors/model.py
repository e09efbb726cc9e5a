"""Supervisors that are transformers models: classifiers of choices, or language models that write and score texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from outgrow.combine.texts import gold_targets
from outgrow.config import Choice, Local, ModelName, Named
from outgrow.errors import ConfigError
from outgrow.identity import identity
from outgrow.labels import ChoiceVotes, Rows, TextLabels, positions
from outgrow.models.loading import is_masked_lm, short_name
from outgrow.models.protocols import LanguageModel
from outgrow.models.specs import ModelSpec, model_spec
from outgrow.registry import can, create
from outgrow.run import Run
from outgrow.store import table_hash
from outgrow.supervisors.gold import Trained, judged_rows, made_up_votes, training_rows
from outgrow.supervisors.protocol import Asking, Part
from outgrow.supervisors.texts import TOO_LONG, score, write

if TYPE_CHECKING:
    from outgrow.refine.choice_icl import ChoiceICL
    from outgrow.train.learners import ChoiceLearner

_CROSS_ENTROPY = Named(name="cross_entropy")


class ModelSupervisor(Trained, Local):
    """A transformers model: `{model: gpt2, train: {}}`. With `train` it is first trained on the gold part.

    In a choice task `{model: gpt2, ask: {demonstrations: 4}}` is a causal language model that is not trained: it scores
    the choices behind demonstrations from the gold part, or with `ask: {}` without any.
    """

    model: ModelName
    """A folder or a hub id; or the name and parameters of a registered model (text tasks)."""
    train: dict[str, Any] | None = None
    """TrainingArguments for training it on the gold part; `{}` trains with the defaults, null does not train."""
    ask: dict[str, Any] | None = None
    """Choice tasks: score the choices instead of training; parameters of the refiner `icl` (`ChoiceICL`), by default
    without demonstrations and with a single draw of them."""
    adapter: Choice = Named(name="none")
    """What is trained: `none` (all weights), `lora` or `probe`."""
    max_length: int | None = Field(default=None, gt=0)
    """Cut prompts to this many tokens; by default a prompt that is too long is an error."""
    batch_size: int = Field(default=32, gt=0)
    """Rows at once when labelling."""
    early_stopping: int | None = Field(default=None, gt=0)
    """Patience in epochs on a held-out tenth of its training rows; null trains to the end."""

    @property
    def title(self) -> str:
        """Its name in tables."""
        return self.name or (self.model.name if isinstance(self.model, Named) else short_name(self.model))

    @property
    def uses_gold(self) -> bool:
        """Whether it is trained, or shown demonstrations."""
        return self.train is not None or bool((self.ask or {}).get("demonstrations"))

    def check(self, task: Literal["choice", "text"], asking: Asking) -> None:
        """Refuse settings that cannot work; see `Supervisor.check`."""
        if self.ask is not None:
            self._check_ask(task)
        elif task == "choice":
            if self.train is None:
                raise ConfigError(
                    f"The supervisor {self.title} is a model that is not trained, which a choice task cannot use.",
                    fix="Add `train: {}` to train it on the gold part, or `ask: {}` to let a causal language model "
                    "score the choices as it is.",
                )
            self._choice_learner()
        elif isinstance(self.model, Named):
            model_spec(self, "supervisor").identity  # noqa: B018 (creates it)
        else:
            from outgrow.train.text import text_learner

            text_learner(self, self.train or {})

    def vote(self, rows: Rows, run: Run, *, seed: int) -> ChoiceVotes:
        """Train on gold rows, or show them, and vote on the others; see `Supervisor.vote`."""
        if self.ask is not None:
            return self._answers(rows, run, seed)
        import torch

        from outgrow.train.targets import gold_targets as gold_choices

        name, learner = self.title, self._choice_learner()
        gold, judged = training_rows(rows, self.rows, seed=seed, name=name), judged_rows(rows)
        step = f"train {name}, seed {seed}"
        trained = learner.train(gold, gold_choices(gold), _CROSS_ENTROPY, run, seed=seed, name=step)
        logits = learner.logits(trained, judged, run, name=f"label with {name}, seed {seed}")
        return ChoiceVotes(judged.ids, (name,), torch.softmax(logits.double(), dim=-1).numpy()[:, None, :])

    def write(self, rows: Rows, part: Part, asking: Asking, run: Run, *, seed: int) -> TextLabels:
        """Generate texts, after its training if it is trained; see `Supervisor.write`."""
        own = rows.part(part)
        author, prompts = self._trained(rows, asking, run, seed), asking.prompts(own, chats=self._chats)
        return write(author, own.ids, prompts, asking.options, run)

    def score(
        self, rows: Rows, part: Part, candidates: Sequence[Sequence[str]], asking: Asking, run: Run, *, seed: int
    ) -> TextLabels:
        """Score texts, after its training if it is trained; see `Supervisor.score`."""
        own = rows.part(part)
        model, prompts = self._trained(rows, asking, run, seed), asking.prompts(own, chats=self._chats)
        return score(model, own.ids, prompts, candidates, run)

    @property
    def _chats(self) -> bool:
        return model_spec(self, "supervisor").chats

    def _check_ask(self, task: Literal["choice", "text"]) -> None:
        if task == "text" or self.train is not None:
            raise ConfigError(
                f"The supervisor {self.title} cannot be asked for choices.",
                found="`train` beside `ask`" if task == "choice" else "a text task",
                fix="Remove `train`, or `ask`." if task == "choice" else "Remove `ask`: it writes texts anyway.",
            )
        _ = self._icl
        if isinstance(self.model, Named):
            if not can(create("model", self.model.name, self.model.params), "logprobs"):
                raise ConfigError(f"The supervisor {self.title} does not score given texts, which `ask` needs.")
        elif is_masked_lm(self.model):
            raise ConfigError(
                f"The supervisor {self.title} cannot be asked for choices: that takes a causal language model.",
                found=f"{self.model}, an encoder",
                fix="Take a causal language model, or replace `ask` by `train: {}`.",
            )

    @property
    def _icl(self) -> tuple[ChoiceICL, bool]:
        """How the choices are scored, and whether there are demonstrations."""
        params = {"demonstrations": 0, "draws": 1, **(self.ask or {})}
        shows = params["demonstrations"] != 0
        if not shows:
            del params["demonstrations"]
        return create("refiner", "icl", params, "choices", door=f"`ask` of {self.title}"), shows

    def _answers(self, rows: Rows, run: Run, seed: int) -> ChoiceVotes:
        name, judged, (icl, shows) = self.title, judged_rows(rows), self._icl
        gold = training_rows(rows, self.rows, seed=seed, name=name) if shows else rows.take([])
        both = rows.take(np.concatenate([positions(rows.ids, own.ids) for own in (gold, judged)]))
        shown = [index < len(gold) for index in range(len(both))]

        def make(model: LanguageModel, folder: Path) -> ChoiceVotes:
            probs = icl.ask(both, shown, model, seed=seed) if shows else icl.base(judged, model)
            if run.dry:  # the model has planned what it was asked, and knows nothing
                return made_up_votes(judged, name)
            unread = np.isnan(probs).any(axis=1)
            probs[unread] = np.nan
            status = np.where(unread, "failed", "ok").astype(object)[:, None]
            errors = {(judged.ids[index], name): TOO_LONG for index in np.flatnonzero(unread).tolist()}
            return ChoiceVotes(judged.ids, (name,), probs[:, None, :], status, errors)

        recipe = {"icl": identity(icl), "name": name, "gold": len(gold), "rows": table_hash(both.to_arrow())}
        if shows:
            recipe["seed"] = seed
        model = model_spec(self, "supervisor", name=name)
        return run.stage("labels", recipe, make, ChoiceVotes, model=model, step=f"ask {name}, seed {seed}")

    def _choice_learner(self) -> ChoiceLearner:
        from outgrow.train.learners import choice_learner

        return choice_learner(self, self.train or {})

    def _trained(self, rows: Rows, asking: Asking, run: Run, seed: int) -> ModelSpec:
        if self.train is None:
            return model_spec(self, "supervisor", name=self.title)
        from outgrow.train.text import text_learner

        gold = training_rows(rows, self.rows, seed=seed, name=self.title)
        targets = gold_targets(gold, asking.prompts(gold, chats=self._chats))
        step = f"train {self.title}, seed {seed}"
        trained = text_learner(self, self.train).train(targets, _CROSS_ENTROPY, run, seed=seed, name=step)
        return model_spec(self, "supervisor", name=self.title, folder=str(trained.path / "model"))
