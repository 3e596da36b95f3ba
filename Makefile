# Everything a developer types. Needs Python 3.11 or newer and make; all else goes into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS ?= dev
EVENTS ?= 200000

.DEFAULT_GOAL := help
.PHONY: help venv demo services test test-unit test-pythons test-gpu fuzz lint docs bench bench-gpu clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## make the environment .venv with everything for users and developers

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $(STAMP)

demo: $(STAMP) ## make demo data, analyse them and say where the pictures are
	$(BIN)/fasthep-parsl demo-data demo/data --events $(EVENTS)
	$(BIN)/fasthep-parsl run configs/dimuon.yaml --site local --outdir demo/run --force
	@echo "pictures: $(CURDIR)/demo/run/plots"

services: ## install the batch systems that tests use, Slurm and HTCondor; needs root or sudo, and Debian
	sh tests/services/install.sh

test: lint docs ## lint, build the docs, run all tests
	$(BIN)/pytest

test-unit: $(STAMP) ## the fast tests only
	$(BIN)/pytest tests/unit

test-pythons: $(STAMP) ## the fast tests and the demo on the other Pythons that are here, and with the oldest dependencies
	sh tests/pythons.sh $(PYTHONS)

test-gpu: $(STAMP) ## the tests that need a GPU; where there is none they say what is missing
	@nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo "nvidia-smi finds no GPU"
	$(BIN)/pytest -m gpu -rs

fuzz: $(STAMP) ## random cases against plain loops, until stopped; or MINUTES=10, N=1000 of each kind, ONLY=ops, SEED=1
	cd tests && ../$(BIN)/python -m fuzz $(if $(MINUTES),--minutes $(MINUTES)) $(if $(N),--count $(N)) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

bench-gpu: $(STAMP) ## measure what a GPU gains, against one core and code written by hand
	$(BIN)/python benchmarks/bench_gpu.py

lint: $(STAMP) ## ruff, mypy, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP) ## build the documentation; warnings are errors
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

bench: $(STAMP) ## measure what the README's table says
	$(BIN)/python benchmarks/run.py

clean: ## remove everything that was made here
	rm -rf $(VENV) .venv-* build dist demo docs/_build .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
