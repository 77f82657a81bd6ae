# What the Makefiles of C programs below test/ share: how a file of src and one of
# theirs is compiled, and where the object lies.  Assertions are on (core/assert.h).
# Who includes it sets OPTIMIZE, SANITIZE and BIN before, where the defaults do not
# suit, and goals of its own after.
#
#   make CC=clang     with another compiler
#   make BIN=DIR      into another directory than bin

top := ../..
CC ?= gcc
NM ?= nm
BIN ?= bin
OPTIMIZE ?= -O2
CFLAGS = -std=gnu11 -g $(OPTIMIZE) -fno-math-errno -ffp-contract=off -fno-omit-frame-pointer $(SANITIZE) \
	-Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wshadow -Wstrict-prototypes -Wvla $(WERROR)
CPPFLAGS = -D_GNU_SOURCE -DCORE_ASSERTIONS -I$(top)/src -I$(top)/test/unit -I. -MMD -MP

# $(call objects,core/net net): the objects of these folders of src; of single
# files, $(call objects_of,http/json http/route).
objects_of = $(patsubst %,$(BIN)/src/%.o,$(1))
objects = $(call objects_of,$(patsubst $(top)/src/%.c,%,$(sort $(foreach d,$(1),$(wildcard $(top)/src/$(d)/*.c)))))
# The whole core: a program is linked with what it calls of it.  Of two functions of
# one name it would be linked with either.
core := $(BIN)/core.a

all:

$(core): $(call objects,core core/*)
	rm -f $@
	$(AR) crs $@ $^
	@twice=$$($(NM) -g --defined-only $@ | sed -n 's/.* [BDRT] //p' | sort | uniq -d); \
		[ -z "$$twice" ] || { echo "$@: error: defined twice:" $$twice; rm -f $@; exit 1; }

$(BIN)/src/%.o: $(top)/src/%.c $(BIN)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BIN)/%.o: %.c $(BIN)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# Objects of another compiler or other flags are stale.
$(BIN)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS)' | cmp -s - $@ || echo '$(CC) $(CPPFLAGS) $(CFLAGS)' > $@

clean:
	rm -rf $(BIN)

.PHONY: all clean FORCE
.SECONDARY:

-include $(shell find $(BIN) -name '*.d' 2>/dev/null)
