# The door. `make` lists what it can do. Everything but the environment is `python -m sandbox` or a test runner.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv/bin
# Passed on, as in `make verify ARGS=--json` or `make unit ARGS="-k certificates"`.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help environment up preview verify preflight adopt recover diagnose status env down test unit charts engine check format

help: ## This list
	@echo 'Teleport Access Graph beside a self-hosted Teleport. Begin with `make up`.'
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / {gsub(/\$$\$$/, "$$", $$2); printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

environment:
	@$(PYTHON) sandbox/bootstrap.py

up: environment ## Start the sandbox with a Teleport in it and run `pulumi up` of the whole stack
	@$(VENV)/python -m sandbox up $(ARGS)

preview: environment ## Preview the sandbox's stack
	@$(VENV)/python -m sandbox preview $(ARGS)

verify: environment ## Prove the deployed stack from outside, a line for each property (ARGS=--json)
	@$(VENV)/python -m sandbox verify $(ARGS)

preflight: environment ## Check the live world before a preview: cluster, account, versions, licence, values
	@$(VENV)/python -m sandbox preflight $(ARGS)

adopt: environment ## Write the values file of the Teleport release that runs
	@$(VENV)/python -m sandbox adopt $(ARGS)

recover: environment ## After a crash: clear what a killed `up` left behind, so that the next one converges
	@$(VENV)/python -m sandbox recover $(ARGS)

diagnose: environment ## Say what logs, events and objects mean, with the remedy
	@$(VENV)/python -m sandbox diagnose $(ARGS)

status: environment ## What runs, what it listens on, which tools and plugins it uses
	@$(VENV)/python -m sandbox status $(ARGS)

env: environment ## Print `export` lines: eval "$$(make env)", then pulumi, kubectl, helm and psql work on the sandbox
	@$(VENV)/python -m sandbox env $(ARGS)

down: environment ## Destroy the stack, stop the sandbox, leave nothing behind
	@$(VENV)/python -m sandbox down $(ARGS)

test: environment ## Every test: unit, charts, engine
	@$(VENV)/python -m sandbox tools
	@$(VENV)/python -m tests.engine.postgresql_servers
	@$(VENV)/python -m pytest $(ARGS)

unit: environment ## The tests that need no process, in seconds
	@$(VENV)/python -m pytest tests/unit -q $(ARGS)

charts: environment ## The tests that render charts with Helm
	@$(VENV)/python -m sandbox tools
	@$(VENV)/python -m pytest tests/charts -q $(ARGS)

engine: environment ## The tests that run the real engine on a sandbox of their own
	@$(VENV)/python -m sandbox tools
	@$(VENV)/python -m tests.engine.postgresql_servers
	@$(VENV)/python -m pytest tests/engine $(ARGS)

check: environment ## Format, lint and types
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/mypy

format: environment ## Format the code
	@$(VENV)/ruff format .
	@$(VENV)/ruff check --fix .
