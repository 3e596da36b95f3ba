"""A first workflow for given input files: datasets, one cut, one histogram, with comments for newcomers."""
