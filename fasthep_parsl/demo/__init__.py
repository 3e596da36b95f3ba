"""Demo data: write NanoAOD-like files from random numbers, so that a first analysis needs no download.

>>> from fasthep_parsl.demo import write_demo_data
>>> files = write_demo_data("demo/data", 4000)  # doctest: +SKIP
"""

from fasthep_parsl.demo.recipes import DATASETS
from fasthep_parsl.demo.write import write_demo_data

__all__ = ["DATASETS", "write_demo_data"]
