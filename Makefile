# Every target is a thin caller of the command line; `make help` lists them.

PYTHON  ?= python3
VENV    ?= .venv
RESULTS ?= runs
LETHE   := $(VENV)/bin/lethe
READY   := $(VENV)/.ready
# what `make bench` compares with: pyDVL wants NumPy 1, so it gets an environment of its own
PEERS   := $(VENV)/.peers
PYDVL   := $(VENV)/pydvl
SITE    := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
SIZE    ?= full
OUT     ?= $(RESULTS)/leaderboard/bench

.DEFAULT_GOAL := help
.PHONY: help setup demo mnist test lint leaderboard check soundness slack audit forget-quality bench doctor list clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make the virtual environment with pinned versions (the others do it themselves)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 2; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "error: Python's venv module is missing: apt-get install python3-venv"; exit 2; }
	@echo "installing into $(VENV), a few minutes and about 5 GB ..."
	@$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY) ## run the whole benchmark on scikit-learn's digits, about two minutes
	@$(LETHE) run digits-softmax digits-mlp digits-stream --results $(RESULTS)

mnist: $(READY) ## the same on MNIST, from $LETHE_DATA or downloaded
	@$(LETHE) run mnist-softmax mnist-mlp --results $(RESULTS)

test: $(READY) ## run the tests
	@$(VENV)/bin/python -m pytest

lint: $(READY) ## check style and formatting
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

leaderboard: $(READY) ## regenerate leaderboard/ from the committed records
	@$(LETHE) leaderboard

check: $(READY) ## fail if leaderboard/ is not what the committed records give
	@$(LETHE) leaderboard --check

soundness: $(READY) ## hold every proved bound against the truth on 2,000 random problems
	@$(LETHE) soundness

slack: $(READY) ## measure how slack the certificates are, under a minute
	@$(LETHE) slack --results $(RESULTS)

bench: $(PEERS) ## time every inverse-Hessian solver and library; SIZE=smoke tries it out
	@$(VENV)/bin/python -m pytest benches -v --no-header -rfE --benchmark-columns=median,rounds \
		--size $(SIZE) --out $(OUT) --pydvl $(PYDVL)/bin/python $(BENCH)

$(PEERS): $(READY)
	@echo "installing curvlinops, dattri and pyDVL into $(VENV) ..."
	@$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,peers]'
	@$(PYTHON) -m venv $(PYDVL)
	@$(PYDVL)/bin/python -m pip install --quiet pyDVL==0.10.0 'dask>=2023.5' 'distributed>=2023.5' \
		'zarr>=3,<4'
	@$(VENV)/bin/python $(SITE) > "$$($(PYDVL)/bin/python $(SITE))/lethe.pth" # the same torch
	@touch $@

audit: $(READY) ## try to refute every certificate with whole runs on digits, ten minutes
	@$(LETHE) audit --results $(RESULTS)

forget-quality: $(READY) ## attack every row on digits: is it really forgotten? some minutes
	@$(LETHE) forget-quality --results $(RESULTS)

doctor: $(READY) ## say what is there: versions, devices, data sets
	@$(LETHE) doctor

list: $(READY) ## list experiments and methods
	@$(LETHE) list

clean: ## remove the results of runs (not the committed ones) and caches
	rm -rf $(RESULTS) .pytest_cache .ruff_cache .hypothesis
