replica_test: replica_test.c ../../src/core/rows/replica.h \
 ../../src/core/net/grant.h ../../src/core/net/decode.h \
 ../../src/core/net/host.h ../../src/core/net/kad_id.h \
 ../../src/core/assert.h ../../src/core/net/links.h \
 ../../src/core/net/net_address.h ../../src/core/rows/row_wire.h \
 ../../src/core/bytes.h ../../src/core/net/wire.h \
 ../../src/core/net/change.h ../../src/core/net/membership.h \
 ../../src/core/net/node_record.h ../../src/core/net/provider.h \
 ../../src/core/net/wire_frame.h ../../src/core/rows/row.h \
 ../../src/core/rows/frontier.h ../../src/core/rows/incarnation.h \
 ../../src/core/rows/schema.h ../../src/core/rows/ticket.h rows_fixture.h \
 host_fixture.h tap.h
../../src/core/rows/replica.h:
../../src/core/net/grant.h:
../../src/core/net/decode.h:
../../src/core/net/host.h:
../../src/core/net/kad_id.h:
../../src/core/assert.h:
../../src/core/net/links.h:
../../src/core/net/net_address.h:
../../src/core/rows/row_wire.h:
../../src/core/bytes.h:
../../src/core/net/wire.h:
../../src/core/net/change.h:
../../src/core/net/membership.h:
../../src/core/net/node_record.h:
../../src/core/net/provider.h:
../../src/core/net/wire_frame.h:
../../src/core/rows/row.h:
../../src/core/rows/frontier.h:
../../src/core/rows/incarnation.h:
../../src/core/rows/schema.h:
../../src/core/rows/ticket.h:
rows_fixture.h:
host_fixture.h:
tap.h:
