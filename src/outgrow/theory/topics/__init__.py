"""The topics of `outgrow theory NAME`."""
