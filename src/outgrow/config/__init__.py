"""The experiment file: its schema, and how it is read."""

from __future__ import annotations

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

__all__ = [
    "Choice",
    "Columns",
    "ExperimentConfig",
    "FeaturesSupervisor",
    "Filter",
    "FunctionSupervisor",
    "Generate",
    "Intermediate",
    "Method",
    "ModelSupervisor",
    "Named",
    "Pretune",
    "Rule",
    "RulesSupervisor",
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
