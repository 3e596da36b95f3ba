"""Look at a site before a run does: a draft of its profile, a sample of each queue, and a task on each."""
