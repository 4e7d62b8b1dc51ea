# The entry point. `make` lists its targets. All but the set-up run `python -m sandbox` or a test runner.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv/bin
# Passed on to the command, as in `make verify ARGS=--json` or `make unit ARGS="-k certificates"`.
ARGS ?=
# If set, each of the hundreds of processes of a test run would compile the same modules anew.
unexport PYTHONDONTWRITEBYTECODE
# How many test modules run in parallel; each worker has its own sandbox (up to 3 GB). One more than two processors,
# because tests spend a quarter of their time waiting for a world instead of using a processor.
WORKERS ?= 3
BESIDE := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup environment up preview verify preflight adopt recover diagnose status env down test unit charts engine soak bench official graph check lock format

help: ## This list
	@echo 'Teleport Access Graph beside a self-hosted Teleport. Begin with `make up`.'
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / {gsub(/\$$\$$/, "$$", $$2); printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what the commands need into .venv, as most others do first
	@$(PYTHON) sandbox/bootstrap.py

up: setup ## Start the sandbox with a Teleport in it and run `pulumi up` of the whole stack
	@$(VENV)/python -m sandbox up $(ARGS)

preview: setup ## Preview the sandbox's stack
	@$(VENV)/python -m sandbox preview $(ARGS)

verify: setup ## Prove the deployed stack from outside, a line for each property (ARGS=--json)
	@$(VENV)/python -m sandbox verify $(ARGS)

preflight: setup ## Check the live world before a preview: cluster, account, versions, licence, values
	@$(VENV)/python -m sandbox preflight $(ARGS)

adopt: setup ## Write the values file of the Teleport release that runs (ARGS=--force: in place of one that says something else)
	@$(VENV)/python -m sandbox adopt $(ARGS)

recover: setup ## After a crash: clear what a killed `up` left behind, so that the next one converges
	@$(VENV)/python -m sandbox recover $(ARGS)

diagnose: setup ## Say what logs, events and objects mean, with the remedy
	@$(VENV)/python -m sandbox diagnose $(ARGS)

status: setup ## What runs, where it answers, which tools and plugins it uses
	@$(VENV)/python -m sandbox status $(ARGS)

env: setup ## Print `export` lines: eval "$$(make env)", then pulumi, kubectl, helm and psql work on the sandbox
	@$(VENV)/python -m sandbox env $(ARGS)

environment: setup ## Make the configuration of another environment: make environment NAME=staging [ARGS="--like prod"]
	$(if $(NAME),,$(error NAME is missing: make environment NAME=staging))
	@$(VENV)/python -m operations environment "$(NAME)" $(ARGS)

down: setup ## Destroy the stack, stop the sandbox, leave nothing behind
	@$(VENV)/python -m sandbox down $(ARGS)

test: setup ## Every test: unit, charts, engine
	@$(VENV)/python -m sandbox tools
	@$(VENV)/python -m sandbox official tls random
	@$(VENV)/python -m tests.engine.postgresql_servers
	@$(VENV)/python -m pytest $(BESIDE) $(ARGS)

unit: setup ## The quick tests that need no cluster and no engine, in seconds (ARGS="-m unit": the slow ones too)
	@$(VENV)/python -m pytest tests/unit -q -m "not slow" --durations 5 --durations-min 0.5 $(BESIDE) $(ARGS)

charts: setup ## The tests that render charts with Helm
	@$(VENV)/python -m sandbox tools
	@$(VENV)/python -m pytest tests/charts -q $(ARGS)

engine: setup ## The tests that run the real engine on a sandbox of their own, or parts of one
	@$(VENV)/python -m sandbox tools
	@$(VENV)/python -m sandbox official tls random
	@$(VENV)/python -m tests.engine.postgresql_servers
	@$(VENV)/python -m pytest tests/engine $(BESIDE) $(ARGS)

soak: setup ## The long tests: every run killed at each of its points, random sequences; resumable (ARGS="--sequences 9")
	@$(VENV)/python -m sandbox tools
	@$(VENV)/python -m tests.engine.postgresql_servers
	@$(VENV)/python -m tests.faults.soak $(ARGS)

official: setup ## Build official plugins from their sources, for the sandbox and its tests (ARGS="tls random"; ARGS=--remove: the stand-ins again)
	@$(VENV)/python -m sandbox official $(ARGS)

graph: setup ## Draw what waits for what, with the critical path of an `up` from nothing, into graph.svg
	@$(VENV)/python -m sandbox graph $(ARGS)

bench: setup ## The speed figures, as ratios, on sandboxes of their own, into bench/results.json
	@$(VENV)/python -m sandbox tools
	@$(VENV)/python -m bench $(ARGS)

check: setup ## Format, lint and types
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/mypy

lock: ## Lock the requirements anew after a change of the *.in files (ARGS=--upgrade: also what they need)
	@PYTHON=$(PYTHON) .ci/lock $(ARGS)

format: setup ## Format the code
	@$(VENV)/ruff format .
	@$(VENV)/ruff check --fix .
