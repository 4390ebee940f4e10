# `make help` lists the targets. Each of them makes or completes the environment first; that takes a moment when it is
# complete. VENV: where the environment is. PYTHON: what makes it. ARGS: passed on to the command.
VENV ?= .venv
PYTHON ?= python3
ARGS ?=
RUN := $(VENV)/bin/python

.PHONY: help setup env test demo ablation conversation lint format doctor clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: env ## make or complete .venv: torch, mmcv (compiled once, then cached), mmdet, xtuner
	@echo '$(VENV) is complete'

env:
	@$(PYTHON) tools/setup_env.py --venv '$(VENV)'

test: env ## run the tests on two cores (ARGS="-m slow" for the long ones)
	@$(RUN) -m pytest -n 2 --dist loadfile $(ARGS)

demo: env ## scenes, a short training, metrics, pictures: 7 minutes on 2 slow cores
	@$(RUN) tools/demo.py $(ARGS)

ablation: env ## fill the tables of docs/tiny.md: every part of the method and the controls, 3 seeds
	@$(RUN) tools/ablation.py $(ARGS)

conversation: env ## what pointing costs conversation: frozen, or trained to point; tables of docs/tiny.md, 3 seeds
	@$(RUN) tools/conversation.py $(ARGS)

lint: env ## ruff and mypy, as the pre-commit hooks run them
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

format: env ## let ruff mend what it can
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

doctor: env ## what works in the environment, and what to do about what does not
	@$(RUN) -m flmm_plugin.doctor $(ARGS)

clean: ## remove caches and build files; keeps .venv, work_dirs and the compiled mmcv
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
