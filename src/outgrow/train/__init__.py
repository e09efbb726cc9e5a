"""Training: one supervised trainer on transformers.Trainer, and a small loop for probes."""
