# Every target is a thin caller of the command line; `make help` lists them.

PYTHON  ?= python3
VENV    ?= .venv
RESULTS ?= runs
# seeds run at a time, each on one thread; more than 1 disturbs the times a little
JOBS    ?= 1
# a text as one word of the shell, whatever is in it
quoted   = '$(subst ','\'',$(1))'
in-venv  = $(call quoted,$(VENV)/bin/$(1))
LETHE   := $(call in-venv,lethe)
STORE    = --results $(call quoted,$(RESULTS))
RUN      = $(LETHE) run $(STORE) --jobs $(JOBS)
READY   := $(VENV)/.ready
# what `make bench` compares with: pyDVL wants NumPy 1, so it gets an environment of its own
PEERS   := $(VENV)/.peers
PYDVL   := $(VENV)/pydvl
SITE    := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
SIZE    ?= full
# processes of `make test`, each on one thread; TESTS=tests/test_cli.py runs a part. Bytecode is kept,
# since tests start many processes, and each would compile our modules
WORKERS ?= 2
TESTS   ?=
# how large experiments are: smoke, cpu or paper; unset, what suits the machine
PROFILE ?=
SCALE    = $(addprefix --profile ,$(PROFILE))
# these are files that make itself looks for, and to make a space ends a name
$(foreach one,VENV WHEELS,$(if $(word 2,$($(one))),$(error $(one) must be a path without spaces)))
# experiments and models a side of forget quality; unset, both digits heads and 10
ATTACKED ?=
RUNS     ?=
# groups of experiments, which `lethe list` names; an experiment says itself what it belongs to
GROUPS  := demo mnist cifar10 svhn sequential nonconvergence heads squared public tangent kept scenarios biased ablation budget graphs scale paper tabular properties

.DEFAULT_GOAL := help
.PHONY: help setup $(GROUPS) hessian all test test-slurm chromium lint docs leaderboard check soundness slack \
	audit forget-quality false-alarms bench kills gpu doctor list clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(call quoted,$(strip $(MAKEFILE_LIST)))

setup: $(READY) ## make the virtual environment with pinned versions (the others do it themselves)

$(READY): pyproject.toml constraints.txt
	@$(call quoted,$(PYTHON)) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 2; }
	@$(call quoted,$(PYTHON)) -m venv $(call quoted,$(VENV)) \
		|| { echo "error: Python's venv module is missing: apt-get install python3-venv"; exit 2; }
	@echo "installing into" $(call quoted,$(VENV))", a few minutes and about 5 GB ..."
	@$(call in-venv,python) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(call quoted,$@)

$(GROUPS): $(READY)
	@$(RUN) --group $@ $(SCALE)

demo: ## run the whole benchmark on scikit-learn's digits, about three minutes
mnist: ## the same on MNIST, from $LETHE_DATA or downloaded; PROFILE=smoke tries it out
cifar10: ## AllCNN on CIFAR-10; PROFILE=smoke, cpu or paper (on a GPU)
svhn: ## ResNet-18 on a part of SVHN, from $LETHE_DATA; PROFILE likewise
scale: ## time of a request against the number of rows, 5,500 to 550,000
paper: ## the nets and settings of the paper's own table; the convolutional ones need a GPU
sequential: ## 10 x 100 deletions, one request after the other
nonconvergence: ## training stopped early: its gradient, the certificate and the utility
ablation: ## damping, norm bound, noise, LiSSA's chains and depth, rows forgotten
budget: ## noisy fine-tuning against retraining for as many epochs; PROFILE=smoke tries it out
squared: ## heads by squared loss on digits and HOG: exact to the last bit, and in milliseconds
public: ## heads on features fitted on public rows: digits, MNIST, SVHN and CIFAR-10; PROFILE=smoke
tangent: ## nets linearised at weights that public rows trained, on MNIST, beside the nets themselves
kept: ## one-vs-rest logistic heads on digits and HOG, from derivatives that were kept
scenarios: ## a class, a sub-population, memorised and mislabelled digits forgotten
graphs: ## nodes, edges and features of Cora, Citeseer, Amazon Photo and Coauthor CS forgotten
heads: ## proved heads on fixed features: HOG and scattering on MNIST, CIFAR-10 and SVHN
biased: ## requests that are not random: a class, a sub-population, the rows that move the model most
tabular: ## tables of people: breast cancer, Adult and COMPAS; PROFILE=smoke
properties: ## is a certified property still there? monotone heads and nets, certified radii
all: $(GROUPS) hessian ## all that this machine can

