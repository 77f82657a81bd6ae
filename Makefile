# vecdb: build, installation and the commands of the project.
#
# Two kinds of goals live here.  The build (all, install, installcheck, clean)
# is PGXS and wants a PostgreSQL with its headers.  The commands (start, stop,
# test, ...) are scripts in test/tools/ that first install what is missing, so
# they must work where there is no pg_config yet: PGXS is not read for them.

EXTENSION = vecdb
EXTVERSION = 0.2.0
MODULE_big = vecdb
# A folder of src belongs to one library.  The core and src/worker keep no state:
# each library has of them what it calls.
objects = $(patsubst %.c,%.o,$(sort $(foreach d,$(1),$(wildcard $(srcdir)/$(d)/*.c))))
OBJS = $(call objects,src src/vector src/index src/index/* src/collection src/node src/rows)
CORE = $(call objects,src/core src/core/*)
DATA_built = sql/vecdb--$(EXTVERSION).sql
DOCS = $(patsubst $(srcdir)/%,%,$(wildcard $(srcdir)/doc/*.md))
EXTRA_CLEAN = sql/vecdb--$(EXTVERSION).sql core.a $(CORE)

# PostgreSQL's headers as system headers: our warnings are not for them.
PG_INCLUDES = $(shell $(PG_CONFIG) --includedir-server)
PG_CPPFLAGS = -I$(srcdir)/src -isystem $(PG_INCLUDES) $(CORE_ASSERTIONS)
# The core's assertions are on where PostgreSQL's are.  That of castNode() lets a null
# pointer pass, which gcc then warns of wherever the node is used.
CORE_ASSERTIONS = $(shell grep -qs '^.define USE_ASSERT_CHECKING 1' $(PG_INCLUDES)/pg_config.h && echo -DCORE_ASSERTIONS)
# No product is fused into an addition unless the code says so: what is stored would
# differ between processors, and between the forms of a kernel.
PG_CFLAGS = -std=gnu11 -O3 -fno-math-errno -ffp-contract=off -fvisibility=hidden \
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wformat=2 -Wnull-dereference -Wvla \
	-Wno-unused-parameter -Wno-missing-field-initializers -Wno-sign-compare -Wimplicit-fallthrough=3 \
	$(if $(CORE_ASSERTIONS),-Wno-null-dereference) $(WERROR)
SHLIB_LINK = core.a -lm -Wl,-Bsymbolic

# The HTTP workers are a library of their own, so that no backend loads what they link.
HTTP_OBJS = $(call objects,src/http src/http/* src/worker)
HTTP_LIBS = core.a -lmicrohttpd -lsodium -lcrypto
EXTRA_CLEAN += vecdb_http.so $(HTTP_OBJS)

# So is the network: the launcher and a worker for each node.
SYNC_OBJS = $(call objects,src/net src/sync src/worker)
SYNC_LIBS = core.a -lzmq -lsodium -llz4 -lpthread
EXTRA_CLEAN += vecdb_sync.so $(SYNC_OBJS)

# The probe is a program, which needs no PostgreSQL where it runs.  No library above links czmq.
PROBE_OBJS = $(call objects,src/probe)
PROBE_LIBS = -lczmq -lzmq -lsodium -lm
EXTRA_CLEAN += vecdb-probe $(PROBE_OBJS)

REGRESS = $(sort $(notdir $(basename $(wildcard $(srcdir)/test/sql/*.sql))))
REGRESS_OPTS = --inputdir=$(srcdir)/test --load-extension=vecdb
ISOLATION = $(sort $(notdir $(basename $(wildcard $(srcdir)/test/specs/*.spec))))
# Up to PostgreSQL 15 expected files are sought below the output directory.
ISOLATION_OPTS = --inputdir=$(srcdir)/test --outputdir=. --load-extension=vecdb

srcdir ?= .
PG_CONFIG ?= pg_config
override autodepend = yes
# Inlining bitcode of SIMD kernels into JIT code is of no use.
override with_llvm = no

# DATA on the command line is the directory of a node; to PGXS it is a list of
# files to install.  Keep the first for the commands and give PGXS the second.
NODE_DATA := $(DATA)
override DATA = $(patsubst $(srcdir)/%,%,$(wildcard $(srcdir)/sql/vecdb--*--*.sql))

COMMANDS = help start stop psql demo test unit arm64 fuzz sim sim-rows regress isolation pgtap tap security http net soak-http fresh deb test-matrix bench bench-http bench-peers bench-sync
.PHONY: $(COMMANDS) install-vector-shim uninstall-vector-shim

ifneq ($(if $(MAKECMDGOALS),$(filter-out $(COMMANDS),$(MAKECMDGOALS)),all),)
PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq ($(wildcard $(PGXS)),)
$(error $(PG_CONFIG) gives no PGXS: install the server headers (postgresql-server-dev-NN) or name the right one with PG_CONFIG=; "make start" and "make test" install what they need)
endif
# Debian has PGXS and the headers in two packages.
ifeq ($(wildcard $(shell $(PG_CONFIG) --includedir-server)/postgres.h),)
$(error there is no postgres.h in $(shell $(PG_CONFIG) --includedir-server): install the server headers (postgresql-server-dev-NN) or name the right PostgreSQL with PG_CONFIG=; "make start" and "make test" install what they need)
endif
include $(PGXS)
endif

ifdef PGXS
# Pages of the reference have common names: a folder of their own.
docmoduledir := extension/vecdb

all: vecdb_http.so vecdb_sync.so vecdb-probe

core.a: $(CORE)
	rm -f $@
	$(AR) crs $@ $(CORE)

vecdb.so: core.a

vecdb_http.so: $(HTTP_OBJS) core.a
	$(CC) $(CFLAGS) -shared -o $@ $(HTTP_OBJS) $(LDFLAGS) $(LDFLAGS_SL) -Wl,-Bsymbolic $(HTTP_LIBS)

vecdb_sync.so: $(SYNC_OBJS) core.a
	$(CC) $(CFLAGS) -shared -o $@ $(SYNC_OBJS) $(LDFLAGS) $(LDFLAGS_SL) -Wl,-Bsymbolic $(SYNC_LIBS)

$(filter %/probe_options.o,$(PROBE_OBJS)): override CPPFLAGS += -DVECDB_VERSION='"$(EXTVERSION)"'

vecdb-probe: $(PROBE_OBJS)
	$(CC) $(CFLAGS) -o $@ $(PROBE_OBJS) $(LDFLAGS) $(LDFLAGS_EX) $(PROBE_LIBS)

# For test/t/057_rows_kill.pl: the same libraries with fault points (src/fault_point.h), in FAULTS.
# What has points is compiled once more, whenever its object is.
FAULTS = faults
POINTS = $(patsubst %.c,%.o,$(shell grep -lw FAULT_POINT $(srcdir)/src/*/*.c))
with_points = $(foreach o,$(1),$(if $(filter $(o),$(POINTS)),$(FAULTS)/$(o),$(o)))

$(addprefix $(FAULTS)/,$(POINTS)): $(FAULTS)/%.o: %.c %.o
	mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) -DVECDB_FAULT_POINTS -c -o $@ $<

$(FAULTS)/fault_point.o: test/faults/fault_point.c src/fault_point.h
	mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) -DVECDB_FAULT_POINTS -c -o $@ $<

