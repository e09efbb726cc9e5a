"""The topics of `outgrow theory NAME`: settings, a table, a figure and a page each."""
