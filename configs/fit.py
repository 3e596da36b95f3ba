"""Fit the templates of a run with cabinetry: ``python configs/fit.py demo/fit``."""

from __future__ import annotations

import os
import sys

import cabinetry

os.chdir(f"{sys.argv[1]}/results")
config = cabinetry.configuration.load("cabinetry.yml")
cabinetry.templates.collect(config)
cabinetry.templates.postprocess(config)
model, data = cabinetry.model_utils.model_and_data(cabinetry.workspace.build(config))
fit = cabinetry.fit.fit(model, data)
for name, value, error in zip(fit.labels, fit.bestfit, fit.uncertainty, strict=True):
    print(f"{name:28} {value:7.3f} ± {error:.3f}")
