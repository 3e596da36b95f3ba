"""③ Groups of workers that offer a label: from a stage's labels to a pool, or to an error that says why not."""
