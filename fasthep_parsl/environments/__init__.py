"""Environments: the software of workers. Without one, workers use the Python and the packages of the driver."""
