"""Site checks: a draft of a profile, a check of a profile, and a test task on each queue."""
