# Two commands: `make demo` and `make test`. Both make .venv first; nothing else is needed but Python 3.11+.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Extra pip options for torch alone, e.g. the CPU-only index that https://pytorch.org/get-started/locally/ names:
#   make demo TORCH_OPTIONS="--index-url <that index>"
TORCH_OPTIONS ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test lint fuzz figures docs system clean

demo: $(VENV)/.demo
	$(BIN)/juggler demo

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

lint: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

# Hostile files for every reader, for so many minutes; the result is a file beside those of the benchmarks.
MINUTES ?= 30
fuzz: $(VENV)/.test
	PYTHONPATH=src:tests $(BIN)/python -m fuzz --minutes $(MINUTES) --out benchmarks/results/fuzz.json

figures: $(VENV)/.demo
	$(BIN)/python -m benchmarks.pages.readme_figures
	$(BIN)/python -m benchmarks.pages.measured_page
	$(BIN)/python -m benchmarks.pages.others_page
	$(BIN)/python -m benchmarks.pages.predict_page
	$(BIN)/python -m benchmarks.pages.nsl_kdd_page
	$(BIN)/python -m benchmarks.pages.learners_page
	$(BIN)/python -m benchmarks.accuracy.page
	$(BIN)/python tools/docs/generate.py

docs: $(VENV)/.test
	$(BIN)/python tools/docs/site_build.py

SYSTEM_PACKAGES := system-packages.txt

system:
	@export PYTHON="$(PYTHON)"; missing=""; \
	while read -r package check; do \
	  case "$$package" in ""|"#"*) continue;; esac; \
	  sh -c "$$check" >/dev/null 2>&1 || missing="$$missing $$package"; \
	done < $(SYSTEM_PACKAGES); \
	if [ -z "$$missing" ]; then echo "The system has all that the tests need."; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing; \
	else echo "Missing:$$missing. Run: sudo apt-get install$$missing (or your system's way)"; fi

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "juggler needs Python 3.11 or later; found: $$($(PYTHON) --version 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet $(TORCH_OPTIONS) torch==2.13.0
	$(BIN)/pip install --quiet -c constraints.txt -e '.[train]'
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/pip install --quiet -c constraints.txt -e '.[train,int8,test,lint,docs]'
	$(BIN)/pip install --quiet -c constraints.txt --no-deps pytorchcv  # see the extra `test` in pyproject.toml
	@touch $@

clean:
	rm -rf $(VENV) build dist src/*.egg-info
