"""Kernels: the body of a loop over events, written once in Python, compiled for the CPU or the GPU.

numba is imported when the first kernel is compiled.
"""

from fasthep_parsl.kernels.declare import Kernel, float64, kernel
from fasthep_parsl.kernels.target import CompileTarget, active, compiling_for

__all__ = ["CompileTarget", "Kernel", "active", "compiling_for", "float64", "kernel"]
