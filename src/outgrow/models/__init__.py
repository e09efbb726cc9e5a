"""Models behind two seams: language models and classifiers."""
