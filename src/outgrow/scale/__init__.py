"""Run one function over many batches."""
