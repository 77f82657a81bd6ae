# Rows as large as they may be: wide vectors, metadata of megabytes.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;
use VecdbRows;

# Rows called so, with so many kB of metadata
sub large
{
	my ($name, $kB) = @_;

	return qq{SELECT '$name' || i, (SELECT array_agg(i + j) FROM generate_series(1, 16000) j)::vector,
		jsonb_build_object('m', (SELECT string_agg(md5((i * 1000000 + k)::text), '') FROM generate_series(1, $kB * 32) k))};
}

my @all = share_docs(shape => q{16000, 'l2', index_type => 'flat'}, rows => large('big', 1024) . ' FROM generate_series(1, 5) i');
my ($a, $b, $c) = @all;

all_equal(\@all, 'rows of 16,000 dimensions with 1 MB of metadata are copied', 5);
sql($b, q{UPDATE collections.docs SET metadata = metadata || '{"x": 1}'});
all_equal(\@all, 'and their metadata changed', 5);
sql($c, 'INSERT INTO collections.docs (id, data, metadata) ' . large('more', 4300) . ' FROM generate_series(1, 5) i');
all_equal(\@all, 'several that are longer than a batch may be', 10);
sql($a, 'INSERT INTO collections.docs (id, data, metadata) ' . large('most', 15 * 1024) . ' FROM generate_series(1, 2) i');
all_equal(\@all, 'and of 15 MB', 12);
like(error_of($a, 'INSERT INTO collections.docs (id, data, metadata) ' . large('huge', 17 * 1024) . ' FROM generate_series(1, 1) i'),
	qr/a row of shared table "docs" has \d+ bytes, and 16777216 are the most/, 'what others would not take is refused where it is written');
sql($a, q{INSERT INTO collections.docs (id, data) SELECT 'after', (SELECT array_agg(j) FROM generate_series(1, 16000) j)::vector});
arrives_within(\@all, 'after', 'what comes behind it arrives');
nothing_crashed(@all);
done_testing();