$(FAULTS)/vecdb.so: $(call with_points,$(OBJS)) $(FAULTS)/fault_point.o core.a
	$(CC) $(CFLAGS) -shared -o $@ $(filter %.o,$^) $(LDFLAGS) $(LDFLAGS_SL) $(SHLIB_LINK)

$(FAULTS)/vecdb_sync.so: $(call with_points,$(SYNC_OBJS)) core.a
	$(CC) $(CFLAGS) -shared -o $@ $(filter %.o,$^) $(LDFLAGS) $(LDFLAGS_SL) -Wl,-Bsymbolic $(SYNC_LIBS)

install: install-workers install-probe
install-workers: vecdb_http.so vecdb_sync.so installdirs
	$(INSTALL_SHLIB) vecdb_http.so '$(DESTDIR)$(pkglibdir)/vecdb_http.so'
	$(INSTALL_SHLIB) vecdb_sync.so '$(DESTDIR)$(pkglibdir)/vecdb_sync.so'

install-probe: vecdb-probe
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) vecdb-probe '$(DESTDIR)$(bindir)/vecdb-probe'

uninstall: uninstall-workers
uninstall-workers:
	rm -f '$(DESTDIR)$(pkglibdir)/vecdb_http.so' '$(DESTDIR)$(pkglibdir)/vecdb_sync.so' '$(DESTDIR)$(bindir)/vecdb-probe'
