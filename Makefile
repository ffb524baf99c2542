# make demo, make test: the two commands of a fresh Debian 12 machine. See README.md.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

BUILD ?= build
JOBS ?= $(shell nproc)
LOWBIT_LAB ?= ON
FUZZ_SECONDS ?= 60
CMAKE_FLAGS ?=

# "[12/345  6.7 s] Building ..."
export NINJA_STATUS = [%f/%t %es] 

.PHONY: help demo test build configure bench fuzz format tidy clean

help:
	@echo "make demo    install what is missing, build, quantize the embedded model and show what it lost"
	@echo "make test    install what is missing, build, run every test"
	@echo "make build   build only: $(BUILD)/lowbit"
	@echo "make bench   run the benchmarks"
	@echo "make fuzz    fuzz every reader of files for FUZZ_SECONDS=$(FUZZ_SECONDS) each"
	@echo "make format  lay out the sources with clang-format"
	@echo "make tidy    look for mistakes with clang-tidy"
	@echo "make clean   remove every build folder"
	@echo "LOWBIT_LAB=OFF leaves out the laboratory (training; libtorch). JOBS=N, CMAKE_FLAGS=..., BUILD=folder."

configure:
	@LOWBIT_LAB=$(LOWBIT_LAB) bash scripts/setup.sh build
	@cmake -G Ninja -S . -B $(BUILD) -DLOWBIT_LAB=$(LOWBIT_LAB) $(CMAKE_FLAGS) --log-level=WARNING >/dev/null

build: configure
	@ninja -C $(BUILD) -j $(JOBS) lowbit_program $(if $(filter ON,$(LOWBIT_LAB)),lowbit_lab)

demo: build
	@bash scripts/demo.sh $(BUILD)

test:
	@bash scripts/setup.sh neon faiss
	@$(MAKE) --no-print-directory configure
	@ninja -C $(BUILD) -j $(JOBS)
	@bash scripts/test.sh $(BUILD) $(JOBS)

bench: configure
	@ninja -C $(BUILD) -j $(JOBS) benchmarks
	@for program in $(BUILD)/bench/bench_*; do $$program; done

fuzz:
	@LOWBIT_LAB=OFF bash scripts/setup.sh build fuzz
	@cmake --preset fuzz -DLOWBIT_FUZZ_SECONDS=$(FUZZ_SECONDS) --log-level=WARNING >/dev/null
	@ninja -C build-fuzz -j $(JOBS) fuzz

format:
	@bash scripts/setup.sh format
	@git ls-files '*.cc' '*.h' | xargs clang-format -i

tidy: configure
	@bash scripts/setup.sh format
	@git ls-files 'lowbit/*.cc' 'cli/*.cc' 'reproduce/*.cc' | xargs -P $(JOBS) -n 4 clang-tidy --quiet -p $(BUILD)

clean:
	@rm -rf $(BUILD) build-debug build-engine build-fuzz build-neon
