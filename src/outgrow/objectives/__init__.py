"""What a student minimises: pure functions of logits and targets, and the named objectives a YAML file can choose."""

from __future__ import annotations

from outgrow.objectives.confidence import Confidence, class_offsets, confidence
from outgrow.objectives.cross_entropy import CrossEntropy, cross_entropy
from outgrow.objectives.protocol import Objective, StepContext

__all__ = ["Confidence", "CrossEntropy", "Objective", "StepContext", "class_offsets", "confidence", "cross_entropy"]
