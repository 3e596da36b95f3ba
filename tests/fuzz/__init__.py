"""Random expressions, ops and workflows, each against a plain loop over single events: see ``__main__``."""
