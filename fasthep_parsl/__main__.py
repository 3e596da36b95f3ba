"""``python -m fasthep_parsl``: the command line without an installed script."""

import sys
from pathlib import Path

if __name__ == "__main__":
    if not sys.flags.safe_path:  # the current folder is first: its files must not shadow libraries
        here = sys.path.pop(0)
        if Path(__file__).parent.parent.samefile(here):  # not installed
            sys.path.append(here)

    from fasthep_parsl.cli.main import main

    main()
