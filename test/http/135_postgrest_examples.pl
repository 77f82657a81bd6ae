# 135_postgrest_examples.pl
#	  What PostgREST's documentation shows, section by section, on tables of our own:
#	  a request and the answer that its reader expects.  Sections on embedding,
#	  functions and aggregates are not served yet.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Crypt::JWT qw(encode_jwt);
use Test::More;
use VecdbHttp;

my $secret = 'a secret of thirty-two bytes ...';
my $node = http_node('postgrest_examples',
	"vecdb.http_schemas = 'harbour, dry_dock, collections'\nvecdb.http_jwt_key = '$secret'\nvecdb.http_cors_origins = 'https://quay.example'\nvecdb.http_plans = on\nvecdb.http_whole_tables = on\n");
$node->safe_psql('postgres', <<'SQL');
	CREATE ROLE master NOLOGIN; GRANT master TO vecdb_http;
	CREATE SCHEMA harbour; CREATE SCHEMA dry_dock;
	GRANT USAGE ON SCHEMA harbour, dry_dock TO vecdb_anon, master;
	CREATE TYPE harbour.place AS (lat numeric(8, 6), long numeric(9, 6));
	CREATE TABLE harbour.ships (id int PRIMARY KEY, ship_name text UNIQUE, built int, crew int, sails boolean, tonnage numeric(8, 2),
		papers jsonb, berth harbour.place, flags text[], stay daterange, word_list tsvector, seen timestamptz, home text DEFAULT 'none');
	INSERT INTO harbour.ships VALUES
		(1, 'Albatros', 1921, 12, true, 900, '{"class": "A-", "radios": [{"band": "HF", "call": "DK1"}], "age": 25}', ROW(19.741755, -155.844437), '{de,dk}', '[2017-01-01,2017-03-01)', to_tsvector('french', 'des navires amusants'), '2023-10-18 12:37:59.611+00'),
		(2, 'Beluga', 1965, 30, false, 1200.5, '{"class": "O+", "radios": [{"band": "VHF", "call": "DK2"}, {"band": "HF", "call": "DK3"}], "age": 18}', ROW(12, 14), '{no}', '[2017-02-01,2017-09-01)', to_tsvector('english', 'The Fat Cats'), '2023-10-18 14:37:59.611+00'),
		(3, 'Cormoran', 1988, NULL, true, 45, '{"class": "A-", "age": 30}', NULL, '{de,se}', '[2018-01-01,2018-02-01)', NULL, NULL),
		(4, 'Dolphin, the', 2001, 14, NULL, 45, '{"class": "B-", "age": 35}', NULL, '{}', NULL, NULL, NULL);
	CREATE FUNCTION harbour.sign(harbour.ships) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT pg_catalog.upper($1.ship_name) || ' ' || $1.built $$;
	CREATE VIEW harbour.old_ships AS SELECT * FROM harbour.ships WHERE built < 1970;
	CREATE TABLE harbour."Order Items" ("Unit Price" int, "info.cpe" text);
	INSERT INTO harbour."Order Items" VALUES (150, 'xMSx'), (250, 'y');
	CREATE TABLE harbour."موارد" (id int); INSERT INTO harbour."موارد" VALUES (7);
	CREATE TABLE harbour.marks (name text); INSERT INTO harbour.marks VALUES ('Quote:"'), ('Backslash:\'), ('Hebe,Jo'), ('x');
	CREATE TABLE harbour.crew (id int PRIMARY KEY, name text UNIQUE, wage int DEFAULT 100, note text);
	CREATE TABLE harbour.logs (id serial PRIMARY KEY, text text DEFAULT 'nothing', at date DEFAULT '2020-01-01');
	CREATE TABLE harbour.private (id int);
	CREATE TABLE dry_dock.hulls (id int); INSERT INTO dry_dock.hulls VALUES (1);
	GRANT ALL ON ALL TABLES IN SCHEMA harbour, dry_dock TO vecdb_anon, master;
	GRANT USAGE ON ALL SEQUENCES IN SCHEMA harbour TO vecdb_anon;
	REVOKE ALL ON harbour.private FROM vecdb_anon;
	CREATE TABLE harbour.full_berths (code text);
	CREATE FUNCTION harbour.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		RAISE EXCEPTION USING ERRCODE = NEW.code, MESSAGE = 'no place', DETAIL = 'all berths are taken', HINT = 'come tomorrow'; END $$;
	CREATE TRIGGER refuse BEFORE INSERT ON harbour.full_berths FOR EACH ROW EXECUTE FUNCTION harbour.refuse();
	GRANT ALL ON harbour.full_berths TO vecdb_anon, master;
	CREATE TABLE harbour.pilots (id int NOT NULL CHECK (id < 10), ship int REFERENCES harbour.ships, who text DEFAULT current_setting('request.jwt.claims')::json->>'sub');
	GRANT ALL ON harbour.pilots TO vecdb_anon, master;
	ANALYZE harbour.ships;
SQL
my $c = VecdbHttp::Client->new($node->{http});
my $token = encode_jwt(payload => { role => 'master' }, alg => 'HS256', key => $secret);

sub ask
{
	my ($method, $target, $headers, $body) = @_;

	$target =~ s/([^A-Za-z0-9_.~=&?,():*!'-])/sprintf '%%%02X', ord $1/ge;
	return $c->request($method, "/rest/v1/$target", $body, %{ $headers // {} });
}

# Cases: name, method, target, headers, body of the request (a text or a structure),
# status, headers of the answer by name, its body: a structure, a text, a pattern, or undef.
sub cases
{
	my ($section, @cases) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	subtest $section => sub {
		for (@cases)
		{
			my ($name, $method, $target, $headers, $sent, $status, $expected_headers, $expected) = @$_;
			my $answer = ask($method, $target, $headers, $sent);
			my @wrong;

			push @wrong, "status $answer->{status}" if $answer->{status} != $status;
			for my $header (sort keys %$expected_headers)
			{
				my $got = $answer->{headers}{ lc $header } // '';
				my $wanted = $expected_headers->{$header};
				push @wrong, "$header: $got" unless ref $wanted ? $got =~ $wanted : $got eq $wanted;
			}
			push @wrong, $answer->{body} if defined $expected && !(ref $expected eq 'Regexp' ? $answer->{body} =~ $expected : ref $expected ? same($answer, $expected) : $answer->{body} eq $expected);
			ok(!@wrong, "$name: $method $target") or diag(join "\n", @wrong);
		}
	};
	return;
}

sub same
{
	my ($answer, $expected) = @_;
	my $got = decode_raw($answer);

	return defined $got && encode($got) eq encode($expected);
}

sub found { my ($name, $query, @ids) = @_; return [ $name, 'GET', "ships?select=id&order=id&$query", {}, undef, 200, {}, [ map { { id => $_ } } @ids ] ] }
my %whole = (Prefer => 'return=representation');

cases('rows',
	[ 'all', 'GET', 'crew', {}, undef, 200, { 'Content-Type' => qr{^application/json}, 'Content-Range' => '*/*' }, [] ],
	found('less', 'crew=lt.13', 1),
	found('two conditions', 'built=gte.1950&sails=is.false', 2),
	found('greater', 'built=gt.1988', 4),
	found('at least', 'built=gte.1988', 3, 4),
	found('at most', 'built=lte.1921', 1),
	found('equal', 'ship_name=eq.Beluga', 2),
	found('not equal', 'id=neq.1', 2, 3, 4),
	found('stars for like', 'ship_name=like.*o*', 1, 3, 4),
	found('whatever case', 'ship_name=ilike.*ALB*', 1),
	found('a pattern', 'ship_name=match.^B', 2),
	found('a pattern, whatever case', 'ship_name=imatch.^b', 2),
	found('a list', 'id=in.(1,3)', 1, 3),
	found('a list with a quoted comma', 'ship_name=in.("Dolphin, the",Beluga)', 2, 4),
	found('null', 'crew=is.null', 3),
	found('not null', 'crew=is.not_null', 1, 2, 4),
	found('unknown', 'sails=is.unknown', 4),
	found('distinct from null', 'crew=isdistinct.12', 2, 3, 4),
	found('contains', 'flags=cs.{de,dk}', 1),
	found('contained', 'flags=cd.{no,se}', 2, 4),
	found('overlaps, an array', 'flags=ov.{dk,se}', 1, 3),
	found('overlaps, a range', 'stay=ov.[2017-02-15,2017-02-20]', 1, 2),
	found('left of', 'stay=sl.(2017-12-01,2018-12-01)', 1, 2),
	found('right of', 'stay=sr.(2017-01-01,2017-10-01)', 3),
	found('does not extend right', 'stay=nxr.(2017-01-01,2017-10-01)', 1, 2),
	found('does not extend left', 'stay=nxl.(2017-01-15,2017-10-01)', 2, 3),
	found('adjacent', 'stay=adj.[2017-09-01,2018-01-01)', 2, 3),
	[ 'a view', 'GET', 'old_ships?select=id&order=id', {}, undef, 200, {}, [ { id => 1 }, { id => 2 } ] ]);

cases('logic and modifiers',
	found('or', 'or=(built.lt.1930,built.gt.2000)', 1, 4),
	found('not', 'built=not.eq.1921', 2, 3, 4),
	found('not and', 'not.and=(built.gte.1930,built.lte.2000)', 1, 4),
	found('both together', 'tonnage=gte.45&sails=is.true&or=(built.eq.1988,not.and(built.gte.1911,built.lte.1990))', 3),
	found('any', 'ship_name=like(any).{A*,B*}', 1, 2),
	found('all', 'ship_name=like(all).{*o*,C*}', 3));

cases('full text',
	found('a language', 'word_list=fts(french).amusant', 1),
	found('plain', 'word_list=plfts.The Fat Cats', 2),
	found('a phrase, not', 'word_list=not.phfts(english).The Fat Cats', 1),
	found('as of the web, not', 'word_list=not.wfts(french).amusant', 2));

cases('columns',
	[ 'some', 'GET', 'ships?select=ship_name,crew&id=lt.3&order=id', {}, undef, 200, {}, [ { ship_name => 'Albatros', crew => 12 }, { ship_name => 'Beluga', crew => 30 } ] ],
	[ 'renamed', 'GET', 'ships?select=shipName:ship_name,year:built&id=eq.1', {}, undef, 200, {}, [ { shipName => 'Albatros', year => 1921 } ] ],
	[ 'cast', 'GET', 'ships?select=ship_name,tonnage::text&id=eq.1', {}, undef, 200, {}, [ { ship_name => 'Albatros', tonnage => '900.00' } ] ],
	[ 'paths', 'GET', 'ships?select=id,papers->>class,papers->radios&id=eq.1', {}, undef, 200, {}, [ { id => 1, class => 'A-', radios => [ { band => 'HF', call => 'DK1' } ] } ] ],
	[ 'elements', 'GET', 'ships?select=id,papers->radios->0->>call&id=lt.3&order=id', {}, undef, 200, {}, [ { id => 1, call => 'DK1' }, { id => 2, call => 'DK2' } ] ],
	[ 'a path as text in a filter', 'GET', 'ships?select=id,papers->class&papers->>class=eq.A-&order=id', {}, undef, 200, {}, [ { id => 1, class => 'A-' }, { id => 3, class => 'A-' } ] ],
	[ 'a path as a number', 'GET', 'ships?select=id,papers->age&papers->age=gt.20&order=id', {}, undef, 200, {}, [ { id => 1, age => 25 }, { id => 3, age => 30 }, { id => 4, age => 35 } ] ],
	[ 'composite values and arrays', 'GET', 'ships?select=id,berth->>lat,berth->>long,first_flag:flags->0&berth->lat=gte.19', {}, undef, 200, {}, [ { id => 1, lat => '19.741755', long => '-155.844437', first_flag => 'de' } ] ],
	[ 'computed, in a filter', 'GET', 'ships?select=id&sign=eq.BELUGA 1965', {}, undef, 200, {}, [ { id => 2 } ] ],
	[ 'computed, not by itself', 'GET', 'ships?id=eq.1', {}, undef, 200, {}, qr/^(?!.*"sign")/ ],
	[ 'computed, shown', 'GET', 'ships?select=id,sign&id=eq.1', {}, undef, 200, {}, [ { id => 1, sign => 'ALBATROS 1921' } ] ],
	[ 'computed, as a type of text search', 'GET', 'ships?select=id&sign=fts.Beluga', {}, undef, 200, {}, [ { id => 2 } ] ]);

cases('order',
	[ 'two columns', 'GET', 'ships?select=id&order=tonnage.asc,built.desc', {}, undef, 200, {}, [ map { { id => $_ } } 4, 3, 1, 2 ] ],
	[ 'nulls first', 'GET', 'ships?select=id&order=crew.nullsfirst', {}, undef, 200, {}, [ map { { id => $_ } } 3, 1, 4, 2 ] ],
	[ 'nulls last', 'GET', 'ships?select=id&order=crew.desc.nullslast', {}, undef, 200, {}, [ map { { id => $_ } } 2, 4, 1, 3 ] ],
	[ 'a path', 'GET', 'ships?select=id&order=papers->age.desc', {}, undef, 200, {}, [ map { { id => $_ } } 4, 3, 1, 2 ] ],
	[ 'computed', 'GET', 'ships?select=id&order=sign.desc', {}, undef, 200, {}, [ map { { id => $_ } } 4, 3, 2, 1 ] ]);

cases('pages and counts',
	[ 'every answer has its range', 'GET', 'ships?select=id', {}, undef, 200, { 'Content-Range' => '0-3/*' }, undef ],
	[ 'a range', 'GET', 'ships?select=id&order=id', { 'Range-Unit' => 'items', Range => '0-1' }, undef, 200, { 'Content-Range' => '0-1/*' }, [ { id => 1 }, { id => 2 } ] ],
	[ 'a range without an end', 'GET', 'ships?select=id&order=id', { Range => '2-' }, undef, 200, { 'Content-Range' => '2-3/*' }, [ { id => 3 }, { id => 4 } ] ],
	[ 'fewer than asked for', 'GET', 'ships?select=id', { Range => '0-19' }, undef, 200, { 'Content-Range' => '0-3/*' }, undef ],
	[ 'limit and offset', 'GET', 'ships?select=id&order=id&limit=2&offset=1', {}, undef, 200, { 'Content-Range' => '1-2/*' }, [ { id => 2 }, { id => 3 } ] ],
	[ 'an exact count', 'HEAD', 'ships', { 'Range-Unit' => 'items', Range => '0-1', Prefer => 'count=exact' }, undef, 206, { 'Content-Range' => '0-1/4' }, undef ],
	[ 'a planned count', 'HEAD', 'ships?limit=2', { Prefer => 'count=planned' }, undef, 206, { 'Content-Range' => '0-1/4' }, undef ],
	[ 'an estimated count', 'HEAD', 'ships?limit=2', { Prefer => 'count=estimated' }, undef, 206, { 'Content-Range' => qr{^0-1/\d+$} }, undef ],
	[ 'all rows, counted', 'GET', 'ships?select=id', { Prefer => 'count=exact' }, undef, 200, { 'Content-Range' => '0-3/4', 'Preference-Applied' => 'count=exact' }, undef ],
	[ 'beyond the end, counted', 'GET', 'ships', { Range => '10-19', Prefer => 'count=exact' }, undef, 416, { 'Content-Range' => '*/4', 'Preference-Applied' => 'count=exact' }, qr/"code":"PGRST103".*"Requested range not satisfiable"/ ],
	[ 'a range the wrong way', 'GET', 'ships', { Range => '5-1' }, undef, 416, {}, qr/"PGRST103"/ ],
	[ 'a negative limit', 'GET', 'ships?limit=-1', {}, undef, 416, {}, qr/"PGRST103"/ ]);

cases('representations',
	[ 'an array', 'GET', 'ships?select=id&id=eq.1', { Accept => 'application/json' }, undef, 200, { 'Content-Type' => qr{^application/json} }, [ { id => 1 } ] ],
	[ 'anything', 'GET', 'ships?select=id&id=eq.1', { Accept => '*/*' }, undef, 200, { 'Content-Type' => qr{^application/json} }, [ { id => 1 } ] ],
	[ 'an object', 'GET', 'ships?select=id&id=eq.1', { Accept => 'application/vnd.pgrst.object+json' }, undef, 200, { 'Content-Type' => qr{^application/vnd\.pgrst\.object\+json} }, { id => 1 } ],
	[ 'an object of none', 'GET', 'ships?id=eq.99', { Accept => 'application/vnd.pgrst.object+json' }, undef, 406, {}, qr/"PGRST116".*0 rows/ ],
	[ 'an object of two', 'GET', 'ships?id=lt.3', { Accept => 'application/vnd.pgrst.object+json' }, undef, 406, {}, qr/"PGRST116".*2 rows/ ],
	[ 'without nulls', 'GET', 'ships?select=id,crew&id=eq.3', { Accept => 'application/vnd.pgrst.array+json;nulls=stripped' }, undef, 200, {}, [ { id => 3 } ] ],
	[ 'an object without nulls', 'GET', 'ships?select=id,crew&id=eq.3', { Accept => 'application/vnd.pgrst.object+json;nulls=stripped' }, undef, 200, {}, { id => 3 } ],
	[ 'CSV', 'GET', 'ships?select=id,ship_name&order=id.desc&limit=2', { Accept => 'text/csv' }, undef, 200, { 'Content-Type' => qr{^text/csv} }, "id,ship_name\n4,\"Dolphin, the\"\n3,Cormoran" ],
	[ 'a plan', 'GET', 'ships?select=id', { Accept => 'application/vnd.pgrst.plan+json' }, undef, 200, { 'Content-Type' => qr{^application/vnd\.pgrst\.plan\+json} }, qr/Total Cost/ ],
	[ 'a plan as text', 'GET', 'ships?select=id', { Accept => 'application/vnd.pgrst.plan' }, undef, 200, { 'Content-Type' => qr{^application/vnd\.pgrst\.plan\+text} }, qr/cost=/ ],
	[ 'what there is not', 'GET', 'ships', { Accept => 'image/png' }, undef, 406, {}, qr/"PGRST107"/ ]);

cases('names and reserved characters',
	[ 'a name of other letters', 'GET', "\xd9\x85\xd9\x88\xd8\xa7\xd8\xb1\xd8\xaf", {}, undef, 200, {}, [ { id => 7 } ] ],
	[ 'spaces', 'GET', 'Order Items?select=Unit Price&Unit Price=lt.200', {}, undef, 200, {}, [ { 'Unit Price' => 150 } ] ],
	[ 'commas in values', 'GET', 'marks?name=in.("Hebe,Jo","Will,Mary")', {}, undef, 200, {}, [ { name => 'Hebe,Jo' } ] ],
	[ 'a point in a column', 'GET', 'Order Items?select=Unit Price&"info.cpe"=like.*MS*', {}, undef, 200, {}, [ { 'Unit Price' => 150 } ] ],
	[ 'quotes and backslashes', 'GET', 'marks?name=in.("Quote:\"","Backslash:\\\\")', {}, undef, 200, {}, [ { name => 'Quote:"' }, { name => 'Backslash:\\' } ] ]);

cases('inserts',
	[ 'one row', 'POST', 'crew', {}, { id => 1, name => 'Ada' }, 201, {}, '' ],
	[ 'where it is', 'POST', 'crew', { Prefer => 'return=headers-only' }, { id => 2, name => 'Ben' }, 201, { Location => qr{/crew\?id=eq\.2$} }, '' ],
	[ 'what was inserted', 'POST', 'crew?select=id,wage', {%whole}, { id => 3, name => 'Cid' }, 201, { 'Preference-Applied' => 'return=representation' }, [ { id => 3, wage => 100 } ] ],
	[ 'an object back', 'POST', 'crew', { %whole, Accept => 'application/vnd.pgrst.object+json' }, { id => 4, name => 'Dan' }, 201, {}, { id => 4, name => 'Dan', wage => 100, note => undef } ],
	[ 'several', 'POST', 'crew', { Prefer => 'count=exact' }, [ { id => 5, name => 'Eve', wage => 1 }, { id => 6, name => 'Fay', wage => 2 } ], 201, { 'Content-Range' => '*/2' }, '' ],
	[ 'CSV', 'POST', 'crew?select=id,name,note', { %whole, 'Content-Type' => 'text/csv' }, "id,name,note\n7,Gus,\n8,Hal,NULL\n", 201, {}, [ { id => 7, name => 'Gus', note => '' }, { id => 8, name => 'Hal', note => undef } ] ],
	[ 'some columns', 'POST', 'crew?columns=id,name', {%whole}, { id => 9, name => 'Ida', wage => 5, more => 'x' }, 201, {}, [ { id => 9, name => 'Ida', wage => 100, note => undef } ] ],
	[ 'keys that differ', 'POST', 'crew', {}, [ { id => 10 }, { name => 'Jo' } ], 400, {}, qr/"PGRST102"/ ],
	[ 'null for what is missing', 'POST', 'logs?columns=id,text&select=text', {%whole}, [ { id => 100 } ], 201, {}, [ { text => undef } ] ],
	[ 'defaults for what is missing', 'POST', 'logs?columns=id,text&select=text', { Prefer => 'missing=default, return=representation' }, [ { id => 101 } ], 201, { 'Preference-Applied' => qr/missing=default/ }, [ { text => 'nothing' } ] ],
	[ 'a row of defaults', 'POST', 'logs?select=id,text', {%whole}, {}, 201, {}, [ { id => 1, text => 'nothing' } ] ],
	[ 'no rows', 'POST', 'crew', {%whole}, [], 201, {}, [] ],
	[ 'into a view', 'POST', 'old_ships?select=id', {%whole}, { id => 5, ship_name => 'Eider', built => 1900 }, 201, {}, [ { id => 5 } ] ],
	[ 'a key twice', 'POST', 'crew', {}, { id => 1, name => 'Zoe' }, 409, {}, qr/"23505"/ ],
	[ 'no JSON', 'POST', 'crew', { 'Content-Type' => 'application/json' }, '{"id":', 400, {}, qr/"PGRST102"/ ],
	[ 'a form is for pages of others, too', 'POST', 'crew', { 'Content-Type' => 'application/x-www-form-urlencoded' }, 'id=1&name=x', 415, {}, undef ]);

cases('upserts',
	[ 'merging', 'POST', 'crew?select=id,wage', { Prefer => 'resolution=merge-duplicates, return=representation' }, [ { id => 1, name => 'Ada', wage => 30 }, { id => 20, name => 'Tom', wage => 50 } ], 201, { 'Preference-Applied' => qr/resolution=merge-duplicates/ }, [ { id => 1, wage => 30 }, { id => 20, wage => 50 } ] ],
	[ 'ignoring', 'POST', 'crew?select=id', { Prefer => 'resolution=ignore-duplicates, return=representation' }, [ { id => 1, name => 'Other' }, { id => 21, name => 'Uma' } ], 201, {}, [ { id => 21 } ] ],
	[ 'by another key', 'POST', 'crew?on_conflict=name&select=name,wage', { Prefer => 'resolution=merge-duplicates, return=representation' }, [ { id => 1, name => 'Ada', wage => 40 } ], 200, {}, [ { name => 'Ada', wage => 40 } ] ],
	[ 'one row by PUT', 'PUT', 'crew?id=eq.22', {%whole}, { id => 22, name => 'Sara B.', wage => 60, note => undef }, 201, {}, [ { id => 22, name => 'Sara B.', wage => 60, note => undef } ] ],
	[ 'and again', 'PUT', 'crew?id=eq.22', {}, { id => 22, name => 'Sara C.', wage => 61, note => undef }, 204, {}, '' ],
	[ 'PUT of another key', 'PUT', 'crew?id=eq.23', {}, { id => 24, name => 'x', wage => 1, note => undef }, 400, {}, qr/"PGRST115"/ ],
	[ 'PUT of a page', 'PUT', 'crew?id=eq.22&limit=1', {}, { id => 22, name => 'x', wage => 1, note => undef }, 400, {}, qr/"PGRST114"/ ]);

cases('updates and deletes',
	[ 'some rows', 'PATCH', 'crew?wage=lt.13', {}, { note => 'young' }, 204, {}, '' ],
	[ 'what was updated', 'PATCH', 'crew?id=eq.5&select=id,note', {%whole}, { note => 'x' }, 200, {}, [ { id => 5, note => 'x' } ] ],
	[ 'none', 'PATCH', 'crew?id=eq.999', {%whole}, { note => 'x' }, 200, {}, [] ],
	[ 'no more than so many', 'PATCH', 'crew?wage=eq.100', { Prefer => 'handling=strict, max-affected=1' }, { note => 'y' }, 400, {}, qr/"PGRST124"/ ],
	[ 'which changed nothing', 'GET', 'crew?note=eq.y', {}, undef, 200, {}, [] ],
	[ 'rolled back', 'DELETE', 'crew?id=eq.5', { Prefer => 'tx=rollback, return=representation' }, undef, 200, { 'Preference-Applied' => qr/tx=rollback/ }, qr/"Eve"/ ],
	[ 'which is there', 'GET', 'crew?id=eq.5&select=name', {}, undef, 200, {}, [ { name => 'Eve' } ] ],
	[ 'deleted', 'DELETE', 'crew?id=eq.6', {}, undef, 204, {}, '' ],
	[ 'deleted, and shown', 'DELETE', 'crew?id=eq.5&select=id,name', {%whole}, undef, 200, {}, [ { id => 5, name => 'Eve' } ] ],
	[ 'what was updated, in order', 'PATCH', 'crew?id=in.(1,2,3)&select=name&order=name.desc', {%whole}, { note => 'z' }, 200, {}, [ { name => 'Cid' }, { name => 'Ben' }, { name => 'Ada' } ] ],
	[ 'in an order of what is not shown', 'PATCH', 'crew?id=in.(1,2,3)&select=name,name&order=note.nullsfirst,id.desc', {%whole}, { note => 'z' }, 200, {}, qr/Cid.*Ben.*Ada/s ],
	[ 'what was inserted, in order', 'POST', 'crew?select=id&order=wage.desc', {%whole}, [ { id => 30, wage => 1, name => 'a' }, { id => 31, wage => 3, name => 'b' }, { id => 32, wage => 2, name => 'c' } ], 201, {}, [ { id => 31 }, { id => 32 }, { id => 30 } ] ],
	[ 'what was merged, in order', 'POST', 'crew?select=id&order=id.desc', { Prefer => 'resolution=merge-duplicates, return=representation' }, [ { id => 30, name => 'd' }, { id => 33, name => 'e' } ], 201, {}, [ { id => 33 }, { id => 30 } ] ],
	[ 'what was deleted, in order', 'DELETE', 'crew?id=gte.30&select=id&order=id.desc', {%whole}, undef, 200, {}, [ map { { id => $_ } } 33, 32, 31, 30 ] ],
	[ 'an order of nothing shown', 'PATCH', 'crew?id=eq.1&order=name', {}, { note => 'z' }, 204, {}, '' ],
	[ 'an order by no column', 'DELETE', 'crew?id=eq.1&order=nome', {%whole}, undef, 400, {}, qr/"42703"/ ],
	[ 'the first of them, which newer ones do not do either', 'DELETE', 'crew?limit=1&order=id', {}, undef, 400, {}, qr/"PGRST100"/ ]);

cases('preferences',
	[ 'strict', 'GET', 'ships', { Prefer => 'handling=strict, foo, bar' }, undef, 400, {}, qr/"PGRST122".*foo, bar/ ],
	[ 'lenient', 'GET', 'ships?select=id&id=eq.1', { Prefer => 'handling=lenient, foo, bar' }, undef, 200, {}, [ { id => 1 } ] ],
	[ 'a time zone', 'GET', 'ships?select=seen&id=eq.1', { Prefer => 'timezone=America/Los_Angeles' }, undef, 200, { 'Preference-Applied' => 'timezone=America/Los_Angeles' }, [ { seen => '2023-10-18T05:37:59.611-07:00' } ] ],
	[ 'hours and minutes, as PostgreSQL reads them', 'GET', 'ships?select=seen&id=eq.1', { Prefer => 'timezone=05:30' }, undef, 200, { 'Preference-Applied' => 'timezone=05:30' }, qr/-05:30"/ ],
	[ 'hours', 'GET', 'ships?select=seen&id=eq.1', { Prefer => 'timezone=-4' }, undef, 200, { 'Preference-Applied' => 'timezone=-4' }, qr/-04:00"/ ],
	[ 'none that there is, leniently', 'GET', 'ships?select=id&id=eq.1', { Prefer => 'handling=lenient, timezone=Jupiter/Red_Spot' }, undef, 400, {}, qr/"22023".*TimeZone.*Red_Spot/ ],
	[ 'none that there is, strictly', 'GET', 'ships', { Prefer => 'handling=strict, timezone=Jupiter/Red_Spot' }, undef, 400, {}, qr/"22023"/ ],
	[ 'rows beyond max-affected, leniently', 'PATCH', 'crew?id=in.(1,2)', { Prefer => 'max-affected=1' }, { note => 'z' }, 204, {}, '' ]);

cases('schemas',
	[ 'another', 'GET', 'hulls', { 'Accept-Profile' => 'dry_dock' }, undef, 200, { 'Content-Profile' => 'dry_dock' }, [ { id => 1 } ] ],
	[ 'another, for a write', 'POST', 'hulls', { %whole, 'Content-Profile' => 'dry_dock' }, { id => 2 }, 201, {}, [ { id => 2 } ] ],
	[ 'the first by itself', 'GET', 'hulls', {}, undef, 404, {}, qr/"PGRST205"/ ],
	[ 'none of these', 'GET', 'hulls', { 'Accept-Profile' => 'pg_catalog' }, undef, 406, {}, qr/"PGRST106".*harbour, dry_dock, collections/ ]);

cases('methods and pages of other origins',
	[ 'what may be', 'OPTIONS', 'ships', {}, undef, 204, { Allow => 'GET, HEAD, POST, PATCH, PUT, DELETE, OPTIONS' }, undef ],
	[ 'the question of a browser', 'OPTIONS', 'ships', { Origin => 'https://quay.example', 'Access-Control-Request-Method' => 'POST', 'Access-Control-Request-Headers' => 'prefer, content-type' }, undef, 204,
		{ 'Access-Control-Allow-Origin' => 'https://quay.example', 'Access-Control-Allow-Methods' => qr/POST/, 'Access-Control-Allow-Headers' => qr/prefer/i }, undef ],
	[ 'an answer for a page', 'GET', 'ships?select=id&id=eq.1', { Origin => 'https://quay.example' }, undef, 200, { 'Access-Control-Allow-Origin' => 'https://quay.example', 'Access-Control-Expose-Headers' => qr/Content-Range/ }, undef ],
	[ 'a method that is none', 'TRACE', 'ships', {}, undef, 405, {}, undef ]);

cases('errors',
	[ 'no column', 'GET', 'ships?select=bilt', {}, undef, 400, {}, qr/"42703".*Perhaps you meant.*built/ ],
	[ 'no table', 'GET', 'ship', {}, undef, 404, {}, qr/"PGRST205".*Perhaps you meant the table 'harbour\.ships'/ ],
	[ 'no operator', 'GET', 'ships?id=equals.1', {}, undef, 400, {}, qr/"PGRST100"/ ],
	[ 'no value of the type', 'GET', 'ships?id=eq.one', {}, undef, 400, {}, qr/"22P02"/ ],
	[ 'no rights, nobody', 'GET', 'private', {}, undef, 401, { 'WWW-Authenticate' => 'Bearer' }, qr/"42501"/ ],
	[ 'rights', 'GET', 'private', { Authorization => "Bearer $token" }, undef, 200, {}, [] ],
	[ 'a token that is none', 'GET', 'ships', { Authorization => 'Bearer x.y.z' }, undef, 401, { 'WWW-Authenticate' => qr/^Bearer/ }, qr/"PGRST30\d"/ ],
	[ 'rows within rows', 'GET', 'ships?select=id,crew(name)', {}, undef, 400, {}, qr/"PGRST200"/ ],
	[ 'an aggregate', 'GET', 'ships?select=tonnage.sum()', {}, undef, 400, {}, qr/"PGRST123"/ ]);

cases('errors of PostgreSQL',
	[ 'what it says', 'POST', 'pilots', {}, { ship => 1 }, 400, {},
		{ code => '23502', message => 'null value in column "id" of relation "pilots" violates not-null constraint', details => 'Failing row contains (null, 1, null).', hint => undef } ],
	[ 'a foreign key', 'POST', 'pilots', {}, { id => 1, ship => 99 }, 409, {}, qr/"23503"/ ],
	[ 'a check', 'POST', 'pilots', {}, { id => 11 }, 400, {}, qr/"23514"/ ],
	[ 'what a trigger says', 'POST', 'full_berths', {}, { code => 'P0001' }, 400, {}, { code => 'P0001', message => 'no place', details => 'all berths are taken', hint => 'come tomorrow' } ],
	[ 'rights, somebody', 'POST', 'full_berths', { Authorization => "Bearer $token" }, { code => '42501' }, 403, {}, qr/"42501"/ ],
	map { [ "code $_->[0]", 'POST', 'full_berths', {}, { code => $_->[0] }, $_->[1], {}, qr/"$_->[0]"/ ] }
	  [ '08000', 503 ], [ '09000', 500 ], [ '0L000', 403 ], [ '0P000', 403 ], [ '25006', 405 ], [ '25000', 500 ], [ '28000', 403 ], [ '2D000', 500 ], [ '38000', 500 ], [ '39000', 500 ], [ '3B000', 500 ],
	[ '40000', 500 ], [ '53400', 500 ], [ '53000', 503 ], [ '54000', 500 ], [ '55000', 500 ], [ '57000', 500 ], [ '57P01', 503 ], [ '57014', 500 ], [ '21000', 500 ], [ 'PGRST', 400 ], [ '58000', 500 ], [ 'F0000', 500 ], [ 'HV000', 500 ], [ 'P0000', 500 ], [ 'XX000', 500 ],
	[ '42883', 404 ], [ '42P01', 404 ], [ '42P17', 500 ], [ '42501', 401 ], [ '22000', 400 ], [ 'PT402', 402 ], [ 'PT418', 418 ]);

sub bearer { return { %whole, Authorization => 'Bearer ' . encode_jwt(payload => {@_}, alg => 'HS256', key => $secret) } }
cases('claims',
	[ 'SQL reads them', 'POST', 'pilots?select=who', bearer(role => 'master', sub => 'Ida'), { id => 1 }, 201, {}, [ { who => 'Ida' } ] ],
	[ 'no role is the anonymous one', 'GET', 'private', bearer(sub => 'Ida'), undef, 401, {}, qr/"42501"/ ],
	[ 'a role that is none', 'GET', 'private', bearer(role => 'nobody'), undef, 401, {}, qr/"22023"/ ],
	[ 'expired', 'GET', 'private', bearer(role => 'master', exp => time - 100), undef, 401, { 'WWW-Authenticate' => qr/error="invalid_token"/ }, qr/"PGRST303".*"JWT expired"/ ],
	[ 'by less than clocks differ', 'GET', 'private', bearer(role => 'master', exp => time - 10), undef, 200, {}, [] ],
	[ 'not yet', 'GET', 'private', bearer(role => 'master', nbf => time + 100), undef, 401, {}, qr/"PGRST303"/ ],
	[ 'issued later', 'GET', 'private', bearer(role => 'master', iat => time + 100), undef, 401, {}, qr/"PGRST303"/ ]);

$node->stop;
done_testing();
