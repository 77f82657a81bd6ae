# 120_rest_reads.pl
#	  Reads by PostgREST's grammar: operators, trees, columns, order, pages, counts,
#	  media, errors; and ours of distances.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use MIME::Base64 qw(encode_base64);
use VecdbHttp;

my $node = http_node('rest_reads', "vecdb.http_schemas = 'api, collections'\nvecdb.http_plans = on\n");
$node->safe_psql('postgres', <<'SQL');
	CREATE SCHEMA api;
	GRANT USAGE ON SCHEMA api TO vecdb_anon;
	CREATE TYPE api.mood AS ENUM ('sad', 'ok', 'happy');
	CREATE TYPE api.pair AS (a int, b text);
	CREATE DOMAIN api.small AS int CHECK (VALUE < 1000);
	CREATE TABLE api.people (id int PRIMARY KEY, name text, age api.small, tags text[], grid int[], info jsonb, plain json, born date,
		seen timestamptz, span int4range, mood api.mood, pair api.pair, score float8, n numeric, code varchar(5),
		embedding vector(3), h halfvec(3), s sparsevec(5), b bit(4), words tsvector, good bool);
	INSERT INTO api.people SELECT i, 'name ' || i, i * 10, ARRAY['t' || i, 'x'], ARRAY[[i, 2], [3, 4]],
		jsonb_build_object('a', jsonb_build_array(i, 'z'), 'k', 'v' || i), json_build_object('k', i), date '2020-01-01' + i,
		timestamptz '2020-01-01 12:00+00' + i * interval '1h', int4range(i, i + 5), (ARRAY['sad', 'ok', 'happy'])[1 + i % 3]::api.mood,
		ROW(i, 'p')::api.pair, i / 4.0, i * 1.5, 'c' || i, ARRAY[i, 1, 2]::vector, ARRAY[i, 1, 2]::vector::halfvec,
		ARRAY[i, 0, 2, 0, 0]::vector::sparsevec, i::bit(4), to_tsvector('english', 'the fat cats of ' || i), i % 2 = 0
		FROM generate_series(1, 9) i;
	INSERT INTO api.people (id) VALUES (10);
	CREATE FUNCTION api.upper_name(api.people) RETURNS text LANGUAGE sql STABLE AS $$ SELECT pg_catalog.upper($1.name) $$;
	CREATE FUNCTION api.upper_nam1(api.people) RETURNS text LANGUAGE sql STABLE AS $$ SELECT pg_catalog.upper($1.name) $$;
	REVOKE EXECUTE ON FUNCTION api.upper_nam1 FROM public;
	CREATE FUNCTION api.upper_nam2(api.people) RETURNS SETOF text LANGUAGE sql STABLE AS $$ SELECT pg_catalog.upper($1.name) $$;
	CREATE FUNCTION api.upper_nam3(api.people) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
	CREATE FUNCTION api.upper_nam4(api.people, int) RETURNS text LANGUAGE sql STABLE AS $$ SELECT pg_catalog.upper($1.name) $$;
	CREATE FUNCTION api.upper_nam5(int) RETURNS text LANGUAGE sql STABLE AS $$ SELECT NULL::text $$;
	CREATE AGGREGATE api.upper_nam6(api.people) (SFUNC = int8inc_any, STYPE = int8, INITCOND = '0');
	CREATE SCHEMA other; CREATE FUNCTION other.upper_nam7(api.people) RETURNS text LANGUAGE sql STABLE AS $$ SELECT NULL::text $$;
	CREATE TABLE api.secret (id int, hidden text);
	CREATE TABLE api.half (id int, hidden text, shown text);
	INSERT INTO api.half VALUES (1, 'h', 's');
	CREATE FUNCTION api.both(api.half) RETURNS text LANGUAGE sql STABLE AS $$ SELECT $1.shown $$;
	CREATE TABLE api."odd ""name" ("a.b" int, "sel,ect" int, "t" int, "ä" int);
	INSERT INTO api."odd ""name" VALUES (1, 2, 3, 4);
	CREATE TABLE api.numbers (id int, n numeric, j jsonb, f float8, a numeric[], e text, m nummultirange);
	INSERT INTO api.numbers VALUES (1, '1e131000', '[1e131000]', 'NaN', '{1e131000,NaN}', E'a"b\\c\n,', '{[1,2.5],[3,4]}'), (2, 'Infinity', 'null', '-Infinity', '{}', '', NULL);
	CREATE VIEW api.names AS SELECT id, name FROM api.people;
	GRANT SELECT ON api.people, api.names, api."odd ""name", api.numbers TO vecdb_anon;
	GRANT SELECT (id, shown) ON api.half TO vecdb_anon;
	SELECT vecdb.create_collection('film', 8);
	INSERT INTO collections.film (id, data, metadata) SELECT i, ARRAY(SELECT sin(i * j) FROM generate_series(1, 8) j)::vector,
		jsonb_build_object('year', 1900 + i % 100) FROM generate_series(1, 2000) i;
	ANALYZE collections.film;
	GRANT SELECT ON collections.film TO vecdb_anon;
