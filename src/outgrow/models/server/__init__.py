"""Language models behind an OpenAI-compatible server: chat or completions, every answer cached."""

from __future__ import annotations

from outgrow.models.server.cache import ResponseCache
from outgrow.models.server.client import Limits
from outgrow.models.server.costs import Cost, Costs
from outgrow.models.server.dry_run import DryRunModel, DryRunServer
from outgrow.models.server.model import ServerLanguageModel, check_url
from outgrow.models.server.tuning import NotYetError, TunedModel, Tuning, fine_tune
from outgrow.models.server.usage import Estimate, Prices, Usage
from outgrow.models.server.wire import Api, ServedModel

__all__ = [
    "Api",
    "Cost",
    "Costs",
    "DryRunModel",
    "DryRunServer",
    "Estimate",
    "Limits",
    "NotYetError",
    "Prices",
    "ResponseCache",
    "ServedModel",
    "ServerLanguageModel",
    "TunedModel",
    "Tuning",
    "Usage",
    "check_url",
    "fine_tune",
]
