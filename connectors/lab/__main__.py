"""``python -m connectors.lab``: the lab's command."""

import sys

from .command import main

sys.exit(main())
