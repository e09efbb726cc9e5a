"""Language models, local and served, and classifiers."""
