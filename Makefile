# The front door. Meson does the building (docs/internals/README.md); this installs what is missing and calls it.
# Two commands on a fresh Debian 12: `make run` and `make test`.

BUILD         ?= build
FUZZ_SECONDS  ?= 60
PREFIX        ?= /usr/local
RUN_ARGS      ?= --demo
JOBS          ?= $(shell nproc)
# Tests mostly wait, so more of them run at once than there are cores.
TEST_JOBS     ?= $(shell expr 2 \* $(JOBS))

WEB_SOURCES := $(shell find web -path web/node_modules -prune -o -path web/dist -prune -o -path web/.test -prune -o -type f -print 2>/dev/null)

.PHONY: run build web test test-unit test-e2e test-long bench fuzz sanitize tsan install uninstall deb image deps format lint references screenshots clean

run: build
	@tools/deps run
	@$(BUILD)/src/app/mast serve $(RUN_ARGS)

deps:
	@tools/deps build run test fuzz lint bench

build: $(BUILD)/build.ninja web/dist/index.html
	@ninja -C $(BUILD) -j $(JOBS) --quiet

# Without cmocka the tests are left out, so that `make run` needs less; `make test` switches them on.
$(BUILD)/build.ninja: meson.build meson_options.txt
	@tools/deps build
	@[ -f $@ ] || meson setup $(BUILD) --prefix $(PREFIX) -Dtests=false -Dbench=false >/dev/null
	@touch $@

web: web/dist/index.html
web/dist/index.html: $(WEB_SOURCES)
	@tools/deps build
	@cd web && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build
	@touch $@

test: test-unit test-e2e

test-unit: build
	@tools/deps test
	@tools/check-floors
	@meson configure $(BUILD) -Dtests=true -Dbench=true
	@ninja -C $(BUILD) -j $(JOBS) --quiet
	@meson test -C $(BUILD) --no-rebuild --print-errorlogs --num-processes $(TEST_JOBS)
	@cd web && npm run --silent test

test-e2e: test-unit test/e2e/node_modules/.package-lock.json
	@MAST_BIN=$(abspath $(BUILD))/src/app/mast MAST_BUILD=$(abspath $(BUILD)) tools/test-e2e

test/e2e/node_modules/.package-lock.json: test/e2e/package-lock.json
	@cd test/e2e && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# What takes minutes and hours, or programs of some size (OBS, VLC): all parts in order, or `make test-long LONG="vlc soak"`.
test-long: test-unit test/e2e/node_modules/.package-lock.json
	@tools/deps test-long deb
	@MAST_BIN=$(abspath $(BUILD))/src/app/mast MAST_BUILD=$(abspath $(BUILD)) tools/test-long $(LONG)

bench: build test/e2e/node_modules/.package-lock.json
	@tools/deps bench
	@meson configure $(BUILD) -Dbench=true && ninja -C $(BUILD) -j $(JOBS) --quiet
	@MAST_BUILD=$(abspath $(BUILD)) node bench/run.mjs $(BENCH)
	@MAST_BUILD=$(abspath $(BUILD)) node bench/hls.mjs $(filter --quick,$(BENCH))
	@MAST_BIN=$(abspath $(BUILD))/src/app/mast node bench/broadcasts.mjs $(filter --quick,$(BENCH))

sanitize:
	@tools/deps build test
	@[ -d $(BUILD)-asan ] || meson setup $(BUILD)-asan -Db_sanitize=address,undefined -Doptimization=1 -Dbench=false >/dev/null
	@ninja -C $(BUILD)-asan -j $(JOBS) --quiet
	@meson test -C $(BUILD)-asan --no-rebuild --print-errorlogs --num-processes $(TEST_JOBS)

tsan:
	@tools/deps build test
	@[ -d $(BUILD)-tsan ] || meson setup $(BUILD)-tsan -Db_sanitize=thread -Doptimization=1 -Dbench=false >/dev/null
	@ninja -C $(BUILD)-tsan -j $(JOBS) --quiet
	@meson test -C $(BUILD)-tsan --no-rebuild --print-errorlogs --num-processes $(TEST_JOBS)

fuzz:
	@tools/deps build fuzz
	@[ -d $(BUILD)-fuzz ] || CC=clang-14 meson setup $(BUILD)-fuzz -Dfuzz=true -Dtests=false -Dbench=false \
		-Db_sanitize=address,undefined -Db_lundef=false >/dev/null
	@ninja -C $(BUILD)-fuzz -j $(JOBS) --quiet
	@JOBS=$(JOBS) tools/fuzz $(BUILD)-fuzz $(FUZZ_SECONDS) $(FUZZ)

# DESTDIR and PREFIX as everywhere; `make uninstall` takes away what the last install put there.
install: build
	@meson configure $(BUILD) --prefix $(abspath $(PREFIX))
	@ninja -C $(BUILD) -j $(JOBS) --quiet
	@meson install -C $(BUILD) --no-rebuild --quiet $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))

# The Debian packages, in $(BUILD)-deb. The page is built here, so that the packaging itself needs no network.
deb: web/dist/index.html
	@tools/deps build deb
	@tools/make-deb $(BUILD)-deb

IMAGE_ENGINE = $(firstword $(foreach e,podman buildah docker,$(shell command -v $(e))))
image:
	@[ -n "$(IMAGE_ENGINE)" ] || { echo "no podman, buildah or docker here; tools/prove-setup DIR image tries the steps in a chroot" >&2; exit 1; }
	@$(IMAGE_ENGINE) build -t mast -f packaging/container/Containerfile .

uninstall:
	@ninja -C $(BUILD) --quiet uninstall

# The pictures of the README and docs/page.md: real streams, the real pages.
screenshots: build test/e2e/node_modules/.package-lock.json
	@tools/deps test
	@cd test/e2e && MAST_BIN=$(abspath $(BUILD))/src/app/mast MAST_BUILD=$(abspath $(BUILD)) node screenshots.mjs

# What docs/ and mast.example.yml take from the program's own tables.
references: build
	@tools/deps run
	@MAST_BIN=$(abspath $(BUILD))/src/app/mast tools/references.mjs

format:
	@tools/deps lint
	@git ls-files '*.c' '*.h' | xargs clang-format-14 -i

lint: build
	@tools/deps lint
	@tools/check-floors
	@git ls-files '*.c' '*.h' | xargs clang-format-14 --dry-run -Werror
	@git ls-files 'src/*.c' | xargs -P $(JOBS) -n 8 clang-tidy-14 --quiet --extra-arg=-Wno-unknown-warning-option -p $(BUILD)

clean:
	@rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-fuzz $(BUILD)-deb web/dist
