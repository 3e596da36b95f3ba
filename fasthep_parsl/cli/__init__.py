"""The command line: parses arguments, calls the driver and prints what it returns."""
