# 080_settings.pl
#	  Settings and roles: what a reload changes, whom requests act as, what
#	  privileges and row-level security allow, which status an error of SQL has.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use PostgreSQL::Test::Utils;
use VecdbHttp;

my $node = http_node('settings', '', lab => 1);

sub client { return VecdbHttp::Client->new($node->{http}) }

# Set, reload, and wait for what is to be seen of it.
sub set_to
{
	my ($settings, $until) = @_;

	$node->append_conf('postgresql.conf', $settings);
	reload($node);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until($until), "reload: $settings");
	return;
}

sub status { my $answer = eval { call($node, @_) }; return $answer ? $answer->{status} : 0 }

call($node, 'POST', '/vectors', { vectors => [ map { { id => "v$_", collection => 'lab', data => [ $_, 1, 2 ] } } 1 .. 5 ] });

# --- reload of limits
my $kept = client();
is_kept($kept, 'a connection from before');
set_to('vecdb.http_max_body = 1kB', sub { status('POST', '/search', '{"vector":[1,2,3]' . ' ' x 2000 . '}') == 413 });
is($kept->request('POST', '/search', '{"vector":[1,2,3]}')->{status}, 200, 'a small body is still taken');
set_to('vecdb.http_max_body = 64MB', sub { status('POST', '/search', '{"vector":[1,2,3]' . ' ' x 2000 . '}') == 200 });
is_kept($kept, 'the connection outlived both');
set_to("vecdb.http_access_log = 'errors'", sub { my $log = -s $node->logfile; status('GET', '/stats'); status('GET', '/none'); my $new = substr(slurp_file($node->logfile), $log); $new =~ m{/none 404} && $new !~ m{/stats 200} });
set_to("vecdb.http_access_log = 'off'", sub { my $log = -s $node->logfile; status('GET', '/none'); substr(slurp_file($node->logfile), $log) !~ m{/none} });
set_to('vecdb.http_max_uri = 300', sub { status('GET', '/vectors/' . 'x' x 400) == 414 });
set_to('vecdb.http_max_uri = 20480', sub { status('GET', '/vectors/' . 'x' x 400) == 404 });

