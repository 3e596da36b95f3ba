"""``hep.correction``: corrections of correctionlib, checked when the plan is made and evaluated on flat arrays."""
