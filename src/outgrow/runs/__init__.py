"""Several finished runs: compared, listed, and what the stores hold for them."""
