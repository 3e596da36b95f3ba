"""``fasthep-parsl`` with all logs of Parsl, driver's and workers', at debug level."""

import logging
from types import SimpleNamespace

from fasthep_parsl.backends.parsl import executors
from fasthep_parsl.cli.main import main

if __name__ == "__main__":
    executors.logging = SimpleNamespace(WARNING=logging.DEBUG)
    raise SystemExit(main())
