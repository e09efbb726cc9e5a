"""The command line: reads arguments, shows progress, prints results; everything else is the library."""

from outgrow.cli import experiments, keeping, students, tools
from outgrow.cli.console import app, main

__all__ = ["app", "experiments", "keeping", "main", "students", "tools"]
