"""The software that workers run. None is built in yet: workers run the Python and the packages of the driver."""
