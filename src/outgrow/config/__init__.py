"""The experiment file: its schema, and how it is read."""

from __future__ import annotations

from outgrow.config.judge import Judge, LocalJudge, ServerJudge
from outgrow.config.loading import load_config, parse_config, parse_settings
from outgrow.config.schema import (
    Choice,
    Columns,
    ExperimentConfig,
    FeaturesSupervisor,
    Filter,
    FunctionSupervisor,
    Generate,
    Intermediate,
    Method,
    ModelSupervisor,
    Named,
    Prefer,
    Pretune,
    Rule,
    RulesSupervisor,
    Split,
    Strong,
    SupervisorConfig,
    TaskConfig,
    VotesSupervisor,
    VotesTable,
)
from outgrow.config.server import ServerPrices, ServerSupervisor

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
    "ServerJudge",
    "ServerPrices",
    "ServerSupervisor",
    "Split",
    "Strong",
    "SupervisorConfig",
    "TaskConfig",
    "VotesSupervisor",
    "VotesTable",
    "load_config",
    "parse_config",
    "parse_settings",
]
