"""CUDA kernels of the ops, and compilation of kernels before the first events."""
