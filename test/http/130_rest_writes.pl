# 130_rest_writes.pl
#	  Writes by PostgREST's grammar: POST, PATCH, PUT, DELETE, what each preference
#	  does, and what is refused.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use MIME::Base64 qw(encode_base64 encode_base64url);
use Test::More;
use VecdbHttp;

my $node = http_node('rest_writes', "vecdb.http_schemas = 'api, collections'\n");
$node->safe_psql('postgres', <<'SQL');
	CREATE SCHEMA api;
	GRANT USAGE ON SCHEMA api TO vecdb_anon;
	CREATE TABLE api.items (id int PRIMARY KEY, name text DEFAULT 'none', n numeric(6, 2), tags text[], info jsonb, embedding vector(3), h halfvec(3),
		s sparsevec(5), code varchar(3), made int GENERATED ALWAYS AS (id * 2) STORED, UNIQUE (code));
	CREATE TABLE api.pairs (a int, b text, c int, PRIMARY KEY (a, b));
	CREATE TABLE api.serial (id serial PRIMARY KEY, name text);
	CREATE TABLE api.keyless (a int, b int);
	CREATE TABLE api.widths (id int PRIMARY KEY, c char(5), b bit(3), cs char(4)[]);
	CREATE TABLE api.hidden (id int, b int);
	CREATE TABLE api."odd ""name" ("a b" int PRIMARY KEY, "t" int);
	CREATE TABLE api.checked (id int PRIMARY KEY, other int REFERENCES api.items DEFERRABLE INITIALLY DEFERRED);
	CREATE FUNCTION api.name2(api.items) RETURNS text LANGUAGE sql AS 'SELECT $1.name';
	CREATE VIEW api.names AS SELECT id, name FROM api.items;
	GRANT ALL ON ALL TABLES IN SCHEMA api TO vecdb_anon;
	REVOKE ALL ON api.hidden FROM vecdb_anon;
	GRANT USAGE ON ALL SEQUENCES IN SCHEMA api TO vecdb_anon;
	SELECT vecdb.create_collection('film', 3);
	GRANT ALL ON collections.film TO vecdb_anon;
SQL
my $c = VecdbHttp::Client->new($node->{http});

sub ask
{
	my ($method, $path, $body, $prefer, %headers) = @_;

	return $c->request($method, "/rest/v1/$path", $body, ($prefer ? (Prefer => $prefer) : ()), %headers);
}

