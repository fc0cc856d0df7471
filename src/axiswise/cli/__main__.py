"""`python -m axiswise.cli`: what the command `axiswise` does."""

import sys

from axiswise.cli import main

sys.exit(main())
