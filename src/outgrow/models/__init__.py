"""Language models, local and served, and classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outgrow._lazy import lazy
from outgrow.models.features import Tfidf
from outgrow.models.protocols import GenerateOptions, LanguageModel, chats, embed, fits, logprobs, refusal
from outgrow.models.scripted import ScriptedLanguageModel

if TYPE_CHECKING:
    from outgrow.models.local import LocalLanguageModel
    from outgrow.models.server import ServedModel, ServerLanguageModel

__all__ = [
    "GenerateOptions",
    "LanguageModel",
    "LocalLanguageModel",
    "ScriptedLanguageModel",
    "ServedModel",
    "ServerLanguageModel",
    "Tfidf",
    "chats",
    "embed",
    "fits",
    "logprobs",
    "refusal",
]
_HOMES = {
    "LocalLanguageModel": "outgrow.models.local",
    "ServedModel": "outgrow.models.server",
    "ServerLanguageModel": "outgrow.models.server",
}
__getattr__ = lazy(__name__, _HOMES)
