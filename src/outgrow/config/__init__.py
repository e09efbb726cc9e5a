"""The experiment file: its schema, and how it is read."""

from __future__ import annotations

from outgrow.config.base import Choice, Named
from outgrow.config.judge import Judge, LocalJudge, ServerJudge
from outgrow.config.loading import load_config, parse_config, parse_settings
from outgrow.config.methods import Filter, Intermediate, Method, Prefer, Pretune, Strong, StrongModel
from outgrow.config.schema import ExperimentConfig, Generate
from outgrow.config.server import Served, ServerPrices, ServerStrong, ServerSupervisor
from outgrow.config.supervisors import (
    FeaturesSupervisor,
    FunctionSupervisor,
    ModelSupervisor,
    Rule,
    RulesSupervisor,
    SupervisorConfig,
    VotesSupervisor,
)
from outgrow.config.task import Columns, Split, TaskConfig, VotesTable

__all__ = [
    "Choice",
    "Columns",
    "ExperimentConfig",
    "FeaturesSupervisor",
    "Filter",
    "FunctionSupervisor",
    "Generate",
    "Intermediate",
    "Judge",
    "LocalJudge",
    "Method",
    "ModelSupervisor",
    "Named",
    "Prefer",
    "Pretune",
    "Rule",
    "RulesSupervisor",
    "Served",
    "ServerJudge",
    "ServerPrices",
    "ServerStrong",
    "ServerSupervisor",
    "Split",
    "Strong",
    "StrongModel",
    "SupervisorConfig",
    "TaskConfig",
    "VotesSupervisor",
    "VotesTable",
    "load_config",
    "parse_config",
    "parse_settings",
]
