"""From rows to predictions: one pipeline for choice tasks, one for text tasks, with the same five questions.

The two are imported where they are used: the text pipeline brings the Trainer, which takes seconds.
"""
