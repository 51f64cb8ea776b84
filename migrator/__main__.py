"""``python -m migrator`` and the command ``migrator``: the same.

Nothing is imported here before Ctrl-C is taken care of: whoever types it at once gets no traceback either.
"""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """The console script."""
    try:
        from migrator.cli import main

        main()
    except KeyboardInterrupt:
        sys.stderr.write("migrator: Stopped.\n")
        sys.exit(3)


if __name__ == "__main__":
    main()
