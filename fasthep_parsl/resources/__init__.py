"""② Quantities that a label promises, with units; and what this machine has."""
