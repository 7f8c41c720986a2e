# `make demo` and `make test` do everything on a machine with Python 3.11+ and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SPEED  ?=
EXIT   ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types imports unit format throughput latency start-up

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Footfall needs Python 3.11 to 3.13, this is %d.%d: call make with PYTHON=python3.11" % sys.version_info[:2] if not (3, 11) <= sys.version_info < (3, 14) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)

setup: $(READY)  ## create .venv with everything

demo: $(READY)   ## start all services and replay two real histories (SPEED=max, EXIT=1)
	$(BIN)/footfall demo $(if $(SPEED),--speed $(SPEED)) $(if $(EXIT),--exit)

test: lint types imports unit  ## lint, types, import directions, all tests

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

unit: $(READY)
	$(BIN)/python -m pytest

format: $(READY) ## let ruff rewrite the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

throughput: $(READY) ## events/s of one worker, checked against a recount
	$(BIN)/python -m benchmarks.throughput

latency: $(READY)    ## from the producer's call to the segment change, and to the row in ClickHouse
	$(BIN)/python -m benchmarks.latency

start-up: $(READY)   ## seconds of `footfall up` until all roles are ready
	$(BIN)/python -m benchmarks.start_up
