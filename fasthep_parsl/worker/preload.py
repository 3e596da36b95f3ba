"""Import what nearly every task needs; named as the module that worker pools import before they fork workers.

What it changes in this process, which runs no task itself, all workers inherit.
"""

import hist  # noqa: F401
import uproot  # noqa: F401

import fasthep_parsl.ops.combinations
import fasthep_parsl.ops.cutflow
import fasthep_parsl.ops.define
import fasthep_parsl.ops.histogram
import fasthep_parsl.ops.objects
import fasthep_parsl.ops.selection
import fasthep_parsl.sources.root_file
import fasthep_parsl.worker.runner  # noqa: F401
from fasthep_parsl.resources import memory

memory.keep_freed()
