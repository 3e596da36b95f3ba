"""Code that runs on workers: tasks of a plan, their products, streams and failures."""
