"""Real batch systems for the tests: start, watch, break and stop them on one machine."""
