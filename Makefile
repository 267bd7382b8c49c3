# The front door. `make help` lists the targets; each does its own set-up into .venv.
PYTHON ?= python3
TORCH_INDEX ?=
COMPETITION ?=
DATA ?=
ARGS ?=
RUN ?= latest
BUNDLE ?=
ADDR ?= 127.0.0.1:8000
PY := .venv/bin/python
SET := $(if $(COMPETITION),--set 'competition="$(COMPETITION)"') $(if $(DATA),--set 'data="$(DATA)"')
export PYTHONDONTWRITEBYTECODE ?=
MAKEFLAGS += --no-print-directory

.DEFAULT_GOAL := help
.PHONY: help setup submit test cv features page audit check bench server serve

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20
	@echo "  Options: COMPETITION=name DATA=folder ARGS='...' TORCH_INDEX=url (setup) RUN=run BUNDLE=folder ADDR=host:port (serve)"

setup: ## install the locked dependencies into .venv (skipped when the lock file has not changed)
	@$(PYTHON) engine/_venv.py $(if $(TORCH_INDEX),--torch-index '$(TORCH_INDEX)')

submit: setup ## compute what is missing and write a checked submission file
	@$(PY) -m submissions $(SET) make $(ARGS)

cv: setup ## cross-validate every model and write the report: reports/COMPETITION/cv.html
	@$(PY) -m stacking $(SET) cv $(ARGS)
	@$(PY) -m features $(SET) audit --exit-zero $(ARGS)
	@$(PY) -m validation $(SET) report $(ARGS)

features: setup ## list the feature catalogue
	@$(PY) -m features $(SET) list $(ARGS)

page: setup ## write docs/features.md, the catalogue with meanings, from the feature files
	@$(PY) -m features page

audit: setup ## prove that no feature leaks, drifts unseen or repeats another
	@$(PY) -m features $(SET) audit $(ARGS)

test: setup ## run the tests
	@$(PY) -m pytest -n 2 $(ARGS)

check: setup ## lint, formatting, types, docs/features.md
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@$(PY) -m features page --check

bench: setup ## run the benchmarks, side by side with what one would use instead; choice, compare and models ask for logs
	@for name in $(filter-out choice compare models,$(basename $(notdir $(wildcard benchmarks/[a-z]*.py)))); do $(PY) -m benchmarks.$$name || exit 1; done

server: ## build examples/serve/serve, which answers requests without Python (needs Go and a C compiler)
	@command -v go >/dev/null && command -v cc >/dev/null || { echo "The server is built with Go and a C compiler. To do: apt-get install golang gcc" >&2; exit 1; }
	@cd examples/serve && CGO_ENABLED=1 go build -buildvcs=false -o serve .

serve: setup server ## answer requests for scores: exports RUN (default: latest) first, or takes BUNDLE as it is
	@$(if $(BUNDLE),,$(PY) -m models $(SET) export '$(RUN)' --out bundles/served --replace)
	@exec examples/serve/serve -bundle '$(or $(BUNDLE),bundles/served)' -addr '$(ADDR)' $(ARGS) \
	  -lib "$$($(PY) -m models library)"
