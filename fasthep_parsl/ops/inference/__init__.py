"""``hep.inference``: models in ONNX or of XGBoost, checked when the plan is made and evaluated in batches."""
