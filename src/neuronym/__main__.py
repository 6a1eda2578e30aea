"""`python -m neuronym`."""

from neuronym.cli import main

main()
