"""④ How workers come to exist: one file each, pure, from a pool to what a backend needs."""