.PHONY: install-workers install-probe uninstall-workers
endif

sql/vecdb--$(EXTVERSION).sql: sql/vecdb.sql sql/collection.sql sql/sync.sql sql/rows.sql
	mkdir -p sql
	cat $^ > $@

# ---------------------------------------------------------------------------
# Commands

# What the scripts are told; PG_CONFIG only when the caller chose one.
TOOL = $(if $(filter command% environment%,$(origin PG_CONFIG)),PG_CONFIG='$(PG_CONFIG)') \
	VECDB_DATA='$(NODE_DATA)' VECDB_PORT='$(PGPORT)' VECDB_HTTP_PORT='$(PORT)' VECDB_CONF='$(CONF)' \
	VECDB_P2P_PORT='$(P2P_PORT)' VECDB_P2P_LISTEN='$(P2P_LISTEN)' VECDB_BOOTSTRAP='$(BOOTSTRAP)' \
	bash test/tools

help:
	@echo 'make start          install what is missing, build, run a private server with vecdb'
	@echo '                    again with other DATA, PGPORT, PORT, P2P_PORT and BOOTSTRAP=host:port: another node beside it'
	@echo 'make stop           stop that server; its data stay'
	@echo 'make psql           open psql on it'
	@echo 'make demo           load 60,000 images, index them, search, report recall and times'
	@echo '                    variables: DATA=directory (.vecdb/data) PGPORT=port (5488) PORT=port of HTTP (8080) CONF=file'
	@echo '                    P2P_PORT=port for other nodes (7777) P2P_LISTEN=address (127.0.0.1) BOOTSTRAP=host:port,...'
	@echo 'make test           install what the tests need and run every suite; SUITES="unit tap" only these'
	@echo 'make unit|arm64|fuzz|sim|regress|isolation|pgtap|tap|security|http|net  one suite; FUZZ_SECONDS=n (3) FUZZ_SEED=n (1)'
	@echo 'make sim NODES=n    the network of n nodes in simulation; SEED=n PARTS=ideal,rest,dead,liars,partition,churn LONG=1'
	@echo 'make sim-rows SEEDS=n  so many short lives of a few copies of a collection, with faults; SEED=first OFF=rule'
	@echo 'make bench          vecdb beside pgvector, and hnswlib: queries, builds, sizes (root)'
	@echo '                    one part of it: SET=fashion|glove|synthetic ROW=build|recall|inside|...'
	@echo 'make bench-http     requests a second and times through HTTP, beside the same through libpq; SECONDS=n CLIENTS="n n" KINDS=search'
	@echo 'make bench-peers    processor and memory of an idle node with 50 peers, lookups a second, time to join; SECONDS=n PEERS=n'
	@echo 'make bench-sync     first copy, lag, cost and bytes of replication beside logical replication; SET=x ROW=x ROWS=n SECONDS=n ROUNDS=n'
	@echo 'make soak-http      memory over 200,000 requests through HTTP; REQUESTS=n'
	@echo 'make fresh          the two commands of README on bare machines, in chroots (root); ALL=1 on all of them, STATE=name on one'
	@echo '                    WHOLE=1 with every suite; test/fresh/states has their names'
	@echo 'make deb            packages for Debian, of every PostgreSQL whose headers are here, in .vecdb/deb; VERSIONS=17 for one'
	@echo 'make test-matrix    the suites of the server on PostgreSQL 17 and 18, in chroots (root); VERSIONS=17 for one, 19 too;'
	@echo '                    VERSIONS=18-cassert (15-, 17-) with PostgreSQL built with assertions'
	@echo
	@echo 'make && make install       build and install into the PostgreSQL of PG_CONFIG'
	@echo 'make installcheck          regression and isolation tests on a running server'
	@echo 'make install-vector-shim   let CREATE EXTENSION vector stand for vecdb'
	@echo 'make uninstall, make uninstall-vector-shim, make clean'

