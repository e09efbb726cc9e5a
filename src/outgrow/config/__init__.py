"""The experiment file: its schema, and how it is read."""

from __future__ import annotations

from outgrow.config.base import Choice, Frozen, ModelName, Named, weights_of
from outgrow.config.judge import GivenRatings, Judge, LocalJudge, ServerJudge
from outgrow.config.loading import load_config, parse_config, parse_settings
from outgrow.config.local import HERE, Local
from outgrow.config.methods import Filter, Intermediate, Method, Prefer, Pretune, Strong, StrongModel
from outgrow.config.scale import Scale
from outgrow.config.schema import ExperimentConfig, Generate
from outgrow.config.server import ASKED, AskedForChoices, FineTune, Served, ServerPrices, ServerStrong
from outgrow.config.task import Columns, Split, TaskConfig, VotesTable

__all__ = [
    "ASKED",
    "HERE",
    "AskedForChoices",
    "Choice",
    "Columns",
    "ExperimentConfig",
    "Filter",
    "FineTune",
    "Frozen",
    "Generate",
    "GivenRatings",
    "Intermediate",
    "Judge",
    "Local",
    "LocalJudge",
    "Method",
    "ModelName",
    "Named",
    "Prefer",
    "Pretune",
    "Scale",
    "Served",
    "ServerJudge",
    "ServerPrices",
    "ServerStrong",
    "Split",
    "Strong",
    "StrongModel",
    "TaskConfig",
    "VotesTable",
    "load_config",
    "parse_config",
    "parse_settings",
    "weights_of",
]
