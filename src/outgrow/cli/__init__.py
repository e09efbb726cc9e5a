"""The command line: reads arguments, shows progress, prints results; everything else is the library."""

from outgrow.cli import annotating, experiments, keeping, labelling, students, tools
from outgrow.cli.console import app, main

__all__ = ["annotating", "app", "experiments", "keeping", "labelling", "main", "students", "tools"]
