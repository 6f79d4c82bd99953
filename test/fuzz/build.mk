# Builds the fuzz targets into build-fuzz: the floors' sources and the targets, with clang, libFuzzer, AddressSanitizer and
# UndefinedBehaviorSanitizer. Called by `make fuzz-smoke` and `make fuzz` with srcdir, CLANG, CPPFLAGS, LIBS and TARGETS.

out = build-fuzz
sanitizers = -fsanitize=address,undefined -fno-sanitize-recover=undefined
flags = -std=gnu11 -pthread -O1 -g -fno-omit-frame-pointer -MMD -MP -I$(srcdir)/include -D_GNU_SOURCE -DSYSCONFDIR='"/etc"' \
	-DRUNSTATEDIR='"/run"' -I. -DHAVE_CONFIG_H

sources = $(filter-out $(srcdir)/src/bin/%,$(wildcard $(srcdir)/src/*/*.c))
objects = $(patsubst $(srcdir)/%.c,$(out)/%.o,$(sources))
helpers = $(patsubst $(srcdir)/%.c,$(out)/%.o,$(filter-out %_fuzz.c %/replay.c,$(wildcard $(srcdir)/test/fuzz/*.c)))

all: $(TARGETS:%=$(out)/%_fuzz)

$(out)/%.o: $(srcdir)/%.c
	@mkdir -p $(@D)
	$(CLANG) $(flags) $(CPPFLAGS) -fsanitize=fuzzer-no-link $(sanitizers) -c -o $@ $<

$(out)/libtplb.a: $(objects)
	rm -f $@
	ar cr $@ $^

$(out)/libhelpers.a: $(helpers)
	rm -f $@
	ar cr $@ $^

$(out)/%_fuzz: $(out)/test/fuzz/%_fuzz.o $(out)/libhelpers.a $(out)/libtplb.a
	$(CLANG) -pthread -fsanitize=fuzzer $(sanitizers) -o $@ $^ $(LIBS)

.SECONDARY:
-include $(shell find $(out) -name '*.d' 2>/dev/null)
