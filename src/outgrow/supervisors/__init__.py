"""Supervisors: everything that can judge a row."""

from __future__ import annotations

from outgrow.supervisors.choice import ChoiceSupervisor, choice_supervisor

__all__ = ["ChoiceSupervisor", "choice_supervisor"]
