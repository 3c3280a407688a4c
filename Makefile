# Needs Python >= 3.11 with venv and pip. Another interpreter: make demo PYTHON=python3.12 VENV=.venv-3.12

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Each worker holds its own JAX, about 1 GB.
JOBS ?= $(shell cores=$$(nproc 2>/dev/null || echo 2); echo $$((cores < 8 ? cores : 8)))

# Python keeps what it has compiled of its modules, also where the surroundings say otherwise: hundreds of processes are started here.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo lab test bench peers lint screen docs clean

demo: $(VENV)/.product
	$(BIN)/learnmech run digits-modes
	@echo "See it learn in the browser, and take hold of it: make lab"

# The lab in the browser; LAB is an exhibit, a TOML file or a run folder.
LAB ?=
lab: $(VENV)/.lab
	$(BIN)/learnmech lab $(LAB)

# Most of a test's time is XLA's compiler. Its older emitters, which JAX 0.10 still has, without optimization and in one piece take a third of it; what is exact
# to the bit or to round-off is put to the test under those that users have. Workers keep to neighboring tests, which share what is compiled.
QUICKER = $(shell $(BIN)/python -c 'from importlib.metadata import version; print("--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1" * version("jaxlib").startswith("0.10."))')
# One thread of linear algebra to a worker: two of them for each of two workers wait for one another on two cores, spinning. Four files took 110 s so, and 86 s.
TESTING = OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist worksteal
# only where the mark stands: to collect all tests takes each worker 13 s
EXACT = $(shell grep -rl --include='test_*.py' 'mark\.exact' tests)

test: $(VENV)/.tests
	$(TESTING) -m exact $(EXACT)
	XLA_FLAGS="$(QUICKER) $$XLA_FLAGS" $(TESTING) -m "not exact"

bench: $(VENV)/.tests
	$(BIN)/python -m benchmarks

# What benchmarks are held against, each in an environment of its own: the newest JAX under which neural-tangents imports, the last under which its structured
# derivatives run, and PyTorch with what reads its curvature.
peers: .venv-nt/.made .venv-nt-old/.made .venv-th/.made

.venv-nt/.made:
	$(PYTHON) -m venv .venv-nt
	.venv-nt/bin/python -m pip install --quiet --disable-pip-version-check jax==0.5.3 jaxlib==0.5.3 neural-tangents==0.6.5
	touch $@

.venv-nt-old/.made:
	$(PYTHON) -m venv .venv-nt-old
	.venv-nt-old/bin/python -m pip install --quiet --disable-pip-version-check jax==0.4.25 jaxlib==0.4.25 neural-tangents==0.6.5 'numpy<2' 'scipy<1.13'
	touch $@

# PyTorch alone serves most: it trains beside theory-scale, theory-all-weights, theory-lean-peer, sweep64, linear-reduced and ntk-torch-func.
.venv-th/.made:
	$(PYTHON) -m venv .venv-th
	.venv-th/bin/python -m pip install --quiet --disable-pip-version-check torch==2.14.1 pyhessian==0.1 curvlinops-for-pytorch==3.0.1 scipy
	touch $@

lint: $(VENV)/.tests
	$(BIN)/ruff check learnmech tangents tests benchmarks
	$(BIN)/ruff format --check learnmech tangents tests benchmarks
	$(BIN)/mypy --cache-dir .cache/mypy

# The module that the lab, a notebook and a report show; only who changes screen/ needs Node.
screen:
	cd screen && npm ci --no-audit --no-fund && node build.mjs

# The site in site/: docs/, a page of every exhibit made from the run of its small twin (DOCS=--full: of the whole), the lessons, the reference. What was run is
# kept in .cache/docs until it would come out otherwise.
DOCS ?=
docs: $(VENV)/.product .venv-docs/.made
	rm -rf build/docs site
	$(BIN)/python -m learnmech.verbs.site build/docs $(DOCS)
	$(BIN)/python -m learnmech.lab.lessons build/docs/lessons --figures
	mkdir -p build/docs/assets
	cp -r .venv-docs/assets/. build/docs/assets
	.venv-docs/bin/zensical build --strict
	$(BIN)/python -m learnmech.verbs.site --finish site

# Zensical, which reads mkdocs.yml, in an environment of its own; and what pages need beside it, so that nothing is fetched when they are read: KaTeX, and what
# lets the search work on files. Without npm formulas are shown as they are written.
.venv-docs/.made:
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check zensical==0.0.73
	mkdir -p .venv-docs/assets/katex/fonts
	@cd .venv-docs && if npm pack --silent katex@0.19.1 iframe-worker@1.0.4; then \
	  tar xzf katex-*.tgz && cp package/LICENSE package/dist/katex.min.js package/dist/katex.min.css assets/katex && cp package/dist/fonts/*.woff2 assets/katex/fonts && rm -r package && \
	  tar xzf iframe-worker-*.tgz && cp package/shim/index.js assets/iframe-worker.js && cp package/LICENSE assets/iframe-worker.LICENSE && rm -r package *.tgz; \
	else echo "npm cannot be had: formulas stay as they are written"; touch assets/katex/katex.min.js assets/katex/katex.min.css assets/iframe-worker.js; fi
	touch $@

clean:
	rm -rf site $(VENV) .venv-docs .venv-nt .venv-nt-old .venv-th .cache .pytest_cache .ruff_cache .hypothesis build learnmech.egg-info

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "learnmech needs Python >= 3.11, but got " + sys.version.split()[0] + ". Call make with PYTHON=python3.11 or newer.")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv || echo "uv cannot be had: pip installs instead, which takes a few minutes"
	touch $@

# uv takes seconds where pip takes minutes, but does not read pip's own settings (a mirror, a folder of wheels): pip is the second try.
install = if [ -x $(BIN)/uv ] && $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '$(1)' -e ./tangents; then :; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '$(1)' -e ./tangents; fi

$(VENV)/.product: $(VENV)/.made pyproject.toml tangents/pyproject.toml constraints.txt
	$(call install,.)
	touch $@

$(VENV)/.lab: $(VENV)/.product
	$(call install,.[lab])
	touch $@

$(VENV)/.tests: $(VENV)/.product
	$(call install,.[test])
	touch $@
