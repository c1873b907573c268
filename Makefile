# firstedge: every habit of the project. `make demo` and `make test` need Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo demo-neo4j test lint format bench bench-quality bench-scale soak faults proto install clean
.DEFAULT_GOAL := demo

install: $(STAMP)

$(STAMP): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python benchmarks/demo.py

demo-neo4j: $(STAMP)
	$(BIN)/python benchmarks/demo_neo4j.py

test: $(STAMP)
	$(BIN)/python -m pytest -q

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python -m benchmarks.run

# make bench-quality DATA=folder ARGS="--folds 3 --minutes 10 --any-code"
bench-quality: $(STAMP)
	$(BIN)/python -m benchmarks.quality $(if $(DATA),--data $(DATA),--sets online-retail ml-100k) $(ARGS)

bench-scale: $(STAMP)
	$(BIN)/python benchmarks/scale.py --events $(or $(EVENTS),100000 1000000 10000000)

soak: $(STAMP)
	$(BIN)/python -m pytest -q -m soak

faults: $(STAMP)
	$(BIN)/python -m tests.faults --number $(or $(N),60) $(ARGS)

proto: $(STAMP)
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. \
		firstedge/serving/v1/recommender.proto

clean:
	rm -rf demo/ out/ build/ dist/ .cache/
