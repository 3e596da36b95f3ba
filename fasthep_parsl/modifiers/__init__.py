"""Built-in modifiers: they change how an op is called."""
