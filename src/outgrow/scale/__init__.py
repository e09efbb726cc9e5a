"""Running one function over many batches."""
