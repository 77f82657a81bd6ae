row_schema_test: row_schema_test.c ../../src/core/rows/schema.h \
 ../../src/core/rows/row.h ../../src/core/rows/frontier.h \
 ../../src/core/net/host.h ../../src/core/rows/incarnation.h \
 ../../src/core/net/decode.h ../../src/core/net/kad_id.h \
 ../../src/core/assert.h rows_fixture.h host_fixture.h tap.h
../../src/core/rows/schema.h:
../../src/core/rows/row.h:
../../src/core/rows/frontier.h:
../../src/core/net/host.h:
../../src/core/rows/incarnation.h:
../../src/core/net/decode.h:
../../src/core/net/kad_id.h:
../../src/core/assert.h:
rows_fixture.h:
host_fixture.h:
tap.h:
