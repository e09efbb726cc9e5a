"""Language models behind an OpenAI-compatible server: chat or completions, every answer cached."""

from __future__ import annotations

from outgrow.models.server.cache import ResponseCache
from outgrow.models.server.client import Limits
from outgrow.models.server.costs import Cost, Costs
from outgrow.models.server.model import ServerLanguageModel, check_url
from outgrow.models.server.rehearsal import Rehearsal, Stranger
from outgrow.models.server.usage import Estimate, Prices, Usage
from outgrow.models.server.wire import Api, ServedModel

__all__ = [
    "Api",
    "Cost",
    "Costs",
    "Estimate",
    "Limits",
    "Prices",
    "Rehearsal",
    "ResponseCache",
    "ServedModel",
    "ServerLanguageModel",
    "Stranger",
    "Usage",
    "check_url",
]