start stop psql:
	@$(TOOL)/node.sh $@

demo:
	@$(TOOL)/demo.sh

test:
	@VECDB_SUITES='$(SUITES)' $(TOOL)/suites.sh unit arm64 fuzz sim regress isolation pgtap tap security http net

unit arm64 fuzz regress isolation pgtap tap security http net:
	@$(TOOL)/suites.sh $@

# Larger networks are simulated in place, with what is installed.
sim:
	@$(if $(NODES),$(MAKE) -C test/sim run NODES='$(NODES)' SEED='$(or $(SEED),1)' PARTS='$(PARTS)' LONG='$(LONG)',$(TOOL)/suites.sh sim)

sim-rows:
	@$(MAKE) -C test/sim rows SEEDS='$(or $(SEEDS),10000)' SEED='$(or $(SEED),1)' OFF='$(OFF)'

# Memory after many requests: the suite has a few thousand of them.
soak-http:
	@SUITE_LIMIT=7200 VECDB_HTTP_REQUESTS=$(or $(REQUESTS),200000) VECDB_HTTP_ONLY=090_memory $(TOOL)/suites.sh http

# The two commands on machines that have nothing of this project yet.
fresh:
	@VECDB_FRESH='$(STATE)' ALL='$(ALL)' WHOLE='$(WHOLE)' $(TOOL)/fresh.sh

test-matrix:
	@$(TOOL)/matrix.sh

# Packages for Debian; "make fresh STATE=package" tries them.
deb:
	@VERSIONS='$(VERSIONS)' $(TOOL)/deb.sh

# SET and ROW choose; the others are told in test/bench/README.md.
bench:
	@$(foreach v,SET ROW CASE SECONDS ROUNDS EF M EF_CONSTRUCTION LIMIT COLD_QUERIES,BENCH_$v='$($v)') $(TOOL)/../bench/bench.sh run

# SECONDS and CLIENTS choose; see test/bench/README.md.
bench-http:
	@$(foreach v,SECONDS CLIENTS KINDS,BENCH_$v='$($v)') $(TOOL)/../bench/http.sh

# SECONDS and PEERS choose; see test/bench/README.md.
bench-peers:
	@$(foreach v,SECONDS PEERS,BENCH_$v='$($v)') $(TOOL)/../bench/peers.sh

# SET, ROW and ROWS choose; see test/bench/README.md.
bench-sync:
	@$(foreach v,SET ROW ROWS SECONDS ROUNDS,BENCH_$v='$($v)') $(TOOL)/../bench/sync.sh

# An extension named vector that holds nothing and brings vecdb.  It takes
# the file names of pgvector, so it never replaces the real one.
SHIM_FILES = $(wildcard $(srcdir)/sql/shim/vector*)

install-vector-shim:
	@if [ -e '$(DESTDIR)$(pkglibdir)/vector.so' ] || \
	    { [ -e '$(DESTDIR)$(datadir)/extension/vector.control' ] && \
	      ! grep -q "stands for vecdb" '$(DESTDIR)$(datadir)/extension/vector.control'; }; then \
		echo 'pgvector is installed in $(DESTDIR)$(datadir)/extension: the shim would overwrite it; remove the package first' >&2; \
		exit 1; \
	fi
	$(MKDIR_P) '$(DESTDIR)$(datadir)/extension'
	$(INSTALL_DATA) $(SHIM_FILES) '$(DESTDIR)$(datadir)/extension/'

uninstall-vector-shim:
	@if [ -e '$(DESTDIR)$(datadir)/extension/vector.control' ] && \
	    ! grep -q "stands for vecdb" '$(DESTDIR)$(datadir)/extension/vector.control'; then \
		echo 'the extension vector in $(DESTDIR)$(datadir)/extension is not the shim: left alone' >&2; \
		exit 1; \
	fi
	rm -f $(addprefix '$(DESTDIR)$(datadir)/extension'/,$(notdir $(SHIM_FILES)))
