EXTENSION = vecdb
EXTVERSION = 0.1.0
MODULE_big = vecdb
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard $(srcdir)/src/*.c $(srcdir)/src/core/*.c $(srcdir)/src/vector/*.c $(srcdir)/src/hnsw/*.c)))
DATA_built = sql/vecdb--$(EXTVERSION).sql
EXTRA_CLEAN = sql/vecdb--$(EXTVERSION).sql

PG_CPPFLAGS = -I$(srcdir)/src
PG_CFLAGS = -std=gnu11 -O3 -fno-math-errno -fvisibility=hidden -Wall -Wextra \
	-Wno-unused-parameter -Wno-missing-field-initializers -Wno-sign-compare -Wshadow -Wstrict-prototypes -Wvla $(WERROR)
SHLIB_LINK = -lm -Wl,-Bsymbolic

srcdir ?= .
PG_CONFIG ?= pg_config
override autodepend = yes
# Inlining bitcode of SIMD kernels into JIT code is of no use.
override with_llvm = no
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

sql/vecdb--$(EXTVERSION).sql: sql/vecdb.sql
	cp $< $@
