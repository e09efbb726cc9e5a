"""Synthetic tasks with their own tiny models, where every answer can be scored exactly."""
