# 110_encodings.pl
#	  Databases that are not in UTF-8.  Clients speak UTF-8 all the same: what
#	  the database can hold comes back as it was sent, what it cannot is an
#	  error, and bytes that are no text of its encoding end nobody.
use strict;
use warnings;
use utf8;
use FindBin;
use lib $FindBin::RealBin;
use Encode ();
use Test::More;
use VecdbHttp;

my $node = http_node('encodings');

sub utf8 { return Encode::encode('UTF-8', $_[0]) }

sub serve
{
	my ($database, $encoding) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0 ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C'");
	$node->safe_psql($database, 'CREATE EXTENSION vecdb; GRANT USAGE, CREATE ON SCHEMA collections TO vecdb_anon');
	$node->append_conf('postgresql.conf', "vecdb.http_database = '$database'");
	my %old = map { $_ => 1 } executors($node);
	reload($node);
	wait_until(sub { my @now = executors($node); @now == 2 && !grep { $old{$_} } @now });
	ok(wait_ready($node), "$encoding is served");
	return;
}

sub query
{
	my ($database, $sql) = @_;
	my ($rc, $out) = $node->psql($database, $sql, extra_params => [ '-At' ]);

	return $rc == 0 ? $out : "psql: $rc";
}

# What every encoding with an é holds; answers are compared as decoded text, so
# they must be UTF-8.
sub common
{
	my ($database, $escapes) = @_;
	my @before = executors($node);

	my $answer = call($node, 'POST', '/collections', { name => 'cafe', dimensions => 2 });
	is($answer->{status}, 201, "$database: a collection");
	same_json(call($node, 'POST', '/vectors', { vectors => [ { id => 'käse', collection => 'cafe', data => [ 1, 2 ], metadata => { 'naïf' => 'Zoë' } } ] }),
		201, { ids => ['käse'] }, "$database: a vector");
	same_json(call($node, 'POST', '/vectors', '{"vectors":[{"id":"\u00fcber","collection":"cafe","data":[2,1]}]}'),
		201, { ids => ['über'] }, "$database: one in escapes");
	$answer = decode_raw(call($node, 'GET', '/vectors/k%C3%A4se'));
	is_deeply([ @$answer{qw(id collection metadata)} ], [ 'käse', 'cafe', { 'naïf' => 'Zoë' } ], "$database: reads it");
	is(call($node, 'GET', '/vectors/%C3%BCber?collection=cafe')->{status}, 200, "$database: reads the other");
	is_deeply([ map { $_->{id} } @{ decode_raw(call($node, 'POST', '/search', { vector => [ 1, 2 ], filter => { 'naïf' => 'Zoë' } }))->{results} } ],
		['käse'], "$database: a filter");
	is_deeply([ map { $_->{id} } @{ decode_raw(call($node, 'POST', '/collections/cafe/search', { vector => [ 2, 1 ], k => 1 }))->{results} } ],
		['über'], "$database: a search by name");
	is_deeply([ map { $_->{name} } @{ decode_raw(call($node, 'GET', '/collections'))->{collections} } ], ['cafe'], "$database: the list");
	is_error(call($node, 'GET', '/vectors/%C3%A9'), 404, qr/id "é"/, "$database: an error that names it");
	is_error(call($node, 'POST', '/vectors', { 'größe' => 1 }), 422, qr/unknown field "größe"/, "$database: an unknown field");
	is_error(call($node, 'POST', '/vectors', '{"' . 'x' . utf8('é' x 200) . '":1}'), 422, qr/unknown field "xé{10,}/, "$database: a long one");
	is_error(call($node, 'POST', '/vectors', "{\"vectors\":[{\"id\":\"\xff\",\"data\":[1,2]}]}"), 400, qr/UTF8/, "$database: no UTF-8");
	is_error(call($node, 'GET', '/vectors/%ff'), 400, qr/UTF8/, "$database: no UTF-8 in a path");
	like(Encode::decode('UTF-8', ask_admin($node, '/metrics')->{body}, Encode::FB_CROAK), qr/collection="cafe"/, "$database: metrics");
	$answer = call($node, 'POST', '/vectors', '{"vectors":[{"id":"m","collection":"cafe","data":[1,1],"metadata":{"a":"\u00e9"}}]}');
	$escapes ? same_json($answer, 201, { ids => ['m'] }, "$database: an escape within metadata")
	  : is_error($answer, 400, qr/Unicode escape|conversion between UTF8 and SQL_ASCII/, "$database: an escape within metadata is refused by PostgreSQL");
	is_deeply([ executors($node) ], \@before, "$database: no executor ended");
	return;
}

serve('latin1', 'LATIN1');
common('latin1', 1);
is(query('latin1', q{SELECT octet_length(id) FROM collections.cafe WHERE id LIKE 'k%'}), 4, 'latin1: stored in LATIN1');
{
	my @before = executors($node);
	my $euro = qr/has no equivalent in encoding "LATIN1"/;

	is_error(call($node, 'POST', '/vectors', { vectors => [ { id => '€', collection => 'cafe', data => [ 1, 2 ] } ] }), 400, $euro, 'latin1: an id that it cannot hold');
	is_error(call($node, 'POST', '/vectors', '{"vectors":[{"id":"\u20ac","collection":"x","data":[1,2]}]}'), 400, $euro, 'latin1: in an escape');
	is_error(call($node, 'POST', '/vectors', { vectors => [ { id => 'a', collection => 'x', data => [ 1, 2 ], metadata => { a => '€' } } ] }), 400, $euro, 'latin1: within metadata');
	is_error(call($node, 'POST', '/collections', { name => '日本', dimensions => 2 }), 400, $euro, 'latin1: a name');
	is_error(call($node, 'POST', '/collections', { name => 'café', dimensions => 2 }), 422, qr/invalid name of a collection: "café"/, 'latin1: one that it can hold');
	is_error(call($node, 'GET', '/vectors/%E2%82%AC'), 400, $euro, 'latin1: a path');
	is_error(call($node, 'POST', '/search', { '€' => 1 }), 400, $euro, 'latin1: an unknown field');
	is_deeply([ executors($node) ], \@before, 'latin1: no executor ended of it');
}

serve('ascii', 'SQL_ASCII');
common('ascii', 0);
{
	my @before = executors($node);

	same_json(call($node, 'POST', '/vectors', { vectors => [ { id => '日本', collection => 'jp', data => [ 1, 2 ], metadata => { a => '€' } } ] }), 201, { ids => ['日本'] }, 'ascii: holds everything');
	is(decode_raw(call($node, 'GET', '/vectors/%E6%97%A5%E6%9C%AC'))->{metadata}{a}, '€', 'ascii: and gives it back');
	is(query('ascii', q{INSERT INTO collections.jp (id, data, metadata) VALUES ('latin', '[9,1]', jsonb_build_object('a', convert_from('\xe9', 'SQL_ASCII')))}), '', 'ascii: what SQL may store');
	is_error(call($node, 'GET', '/vectors/latin'), 500, qr/invalid byte sequence for encoding "UTF8"/, 'ascii: cannot be told in UTF-8');
	is_error(call($node, 'POST', '/collections/jp/search', { vector => [ 9, 1 ] }), 500, qr/invalid byte sequence/, 'ascii: nor found');
	is(call($node, 'POST', '/collections/jp/search', { vector => [ 1, 2 ], k => 1 })->{status}, 200, 'ascii: others are');
	is(query('ascii', q{CREATE FUNCTION public.moan() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no % here', convert_from('\xe9', 'SQL_ASCII'); END $$}), '', 'ascii: a trigger');
	is(query('ascii', q{CREATE TRIGGER moan BEFORE INSERT ON collections.jp FOR EACH ROW EXECUTE FUNCTION public.moan()}), '', 'ascii: that complains');
	is_error(call($node, 'POST', '/vectors', { vectors => [ { id => 'x', collection => 'jp', data => [ 1, 2 ] } ] }), 400, qr/no \? here/, 'ascii: an error that is no UTF-8');
	is_deeply([ executors($node) ], \@before, 'ascii: no executor ended of it');
}

$node->stop;
done_testing();
