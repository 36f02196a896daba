# Everything builds .venv by itself when it is missing or older than what it is made from.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEMO   := demo

.PHONY: help install demo serve test lint bench clean

help:  ## Show what there is to type.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(READY)  ## Set up .venv with metseg and its tools.

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "metseg needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)  ## Simulate patients, train three networks, compare them, predict; results in demo/.
	rm -rf $(DEMO)
	$(BIN)/metseg simulate $(DEMO)/data --as slices --patients 32 --resolution-mm 2 --slices-per-patient 24
	$(BIN)/metseg inspect $(DEMO)/data
	$(BIN)/metseg compare demo-unet demo-attention-unet demo-unet-plus-plus --data $(DEMO)/data --out $(DEMO)/comparison
	$(BIN)/metseg simulate $(DEMO)/new --as slices --patients 2 --seed 7 --resolution-mm 2 --slices-per-patient 24
	$(BIN)/metseg predict $(DEMO)/new --model $(DEMO)/comparison/demo-unet/run/bundle --out $(DEMO)/predictions
	@echo
	@awk '/^\|/ {print; table = 1; next} table {exit}' $(DEMO)/comparison/results.md
	@echo
	@echo "report with pictures: $(DEMO)/comparison/report.html"
	@echo "truth and prediction: $(DEMO)/comparison/overlays_*.png"
	@echo "masks and overlays of two new patients: $(DEMO)/predictions"

serve: $(READY)  ## Start the service and its page on this machine; Ctrl-C ends them.
	$(BIN)/metseg up

# One thread for each of the processes: threads of several processes on the same cores wait for one another.
test: $(READY) lint  ## Lint, types, layers, doctests and every test.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $${METSEG_TEST_JOBS:-2} --durations=15

lint: $(READY)  ## Style, types and import layers.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## Measure both sides of every speed claim; wants a quiet machine.
	@missed=""; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || missed+=" $$script"; done; \
	if [[ -n "$$missed" ]]; then echo "missed its claim:$$missed" >&2; exit 1; fi

clean:  ## Remove .venv and what the demo made.
	rm -rf $(VENV) $(DEMO)
