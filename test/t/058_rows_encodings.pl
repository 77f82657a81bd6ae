# Servers of different encodings share a collection: rows are the same on all of them, as
# far as each can hold them, and have the hashes that their versions say, whatever clients
# speak.  What one cannot hold, it sets aside.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;
use VecdbRows;

# A query of a client that speaks an encoding; this file is in UTF8.
sub speak
{
	my ($node, $encoding, $query) = @_;

	return sql($node, "SET client_encoding = $encoding; $query");
}

# Keys and hashes of all rows: the hash is of bytes that are equal on all nodes, where the
# text of a row is not, as jsonb has its keys in another order in each encoding.
sub hashes
{
	my ($node) = @_;
	my $versions = 'vecdb.version_' . sql($node, q{SELECT 'collections.docs'::regclass::oid});

	return sql($node, "SELECT count(*), md5(string_agg(key || substr(entry, octet_length(entry) - 31), '' ORDER BY key)) FROM $versions WHERE live");
}

# Do all nodes come to have n rows, the same ones?  They are in their tables, but for those
# that b has set aside.
sub same_rows
{
	my ($what, $nodes, $n, $aside) = @_;
	my @rows;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( wait_until(
			sub {
				@rows = map { hashes($_) } @$nodes;
				return !grep { $_ ne $rows[0] || !/^$n\|/ } @rows;
			}),
		$what) or diag(join "\n", @rows);
	is(join(' ', map { sql($_, 'SELECT count(*) FROM collections.docs') } @$nodes),
		join(' ', map { $n - ($_->name eq 'b' ? $aside // 0 : 0) } @$nodes), "$what: so many rows");
	is(join('', map { sql($_, q{SELECT problem, encode(key, 'escape') FROM vecdb.verify_versions('collections.docs')}) } @$nodes),
		'', "$what: they have the hashes of their versions");
}

my $a = new_peer('a', initdb => [ '--encoding=UTF8', '--locale=C' ]);
my $b = new_peer('b', initdb => [ '--encoding=LATIN1', '--locale=C' ], bootstrap => [$a]);
my $c = new_peer('c', initdb => [ '--encoding=EUC_JP', '--locale=C' ], bootstrap => [$a]);
my @all = ($a, $b, $c);

is(join(' ', map { sql($_, 'SHOW server_encoding') } @all), 'UTF8 LATIN1 EUC_JP', 'three encodings');
ok(wait_until(sub { !grep { !running($_) } @all }), 'three nodes run');
sql($a, q{SELECT vecdb.create_collection('docs', 3)});

# Keys of objects whose order is another in each: by length, then bytes
my $metadata = '{"§": "×", "ab": {"¶": [1.50, null, "÷"], "abc": "°"}, "§§": "b", "abcd": 1, "abc": "±"}';

speak($a, 'UTF8', "INSERT INTO collections.docs (id, data, metadata) VALUES ('§1', '[1,2,3]', '$metadata'), ('plain', '[1,2,3]', '{}')");
for my $node ($b, $c)
{
	my $invitation = sql($a, q{SELECT vecdb.invite('docs')});

	is(sql($node, "SELECT vecdb.join('$invitation')"), 'collections.docs', $node->name . ' joins');
}
same_rows('the first copy', \@all, 2);

# Each writes, to clients of two encodings
for my $node (@all)
{
	my $name = $node->name;

	speak($node, 'UTF8', "INSERT INTO collections.docs (id, data, metadata) VALUES ('÷$name', '[4,5,6]', '$metadata')");
	speak($node, $name eq 'c' ? 'SJIS' : 'LATIN1', "INSERT INTO collections.docs (id, data, metadata) SELECT '$name' || i, '[7,8,9]', jsonb_build_object('i', i, 'of', metadata) FROM collections.docs, generate_series(1, 5) i WHERE id NOT LIKE 'plain' ORDER BY id LIMIT 5");
}
same_rows('rows of each', \@all, 20);
speak($b, 'UTF8', q{UPDATE collections.docs SET metadata = metadata || '{"°": "¶"}'});
same_rows('metadata that is changed without the vector', \@all, 20);
speak($c, 'UTF8', q{UPDATE collections.docs SET data = '[0,0,1]' WHERE id LIKE '§%'; DELETE FROM collections.docs WHERE id = '÷a'});
same_rows('a vector without metadata, and a delete', \@all, 19);

# LATIN1 has no such characters
my $held = q{SELECT count(*) FROM vecdb.held_row WHERE "table" = 'collections.docs'::regclass AND held = 2};

speak($a, 'UTF8', q{INSERT INTO collections.docs (id, data, metadata) VALUES ('日本', '[1,1,1]', '{}'), ('japan', '[1,1,1]', '{"日": "本", "ab": 1}'), ('beside', '[1,1,1]', '{}')});
same_rows('characters that two encodings have', \@all, 22, 2);
ok(wait_until(sub { sql($b, $held) eq '2' }), 'the third sets such rows aside, and no others');
is(sql($b, q{SELECT key, state, incoming IS NULL FROM vecdb.quarantine ORDER BY jsonb_typeof(key)}), qq({"id": "japan"}|quarantined|t\n"\\\\xe697a5e69cac"|quarantined|t),
	'its owner sees the keys, one of them as bytes');
sql($b, q{SELECT vecdb.discard(name, key) FROM vecdb.quarantine WHERE jsonb_typeof(key) = 'string'});
is(sql($b, q{SELECT key, state FROM vecdb.quarantine ORDER BY jsonb_typeof(key)}), qq({"id": "japan"}|quarantined\n"\\\\xe697a5e69cac"|discarded), '... by which it is discarded');
speak($c, 'UTF8', q{UPDATE collections.docs SET metadata = '{"day": 1}' WHERE id = 'japan'; DELETE FROM collections.docs WHERE id = '日本'});
same_rows('once they are written without, all have them', \@all, 21);
ok(wait_until(sub { sql($b, 'SELECT count(*) FROM vecdb.quarantine') eq '0' }), 'and nothing is aside');

nothing_crashed(@all);
done_testing();
