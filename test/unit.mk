# What the Makefiles of unit tests share: every *_test.c is one program that writes
# TAP.  Who includes it sets `linked`, the objects of src that each takes, and LIBS.
#
#   make check              build under ASan and UBSan, run with prove
#   make check CC=clang     the same with another compiler
#   TEST_SEED=7 make check  with other random data
#
# Objects are compiled at -O2 rather than -O3 to keep the sanitizers' build short;
# SANITIZE= (empty) builds what ships, and runs it on the same tests.

SANITIZE ?= -fsanitize=address,undefined -fno-sanitize-recover=all
OPTIMIZE ?= $(if $(SANITIZE),-O2,-O3)
include ../programs.mk

tests := $(patsubst %.c,$(BIN)/%,$(sort $(wildcard *_test.c)))

all: $(tests)

check: $(tests)
	prove --exec '' $(tests)

$(tests): $(BIN)/%: $(BIN)/%.o $(linked)
	$(CC) $(CFLAGS) -o $@ $^ $(LIBS)

.PHONY: check
