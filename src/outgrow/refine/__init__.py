"""Label refinement: the strong model labels the rows again before it is trained on them."""
