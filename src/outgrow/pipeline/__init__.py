"""From rows to predictions: one pipeline for choice tasks, one for text tasks, with the same five questions."""

from __future__ import annotations

from outgrow.pipeline.choice import ChoicePipeline
from outgrow.pipeline.protocol import Pipeline
from outgrow.pipeline.text import TextPipeline

__all__ = ["ChoicePipeline", "Pipeline", "TextPipeline"]
