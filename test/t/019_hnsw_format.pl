# An index of another format: whoever would read or change it is told both versions
# and what to do, the table stays in use, and REINDEX makes an index that works.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $FORMAT = 2;			# HNSW_VERSION
my $CONTENTS = 24;		# of a page, behind its header; there magic and version, four bytes each

# Pages have checksums by default from PostgreSQL 18 on.
my $node = new_node('format', "ignore_checksum_failure = on\n");
$node->safe_psql(
	'postgres', q{
	CREATE TABLE line (id int, v vector(2));
	INSERT INTO line SELECT i, ARRAY[i, 0]::vector FROM generate_series(1, 100) i;
	CREATE INDEX line_v ON line USING hnsw (v vector_l2_ops)});
my $file = $node->data_dir . '/' . $node->safe_psql('postgres', q{SELECT pg_relation_filepath('line_v')});
my $nearest = q{SET enable_seqscan = off; SELECT string_agg(id::text, ' ') FROM (SELECT id FROM line ORDER BY v <-> '[40.2,0]' LIMIT 3) s};

# Changes the version in the file of the stopped server; gives the one that was there.
sub set_version
{
	my ($version) = @_;
	my $bytes;

	$node->stop;
	open my $page, '+<', $file or die "could not open $file: $!";
	binmode $page;
	seek $page, $CONTENTS + 4, 0 or die "could not seek in $file: $!";
	read($page, $bytes, 4) == 4 or die "could not read $file: $!";
	seek $page, $CONTENTS + 4, 0 or die "could not seek in $file: $!";
	print $page pack 'L', $version;
	close $page or die "could not write $file: $!";
	$node->start;
	return unpack 'L', $bytes;
}

is($node->safe_psql('postgres', $nearest), '40 41 39', 'the index answers');
my $was = $FORMAT;
for my $version ($FORMAT - 1, $FORMAT + 1)
{
	is(set_version($version), $was, "the version in the file was $was");
	$was = $version;
	for my $case (
		[ 'a search', $nearest ],
		[ 'an insert', q{INSERT INTO line VALUES (0, '[0,0]')} ],
		[ 'a vacuum', q{DELETE FROM line WHERE id = 100; VACUUM (INDEX_CLEANUP on) line} ],
		[ 'a check', q{SELECT * FROM hnsw_check('line_v')} ])
	{
		my ($name, $sql) = @$case;
		my ($rc, $out, $err) = $node->psql('postgres', $sql);

		like($err, qr/ERROR:  index "line_v" has format version $version, but this vecdb reads version $FORMAT\n.*?HINT:  Rebuild it with REINDEX\./s,
			"$name of version $version is refused");
	}
	my ($rc, $out, $err) = $node->psql('postgres', q{SELECT count(*) FROM line WHERE id < 50});
	is($out, '49', 'a query that needs no index answers');
}
$node->safe_psql('postgres', 'REINDEX INDEX line_v');
is($node->safe_psql('postgres', $nearest), '40 41 39', 'REINDEX makes an index that answers');
$node->safe_psql('postgres', q{INSERT INTO line VALUES (0, '[40.3,0]')});
is($node->safe_psql('postgres', $nearest), '0 40 41', '... and takes rows');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'nothing has crashed');
done_testing();