# --- reload of address and port
{
	my $lock = hold_lock($node, 1);
	my $c = client();
	$c->send(VecdbHttp::Client::compose('POST', '/vectors', { vectors => [ { id => 'moved', collection => 'lab', data => [ 1, 2, 3 ], metadata => { run => 'SELECT pg_advisory_xact_lock(1)' } } ] }));
	ok(wait_until(sub { metric($node, 'vecdb_http_executor_state{executor="0",state="busy"}') || metric($node, 'vecdb_http_executor_state{executor="1",state="busy"}') }), 'a request runs');
	my $old = $node->{http};
	$node->{http} = PostgreSQL::Test::Cluster::get_free_port();
	set_to("vecdb.http_port = $node->{http}", sub { status('GET', '/health') == 200 });
	ok(!eval { VecdbHttp::Client->new($old); 1 }, 'the old port is closed');
	release_lock($lock);
	my $answer = $c->answer;
	is(($answer // {})->{status}, 201, 'the request that ran has its answer');
	ok($c->closed, 'and then its connection is closed');

	my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', ReuseAddr => 1);
	my $log = -s $node->logfile;
	$node->append_conf('postgresql.conf', 'vecdb.http_port = ' . $taken->sockport);
	reload($node);
	ok(VecdbTest::wait_for_line($node, qr/could not listen for HTTP on 127\.0\.0\.1 port/, $log), 'a port that is taken is told in the log');
	is(status('GET', '/health'), 200, 'and the old one stays');
	set_to("vecdb.http_port = $node->{http}", sub { status('GET', '/health') == 200 });

	$log = -s $node->logfile;
	$node->append_conf('postgresql.conf', q{vecdb.http_listen = '0.0.0.0'});
	reload($node);
	ok(VecdbTest::wait_for_line($node, qr/HTTP does not listen on "0\.0\.0\.0"/, $log), 'an address beyond the machine is refused');
	is(status('GET', '/health'), 200, 'and the old one stays');
	$log = -s $node->logfile;
	$node->append_conf('postgresql.conf', 'vecdb.http_allow_remote = on');
	reload($node);
	ok(VecdbTest::wait_for_line($node, qr/HTTP listens on 0\.0\.0\.0/, $log), 'but taken when that is allowed');
	ok(wait_until(sub { status('GET', '/health') == 200 }), 'and served');
	$log = -s $node->logfile;
	$node->append_conf('postgresql.conf', "vecdb.http_allow_remote = off\nvecdb.http_listen = '::1'");
	reload($node);
	ok(VecdbTest::wait_for_line($node, qr/HTTP listens on ::1/, $log) && !eval { client(); 1 }, 'IPv6 loopback') if -e '/proc/net/if_inet6';
	set_to("vecdb.http_listen = '127.0.0.1'", sub { status('GET', '/health') == 200 });
	set_to('vecdb.http_admin_port = 0', sub { !eval { ask_admin($node, '/live') } });
	set_to("vecdb.http_admin_port = $node->{admin}", sub { eval { ask_admin($node, '/live')->{status} == 200 } });
}

# --- whom requests act as
set_to("vecdb.http_anon_role = ''", sub { status('GET', '/stats') == 401 });
my $answer = call($node, 'GET', '/stats');
is_error($answer, 401, qr/without a token/, 'no anonymous role');
is($answer->{headers}{'www-authenticate'}, 'Bearer', 'says how to be somebody');
is(status('GET', '/health'), 200, '/health needs none');
set_to("vecdb.http_anon_role = 'nobody'", sub { status('GET', '/stats') == 503 });
is_error(call($node, 'GET', '/stats'), 503, qr/role "nobody" does not exist/, 'a role that is not there');
set_to("vecdb.http_anon_role = 'postgres'", sub { (decode_raw(call($node, 'GET', '/stats'))->{message} // '') =~ /"postgres" is a superuser/ });
$node->safe_psql('postgres', 'CREATE ROLE stranger NOLOGIN');
set_to("vecdb.http_anon_role = 'stranger'", sub { (decode_raw(call($node, 'GET', '/stats'))->{message} // '') =~ /stranger|role/ && status('GET', '/stats') >= 400 });
set_to("vecdb.http_anon_role = 'vecdb_anon'", sub { status('GET', '/stats') == 200 });
{
	$node->safe_psql('postgres', 'CREATE ROLE boss LOGIN SUPERUSER');
	my $log = -s $node->logfile;
	set_to("vecdb.http_role = 'boss'", sub { status('GET', '/stats') == 503 });
	ok(wait_until(sub { substr(slurp_file($node->logfile), $log) =~ /role "boss" of vecdb\.http_role is a superuser/ }), 'executors refuse to be a superuser');
	is(ask_admin($node, '/ready')->{status}, 503, 'and are not ready');
	is(ask_admin($node, '/live')->{status}, 200, 'but live');
	is_error(call($node, 'GET', '/stats'), 503, qr/no executor is connected/, 'requests are told', '08006');
	set_to("vecdb.http_role = 'vecdb_http'", sub { status('GET', '/stats') == 200 });
}
{
	$node->safe_psql('postgres', 'CREATE DATABASE second');
	# 503 is said while executors start anew, too
	set_to("vecdb.http_database = 'second'", sub { (decode_raw(call($node, 'GET', '/stats'))->{message} // '') =~ /not installed/ });
	is_error(call($node, 'GET', '/stats'), 503, qr/"vecdb" is not installed in database "second"/, 'a database without the extension');
	$node->safe_psql('second', 'CREATE EXTENSION vecdb; GRANT USAGE, CREATE ON SCHEMA collections TO vecdb_anon');
	ok(wait_until(sub { status('GET', '/stats') == 200 }), 'with it, no reload is needed');
	same_json(call($node, 'GET', '/collections'), 200, { collections => [] }, 'and it is another database');
	call($node, 'POST', '/vectors', { vectors => [ { id => 'x', data => [ 1, 2 ] } ] });
	same_json(call($node, 'POST', '/search', { vector => [ 1, 2 ], k => 1 }), 200, { results => [ { id => 'x', score => 1, metadata => {}, collection => 'default' } ] }, 'that works');
	$node->safe_psql('second', 'DROP EXTENSION vecdb CASCADE');
	$node->safe_psql('second', 'CREATE SCHEMA apart; CREATE EXTENSION vecdb SCHEMA apart; GRANT USAGE ON SCHEMA apart TO PUBLIC; GRANT USAGE, CREATE ON SCHEMA collections TO vecdb_anon');
	same_json(call($node, 'POST', '/vectors', { vectors => [ { id => 'y', data => [ 1, 2 ] } ] }), 201, { ids => ['y'] }, 'the extension made anew, in another schema');
	is(decode_raw(call($node, 'POST', '/search', { vector => [ 1, 2 ] }))->{results}[0]{id}, 'y', 'is found there') for 1 .. 4;
	set_to("vecdb.http_database = 'postgres'", sub { status('GET', '/vectors/v1') == 200 });
	$node->safe_psql('postgres', 'DROP DATABASE second WITH (FORCE)');
}

# --- settings of the role
$node->safe_psql('postgres', q{
	ALTER ROLE vecdb_anon SET statement_timeout = '3s';
	ALTER ROLE vecdb_anon SET work_mem = '5MB';
	ALTER ROLE vecdb_anon IN DATABASE postgres SET work_mem = '6MB';
	ALTER ROLE vecdb_anon SET my.flag = 'on'});
is_error(lab_run($node, 'SELECT pg_sleep(60)'), 500, qr/statement timeout/, q{ALTER ROLE ... SET statement_timeout counts}, '57014');
is(lab_ask($node, q{SELECT current_setting('statement_timeout') || ' ' || current_setting('work_mem') || ' ' || current_setting('my.flag')}), '3s 6MB on', 'so do others, that for the database most');
is_error(lab_run($node, q{SET LOCAL statement_timeout = 0; SELECT pg_sleep(60)}), 500, qr/statement timeout/, 'a request cannot free itself from it', '57014');
is(status('POST', '/search', { vector => [ 1, 2, 3 ] }), 200, 'the next request has time again');
$node->safe_psql('postgres', 'ALTER ROLE vecdb_anon RESET ALL; ALTER ROLE vecdb_anon IN DATABASE postgres RESET ALL');
is(lab_ask($node, q{SELECT current_setting('work_mem')}), '4MB', 'reset for the role is reset for requests');
# an executor that has not read the setting yet sleeps to the end
set_to("statement_timeout = '2s'", sub { lab_run($node, 'SELECT pg_sleep(4)')->{status} == 500 });
set_to('statement_timeout = 0', sub { lab_ask($node, q{SELECT current_setting('statement_timeout')}) eq '0' });
is(lab_run($node, q{SELECT set_config('vecdb.default_metric', 'l2', false)})->{status}, 201, 'a setting');
call($node, 'POST', '/vectors', { vectors => [ { data => [1], collection => 'by_default' } ] });
is(decode_raw(call($node, 'GET', '/collections/by_default'))->{metric}, 'cosine', 'of one request is not that of another');
set_to("vecdb.default_metric = 'l2'\nvecdb.default_index_type = 'flat'", sub { call($node, 'DELETE', '/collections/by_default'); call($node, 'POST', '/vectors', { vectors => [ { data => [1], collection => 'by_default' } ] }); decode_raw(call($node, 'GET', '/collections/by_default'))->{metric} eq 'l2' });

# --- privileges
$node->safe_psql('postgres', q{SELECT vecdb.create_collection('private', 2, index_type => 'flat'); SELECT vecdb.upsert('private', 'secret', '[1,2]')});
is_deeply([ grep { $_->{name} eq 'private' } @{ decode_raw(call($node, 'GET', '/collections'))->{collections} } ], [], 'a collection that the role may not read is not listed');
is_error(call($node, 'GET', '/vectors/secret'), 404, qr/"secret"/, 'nor is its vector found');
is_error(call($node, 'GET', '/vectors/secret?collection=private'), 401, qr/permission denied/, 'nor by name', '42501');
is_error(call($node, 'POST', '/collections/private/search', { vector => [ 1, 2 ] }), 401, qr/permission denied/, 'nor searched', '42501');
is_error(call($node, 'POST', '/vectors', { vectors => [ { data => [ 1, 2 ], collection => 'private' } ] }), 401, qr/permission denied/, 'nor written', '42501');
is_error(call($node, 'DELETE', '/collections/private'), 401, qr/owner/, 'nor dropped', '42501');
is(call($node, 'GET', '/stats')->{body} =~ /"total_vectors":(\d+)/ && $1, $node->safe_psql('postgres', q{SELECT sum(rows) - 1 FROM vecdb.collections}), 'nor counted');
$node->safe_psql('postgres', 'GRANT SELECT ON collections.private TO vecdb_anon');
is(status('GET', '/vectors/secret'), 200, 'what is granted is there at once');
is_error(call($node, 'DELETE', '/vectors/secret'), 401, qr/permission denied/, 'and no more than that', '42501');
$node->safe_psql('postgres', 'REVOKE CREATE ON SCHEMA collections FROM vecdb_anon');
is_error(call($node, 'POST', '/collections', { name => 'new', dimensions => 2 }), 401, qr/permission denied/, 'creation is a privilege', '42501');
is_error(call($node, 'POST', '/vectors', { vectors => [ { data => [ 1, 2 ], collection => 'new' } ] }), 401, qr/permission denied/, 'also by a first vector', '42501');
$node->safe_psql('postgres', 'GRANT CREATE ON SCHEMA collections TO vecdb_anon');

# --- row-level security
$node->safe_psql('postgres', q{
	SELECT vecdb.create_collection('shared', 2, index_type => 'hnsw');
	GRANT ALL ON collections.shared TO vecdb_anon;
	ALTER TABLE collections.shared ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON collections.shared USING (metadata->>'owner' = current_setting('request.headers', true)::json->>'x-user');
	SELECT vecdb.upsert('shared', o || i, ARRAY[i, 1]::vector, jsonb_build_object('owner', o)) FROM unnest('{ann,bob}'::text[]) o, generate_series(1, 5) i});
my @ann = ('X-User' => 'ann');
is_deeply([ sort map { $_->{id} } @{ decode_raw(call($node, 'POST', '/collections/shared/search', { vector => [ 1, 1 ] }, @ann))->{results} } ], [ map { "ann$_" } 1 .. 5 ], 'a search gives the own rows');
is_deeply(decode_raw(call($node, 'POST', '/collections/shared/search', { vector => [ 1, 1 ] }))->{results}, [], 'and none to nobody');
is(call($node, 'GET', '/vectors/ann1', undef, @ann)->{status}, 200, 'GET of an own row');
is_error(call($node, 'GET', '/vectors/bob1', undef, @ann), 404, qr/"bob1"/, 'GET of another\'s');
is_error(call($node, 'DELETE', '/vectors/bob1', undef, @ann), 404, qr/"bob1"/, 'DELETE of another\'s');
is_error(call($node, 'POST', '/vectors', { vectors => [ { id => 'x', collection => 'shared', data => [ 1, 1 ], metadata => { owner => 'bob' } } ] }, @ann), 401, qr/row-level security/, 'a row in another\'s name', '42501');
is_error(call($node, 'POST', '/vectors', { vectors => [ { id => 'bob1', collection => 'shared', data => [ 1, 1 ], metadata => { owner => 'ann' } } ] }, @ann), 401, qr/row-level security/, 'an id that is another\'s', '42501');
same_json(call($node, 'POST', '/vectors', { vectors => [ { id => 'ann6', collection => 'shared', data => [ 1, 1 ], metadata => { owner => 'ann' } } ] }, @ann), 201, { ids => ['ann6'] }, 'an own row');
is(decode_raw(call($node, 'GET', '/collections/shared', undef, @ann))->{rows}, 6, 'rows are counted as seen');
is_deeply([ map { decode_raw(call($node, 'GET', '/collections/shared', undef, 'X-User' => $_ % 2 ? 'ann' : 'bob'))->{rows} } 1 .. 6 ], [ (6, 5) x 3 ], 'plans that are kept do not keep a user');

# --- reading does not write
$node->safe_psql('postgres', q{
	CREATE TABLE public.seen (who text); GRANT ALL ON public.seen TO vecdb_anon;
	CREATE FUNCTION public.note() RETURNS boolean LANGUAGE plpgsql VOLATILE AS 'BEGIN INSERT INTO public.seen VALUES (current_user); RETURN true; END';
	SELECT vecdb.create_collection('watched', 2, index_type => 'flat');
	GRANT ALL ON collections.watched TO vecdb_anon;
	SELECT vecdb.upsert('watched', 'w', '[1,2]');
	ALTER TABLE collections.watched ENABLE ROW LEVEL SECURITY;
	CREATE POLICY noted ON collections.watched USING (public.note())});
is_error(call($node, 'GET', '/vectors/w?collection=watched'), 405, qr/read-only transaction/, 'GET is read only', '25006');
is($node->safe_psql('postgres', 'SELECT count(*) FROM public.seen'), 0, 'and wrote nothing');
$node->safe_psql('postgres', 'DROP TABLE collections.watched');

# --- the status of an error
for my $case (
	[ 'P0001', 400 ], [ 'PT418', 418 ], [ 'PT404', 404 ], [ 'PT999', 500 ], [ '23505', 409 ], [ '23503', 409 ], [ '23514', 400 ], [ '40001', 500 ], [ '40P01', 500 ],
	[ '42501', 401 ], [ '42883', 404 ], [ '42P01', 404 ], [ '53100', 503 ], [ '53300', 503 ], [ '54000', 500 ], [ '55P03', 500 ], [ '57014', 500 ],
	[ '58030', 500 ], [ 'XX000', 500 ], [ '08000', 503 ], [ '28000', 403 ], [ '0L000', 403 ], [ '0P000', 403 ], [ '22012', 422 ], [ '25006', 405 ], [ 'ZZ123', 400 ])
{
	my ($code, $status) = @$case;
	my $got = lab_run($node, qq{DO \$\$ BEGIN RAISE EXCEPTION 'a "quoted" message' USING ERRCODE = '$code', DETAIL = E'line\\nbreak', HINT = '\x{e9}'; END \$\$});
	is_error($got, $status, qr/^a "quoted" message$/, "SQLSTATE $code", $code);
	is($got->{headers}{'retry-after'}, $status == 503 ? 1 : undef, "$code: Retry-After") if $status == 503;
	is(decode_raw($got)->{details}, "line\nbreak", "$code: details");
}
is_error(lab_run($node, q{DO $$ BEGIN PERFORM 1/0; END $$}), 422, qr/division by zero/, 'an error of arithmetic', '22012');
is_error(lab_run($node, q{SELECT * FROM no_such_table}), 404, qr/no_such_table/, 'a table that is not there', '42P01');

$node->stop;
done_testing();
