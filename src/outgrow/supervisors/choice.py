"""Supervisors of choice tasks, made from their configuration."""

from __future__ import annotations

from typing import Protocol

from outgrow.config import (
    FeaturesSupervisor,
    FunctionSupervisor,
    ModelSupervisor,
    RulesSupervisor,
    ServerSupervisor,
    SupervisorConfig,
)
from outgrow.labels import ChoiceVotes, Rows
from outgrow.supervisors.features import FeaturesLabeller
from outgrow.supervisors.functions import FunctionLabeller
from outgrow.supervisors.model import ModelLabeller
from outgrow.supervisors.rules import RulesLabeller
from outgrow.supervisors.server import ServerLabeller
from outgrow.supervisors.votes import VotesReader
from outgrow.workspace import Workspace


class ChoiceSupervisor(Protocol):
    """Something that votes on the rows of a choice task."""

    def label(self, rows: Rows, workspace: Workspace, *, seed: int) -> ChoiceVotes:
        """Votes on the unlabelled and the test part of `rows`, in order; learns from the gold part if it learns.

        What costs time is kept in the workspace's store and found there the next time.
        """


def choice_supervisor(config: SupervisorConfig) -> ChoiceSupervisor:
    """The supervisor that a line of an experiment file describes."""
    if isinstance(config, FeaturesSupervisor):
        return FeaturesLabeller(config)
    if isinstance(config, ModelSupervisor):
        return ModelLabeller(config)
    if isinstance(config, RulesSupervisor):
        return RulesLabeller(config)
    if isinstance(config, FunctionSupervisor):
        return FunctionLabeller(config)
    if isinstance(config, ServerSupervisor):
        return ServerLabeller(config)
    return VotesReader(config)
