"""Supervisors: everything that can judge a row."""

from __future__ import annotations

from outgrow.supervisors.choice import ChoiceSupervisor, choice_supervisor
from outgrow.supervisors.functions import LabellingFunction, ask

__all__ = ["ChoiceSupervisor", "LabellingFunction", "ask", "choice_supervisor"]
