"""A summary as text, as figures, and as one self-contained HTML page."""
