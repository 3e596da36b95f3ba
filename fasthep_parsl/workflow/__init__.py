"""Workflow files: read them, check them, order the stages, find the files of datasets. Pure, except for reading files."""