# The answer's status, its range and body.
sub answers
{
	my ($answer, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is(join(' ', $answer->{status}, $answer->{headers}{'content-range'} // '-', $answer->{body}), $expected, $name);
	return;
}

sub refused
{
	my ($answer, $status, $code, $text, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $body = decode_raw($answer) // {};

	ok($answer->{status} == $status && ($body->{code} // '') eq $code && join(' ', map { $_ // '' } @$body{qw(message details hint)}) =~ $text, $name)
	  or diag("$answer->{status} $answer->{body}");
	return;
}

sub table_is
{
	my ($sql, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is($node->safe_psql('postgres', $sql), $expected, $name);
	return;
}

# --- POST
answers(ask('POST', 'widths', { id => 1, c => 'abc', b => '101', cs => [ 'ab', 'abcd' ] }, 'return=representation'),
	'201 */* [{"id":1,"c":"abc  ","b":"101","cs":["ab  ","abcd"]}]', 'characters and bits of a length');
answers(ask('PATCH', 'widths?id=eq.1&select=c,b', { c => 'abcde', b => '010' }, 'return=representation'), '200 0-0/* [{"c":"abcde","b":"010"}]', 'the same by PATCH');
refused(ask('POST', 'widths', { id => 2, c => 'abcdef' }), 400, '22001', qr/character\(5\)/, 'one that is too long');
answers(ask('POST', 'items', { id => 1, name => 'one', embedding => [ 1, 2, 3 ] }), '201 */* ', 'one row');
answers(ask('POST', 'items', [ { id => 2, n => 2.5, tags => [ 'a', 'b' ], info => { k => [1] } }, { id => 3, n => undef, tags => [], info => undef } ], 'count=exact'),
	'201 */2 ', 'two rows');
table_is('SELECT id, name, n, tags, info, embedding, made FROM api.items ORDER BY id', "1|one||||[1,2,3]|2\n2|none|2.50|{a,b}|{\"k\": [1]}||4\n3|none||{}|||6", 'they are there');
answers(ask('POST', 'items?select=id,embedding,h,s,made', { id => 4, embedding => '[4,5,6]', h => [ 1, 2, 3 ], s => '{1:2}/5' }, 'return=representation'),
	'201 */* [{"id":4,"embedding":[4,5,6],"h":[1,2,3],"s":[2,0,0,0,0],"made":8}]', 'return=representation, of columns');
answers(ask('GET', 'items?id=eq.4&select=embedding,h,s', undef, 'vector=string'), '200 0-0/* [{"embedding":"[4,5,6]","h":"[1,2,3]","s":"{1:2}/5"}]', 'as strings');

my @csv = ('Content-Type' => 'text/csv');

# --- vectors in each form that a body may have: base64 of three numbers, lowest byte first
{
	my $floats = encode_base64(pack('f<3', 1, -2.5, 0.1), '');
	my $url = encode_base64url(pack('f<3', 1, -2.5, 0.1));
	my $row = sub { return '201 */* [' . join(",\n ", map { sprintf '{"embedding":%s,"h":%s,"s":%s}', @$_ } @_) . ']' };
	my ($full, $half) = ('[1,-2.5,0.1]', '[1,-2.5,0.099975586]');
	my @returns = ('return=representation, tx=rollback');

	answers(ask('POST', 'items?select=embedding,h,s', { id => 50, embedding => $floats, h => $url, s => [ 0, 1.5, 0, -2, 0 ] }, @returns), $row->([ $full, $half, '[0,1.5,0,-2,0]' ]), 'base64, and an array for a sparse vector');
	answers(ask('POST', 'items?select=embedding,h,s', [ { id => 50, embedding => $floats, h => undef, s => [ 0, 0, 0, 0, 0 ] }, { id => 51, embedding => [ 1, 2, 3 ], h => $floats, s => '{2:1}/5' } ], @returns),
		$row->([ $full, 'null', '[0,0,0,0,0]' ], [ '[1,2,3]', $half, '[0,1,0,0,0]' ]), 'in several rows');
	answers(ask('POST', 'items?select=embedding,h,s', q({"id":50,"name":"[0,1]","embedding":") . $floats =~ s{/}{\\/}gr . q(","s": [ 0.0e5 , 1E-3, -0, 2e+0 ,0 ],"info":{"s":[0,1]}}), @returns), $row->([ $full, 'null', '[0,0.001,0,2,0]' ]), 'with blanks, escapes and exponents');
	answers(ask('POST', 'items?select=embedding,h,s', qq(id,embedding,h,s\n50,$floats,$url,"[0,1,0,0,2]"), @returns, @csv), $row->([ $full, $half, '[0,1,0,0,2]' ]), 'in CSV');
	answers(ask('PATCH', 'items?id=eq.4&select=embedding,h,s', { embedding => $url, s => [ 1, 0, 0, 0, 0 ] }, @returns), $row->([ $full, '[1,2,3]', '[1,0,0,0,0]' ]) =~ s{^201 \*/\*}{200 0-0/*}r, 'by PATCH');
	answers(ask('POST', 'items?select=name,info', { id => 50, name => $floats, info => [ 0, 1 ] }, @returns), qq(201 */* [{"name":"$floats","info":[0, 1]}]), 'other columns are as they are');
	for my $bad ([ s => [ 1, 2 ], '22000' ], [ s => [ 1, [2] ], '22P02' ], [ s => [ 1, 'x' ], '22P02' ], [ s => [], '22P02' ], [ s => '[1,2,3,4,--5]', '22P02' ], [ s => '[1,2,3,4,5', '22P02' ], [ s => [ 1e300, 0, 0, 0, 0 ], '22003' ],
		[ embedding => substr($floats, 1), '22P02' ], [ embedding => encode_base64(pack('f<2', 1, 2), ''), '22000' ], [ embedding => encode_base64('xyz', ''), '22P02' ], [ embedding => encode_base64('x' x 100_000, ''), '22P02' ],
		[ h => encode_base64(pack('f<3', 1, 1e30, 2), ''), '22003' ], [ embedding => '', '22P02' ], [ s => '[1,2,3,4,5,]', '22P02' ], [ s => '[1,2,3,4,5] x', '22P02' ],
		map { [ s => "[1,2,3,4,$_]", '22P02' ] } qw(. - e5 0-0 +-0 0.0.0 0e 0e+ 0e5.5))
	{
		my ($column, $value, $code) = @$bad;

		refused(ask('POST', 'items', { id => 50, $column => $value }), 400, $code, qr/./, "no vector: $column " . substr(encode($value), 0, 40));
	}
	refused(ask('POST', 'items', { id => 50, s => [ (0) x 200_000 ] }), 422, 'PGRST102', qr/more than 100000/, 'more numbers than an array may have');
	$node->safe_psql('postgres', q{CREATE TABLE api.wide (id int PRIMARY KEY, s sparsevec); GRANT ALL ON api.wide TO vecdb_anon});
	answers(ask('POST', 'wide?select=s', { id => 1, s => '{3:1}/16001' }, 'return=representation'), '201 */* [{"s":"{3:1}/16001"}]', 'more dimensions than a vector may have: a string');
	is(decode_raw(ask('POST', 'wide?select=s', { id => 2, s => '{16000:1}/16000' }, 'return=representation'))->[0]{s}[15_999], 1, 'as many: an array');
}
same_json(ask('POST', 'items?select=id', { id => 5 }, 'return=representation', Accept => 'application/vnd.pgrst.object+json'), 201, { id => 5 }, 'as an object');
my $answer = ask('POST', 'serial', { name => 'x' }, 'return=headers-only');
is("$answer->{status} $answer->{headers}{location}", '201 /rest/v1/serial?id=eq.1', 'return=headers-only');
is(ask('POST', escape('odd "name'), { 'a b' => 7, t => 1 }, 'return=headers-only')->{headers}{location}, '/rest/v1/odd%20%22name?a%20b=eq.7', 'Location is encoded');
is(ask('GET', 'odd%20%22name?%22a%20b%22=eq.7')->{body}, '[{"a b":7,"t":1}]', 'and leads to the row');
is(ask('POST', 'pairs', { a => 1, b => 'x&y', c => 1 }, 'return=headers-only')->{headers}{location}, '/rest/v1/pairs?a=eq.1&b=eq.x%26y', 'of a key of two columns');
answers(ask('POST', 'serial', {}), '201 */* ', 'a row of defaults');
answers(ask('POST', 'serial', [ {}, {} ], 'return=representation'), qq(201 */* [{"id":3,"name":null},\n {"id":4,"name":null}]), 'two of them');
answers(ask('POST', 'serial', [], 'return=representation'), '201 */* []', 'no row');
answers(ask('POST', 'items?columns=id,name', [ { id => 6, other => 1 }, { id => 7, name => 'seven' } ]), '201 */* ', 'columns=');
table_is('SELECT id, name FROM api.items WHERE id > 5 ORDER BY id', "6|\n7|seven", 'are those that count, and null where they are missing');
answers(ask('POST', 'items?columns=id,name', [ { id => 8 }, { id => 9, name => undef } ], 'missing=default'), '201 */* ', 'missing=default');
table_is('SELECT id, name FROM api.items WHERE id > 7 ORDER BY id', "8|none\n9|", 'gives the default where a member is missing');
answers(ask('POST', 'names', { id => 10, name => 'by a view' }), '201 */* ', 'a view');

# --- CSV
answers(ask('POST', 'items', qq(id,name,embedding,n\r\n11,"a ""quoted"", name","[1,2,3]",1.5\r\n12,NULL,NULL,NULL\n13,"NULL",NULL,NULL), 'count=exact', @csv), '201 */3 ', 'CSV');
table_is('SELECT id, name, name IS NULL, embedding, n FROM api.items WHERE id BETWEEN 11 AND 13 ORDER BY id', "11|a \"quoted\", name|f|[1,2,3]|1.50\n12||t||\n13|NULL|f||", 'is read');
refused(ask('POST', 'items', "id,name\n1", undef, @csv), 400, 'PGRST102', qr/number of fields/, 'a line that is too short');
refused(ask('POST', 'items', "id\n1,2", undef, @csv), 400, 'PGRST102', qr/number of fields/, 'a line that is too long');
refused(ask('POST', 'items', qq(id\n"1), undef, @csv), 400, 'PGRST102', qr/quote/, 'quotes that do not end');
refused(ask('POST', 'items', "id,id\n1,2", undef, @csv), 400, 'PGRST102', qr/twice/, 'a name that is there twice');
refused(ask('POST', 'items', '', undef, @csv), 400, 'PGRST102', qr/empty/, 'no CSV');
refused(ask('POST', 'items', 'id', undef, 'Content-Type' => 'text/plain'), 415, 'PGRST107', qr{JSON or CSV.*"text/csv"}, 'text/plain');
refused(ask('POST', 'items/query', 'id', undef, 'Content-Type' => 'text/csv'), 415, 'PGRST107', qr{^(?!.*(?:CSV|csv))}, 'CSV for the parameters of a read');
refused(ask('POST', 'items', join(',', map { sprintf 'c%062d', $_ } 1 .. 2000) . "\n" . (',' x 1999 . "\n") x 1100, undef, @csv), 400, 'PGRST102', qr/too large as JSON/,
	'2 MB of CSV that would be 150 MB of JSON');
my $elements = '{' . join(',', ('x') x 100_001) . '}';
refused(ask('POST', 'items', { id => 100, tags => $elements }), 400, 'PGRST100', qr/more than 100000 elements/, 'an array of too many, as a text');
refused(ask('POST', 'items', '{"id":100,"tags":"{' . 'x\u002c' x 100_001 . 'x}"}'), 400, 'PGRST100', qr/more than 100000 elements/, 'commas that are escaped');
refused(ask('POST', 'items', qq(id,tags\n100,"$elements"), undef, @csv), 400, 'PGRST100', qr/more than 100000 elements/, 'the same as CSV');
$node->safe_psql('postgres', q{CREATE TABLE api.bare (); GRANT ALL ON api.bare TO vecdb_anon});
answers(ask('POST', 'bare', {}, 'return=representation'), '201 */* [{}]', 'a row of a table without columns');
$node->safe_psql('postgres', 'DROP TABLE api.bare');
{
	my @pids = executors($node);
	my $select = join ',', map { "c$_:info->a" } 1 .. 60;

	$node->append_conf('postgresql.conf', 'vecdb.http_max_memory = 400MB');
	reload($node);
	answers(ask('POST', 'items?select=id', { id => 100, info => { a => 1, text => 'z' x 20_000_000 } }, 'return=representation'), '201 */* [{"id":100}]', 'a large value');
	refused(ask('POST', 'items/query', { select => $select, id => 'eq.100' }), 503, '53200', qr/out of memory/, 'which is not named so often that the memory does not do');
	answers(ask('DELETE', 'items?id=eq.100&select=id', undef, 'return=representation'), '200 */* [{"id":100}]', 'the next request has memory');
	is_deeply([ executors($node) ], \@pids, 'of the same process');
	$node->append_conf('postgresql.conf', 'vecdb.http_max_memory = 2GB');
	reload($node);
}
{
	my $long = join '&', ('a') x 40_000;

	$node->safe_psql('postgres', q{CREATE TABLE api.words (id int PRIMARY KEY, q tsquery, qs tsquery[]); GRANT ALL ON api.words TO vecdb_anon});
	answers(ask('POST', 'words', { id => 1, q => 'a & b', qs => ['c'] }), '201 */* ', 'a tsquery');
	refused(ask('POST', 'words', { id => 2, q => $long }), 400, 'PGRST100', qr/tsquery has more than 65536 bytes/, 'one that would be read for long');
	refused(ask('POST', 'words', { id => 2, qs => [$long] }), 400, 'PGRST100', qr/tsquery has more than 65536 bytes/, 'an array of such');
	refused(ask('POST', 'words', qq(id,q\n2,$long), undef, @csv), 400, 'PGRST100', qr/tsquery has more than 65536 bytes/, 'as CSV');
	refused(ask('PATCH', 'words?id=eq.1', { q => $long }), 400, 'PGRST100', qr/tsquery has more than 65536 bytes/, 'by PATCH');
	refused(ask('POST', 'words/query', { q => "eq.$long" }), 400, 'PGRST100', qr/tsquery has more than 65536 bytes/, 'in a condition');
	$node->safe_psql('postgres', 'DROP TABLE api.words');
}
answers(ask('POST', 'items?select=id', { id => 100, name => $elements }, 'return=representation'), '201 */* [{"id":100}]', 'a text of as many commas');
answers(ask('PATCH', 'items?id=eq.100&select=id', { info => { text => $elements } }, 'return=representation'), '200 0-0/* [{"id":100}]', 'a text of as many within JSON');
answers(ask('DELETE', 'items?id=eq.100'), '204 */* ', 'it goes');
is($c->request('POST', '/vectors', 'id', 'Content-Type' => 'text/csv')->{status}, 415, 'the native API takes no CSV');

# --- duplicates
refused(ask('POST', 'items', { id => 1 }), 409, '23505', qr/items_pkey/, 'a key that is there');
answers(ask('POST', 'items?select=id,name', [ { id => 1, name => 'uno' }, { id => 14, name => 'new' } ], 'resolution=merge-duplicates, return=representation'),
	qq(201 */* [{"id":1,"name":"uno"},\n {"id":14,"name":"new"}]), 'resolution=merge-duplicates');
table_is('SELECT name, embedding FROM api.items WHERE id = 1', 'uno|[1,2,3]', 'leaves other columns');
answers(ask('POST', 'items?select=id', [ { id => 1, name => 'eins' }, { id => 15, name => 'new' } ], 'resolution=ignore-duplicates, return=representation'),
	'201 */* [{"id":15}]', 'resolution=ignore-duplicates');
ask('POST', 'items', { id => 16, code => 'abc' });
answers(ask('POST', 'items?on_conflict=code&select=id,name', { id => 16, code => 'abc', name => 'by code' }, 'resolution=merge-duplicates, return=representation'),
	'200 */* [{"id":16,"name":"by code"}]', 'on_conflict');
refused(ask('POST', 'items?select=id', [ { id => 17 }, { id => 17 } ], 'resolution=merge-duplicates'), 500, '21000', qr/second time/, 'two rows of a key in one body');
refused(ask('POST', 'items?on_conflict=name', { id => 1, name => 'x' }, 'resolution=merge-duplicates'), 400, '42P10', qr/unique/, 'on_conflict of a column that is not unique');
refused(ask('POST', 'items?on_conflict=cod', { id => 1 }, 'resolution=merge-duplicates'), 400, '42703', qr/"code"/, 'of one that is none');

# --- 201 where a row is new, 200 where none is
for my $case ([ 'merge-duplicates', '200 201 201 200 200' ], [ 'ignore-duplicates', '201 201 201 201 201' ])
{
	my ($resolution, $expected) = @$case;

	$node->safe_psql('postgres', q{DELETE FROM api.pairs; INSERT INTO api.pairs VALUES (1, 'x', 1), (2, 'x', 1)});
	is(join(' ', map { ask('POST', 'pairs', $_, "resolution=$resolution")->{status} }
			[ { a => 1, b => 'x', c => 2 }, { a => 2, b => 'x', c => 2 } ], [ { a => 1, b => 'x', c => 3 }, { a => 3, b => 'x', c => 3 } ],
			{ a => 4, b => 'x' }, { a => 4, b => 'x', c => 5 }, []), $expected, "$resolution: statuses");
}
is(join(' ', map { $_->{status} . ' ' . ($_->{headers}{'preference-applied'} // '-') } ask('POST', 'keyless', { a => 1, b => 1 }, 'resolution=merge-duplicates')), '201 -', 'a table that has no key, so it makes no difference');
is(ask('POST', 'names?on_conflict=id', { id => 10, name => 'again' }, 'resolution=merge-duplicates')->{status}, 200, 'a view, by the key of its table');
$node->safe_psql('postgres', q{CREATE TABLE api.parted (id int PRIMARY KEY, n int) PARTITION BY LIST (id); CREATE TABLE api.part PARTITION OF api.parted DEFAULT; GRANT ALL ON api.parted TO vecdb_anon;
	CREATE TABLE api.shy (id int PRIMARY KEY, n int); GRANT INSERT, UPDATE, SELECT (id, n) ON api.shy TO vecdb_anon;
	CREATE FUNCTION api.skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE TABLE api.skipping (id int PRIMARY KEY, n int); GRANT ALL ON api.skipping TO vecdb_anon;
	CREATE TRIGGER skip BEFORE UPDATE ON api.skipping FOR EACH ROW EXECUTE FUNCTION api.skip()});
for my $table (qw(parted shy skipping))
{
	is(join(' ', map { ask('POST', $table, $_, 'resolution=merge-duplicates')->{status} } { id => 1, n => 1 }, { id => 1, n => 2 }, [ { id => 1, n => 3 }, { id => 2, n => 3 } ]),
		'201 200 201', "statuses of the table $table");
}
$node->safe_psql('postgres', q{CREATE TABLE api.resetting (id int PRIMARY KEY, run text); GRANT ALL ON api.resetting TO vecdb_anon;
	CREATE FUNCTION api.resets() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN EXECUTE NEW.run; RETURN NULL; END';
	CREATE TRIGGER resets AFTER UPDATE ON api.resetting FOR EACH ROW EXECUTE FUNCTION api.resets();
	INSERT INTO api.resetting VALUES (1)});
for my $run ('RESET request.rows_met', 'RESET ALL', q{SELECT set_config('request.rows_met', NULL, true)})
{
	is(ask('POST', 'resetting', { id => 1, run => $run }, 'resolution=merge-duplicates')->{status}, 201, "a trigger may do $run");
}
is(ask('POST', 'resetting', { id => 1, run => 'SELECT 1' }, 'resolution=merge-duplicates')->{status}, 200, 'and the next request counts anew');
$node->safe_psql('postgres', 'REVOKE EXECUTE ON FUNCTION set_config(text, text, boolean) FROM public');
is(join(' ', map { ask($_, 'parted' . ($_ eq 'PUT' ? '?id=eq.1' : ''), { id => 1, n => 3 }, 'resolution=merge-duplicates')->{status} } 'POST', 'PUT'), '201 204', 'a role that may not execute set_config() writes all the same');
$node->safe_psql('postgres', 'GRANT EXECUTE ON FUNCTION set_config(text, text, boolean) TO public');
table_is(q{SELECT (SELECT string_agg(n::text, ' ' ORDER BY id) FROM api.parted) || ', ' || (SELECT string_agg(n::text, ' ' ORDER BY id) FROM api.skipping)}, '3 3, 1 3', 'which are as their triggers have it');

# --- PATCH
answers(ask('PATCH', 'items?id=eq.2', { name => 'two', embedding => [ 2, 2, 2 ] }), '204 0-0/* ', 'PATCH');
table_is('SELECT name, n, embedding FROM api.items WHERE id = 2', 'two|2.50|[2,2,2]', 'changes what it names');
answers(ask('PATCH', 'items?id=in.(2,3)&select=id,name', { name => 'both' }, 'return=representation, count=exact'), qq(200 0-1/2 [{"id":2,"name":"both"},\n {"id":3,"name":"both"}]), 'return=representation');
$node->safe_psql('postgres', q{CREATE TABLE api.defaults (id int PRIMARY KEY, a text DEFAULT 'none', b int DEFAULT 1 + 2, c int, g int GENERATED ALWAYS AS (b * 2) STORED, e vector(3) DEFAULT '[1,2,3]');
	INSERT INTO api.defaults VALUES (1, 'x', 9, 9), (2, 'x', 9, 9); GRANT ALL ON api.defaults TO vecdb_anon});
my $patch = ask('PATCH', 'defaults?id=eq.1&columns=a,b,c,e', { c => 5 }, 'missing=default, return=representation');
answers($patch, '200 0-0/* [{"id":1,"a":"none","b":3,"c":5,"g":6,"e":[1,2,3]}]', 'missing=default of a PATCH');
is($patch->{headers}{'preference-applied'}, 'missing=default, return=representation', 'is heeded');
answers(ask('PATCH', 'defaults?id=eq.2&columns=a,b,c', { a => undef, c => 5 }, 'missing=default, return=representation'), '200 0-0/* [{"id":2,"a":null,"b":3,"c":5,"g":6,"e":[1,2,3]}]', 'null is not missing');
answers(ask('PATCH', 'defaults?id=eq.1&columns=a,b,c', { c => 6 }, 'return=representation'), '200 0-0/* [{"id":1,"a":null,"b":null,"c":6,"g":null,"e":[1,2,3]}]', 'null for what is missing');
answers(ask('PATCH', 'items?id=eq.99', { name => 'x' }, 'return=representation'), '200 */* []', 'no row');
answers(ask('PATCH', 'items?id=eq.2', {}), '204 */* ', 'no column');
answers(ask('PATCH', 'items?id=eq.2&select=id', {}, 'return=representation'), '200 */* []', 'no column, with its representation');
answers(ask('PATCH', 'items?or=(embedding.lt.l2.0.1.[2,2,2],id.eq.99)&select=id', { name => 'near' }, 'return=representation'), '200 0-0/* [{"id":2}]', 'a distance and a tree');
refused(ask('PATCH', 'items', { name => 'x' }), 400, '21000', qr/http_whole_tables/, 'all rows');
refused(ask('PATCH', 'items?id=eq.2', [ { name => 'x' }, { name => 'y' } ]), 400, 'PGRST102', qr/one row/, 'two rows');
refused(ask('PATCH', 'items?id=eq.1&limit=1', { name => 'x' }), 400, 'PGRST100', qr/reads/, 'a limit');
refused(ask('PATCH', 'items?id=gt.0', { name => 'x' }, 'handling=strict, max-affected=2'), 400, 'PGRST124', qr/affects \d\d rows/, 'max-affected');
table_is("SELECT count(*) FROM api.items WHERE name = 'x'", 0, 'nothing has changed');
my %applied = map { my ($method, $path, $body, $prefer) = @$_; my $answer = ask($method, $path, $body, "$prefer, tx=rollback"); ("$method $prefer" => "$answer->{status} $answer->{headers}{'preference-applied'}") }
  [ 'PATCH', 'items?id=lt.2', { n => 1 }, 'handling=strict, max-affected=2' ], [ 'PATCH', 'items?id=lt.3', { n => 1 }, 'max-affected=1' ], [ 'DELETE', 'items?id=lt.2', undef, 'max-affected=2, handling=strict' ],
  [ 'POST', 'pairs', [ { a => 70, b => 'x' }, { a => 71, b => 'x' } ], 'handling=strict, max-affected=1, missing=default, resolution=merge-duplicates' ],
  [ 'PUT', 'pairs?a=eq.70&b=eq.x', { a => 70, b => 'x' }, 'handling=strict, max-affected=0, resolution=ignore-duplicates' ],
  [ 'PATCH', 'items?id=lt.2', { n => 1 }, 'missing=default, resolution=merge-duplicates, return=minimal, return=representation' ], [ 'DELETE', 'items?id=lt.2', undef, 'missing=default' ];
is_deeply(\%applied, {
		'PATCH handling=strict, max-affected=2' => '204 handling=strict, max-affected=2, tx=rollback',
		'PATCH max-affected=1' => '204 tx=rollback',
		'DELETE max-affected=2, handling=strict' => '204 max-affected=2, handling=strict, tx=rollback',
		'POST handling=strict, max-affected=1, missing=default, resolution=merge-duplicates' => '201 handling=strict, missing=default, resolution=merge-duplicates, tx=rollback',
		'PUT handling=strict, max-affected=0, resolution=ignore-duplicates' => '204 handling=strict, tx=rollback',
		'PATCH missing=default, resolution=merge-duplicates, return=minimal, return=representation' => '204 missing=default, return=minimal, tx=rollback',
		'DELETE missing=default' => '204 tx=rollback'
	}, 'max-affected is of PATCH and DELETE under handling=strict, and Preference-Applied has what was heeded') or diag(explain(\%applied));
answers(ask('PATCH', 'items?id=lt.2', { n => 1 }, 'handling=strict, max-affected=2'), '204 0-0/* ', 'as many as that may');

# --- tx=rollback
answers(ask('PATCH', 'items?id=eq.2&select=name', { name => 'gone' }, 'tx=rollback, return=representation'), '200 0-0/* [{"name":"gone"}]', 'tx=rollback');
table_is('SELECT name FROM api.items WHERE id = 2', 'near', 'is undone');
answers(ask('DELETE', 'items?id=eq.2', undef, 'tx=rollback'), '204 */* ', 'a DELETE');
answers(ask('GET', 'items?id=eq.2&select=id'), '200 0-0/* [{"id":2}]', 'too');
refused(ask('POST', 'checked', { id => 1, other => 999 }, 'tx=rollback'), 409, '23503', qr/checked/, 'what a commit would have refused');
refused(ask('POST', 'checked', { id => 1, other => 999 }), 409, '23503', qr/checked/, 'is refused by it');
is(ask('POST', 'checked', { id => 1, other => 1 })->{headers}{'preference-applied'}, undef, 'no preference');
is(ask('PATCH', 'checked?id=eq.1', { other => 2 }, 'tx=commit, return=minimal, foo=1')->{headers}{'preference-applied'}, 'tx=commit, return=minimal', 'Preference-Applied');

# --- PUT
answers(ask('PUT', 'pairs?a=eq.1&b=eq.z', { a => 1, b => 'z', c => 3 }), '204 - ', 'PUT makes a row');
answers(ask('PUT', 'pairs?b=eq.z&a=eq.1', { a => 1, b => 'z', c => 4 }, 'return=representation'), '200 - [{"a":1,"b":"z","c":4}]', 'or replaces it');
answers(ask('PUT', 'pairs?b=eq.y&a=eq.1', { a => 1, b => 'y', c => 4 }, 'return=representation'), '201 - [{"a":1,"b":"y","c":4}]', 'and returns one that it made');
answers(ask('PUT', 'pairs?b=eq.y&a=eq.1', { a => 1, b => 'y', c => 5 }), '204 - ', 'or not');
refused(ask('PUT', 'pairs?a=eq.1&b=eq.z', { a => 1, b => 'other', c => 4 }), 400, 'PGRST115', qr/primary key/, 'another key in the body');
refused(ask('PUT', 'pairs?a=eq.1&b=eq.z', { a => 1, c => 4 }), 400, 'PGRST115', qr/primary key/, 'no key in it');
for my $bad ('a=eq.1', 'a=eq.1&b=gt.z', 'a=eq.1&b=eq.z&c=eq.4', 'a=eq.1&a=eq.1', 'a=eq.1&b=not.eq.z', 'or=(a.eq.1,b.eq.z)', '')
{
	refused(ask('PUT', "pairs?$bad", { a => 1, b => 'z', c => 4 }), 405, 'PGRST105', qr/primary key/, "PUT ?$bad");
}
refused(ask('PUT', 'pairs?a=eq.1&b=eq.z&on_conflict=c', { a => 1, b => 'z', c => 4 }), 400, 'PGRST100', qr/on_conflict/, 'PUT of a row by another key');
refused(ask('PUT', 'keyless?a=eq.1', { a => 1 }), 405, 'PGRST105', qr/primary key/, 'PUT without a primary key');

# --- views have the key of their table
$node->safe_psql('postgres', q{
	CREATE VIEW api.pairs_turned AS SELECT c, b AS second, a AS first FROM api.pairs WHERE a >= 0;
	CREATE VIEW api.pairs_twice WITH (security_invoker = on) AS SELECT second AS two, first AS one, c FROM api.pairs_turned;
	CREATE VIEW api.pairs_lacking AS SELECT a, c FROM api.pairs;
	CREATE VIEW api.pairs_computed AS SELECT a, b || '' AS b, c FROM api.pairs;
	CREATE VIEW api.pairs_joined AS SELECT p.a, p.b, p.c FROM api.pairs p, api.pairs q WHERE false;
	CREATE VIEW api.pairs_grouped AS SELECT a, b, count(*) AS c FROM api.pairs GROUP BY a, b;
	CREATE VIEW api.keyless_shown AS SELECT * FROM api.keyless;
	CREATE VIEW api.pairs_instead AS SELECT * FROM api.pairs;
	CREATE FUNCTION api.instead() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE TRIGGER instead INSTEAD OF INSERT ON api.pairs_instead FOR EACH ROW EXECUTE FUNCTION api.instead();
	CREATE VIEW api.pairs_ruled AS SELECT * FROM api.pairs;
	CREATE RULE ruled AS ON INSERT TO api.pairs_ruled DO INSTEAD NOTHING;
	CREATE VIEW api.parted_shown AS SELECT n, id FROM api.parted;
	CREATE VIEW api.below AS SELECT 1 AS a, 2 AS b; CREATE VIEW api.above AS SELECT * FROM api.below; CREATE OR REPLACE VIEW api.below AS SELECT a, b FROM api.above;
	GRANT ALL ON ALL TABLES IN SCHEMA api TO vecdb_anon; REVOKE ALL ON api.hidden, api.shy FROM vecdb_anon; GRANT INSERT, UPDATE, SELECT (id, n) ON api.shy TO vecdb_anon});
is(ask('POST', 'pairs_turned', { first => 50, second => 'x y', c => 1 }, 'return=headers-only')->{headers}{location}, '/rest/v1/pairs_turned?first=eq.50&second=eq.x%20y', 'Location of a row of a view, in the order of the key');
is(ask('POST', 'pairs_twice', { one => 51, two => 'x', c => 1 }, 'return=headers-only')->{headers}{location}, '/rest/v1/pairs_twice?one=eq.51&two=eq.x', 'of a view of a view');
is(join(' ', map { ask('POST', $_->[0], $_->[1], 'resolution=merge-duplicates')->{status} } [ pairs_turned => { first => 50, second => 'x y', c => 2 } ], [ pairs_twice => [ { one => 51, two => 'x', c => 2 }, { one => 52, two => 'x', c => 2 } ] ],
		[ parted_shown => { id => 1, n => 9 } ]), '200 201 200', 'resolution=merge-duplicates without on_conflict');
answers(ask('POST', 'pairs_twice', [ { one => 51, two => 'x', c => 3 }, { one => 53, two => 'x', c => 3 } ], 'resolution=ignore-duplicates, return=representation'), '201 */* [{"two":"x","one":53,"c":3}]', 'resolution=ignore-duplicates');
answers(ask('PUT', 'pairs_twice?one=eq.54&two=eq.x', { one => 54, two => 'x', c => 1 }, 'return=representation'), '201 - [{"two":"x","one":54,"c":1}]', 'PUT of a new row');
answers(ask('PUT', 'pairs_turned?second=eq.x&first=eq.54', { second => 'x', first => 54, c => 2 }, 'return=representation'), '200 - [{"c":2,"second":"x","first":54}]', 'of one that is there');
refused(ask('PUT', 'pairs_turned?first=eq.54', { second => 'x', first => 54, c => 2 }), 405, 'PGRST105', qr/primary key/, 'of one that half a key names');
table_is(q{SELECT string_agg(a || b || c, ' ' ORDER BY a) FROM api.pairs WHERE a >= 50}, '50x y2 51x2 52x2 53x3 54x2', 'the table has these');
refused(ask('PUT', "$_?a=eq.1", { a => 1 }), 405, 'PGRST105', qr/primary key/, "the view $_ has no key") foreach qw(pairs_lacking keyless_shown);
refused(ask('PUT', "$_?a=eq.1&b=eq.z", { a => 1, b => 'z' }), 405, 'PGRST105', qr/primary key/, "the view $_ has no key") foreach qw(pairs_computed pairs_joined pairs_grouped pairs_instead pairs_ruled below);
is(ask('POST', $_, { a => 60, b => 'x', c => 1 }, 'return=headers-only, resolution=merge-duplicates')->{headers}{location}, undef, "$_: no Location, and no other row is looked for") foreach qw(pairs_instead keyless_shown);

# --- DELETE
answers(ask('DELETE', 'items?id=in.(14,15)&select=id', undef, 'return=representation, count=exact'), qq(200 */2 [{"id":14},\n {"id":15}]), 'DELETE');
answers(ask('DELETE', 'items?id=eq.13'), '204 */* ', 'DELETE of one');
refused(ask('DELETE', 'items'), 400, '21000', qr/http_whole_tables/, 'all rows');
refused(ask('DELETE', 'items?id=gt.0&select=id', undef, 'return=representation', Accept => 'application/vnd.pgrst.object+json'), 406, 'PGRST116', qr/\d\d rows/, 'several as one object');
isnt($node->safe_psql('postgres', 'SELECT count(*) FROM api.items'), '0', 'and nothing is deleted');

# --- what is refused
refused(ask('POST', 'items', { id => 30, nam => 'x' }), 400, 'PGRST204', qr/'nam' column.*"name"/, 'a column that is none');
refused(ask('POST', 'items', { id => 30, nam2 => 'x' }), 400, 'PGRST204', qr/'nam2' column.*"name"/, 'a computed column is no hint for a write');
refused(ask('POST', 'items?on_conflict=nam2', { id => 30 }, 'resolution=merge-duplicates'), 400, '42703', qr/nam2.*"name"/, 'nor for on_conflict');
refused(ask('POST', 'items?columns=id,nam', { id => 30 }), 400, 'PGRST204', qr/'nam'/, 'in columns=');
refused(ask('POST', 'items', [ { id => 30 }, { id => 31, name => 'x' } ]), 400, 'PGRST102', qr/must match/, 'objects of other members');
refused(ask('POST', 'items', [ { id => 30, name => 1 }, { id => 31 } ]), 400, 'PGRST102', qr/must match/, 'of fewer');
refused(ask('POST', 'items', '[1]'), 400, 'PGRST102', qr/object/, 'no object');
refused(ask('POST', 'items', '"x"'), 400, 'PGRST102', qr/object/, 'a text');
refused(ask('POST', 'items', '{"id":'), 400, 'PGRST102', qr/JSON/, 'no JSON');
refused(ask('POST', 'items', '{"id":30,"name":"\u0000"}'), 400, '22P05', qr/Unicode/, 'a NUL in a text');
refused(ask('POST', 'items', '[' x 10_000), 400, 'PGRST102', qr/object/, '10,000 brackets');
refused(ask('POST', 'items', '{"id":30,"info":' . '[' x 10_000), 400, 'PGRST102', qr/deep/, 'within a value');
refused(ask('POST', 'items', { map { ("c$_" => 1) } 1 .. 10_000 }), 400, 'PGRST102', qr/2000/, '10,000 columns');
refused(ask('POST', 'serial', '[' . join(',', ('{}') x 100_001) . ']'), 400, 'PGRST102', qr/100000 rows/, '100,001 rows');
$node->safe_psql('postgres', q{ALTER ROLE vecdb_anon SET statement_timeout = '2ms'});
refused(ask('POST', 'serial', '[' . join(',', ('{"name":"x"}') x 100_000) . ',1]'), 500, '57014', qr/statement timeout/, 'a body that takes longer to read than it may');
$node->safe_psql('postgres', 'ALTER ROLE vecdb_anon RESET statement_timeout');
refused(ask('POST', 'items', '{"id":30,"n":1e500}'), 422, 'PGRST102', qr/digits/, 'a number that is longer than it looks');
refused(ask('POST', 'items', { id => 'x' }), 400, '22P02', qr/integer/, 'a value of another type');
refused(ask('POST', 'items', { id => 30, embedding => [ 1, 2 ] }), 400, '22000', qr/dimensions/, 'a vector of other dimensions');
refused(ask('POST', 'items', { id => 30, code => 'long' }), 400, '22001', qr/too long/, 'a text that is too long');
refused(ask('POST', 'items', { id => 30, made => 1 }), 400, '428C9', qr/made/, 'a generated column');
refused(ask('POST', 'hidden', { id => 1 }), 401, '42501', qr/hidden/, 'a table that the role may not use');
refused(ask('POST', 'nothing', { id => 1 }), 404, 'PGRST205', qr/nothing/, 'one that is none');
refused(ask('POST', 'items', { id => 30, '"); DROP TABLE api.items; --' => 1 }), 400, 'PGRST204', qr/DROP/, 'SQL for a column');
refused(ask('POST', 'items', { id => 1 }, 'resolution=other, handling=strict'), 400, 'PGRST122', qr/resolution=other/, 'handling=strict');
refused(ask('GET', 'items?columns=id'), 400, 'PGRST100', qr/writes/, 'columns= of a read');
refused(ask('POST', 'film', { id => 'a' }, undef, 'Content-Profile' => 'public'), 406, 'PGRST106', qr/collections/, 'another schema');

# --- collections
answers(ask('POST', 'film?select=id,data,metadata', [ map { { id => "f$_", data => [ $_, 1, 2 ], metadata => { year => 1900 + $_ } } } 1 .. 3 ], 'return=representation', 'Content-Profile' => 'collections'),
	qq(201 */* [{"id":"f1","data":[1,1,2],"metadata":{"year": 1901}},\n {"id":"f2","data":[2,1,2],"metadata":{"year": 1902}},\n {"id":"f3","data":[3,1,2],"metadata":{"year": 1903}}]), 'rows of a collection');
answers(ask('POST', 'film', { id => 'f1', data => [ 9, 9, 9 ], metadata => {} }, 'resolution=merge-duplicates', 'Content-Profile' => 'collections'), '200 */* ', 'upsert');
answers(ask('POST', 'film?select=id,data', { id => 'e', data => 'AACAPwAAAEAAAABA' }, 'return=representation', 'Content-Profile' => 'collections'), '201 */* [{"id":"e","data":[1,2,2]}]', 'base64');
answers(ask('GET', 'film?select=id&order=data.l2.[9,9,9]&limit=1', undef, undef, 'Accept-Profile' => 'collections'), '200 0-0/* [{"id":"f1"}]', 'is found where it is now');
answers(ask('PATCH', 'film?id=like.f*&select=id,distance:data.l2.[9,9,9]&order=data.l2.[9,9,9].desc', { metadata => {} }, 'return=representation', 'Content-Profile' => 'collections'),
	qq(200 0-2/* [{"id":"f2","distance":12.727922061357855},\n {"id":"f3","distance":12.206555615733702},\n {"id":"f1","distance":0}]), 'in the order of a distance');

# --- the order of what is returned takes no right that a read of it would not
$node->safe_psql('postgres', 'CREATE TABLE api.closed (id int PRIMARY KEY, hidden int); INSERT INTO api.closed VALUES (1, 2), (2, 1); GRANT SELECT (id), DELETE ON api.closed TO vecdb_anon;
	CREATE VIEW api.window AS SELECT id, hidden FROM api.closed; GRANT SELECT, DELETE ON api.window TO vecdb_anon;
	CREATE FUNCTION api.keep() RETURNS trigger LANGUAGE plpgsql AS \'BEGIN RETURN OLD; END\'; CREATE TRIGGER keep INSTEAD OF DELETE ON api.window FOR EACH ROW EXECUTE FUNCTION api.keep()');
refused(ask('DELETE', 'closed?id=gt.0&select=id&order=hidden', undef, 'return=representation'), 401, '42501', qr/closed/, 'an order by a column that the role may not read');
answers(ask('DELETE', 'closed?id=gt.0&select=id&order=id.desc', undef, 'return=representation, tx=rollback'), qq(200 */* [{"id":2},\n {"id":1}]), 'by one that it may');
answers(ask('DELETE', 'window?id=gt.0&select=id&order=hidden', undef, 'return=representation'), qq(200 */* [{"id":2},\n {"id":1}]), 'of a view whose triggers write');

# --- settings
$node->append_conf('postgresql.conf', "vecdb.http_whole_tables = on\n");
reload($node);
ok(wait_until(sub { ask('DELETE', 'keyless')->{status} == 204 }), 'vecdb.http_whole_tables');
answers(ask('PATCH', 'keyless', { b => 1 }), '204 */* ', 'PATCH without a filter');

$node->stop;
done_testing();

sub escape { return $_[0] =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ger }
