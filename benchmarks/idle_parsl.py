"""Wait for one task of Parsl's HighThroughputExecutor with its default configuration, on one worker.

python benchmarks/idle_parsl.py RUN_DIRECTORY STARTED_FILE SECONDS
"""

from __future__ import annotations

import sys


def wait(seconds, started):
    import pathlib
    import time

    pathlib.Path(started).touch()
    time.sleep(seconds)
    return 1


def main(folder: str, started: str, seconds: float) -> None:
    import parsl
    from parsl.providers import LocalProvider

    executor = parsl.HighThroughputExecutor(
        address="127.0.0.1", max_workers_per_node=1, provider=LocalProvider(init_blocks=1, max_blocks=1)
    )
    with parsl.load(parsl.Config(executors=[executor], run_dir=folder)):
        if parsl.python_app(wait)(seconds, started).result() != 1:
            raise SystemExit("the task has another result")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
