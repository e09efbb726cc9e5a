"""Training: one supervised trainer on transformers.Trainer, learners that keep students in the store, and probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outgrow._lazy import lazy

if TYPE_CHECKING:
    from outgrow.train.answers import collate, tokenise
    from outgrow.train.choice import NetworkLearner, predict_logits, train_choice
    from outgrow.train.preference import PreferenceLearner, text_logprobs
    from outgrow.train.probe import Probe, ProbeLearner
    from outgrow.train.supervised import SupervisedTrainer, fit
    from outgrow.train.text import TextLearner, answer_logits

__all__ = [
    "NetworkLearner",
    "PreferenceLearner",
    "Probe",
    "ProbeLearner",
    "SupervisedTrainer",
    "TextLearner",
    "answer_logits",
    "collate",
    "fit",
    "predict_logits",
    "text_logprobs",
    "tokenise",
    "train_choice",
]
_HOMES = {
    "answers": ("collate", "tokenise"),
    "choice": ("NetworkLearner", "predict_logits", "train_choice"),
    "preference": ("PreferenceLearner", "text_logprobs"),
    "probe": ("Probe", "ProbeLearner"),
    "supervised": ("SupervisedTrainer", "fit"),
    "text": ("TextLearner", "answer_logits"),
}
# The Trainer takes seconds to import, and a probe does without.
__getattr__ = lazy(__name__, {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names})
