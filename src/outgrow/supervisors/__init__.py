"""Supervisors: votes on rows, texts for rows, scores of texts; from models, tables, rules, functions or servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outgrow._lazy import lazy

if TYPE_CHECKING:
    from outgrow.supervisors.features import FeaturesSupervisor
    from outgrow.supervisors.functions import FunctionSupervisor, LabellingFunction, ask
    from outgrow.supervisors.given_texts import TextsSupervisor
    from outgrow.supervisors.gold import judged_rows, training_rows
    from outgrow.supervisors.model import ModelSupervisor
    from outgrow.supervisors.protocol import Asking, Supervisor
    from outgrow.supervisors.rules import RulesSupervisor
    from outgrow.supervisors.server import ServerSupervisor
    from outgrow.supervisors.votes import VotesSupervisor

__all__ = [
    "Asking",
    "FeaturesSupervisor",
    "FunctionSupervisor",
    "LabellingFunction",
    "ModelSupervisor",
    "RulesSupervisor",
    "ServerSupervisor",
    "Supervisor",
    "TextsSupervisor",
    "VotesSupervisor",
    "ask",
    "judged_rows",
    "training_rows",
]
_HOMES = {
    "features": ("FeaturesSupervisor",),
    "functions": ("FunctionSupervisor", "LabellingFunction", "ask"),
    "given_texts": ("TextsSupervisor",),
    "gold": ("judged_rows", "training_rows"),
    "model": ("ModelSupervisor",),
    "protocol": ("Asking", "Supervisor"),
    "rules": ("RulesSupervisor",),
    "server": ("ServerSupervisor",),
    "votes": ("VotesSupervisor",),
}
__getattr__ = lazy(__name__, {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names})
