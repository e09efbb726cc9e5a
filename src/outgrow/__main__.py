"""`python -m outgrow`, the same as the console script `outgrow`."""

from outgrow.cli import main

main()
