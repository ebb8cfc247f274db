"""`python -m returnsd` is the command returnsd."""

import sys

from returnsd.cli import main

sys.exit(main())
