"""Operations on columns, computed on flat NumPy or CuPy arrays wherever possible."""
