# make setup | train | check | test | lint. TASK, EPISODES and SEED go to `make train`.
TASK ?= hammer
EPISODES ?= 100
SEED ?= 0
ARGS ?=

.PHONY: setup train check test lint

setup:
	@tools/setup.sh

train: setup
	.venv/bin/sarl train --task $(TASK) --episodes $(EPISODES) --seed $(SEED) $(ARGS)

check: lint
	.venv/bin/python -m pytest -n 2 -m "not graph and not slow"

test: setup lint
	.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

lint: setup
	.venv/bin/ruff check src test bench launch tools
	.venv/bin/ruff format --check src test bench launch tools
	.venv/bin/mypy