SQL
my $c = VecdbHttp::Client->new($node->{http});

sub escape { return $_[0] =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ger }

# ask TABLE, [name => value, ...], header => value ...
sub ask
{
	my ($table, $parameters, %headers) = @_;
	my @parameters = @{ $parameters // [] };
	my @pairs;

	while (my ($name, $value) = splice @parameters, 0, 2)
	{
		push @pairs, escape($name) . '=' . escape($value);
	}
	my $method = delete $headers{method} // 'GET';
	return $c->request($method, "/rest/v1/$table" . (@pairs ? '?' . join '&', @pairs : ''), undef, %headers);
}

# The ids of the rows that pass.
sub ids
{
	my ($expected, $name, @parameters) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $answer = ask('people', [ select => 'id', order => 'id', @parameters ]);
	my $rows = decode_raw($answer);

	is(ref $rows eq 'ARRAY' ? join(' ', map { $_->{id} } @$rows) : $answer->{body}, $expected, $name);
	return;
}

sub rows
{
	my ($expected, $name, $table, @parameters) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	same_json(ask($table, \@parameters), 200, $expected, $name);
	return;
}

# The form of an error, whose code may be one of PostgREST's.
sub refused
{
	my ($answer, $status, $code, $text, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $body = decode_raw($answer) // {};

	ok($answer->{status} == $status && join(' ', sort keys %$body) eq 'code details hint message' && $body->{code} eq $code &&
		  join(' ', map { $_ // '' } @$body{qw(message details hint)}) =~ $text, $name)
	  or diag("$answer->{status} $answer->{body}");
	return;
}

# --- operators
ids('3', 'eq', id => 'eq.3');
ids('1 2 4 5 6 7 8 9', 'neq; no row without a value', name => 'neq.name 3');
ids('8 9', 'gt and gte, of one column twice', age => 'gt.70', age => 'lte.90');
ids('1 2', 'lt', age => 'lt.30');
ids('7 8 9', 'gte', n => 'gte.10.5');
ids('3', 'a varchar', code => 'eq.c3');
ids('1', 'like, "*" for "%"', name => 'like.*1');
ids('2', 'ilike', name => 'ilike.NAME_2');
ids('4 5', 'match', name => 'match.^name.[45]$');
ids('4', 'imatch', name => 'imatch.NAME.4');
ids('1 2 3', 'in', id => 'in.(1,2,"3")');
ids('', 'in nothing', id => 'in.()');
ids('1 2', 'in with quotes', name => 'in.("name 1",name 2)');
ids('1 3 5 7 8 9 10', 'not.in', id => 'not.in.(2,4,6)');
ids('3 6 9', 'an enum', mood => 'eq.sad');
ids('1 3 4 6 7 9', 'an enum in its order', mood => 'lt.happy');
ids('10', 'is.null', name => 'is.null');
ids('1 2 3 4 5 6 7 8 9', 'is.not_null', name => 'is.not_null');
ids('2 4 6 8', 'is.true', good => 'is.true');
ids('1 3 5 7 9', 'is.false', good => 'is.FALSE');
ids('10', 'is.unknown', good => 'is.unknown');
ids('1 3 5 7 9 10', 'isdistinct', good => 'isdistinct.true');
ids('1', 'cs of an array', tags => 'cs.{t1}');
ids('3', 'cs of jsonb', info => 'cs.{"k":"v3"}');
ids('5 6 7 8', 'cs of a range', span => 'cs.[8,10)');
ids('1', 'cd', tags => 'cd.{t1,x,y}');
ids('1 2', 'ov', tags => 'ov.{t1,t2}');
ids('1 2 3 4', 'sl', span => 'sl.[9,12)');
ids('5 6 7 8 9', 'sr', span => 'sr.[1,5)');
ids('1 2 3', 'nxr', span => 'nxr.[1,8)');
ids('8 9', 'nxl', span => 'nxl.[8,10)');
ids('5', 'adj', span => 'adj.[10,12)');
ids('1 2', 'fts with a language', words => 'fts(english).cat & fat', id => 'lt.3');
ids('', 'fts with another', words => 'fts(simple).cats', id => 'lt.3');
ids('2', 'plfts of a text', name => 'plfts.name 2');
ids('1', 'phfts', words => 'phfts(english).fat cats', id => 'lt.2');
ids('2', 'wfts', words => 'wfts(english).fat -1', id => 'lt.3');
ids('1 2', 'like(any)', name => 'like(any).{*1,*2}');
ids('3', 'ilike(all)', name => 'ilike(all).{NAME*,*3}');
ids('3 4', 'eq(any)', id => 'eq(any).{3,4}');
ids('8 9', 'gt(all)', id => 'gt(all).{3,7}', name => 'not.is.null');
ids('1', 'a vector', embedding => 'eq.[1,1,2]');

# --- trees
ids('1 2 6 9', 'or, and, not.or, quotes', or => '(age.lt.20,and(age.gt.50,not.or(id.eq.7,id.eq.8)),name.eq."name 2")');
ids('4 5', 'and', and => '(id.gte.4,id.lte.5)');
ids('1 2 3 6 7 8 9 10', 'not.and', 'not.and' => '(id.gte.4,id.lte.5)');
ids('4', 'not.or', 'not.or' => '(id.lt.4,id.gt.4)');
ids('1 3', 'lists and arrays in a tree', or => '(id.in.(1,99),tags.cs.{"t3","x"})');
ids('2', 'a path in a tree', and => '(info->>k.eq.v2,info->a->1.eq."\"z\"")');

# --- paths, casts, aliases, computed columns
ids('4', 'a path of arrows', 'info->a->0' => 'eq.4');
ids('4', 'into an array, which becomes json', 'tags->>0' => 'eq.t4');
rows([ { id => 3, a => '3', key => 'v3', pair => { a => 3, b => 'p' }, b => 'p' } ], 'paths and aliases',
	'people', select => 'id,info->a->>0,key:info->>k,pair,pair->>b', 'info->>k' => 'eq.v3');
rows([ { whole => 'name 3', one => 'n' } ], 'a cast to bpchar keeps all, one to char a character', 'people', select => 'whole:name::bpchar,one:name::char', id => 'eq.3');
rows([ { id => '3', d => '2020-01-01', n => 5, words => "'3':5 'cat':3 'fat':2" } ], 'casts', 'people', select => 'id::text,d:seen::date,n::integer,words::text', id => 'eq.3');
rows([ { span => '{[3,8)}' } ], 'a range as a multirange', 'people', select => 'span::int4multirange', id => 'eq.3');
for my $type ('tsquery', 'xml', 'int4multirange', 'tsquery[]')
{
	refused(ask('people', [ select => "$_\::$type", id => 'eq.3' ]), 400, '42846', qr/not cast to type \Q$type\E/, "no text as $type: $_") for 'name', 'info->>k', 'code';
}
rows([ { upper_name => 'NAME 3' } ], 'a computed column', 'people', select => 'upper_name', upper_name => 'like.*3');
rows([ { 'a.b' => 1, 'sel,ect' => 2, t => 3, "\xe4" => 4 } ], 'names that want quotes', escape('odd "name'), '"a.b"' => 'eq.1', select => '"a.b","sel,ect",t,' . "\xc3\xa4");
rows([ { id => 1, name => 'name 1' } ], 'a view', 'names', id => 'eq.1');
my $all = decode_raw(ask('people', [ id => 'eq.2' ]))->[0];
is_deeply($all, {
		id => 2, name => 'name 2', age => 20, tags => [ 't2', 'x' ], grid => [ [ 2, 2 ], [ 3, 4 ] ], info => { a => [ 2, 'z' ], k => 'v2' }, plain => { k => 2 },
		born => '2020-01-03', seen => '2020-01-01T14:00:00+00:00', span => '[2,7)', mood => 'happy', pair => { a => 2, b => 'p' }, score => 0.5, n => 3,
		code => 'c2', embedding => [ 2, 1, 2 ], h => [ 2, 1, 2 ], s => [ 2, 0, 2, 0, 0 ], b => '0010', words => "'2':5 'cat':3 'fat':2", good => JSON::PP::true()
	}, 'a value of each type');
my $numbers = ask('numbers', [ order => 'id' ])->{body};
is($numbers, qq([{"id":1,"n":1e131000,"j":[1e131000],"f":"NaN","a":[1e131000,"NaN"],"e":"a\\"b\\\\c\\n,","m":"{[1,2.5],[3,4]}"},\n {"id":2,"n":"Infinity","j":null,"f":"-Infinity","a":[],"e":"","m":null}]),
	'long numbers have an exponent, what is no number is a string');

# --- order and pages
sub order { my ($expected, $order, @more) = @_; my $rows = decode_raw(ask('people', [ select => 'id', order => $order, @more ])); is(join(' ', map { $_->{id} } @$rows), $expected, "order=$order @more"); return }
order('10 9', 'age.desc.nullsfirst', limit => 2);
order('9 8', 'age.desc.nullslast', limit => 2);
order('10 1 2', 'age.nullsfirst', limit => 3);
order('3 6 9 1', 'mood,id', limit => 4);
order('9 8', 'info->>k.desc.nullslast', limit => 2);
order('3 4', 'id', limit => 2, offset => 2);
my $answer = ask('people', [ select => 'id', order => 'id', limit => 2, offset => 2 ], Prefer => 'count=exact');
is("$answer->{status} $answer->{headers}{'content-range'}", '206 2-3/10', 'a page of all, with their number');
is($answer->{headers}{'preference-applied'}, 'count=exact', 'which preference was heeded');
$answer = ask('people', [ select => 'id' ], Prefer => 'count=exact');
is("$answer->{status} $answer->{headers}{'content-range'}", '200 0-9/10', 'all');
$answer = ask('people', [ select => 'id', order => 'id' ], Range => '2-3', 'Range-Unit' => 'items');
is("$answer->{status} $answer->{headers}{'content-range'} $answer->{body}", qq(200 2-3/* [{"id":3},\n {"id":4}]), 'Range');
is(ask('people', undef, Range => '8-')->{headers}{'content-range'}, '8-9/*', 'Range without an end');
is(ask('people', undef, Range => 'bytes=0-1')->{headers}{'content-range'}, '0-9/*', 'a Range of something else is passed over');
is(ask('people', [ id => 'eq.99' ], Prefer => 'count=exact')->{headers}{'content-range'}, '*/0', 'none');
for my $beyond ([ 50, 'exact', '10' ], [ 11, 'exact', '10' ], [ 1, 'exact', '0', id => 'eq.99' ], [ 1_000_000, 'planned', '\d+' ])
{
	my ($offset, $count, $total, @filter) = @$beyond;
	my $name = "offset=$offset, count=$count, of $total rows";

	$answer = ask('people', [ offset => $offset, @filter ], Prefer => "count=$count");
	refused($answer, 416, 'PGRST103', qr/$offset.* $total rows/, $name);
	like($answer->{headers}{'content-range'}, qr{^\*/$total$}, "$name: Content-Range");
	is($answer->{headers}{'content-type'}, 'application/json; charset=utf-8', "$name: Content-Type");
}
$answer = ask('people', [ offset => 50 ], method => 'HEAD', Prefer => 'count=exact');
is("$answer->{status} $answer->{headers}{'content-range'} $answer->{body}", '416 */10 ', 'an offset beyond the end, HEAD');
$answer = ask('people', [ offset => 10 ], Prefer => 'count=exact');
is("$answer->{status} $answer->{headers}{'content-range'} $answer->{body}", '206 */10 []', 'an offset at the end');
is(ask('people', [ offset => 50 ])->{body}, '[]', 'an offset beyond the end, not counted');
refused(ask('people', [ limit => -1 ]), 416, 'PGRST103', qr/Limit/, 'a negative limit');
$answer = ask('people', [ select => 'id', offset => -4, order => 'id', limit => 2 ]);
is("$answer->{status} $answer->{headers}{'content-range'} $answer->{body}", qq(200 0-1/* [{"id":1},\n {"id":2}]), 'a negative offset is none');
is_deeply(decode_raw(ask('names', [ select => '', id => 'eq.1' ])), [ { id => 1, name => 'name 1' } ], 'an empty select is of all columns');
is_deeply(decode_raw($c->request('POST', '/rest/v1/names/query', { select => '', id => 'eq.1' })), [ { id => 1, name => 'name 1' } ], 'in a body, too');
refused(ask('people', undef, Range => '5-2'), 416, 'PGRST103', qr/boundary/, 'a Range that ends before it begins');
refused(ask('people', [ limit => 'x' ]), 400, 'PGRST100', qr/limit/, 'a limit that is no number');
$answer = ask('film', [ limit => 1, select => 'id' ], Prefer => 'count=planned', 'Accept-Profile' => 'collections');
like($answer->{headers}{'content-range'}, qr{^0-0/(?:19|20)\d\d$}, 'count=planned');
$answer = ask('people', undef, method => 'HEAD', Prefer => 'count=exact');
is("$answer->{status} $answer->{headers}{'content-range'} $answer->{body}", '200 0-9/10 ', 'HEAD');

# --- media
same_json(ask('people', [ select => 'id', id => 'eq.1' ], Accept => 'application/vnd.pgrst.object+json'), 200, { id => 1 }, 'one object');
refused(ask('people', undef, Accept => 'application/vnd.pgrst.object+json'), 406, 'PGRST116', qr/10 rows/, 'one object of ten rows');
refused(ask('people', [ id => 'eq.99' ], Accept => 'application/vnd.pgrst.object+json'), 406, 'PGRST116', qr/0 rows/, 'one object of none');
$answer = ask('people', [ select => 'id,name', id => 'eq.10' ], Accept => 'application/vnd.pgrst.array+json;nulls=stripped');
is("$answer->{headers}{'content-type'} $answer->{body}", 'application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8 [{"id":10}]', 'nulls=stripped');
is(ask('people', [ id => 'eq.10' ], Accept => 'application/vnd.pgrst.object+json;nulls=stripped')->{headers}{'content-type'}, 'application/vnd.pgrst.object+json;nulls=stripped; charset=utf-8', 'of one object');
is(ask('people', [ id => 'eq.10' ], Accept => 'application/vnd.pgrst.array+json')->{headers}{'content-type'}, 'application/json; charset=utf-8', 'an array as any other');
is(ask('numbers', [ select => 'id,e,a,f,m', order => 'id' ], Accept => 'text/csv')->{body},
	qq(id,e,a,f,m\n1,"a""b\\c\n,","[1e131000,""NaN""]",NaN,"{[1,2.5],[3,4]}"\n2,"",[],-Infinity,), 'CSV');
is(ask('people', [ select => 'id,name', id => 'eq.10' ], Accept => 'text/csv')->{body}, "id,name\n10,", 'CSV has nothing for NULL');
refused(ask('people', undef, Accept => 'image/png'), 406, 'PGRST107', qr/image/, 'another media type');
is(ask('people', [ id => 'eq.1' ], Accept => 'text/html, */*;q=0.8')->{status}, 200, 'a browser');
is(ask('people', [ select => 'seen', id => 'eq.1' ], Prefer => 'timezone=America/Los_Angeles')->{body}, '[{"seen":"2020-01-01T05:00:00-08:00"}]', 'timezone');
refused(ask('people', undef, Prefer => 'timezone=Nowhere, handling=strict'), 400, '22023', qr/Nowhere/, 'a zone that is none');
refused(ask('people', undef, Prefer => 'count=many, handling=strict'), 400, 'PGRST122', qr/count=many/, 'handling=strict');
refused(ask('people', undef, Prefer => "timezone=<\xff>5, handling=strict"), 400, '22023', qr/TimeZone/, 'a zone that is no text');
refused(ask('people', undef, Prefer => 'timezone=Nowhere'), 400, '22023', qr/Nowhere/, 'one that is none, without handling=strict');
is(ask('people', undef, Prefer => 'count=many')->{status}, 200, 'handling=lenient');
$answer = ask('people', [ select => 'id', limit => 1 ], Prefer => 'count=exact, vector=array, count=planned, vector=string, return=minimal, missing=default, resolution=merge-duplicates, handling=strict, max-affected=1');
is("$answer->{headers}{'preference-applied'} $answer->{headers}{'content-range'}", 'count=exact, vector=array, handling=strict 0-0/10', 'of two preferences the first, of a read those that make a difference to it');
refused(ask('people', undef, Prefer => 'count=exact, count=many, handling=strict'), 400, 'PGRST122', qr/: count=many $/, 'the second must be one all the same');

# --- errors
refused(ask('peple'), 404, 'PGRST205', qr/api\.people/, 'a table that is near one');
refused(ask('secre'), 404, 'PGRST205', qr/^(?!.*secret)/, 'a table that the role may not use is no hint');
refused(ask('secret'), 401, '42501', qr/secret/, 'nor is it read');
refused(ask('people', [ nam => 'eq.1' ]), 400, '42703', qr/"name"/, 'a column that is near one');
refused(ask('people', [ select => "upper_nam${_}_" ]), 400, '42703', qr/"upper_name"/, "a computed column that is near one, and upper_nam$_ is none that the role may use") foreach 1 .. 7;
refused(ask('people', [ order => 'uper_name' ]), 400, '42703', qr/"upper_name"/, 'in an order, too');
refused(ask('people', [ nam => 'eq.1' ]), 400, '42703', qr/"name"/, 'the nearest of both');
refused(ask('half', [ bot => 'eq.1' ]), 400, '42703', qr/^(?!.*both)/, 'a computed column of a row that the role may not read is no hint');
refused(ask('half', [ hide => 'eq.1' ]), 400, '42703', qr/^(?!.*hidden)/, 'a column that the role may not read is no hint');
rows([ { id => 1, shown => 's' } ], 'columns that the role may read', 'half', select => 'id,shown');
refused(ask('half'), 401, '42501', qr/half/, 'all columns, of which the role may not read one');
refused(ask('people', [ id => 'foo.1' ]), 400, 'PGRST100', qr/operator/, 'no operator');
refused(ask('people', [ id => 'eq.x' ]), 400, '22P02', qr/integer: "x"/, 'no value of the type');
refused(ask('people', [ or => '(id.eq.1' ]), 400, 'PGRST100', qr/parenthesis/, 'no tree');
refused(ask('people', [ select => 'id::nothing' ]), 400, '42704', qr/nothing/, 'no type');
refused(ask('people', [ select => 'id::' . 'x' x 5000 ]), 400, '42704', qr/"x{200}"/, 'no more of it than its beginning is told');
refused(ask('people', [ select => 'name::secret' ]), 400, '42704', qr/secret/, 'the row of a table that the role may not read');
refused(ask('people', [ select => "name::$_" ]), 400, '42704', qr/secret/, "$_") foreach qw(secret[] _secret);
refused(ask('people', [ select => 'id::record' ]), 400, '42704', qr/record/, 'a type that no value has');
refused(ask('people', [ span => 'like.x' ]), 404, '42883', qr/int4range/, 'no such operator of the type');
refused(ask('people', [ plain => 'eq.1' ]), 404, '42883', qr/json/, 'a type without equality');
refused(ask('people', [ select => 'id,film(*)' ]), 400, 'PGRST200', qr/not served/, 'rows within rows');
refused(ask('people', [ 'film.id' => 'eq.1' ]), 400, 'PGRST200', qr/not served/, 'filters of them');
refused(ask('people', [ select => 'id.sum()' ]), 400, 'PGRST123', qr/not served/, 'aggregates');
refused(ask('people', [ id => 'is.5' ]), 400, 'PGRST100', qr/not_null/, 'is of something else');
refused(ask('people/query'), 405, 'PGRST117', qr/method/, 'another method');
refused(ask('a/b/c'), 404, 'PGRST125', qr/path/, 'another path');
refused(ask('people', undef, 'Accept-Profile' => 'public'), 406, 'PGRST106', qr/api, collections/, 'a schema that is not exposed');
refused($c->request('GET', '/rest/v1/people?id=%zz'), 400, 'PGRST100', qr/percent/, 'bad percent-encoding');
refused($c->request('GET', '/rest/v1/people?id=eq.%FF'), 400, '22021', qr/UTF8/, 'no UTF-8');
$answer = ask('people', [ id => 'eq.1' ]);
is($answer->{headers}{'content-profile'}, 'api', 'Content-Profile');
is($answer->{headers}{vary}, 'Accept, Prefer, Range', 'Vary');
is($answer->{headers}{'server-timing'}, undef, 'no Server-Timing unless it is asked for');
$answer = ask('people', undef, method => 'OPTIONS');
is("$answer->{status} $answer->{headers}{allow}", '204 GET, HEAD, POST, PATCH, PUT, DELETE, OPTIONS', 'OPTIONS');

# --- names that try to be SQL
for my $name ('id"; DROP TABLE api.people; --', q{id'); SELECT pg_sleep(9); --}, "id/**/", "\xef\xbc\xa1", 'pg_sleep(9)', 'xmin')
{
	refused(ask('people', [ select => '"' . ($name =~ s/"/\\"/gr) . '"' ]), 400, '42703', qr/does not exist/, "no column $name");
	refused(ask(escape($name)), 404, 'PGRST205', qr/find the table/, "no table $name");
	is(ask('people', [ name => "eq.$name" ])->{body}, '[]', "a value $name");
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM api.people'), 10, 'all rows are there');

# --- limits
refused($c->request('POST', '/rest/v1/people/query', { id => 'in.(' . join(',', 1 .. 100_001) . ')' }), 400, 'PGRST100', qr/100000/, 'a list of 100,001');
is($c->request('POST', '/rest/v1/people/query', { id => 'in.(' . join(',', 1 .. 100_000) . ')', select => 'id' })->{status}, 200, 'a list of 100,000');
refused($c->request('POST', '/rest/v1/people/query', { or => '(' . 'and(' x 10_000 . 'id.eq.1' . ')' x 10_001 }), 400, 'PGRST100', qr/nested too deeply/, '10,000 parentheses');
refused($c->request('POST', '/rest/v1/people/query', { select => join ',', ('id') x 10_000 }), 400, 'PGRST100', qr/2000/, '10,000 columns');
refused($c->request('POST', '/rest/v1/people/query', { select => join ',', ('id') x 1700 }), 400, 'PGRST100', qr/1664/, '1,700 columns');
refused($c->request('POST', '/rest/v1/people/query', { id => [ ('gt.0') x 1_000_000 ] }), 400, 'PGRST100', qr/1000/, 'a million filters');
is($c->request('GET', '/rest/v1/people?' . join '&', ('id=gt.0') x 101)->{status}, 414, '101 parameters');
$c->close;
$c = VecdbHttp::Client->new($node->{http});

# --- tables come and go
refused(ask('later'), 404, 'PGRST205', qr/later/, 'a table that is not there yet');
$node->safe_psql('postgres', 'CREATE TABLE api.later (a int); GRANT SELECT ON api.later TO vecdb_anon; INSERT INTO api.later VALUES (1)');
rows([ { a => 1 } ], 'it is there at once', 'later');
$node->safe_psql('postgres', 'ALTER TABLE api.later ADD b int DEFAULT 2');
rows([ { a => 1, b => 2 } ], 'so is a column', 'later');
$node->safe_psql('postgres', 'DROP TABLE api.later');
refused(ask('later'), 404, 'PGRST205', qr/later/, 'and gone as soon');

# --- distances
rows([ { id => 1, distance => 2 ** 0.5 }, { id => 2, distance => 3 ** 0.5 } ], 'order by a distance, told',
	'people', select => 'id,distance:h.l2.[1,2,3]', order => 'h.l2.[1,2,3].asc', limit => 2);
rows([ { id => 9, distance => -9 }, { id => 8, distance => -8 } ], 'of a sparse vector', 'people', select => 'id,s.ip.{1:1,2:3}/5', order => 's.ip.{1:1,2:3}/5', limit => 2);
rows([ { id => 9, distance => -9 }, { id => 8, distance => -8 } ], 'of one as an array', 'people', select => 'id,s.ip.[1,3,0,0,0.0]', order => 's.ip.[1,3,0,0,0.0]', limit => 2);
rows([ { id => 7, distance => 1 } ], 'of bits', 'people', select => 'id,b.hamming.1111', order => 'b.hamming.1111,id', limit => 1);
rows([ { id => 3, distance => 0 } ], 'l1', 'people', select => 'id,embedding.l1.[3,1,2]', order => 'embedding.l1.[3,1,2]', limit => 1);
my $base64 = encode_base64(pack('f<3', 3, 1, 2), '');
rows([ { id => 3, distance => 0 } ], 'a vector in base64', 'people', select => "id,embedding.l2.$base64", order => "embedding.l2.$base64", limit => 1);
rows([ { id => 3, distance => 0 } ], 'of half precision, too', 'people', select => "id,h.l2.$base64", order => "h.l2.$base64", limit => 1);
ids('1', 'a bound', embedding => 'lt.cosine.0.1.[1,2,3]');
ids('3', 'a bound in a tree', or => '(embedding.lte.l2.0.[3,1,2],id.eq.0)');
ids('1 2 4 5 6 7 8 9', 'not a bound', embedding => "not.lte.l2.0.$base64");
is(ask('people', [ select => 'embedding,h', id => 'eq.1' ], Prefer => 'vector=string')->{body}, '[{"embedding":"[1,1,2]","h":"[1,1,2]"}]', 'vectors as strings');
refused(ask('people', [ order => 'name.cosine.[1,2,3]' ]), 404, '42883', qr/text has no such distance/, 'of a column that is no vector');
refused(ask('people', [ order => 'embedding.hamming.[1,2,3]' ]), 404, '42883', qr/no such distance/, 'another metric');
refused(ask('people', [ order => 'embedding.l2.[1,2]' ]), 400, '22000', qr/dimensions/, 'other dimensions');
refused(ask('people', [ order => 'embedding.l2.AAA' ]), 400, 'PGRST100', qr/base64/, 'base64 of half a number');
refused(ask('people', [ order => 'embedding.l2.[1,x]' ]), 400, 'PGRST100', qr/numbers/, 'no numbers');
refused($c->request('POST', '/rest/v1/people/query', { select => join ',', map { "embedding.l2.[$_,0,0]" } 1 .. 17 }), 400, 'PGRST100', qr/16 vectors/, '17 vectors');

# --- a vector of 1,536 dimensions in a target, at the limit as it is
$node->safe_psql('postgres', q{CREATE TABLE api.wide (id int, v vector(1536)); GRANT SELECT ON api.wide TO vecdb_anon;
	INSERT INTO api.wide SELECT i, ARRAY(SELECT sin(i * j) FROM generate_series(1, 1536) j)::vector FROM generate_series(1, 20) i});
my $wide = encode_base64(pack('f<1536', map { sin(7 * $_) } 1 .. 1536), '');
is(length $wide, 8192, '1,536 numbers in base64');
for my $alphabet ($wide, $wide =~ tr{+/}{-_}r)
{
	my $target = '/rest/v1/wide?limit=1&select=id,distance:v.cosine.' . escape($alphabet) . '&order=v.cosine.' . escape($alphabet);
	my ($row) = @{ decode_raw($c->request('GET', $target)) };

	ok($row->{id} == 7 && abs($row->{distance}) < 1e-6, 'told and ordered by, in a target of ' . length($target) . ' bytes') or diag(encode($row));
}
my $to_fill = '/rest/v1/people?name=eq.';
is($c->request('GET', $to_fill . 'x' x (20_480 - length $to_fill))->{status}, 200, 'a target of 20 kB');
is($c->request('GET', $to_fill . 'x' x (20_481 - length $to_fill))->{status}, 414, 'and one more byte');
$c->close;
$c = VecdbHttp::Client->new($node->{http});

my @film = ('Accept-Profile' => 'collections');
my $vector = '[' . join(',', map { sprintf '%.3f', sin(1.1 * $_) } 1 .. 8) . ']';
my @near = (select => "id,distance:data.cosine.$vector", order => "data.cosine.$vector.asc");
my $plan = ask('film', [ @near, limit => 10 ], @film, Accept => 'application/vnd.pgrst.plan+text; options=verbose')->{body};
like($plan, qr/Index Scan using film_data_idx/, 'order by a distance with a limit: the index') or diag($plan);
my ($output) = $plan =~ /^ *Output: (.*)$/m;
is(scalar(() = $output =~ /<=>/g), 1, 'the distance is computed once') or diag($plan);
my $exact = $node->safe_psql('postgres', "SET enable_indexscan = off; SELECT string_agg(id, ' ') FROM (SELECT id FROM collections.film WHERE metadata->>'year' = '1950' ORDER BY data <=> '$vector' LIMIT 10) t");
my $found = decode_raw(ask('film', [ select => 'id', order => "data.cosine.$vector", limit => 10, 'metadata->>year' => 'eq.1950' ], @film));
is(join(' ', map { $_->{id} } @$found), $exact, 'with a condition that few rows pass: the nearest ten of them');
is(scalar @{ decode_raw(ask('film', [ @near, limit => 100 ], @film)) }, 100, 'as many rows as are asked for');
is(scalar @{ decode_raw(ask('film', [ @near, limit => 100, 'metadata->>year' => 'in.(1950,1951)' ], @film)) }, 40, 'as many as pass');
my $long = $c->request('POST', '/rest/v1/film/query', { select => "id,distance:data.cosine.$vector", order => "data.cosine.$vector", limit => 2, id => [ 'gt.1', 'lt.3' ] }, @film);
is($long->{status}, 200, 'the same parameters in a body');
is_deeply(decode_raw($long), decode_raw(ask('film', [ select => "id,distance:data.cosine.$vector", order => "data.cosine.$vector", limit => 2, id => 'gt.1', id => 'lt.3' ], @film)), 'give the same');
refused($c->request('POST', '/rest/v1/people/query', { $_->[0] => "$_->[1]\{" . join(',', (1) x $_->[2]) . '}' }), 400, 'PGRST100', qr/more than 100000/, "$_->[2] elements of $_->[0]=$_->[1]")
  foreach [ id => 'eq(any).', 100_001 ], [ name => 'like(all).', 2_000_000 ], [ tags => 'cs.', 100_001 ], [ info => 'eq.', 100_001 ];
is($c->request('POST', '/rest/v1/people/query', { select => 'id', id => 'eq(any).{' . join(',', (1) x 100_000) . '}' })->{body}, '[{"id":1}]', 'as many as may be');
refused($c->request('POST', '/rest/v1/people/query', { name => 'plfts.' . 'word ' x 300_000 }), 400, 'PGRST100', qr/1 MB/, 'a text search for too much');
refused($c->request('POST', '/rest/v1/people/query', { id => { a => 1 } }), 400, 'PGRST102', qr/string/, 'a parameter that is no text');
is($c->request('POST', '/rest/v1/people/query', '{"id":')->{status}, 400, 'no JSON');
refused($c->request('POST', '/rest/v1/people/query?id=eq.1', {}), 400, 'PGRST100', qr/body/, 'parameters in both');

# --- settings
$node->append_conf('postgresql.conf', "vecdb.http_max_rows = 3\nvecdb.http_plans = off\nvecdb.http_schemas = 'api'\nvecdb.http_server_timing = on\n");
reload($node);
ok(wait_until(sub { ask('people', undef, 'Accept-Profile' => 'collections')->{status} == 406 }), 'vecdb.http_schemas');
$answer = ask('people', [ limit => 5 ], Prefer => 'count=exact');
is("$answer->{status} $answer->{headers}{'content-range'}", '206 0-2/10', 'vecdb.http_max_rows');
is(ask('people', [ id => 'lt.3' ], Prefer => 'count=estimated')->{headers}{'content-range'}, '0-1/2', 'count=estimated is exact for as many');
refused(ask('people', undef, Accept => 'application/vnd.pgrst.plan+json'), 406, 'PGRST107', qr/plan/, 'vecdb.http_plans');
like(ask('people', [ id => 'eq.1' ])->{headers}{'server-timing'}, qr/^parse;dur=[0-9]+\.[0-9]{3}, plan;dur=[0-9]+\.[0-9]{3}, prepare;dur=(?!0\.000)[0-9]+\.[0-9]{3}, transaction;dur=[0-9]+\.[0-9]{3}$/, 'vecdb.http_server_timing');
$node->append_conf('postgresql.conf', 'vecdb.http_max_depth = 3');
reload($node);
ok(wait_until(sub { ask('people', [ or => '(and(or(and(id.eq.1))))' ])->{status} == 400 }), 'vecdb.http_max_depth: four levels');
$answer = ask('people', [ or => '(and(or(and(id.eq.1))))' ]);
refused($answer, 400, 'PGRST100', qr/nested too deeply/, 'that is the reason');
like($answer->{body}, qr/At most 3 levels may be: the limit is 32, or the setting vecdb\.http_max_depth where it is less/, 'and the hint');
is(ask('people', [ or => '(and(or(id.eq.1)))' ])->{status}, 200, 'three levels');
$node->safe_psql('postgres', 'GRANT INSERT ON api.people TO vecdb_anon');
refused($c->request('POST', '/rest/v1/people', '{"id":99,"info":{"a":{"b":{"c":{}}}}}'), 400, 'PGRST102', qr/nested too deeply, more than the 3 levels of vecdb\.http_max_depth/, 'JSON of four');

$node->stop;
done_testing();
