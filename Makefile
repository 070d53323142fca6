# make setup | train | test | lint. TASK, EPISODES and SEED go to `make train`.
TASK ?= hammer
EPISODES ?= 100
SEED ?= 0
ARGS ?=

.PHONY: setup train test lint

setup:
	@tools/setup.sh

train: setup
	.venv/bin/sarl train --task $(TASK) --episodes $(EPISODES) --seed $(SEED) $(ARGS)

test: setup lint
	.venv/bin/python -m pytest

lint: setup
	.venv/bin/ruff check src test bench launch tools
	.venv/bin/ruff format --check src test bench launch tools
	.venv/bin/mypy
