# Everything a reader or a contributor runs. Plain make, no GNU extension newer than 3.81.
.DEFAULT_GOAL := help
.PHONY: help setup run test soak smoke test-gpu render colab lab bench clean distclean another-python

PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
NB ?=
REPO ?=

# A Python that was asked for, and is not the version of .venv: that is made afresh.
ifneq ($(origin PYTHON),file)
VERSION := import sys; print(*sys.version_info[:2])
ifneq ($(shell $(PYTHON) -c '$(VERSION)'),$(shell $(PY) -c '$(VERSION)' 2>/dev/null))
ANOTHER := another-python
endif
endif

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Settings, as in \`make run NB=01_dcgan RECIPES_MODE=smoke\`:"
	@echo "  NB=01_dcgan            only that notebook (run, smoke, test-gpu, render)"
	@echo "  RECIPES_MODE=short     real data in an hour on two cores; full, the book's run (run, lab)"
	@echo "  RECIPES_DATA_DIR=DIR   where the real data lie, data/ if not given (run, test, lab)"
	@echo "  FORCE=1                also where nothing has changed (test)"
	@echo "  PYTHON=python3.12      another Python than python3 (setup)"
	@echo "  REPO=owner/name        another address than git's remote (colab)"

setup: $(READY) ## makes or updates .venv; the others do so first, where it is needed

another-python:

# .installing is there while pip works: a .venv that was left half made is made afresh.
$(READY): requirements.txt pyproject.toml $(ANOTHER)
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Python 3.11 or newer is needed; %s is %d.%d. Try: make setup PYTHON=python3.12" % (sys.executable, v[0], v[1]))'
	@echo "setting up .venv (a few minutes) ..."
	@mkdir -p build && touch build/setup.log
	@if [ -n "$(ANOTHER)" ] || [ -e .venv/.installing ] || \
	   ! $(PY) -c 'import sys, pip; assert sys.version_info >= (3, 11)' 2>/dev/null; \
	 then rm -rf .venv && mkdir .venv; fi; \
	 touch .venv/.installing; \
	 { { [ -x $(PY) ] || $(PYTHON) -m venv .venv; } && \
	   $(PY) -m pip install --disable-pip-version-check -r requirements.txt; } > build/setup.log 2>&1 \
	 || { cat build/setup.log; echo "setting up failed (this is build/setup.log)"; exit 1; }
	@mv .venv/.installing $@ && touch $@

run: $(READY) ## executes the notebooks; pages and a gallery of them: build/index.html
	@$(PY) -m tools.run $(NB)

test: $(READY) ## what a change has to pass: lint, unit tests, every cell of every notebook
	@$(PY) -m tools.test $(if $(FORCE),--force)

soak: $(READY) ## the long tests: kills at random moments, 2,000 images with faults, two workers
	@$(PY) -m tools.soak

smoke: $(READY) ## every notebook at the book's sizes, two steps each
	@RECIPES_MODE=smoke $(PY) -m tools.test --notebooks $(NB)

test-gpu: $(READY) ## every notebook on a GPU, in smoke and in short mode
	@$(PY) -m tools.test --gpu $(NB)

render: $(READY) ## executes the notebooks in place: fresh outputs to commit
	@$(PY) -m tools.render $(NB)

colab: $(READY) ## puts this repository's address into badges and setup cells
	@$(PY) -m tools.colab $(REPO)

lab: $(READY) ## opens the notebooks in JupyterLab
	@$(PY) -m jupyter lab notebooks

bench: $(READY) ## speed against the classic way: build/bench.json
	@mkdir -p build
	@PYTHONHASHSEED=0 $(PY) -m benchmarks

clean: ## removes build/ and caches (.venv stays)
	rm -rf build .pytest_cache .ruff_cache notebooks/.ipynb_checkpoints
	find recipes tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## clean, and .venv too
	rm -rf .venv *.egg-info