test: $(READY) ## run the tests, two at a time; WORKERS=4 for more
	@OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(call in-venv,python) -m pytest \
		--numprocesses $(WORKERS) --dist worksteal $(TESTS)

test-slurm: $(READY) ## run the tests that want a Slurm, beside one of their own; as root, two minutes
	@tests/slurm/with-slurm $(call in-venv,python) -m pytest tests/slurm

chromium: ## install Chromium, where it is missing, for the tests of the front page; as root
	@command -v chromium >/dev/null \
		|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; }

lint: $(READY) ## check style, formatting and types
	@$(call in-venv,ruff) check . && $(call in-venv,ruff) format --check .
	@$(call in-venv,python) -m mypy

docs: $(READY) ## build the documentation into docs/_build, without a warning and without a network
	@$(call in-venv,python) -m sphinx --fail-on-warning --keep-going --quiet --builder html docs docs/_build
	@echo "The pages: docs/_build/index.html"

leaderboard: $(READY) ## regenerate leaderboard/, and the figures of README.md and docs/, from the records
	@$(LETHE) leaderboard
	@$(LETHE) readme

check: $(READY) ## fail if leaderboard/, README.md or docs/ is not what the committed records give
	@$(LETHE) leaderboard --check
	@$(LETHE) readme --check

soundness: $(READY) ## hold every proved bound against the truth on 2,000 random problems
	@$(LETHE) soundness $(STORE)

slack: $(READY) ## measure how slack the certificates are, under a minute
	@$(LETHE) slack $(STORE)

hessian: $(READY) ## efficient against exact inverse Hessian: time and error, some minutes
	@$(LETHE) inverse-hessian $(STORE)

bench: $(PEERS) ## time every inverse-Hessian solver and library; SIZE=smoke tries it out
	@$(call in-venv,python) -m pytest benches -v --no-header -rfE --benchmark-columns=median,rounds \
		--size $(SIZE) $(STORE) --pydvl $(call quoted,$(PYDVL)/bin/python) $(BENCH)

kills: $(READY) ## kill runs at random moments and count what is lost, twenty minutes
	@$(call in-venv,python) -m benches.kills

# WHEELS names a folder with wheels/ and data/ for a machine whose Python has torch and no index
gpu: $(if $(WHEELS),$(WHEELS)/site,$(READY)) ## measure on a GPU, most important first, in eight minutes
	@$(if $(WHEELS),LETHE_DATA=$(call quoted,$(WHEELS)/data) PYTHONPATH=$(call quoted,$(WHEELS)/site:.) $(call quoted,$(PYTHON)),$(call in-venv,python)) \
		-m benchmark gpu $(STORE) $(GPU)

$(WHEELS)/site: | $(WHEELS)/wheels
	@$(call quoted,$(PYTHON)) -m pip install --quiet --no-index --no-deps --target $(call quoted,$@) $(call quoted,$(WHEELS)/wheels)/*.whl

$(PEERS): $(READY)
	@echo "installing curvlinops, dattri and pyDVL into" $(call quoted,$(VENV)) "..."
	@$(call in-venv,python) -m pip install --quiet --constraint constraints.txt --editable '.[dev,peers]'
	@$(call quoted,$(PYTHON)) -m venv $(call quoted,$(PYDVL))
	@$(call quoted,$(PYDVL)/bin/python) -m pip install --quiet pyDVL==0.10.0 'dask>=2023.5' 'distributed>=2023.5' \
		'zarr>=3,<4'
	@$(call in-venv,python) $(SITE) > "$$($(call quoted,$(PYDVL)/bin/python) $(SITE))/lethe.pth" # the same torch
	@touch $(call quoted,$@)

audit: $(READY) ## try to refute every certificate with whole runs on digits, half an hour
	@$(LETHE) audit $(STORE)

forget-quality: $(READY) ## is it really forgotten? attacks on digits, or on ATTACKED=mnist-mlp
	@$(LETHE) forget-quality $(ATTACKED) $(STORE) $(addprefix --runs ,$(RUNS))

false-alarms: $(READY) ## count wrong verdicts of forget quality over 100 seeds, ten minutes
	@$(LETHE) false-alarms $(STORE)

doctor: $(READY) ## say what is there: versions, devices, data sets
	@$(LETHE) doctor

list: $(READY) ## list experiments and methods
	@$(LETHE) list

clean: ## remove the results of runs (not the committed ones) and caches
	rm -rf -- $(call quoted,$(RESULTS)) docs/_build .pytest_cache .ruff_cache .mypy_cache .hypothesis
