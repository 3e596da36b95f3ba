"""Who executes tasks: ``local`` in this process (the reference), ``parsl`` on pools of workers."""
