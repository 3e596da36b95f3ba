"""① What is computed: workflow files, their places, the graph of stages, datasets. Pure but for reading files."""
