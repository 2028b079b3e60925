# The two commands of a newcomer are `make demo` and `make test`; both set everything up first.
# With a ROS 2 distribution sourced they use it, on a bare machine ROS comes as wheels.

PYTHON ?= python3
# Distribution of the ROS wheels: kilted or jazzy; by default that of .venv, else kilted.
ROS ?=
# The virtual environment, ROS and the built package, for one recipe line.
ENTER = . .venv/bin/activate && . install/setup.sh &&

.PHONY: help setup baselines test demo demo-map docs lint types clean

help:
	@echo 'make setup     .venv with the dependencies, install/ with the built package'
	@echo '               (ROS=jazzy for the wheels of Jazzy instead of Kilted)'
	@echo 'make baselines what caldiff reproduce and benchmark need for Hloc, into .venv'
	@echo 'make demo      localize held-out images through the ROS 2 node, pictures to outputs/demo'
	@echo 'make test      run the tests'
	@echo 'make demo-map  make the shipped map again (DATA=folder of diorama_room)'
	@echo 'make docs      docs/parameters.md and docs/api.md from the code'
	@echo 'make lint      ruff'
	@echo 'make types     mypy'
	@echo 'make clean     remove what was built; .venv stays'

setup:
	@$(PYTHON) scripts/setup_workspace.py --ros '$(ROS)'

baselines:
	@$(PYTHON) scripts/setup_workspace.py --ros '$(ROS)' baselines

test: setup
	@$(ENTER) pytest --numprocesses 2 --dist loadfile

demo: setup
	@$(ENTER) install/lib/caldiff_ros/demo --output outputs/demo

# 60 images of diorama_room make the map, the other 20 are for the demo. Its depth is rendered.
DATA ?= data/diorama_room
DEMO_SPLIT = --split 60-20 --variant 0
demo-map: setup
	@$(ENTER) caldiff build-map $(DATA) $(DEMO_SPLIT) --downscale-factor 2 \
		--field.exact-depth --output maps/diorama_room
	@$(ENTER) python -m caldiff_ros.demo.holdout $(DATA) $(DEMO_SPLIT) --output demo

docs: setup
	@$(ENTER) python -m caldiff_ros.ros.parameter_docs docs/parameters.md
	@$(ENTER) python scripts/api_docs.py docs/api.md

lint: setup
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .

types: setup
	@.venv/bin/mypy

clean:
	rm -rf build install log outputs
