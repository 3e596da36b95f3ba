# All commands for developers. Needs Python 3.11 or newer and make. Everything else is installed into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS ?= dev
EVENTS ?= 200000
JOBS ?= 3
# Tests of different files run side by side in JOBS processes: many of them wait for other processes most of the time, so
# there are more than cores.
PYTEST := $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help venv demo services test test-unit test-pythons test-gpu fuzz lint docs bench bench-gpu clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## create the environment .venv for users and developers

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $(STAMP)

demo: $(STAMP) ## write demo data, analyse them and print the path of the plots
	$(BIN)/fasthep-parsl demo-data demo/data --events $(EVENTS)
	$(BIN)/fasthep-parsl run configs/dimuon.yaml --site local --outdir demo/run --force
	@echo "plots: $(CURDIR)/demo/run/plots"

services: ## install Slurm, HTCondor, apptainer and XRootD for the tests; needs Debian and root or sudo
	sh tests/services/install.sh

test: lint docs ## run the linters, build the documentation, run all tests
	$(PYTEST)

test-unit: $(STAMP) ## run the unit tests that take less than about a second each
	$(PYTEST) -m "not slow and not integration" tests/unit

test-pythons: $(STAMP) ## run the tests that are not slow and the demo with other installed Pythons and with the oldest dependencies
	sh tests/pythons.sh $(PYTHONS)

test-gpu: $(STAMP) ## run the tests that need a GPU; without one they report what is missing
	@nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo "nvidia-smi finds no GPU"
	$(BIN)/pytest -m gpu -rs

fuzz: $(STAMP) ## compare random cases with plain loops until stopped; options MINUTES=10, N=1000, ONLY=ops, SEED=1
	cd tests && ../$(BIN)/python -m fuzz $(if $(MINUTES),--minutes $(MINUTES)) $(if $(N),--count $(N)) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

bench-gpu: $(STAMP) ## run the GPU benchmark
	$(BIN)/python benchmarks/bench_gpu.py

lint: $(STAMP) ## run ruff, mypy and import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP) ## build the documentation; warnings are errors
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

bench: $(STAMP) ## run the benchmarks of the README
	$(BIN)/python benchmarks/run.py

clean: ## remove all generated files
	rm -rf $(VENV) .venv-* build dist demo docs/_build .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
