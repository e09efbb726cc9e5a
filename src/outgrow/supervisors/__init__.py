"""Supervisors: votes on rows, texts for rows, scores of texts; from models, tables, rules, functions or servers."""

from __future__ import annotations

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
