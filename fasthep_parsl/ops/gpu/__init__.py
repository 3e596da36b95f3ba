"""What ops compute on a GPU with kernels of their own, not with CuPy's."""
