"""What a worker runs: tasks of a plan, on files, with a store for what is handed on."""
