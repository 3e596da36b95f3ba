"""Backend ``parsl``: one HighThroughputExecutor per pool, labelled with the pool's name. The only importer of Parsl."""
