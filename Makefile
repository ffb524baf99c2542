# make demo, make test: the two commands of a fresh Debian 12 machine. See README.md.
BUILD ?= build
JOBS ?= $(shell nproc)
LOWBIT_LAB ?= ON
FUZZ_SECONDS ?= 60
CMAKE_FLAGS ?=

.PHONY: help demo test build setup configure bench fuzz format tidy clean

help:
	@echo "make demo    build, quantize the embedded model, show what it lost, generate text"
	@echo "make test    build and run every test"
	@echo "make build   build only: $(BUILD)/lowbit"
	@echo "make bench   run the benchmarks"
	@echo "make fuzz    fuzz every reader for FUZZ_SECONDS=$(FUZZ_SECONDS) each"
	@echo "make format  clang-format the tree;  make tidy  clang-tidy the engine"
	@echo "LOWBIT_LAB=OFF builds without libtorch"

setup:
	@LOWBIT_LAB=$(LOWBIT_LAB) bash scripts/setup.sh build

configure: setup
	@cmake -G Ninja -S . -B $(BUILD) -DLOWBIT_LAB=$(LOWBIT_LAB) $(CMAKE_FLAGS) --log-level=WARNING >/dev/null

build: configure
	@ninja -C $(BUILD) -j $(JOBS) lowbit_program $(if $(filter ON,$(LOWBIT_LAB)),lowbit_lab) --quiet

demo: build
	@bash scripts/demo.sh $(BUILD)

test: configure
	@ninja -C $(BUILD) -j $(JOBS) --quiet
	@cd $(BUILD) && ctest --output-on-failure -j $(JOBS) --progress

bench: configure
	@ninja -C $(BUILD) -j $(JOBS) --quiet benchmarks
	@for program in $(BUILD)/bench/bench_*; do $$program || exit 1; done

fuzz:
	@bash scripts/setup.sh build fuzz
	@bash scripts/fuzz.sh $(FUZZ_SECONDS)

format:
	@bash scripts/setup.sh format
	@git ls-files '*.cc' '*.h' | xargs clang-format -i

tidy: configure
	@bash scripts/setup.sh format
	@git ls-files 'lowbit/*.cc' 'cli/*.cc' | xargs -P $(JOBS) -n 4 clang-tidy --quiet -p $(BUILD)

clean:
	@rm -rf $(BUILD)
