"""Imports that nearly every task needs. Worker pools import this module before they fork workers.

All workers inherit the changes to this process, which does not run tasks itself.
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
