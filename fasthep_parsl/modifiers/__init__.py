"""What changes how an op is called, carried in the plan."""
