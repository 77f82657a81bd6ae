# 032_slow_readers.pl
#	  An anonymous client whose requests are small and whose answers are not, and
#	  one that asks for such answers and does not take them: neither costs the
#	  server more memory than its limits, nor the others their service.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../http";
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use VecdbHttp;

my $body_s = 4;
my $max_answer_mb = 8;
my $max_buffered_mb = 24;
my $node = http_node('slow_readers', <<"CONF");
vecdb.http_executors = 2
vecdb.http_max_answer = ${max_answer_mb}MB
vecdb.http_max_buffered = ${max_buffered_mb}MB
vecdb.http_body_timeout = ${body_s}s
vecdb.http_min_rate = 16kB
CONF
my $collection = { name => 'c', dimensions => 2, index_type => 'flat' };

call($node, 'POST', '/collections', $collection);

# The most that a process has had in memory since its mark was set back, in kB.
sub peak_kb
{
	my ($pid) = @_;

	return slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m ? $1 : undef;
}

# Runs this, and says by how many kB the process that grew most did.
sub growth_kb
{
	my ($code) = @_;
	my @pids = (executors($node), worker_pid($node, 'vecdb http front'));
	my (%before, $most);

	for my $pid (@pids)
	{
		append_to_file("/proc/$pid/clear_refs", "5\n");
		$before{$pid} = peak_kb($pid);
	}
	$code->();
	for my $pid (@pids)
	{
		my $grown = peak_kb($pid) - $before{$pid};
		$most = $grown if !defined $most || $grown > $most;
	}
	return $most;
}

sub post_row
{
	my ($id, $metadata) = @_;

	return call($node, 'POST', '/vectors', qq({"vectors":[{"id":"$id","collection":"c","data":[1,2],"metadata":$metadata}]}), 'Content-Type' => 'application/json');
}

# --- numbers that are short in JSON and long in PostgreSQL
for my $case (
	[ '1e131000', 131001 ], [ '-1E+400', 401 ], [ '1e-16000', 16001 ], [ '0e-16000', 16001 ], [ '9' x 401, 401 ],
	[ '0.' . ('3' x 400), 401 ], [ '1.5e400', 401 ], [ '1e99999999999999999999', 1000000000 ])
{
	my ($number, $digits) = @$case;
	my $shown = length $number > 30 ? substr($number, 0, 30) . '...' : $number;
	my $answer = post_row('n', qq({"a":[1,{"b":$number}]}));
	is_error($answer, 422, qr/^\Qvectors[0].metadata holds the number $shown, which has $digits digits when it is written out, more than 400\E$/, "$shown is refused", '22003');
	is((decode_raw($answer) // {})->{hint}, 'Send it as a string.', 'the way out is told');
}
is_error(call($node, 'POST', '/collections/c/search', '{"vector":[1,2],"filter":{"a":1e131000}}', 'Content-Type' => 'application/json'),
	422, qr/^filter holds the number 1e131000, which has 131001 digits/, 'so it is in a filter');
is(call($node, 'GET', '/vectors/n')->{status}, 404, 'nothing of it was stored');
for my $number ('1.7976931348623157e308', '-2.2250738585072014e-308', '5e-324', '1e399', '9' x 400, '1e-399', '0', '-0.5', '12345678901234567890.123')
{
	is(post_row('ok', qq({"a":$number}))->{status}, 201, substr($number, 0, 30) . ' is taken');
	my $got = call($node, 'GET', '/vectors/ok')->{body} =~ /"metadata":\{"a": ([^}]+)\}/ ? $1 : '';
	is($node->safe_psql('postgres', "SELECT numeric '$got' = numeric '$number', length('$got') <= 402"), 't|t', 'and comes back as it was, in no more digits');
}
# --- rows that SQL wrote
$node->safe_psql('postgres', q{
	INSERT INTO collections.c (id, data, metadata) SELECT 'sql', '[1,2]', jsonb_build_object('a', (SELECT jsonb_agg(x::text::jsonb)
		FROM (SELECT '-1.25e131000' AS x UNION ALL SELECT '1e131000' FROM generate_series(1, 1000) UNION ALL SELECT '1e-16000' UNION ALL SELECT '1234567e400' UNION ALL SELECT repeat('7', 500) UNION ALL SELECT '0e-500') s))});
my $answer;
my $grown = growth_kb(sub { $answer = call($node, 'GET', '/vectors/sql') });
is($answer->{status}, 200, 'a row of long numbers is read');
cmp_ok(length $answer->{body}, '<', 100_000, 'its ' . length($answer->{body}) . ' bytes are few');
cmp_ok($grown, '<', 20_000, "and so is the memory: $grown kB");
my ($json) = $answer->{body} =~ /"metadata":(.*),"created_at"/;
is($node->safe_psql('postgres', "SELECT metadata = '" . ($json // '{}') . "'::jsonb FROM collections.c WHERE id = 'sql'"), 't', 'no digit of them is lost');

# Every kind of value in the form that PostgreSQL gives it
$node->safe_psql('postgres', q{INSERT INTO collections.c (id, data, metadata) VALUES ('kinds', '[1,2]',
	'{"": "", "a\"b": [[], {}, [[]], {"x": {}}], "n": [0, -1, 1.50, 1e20, 1e-7], "s": "\u0001\b\f\n\r\t\\\\/\u007f\u00e9\u4e2d", "t": [true, false, null], "z": {"k": [{"l": 1}, 2]}}')});
($json) = call($node, 'GET', '/vectors/kinds')->{body} =~ /"metadata":(.*),"created_at"/;
is($json, $node->safe_psql('postgres', q{SELECT metadata FROM collections.c WHERE id = 'kinds'}), 'other values look as PostgreSQL writes them');

# --- answers beyond the limit
$node->safe_psql('postgres', q{
	INSERT INTO collections.c (id, data, metadata) VALUES
		('text', '[1,2]', jsonb_build_object('t', repeat('x', 150000000))),
		('escapes', '[1,2]', jsonb_build_object('t', repeat(chr(1), 6000000)))});
for my $id (qw(text escapes))
{
	$grown = growth_kb(sub { $answer = call($node, 'GET', "/vectors/$id") });
	is_error($answer, 500, qr/^the answer is too large: it has more than 8192 kB$/, "row \"$id\" is too large", '54000');
	like((decode_raw($answer) // {})->{hint}, qr/vecdb\.http_max_answer/, 'which setting says so is told');
	cmp_ok($grown, '<', 40_000, "and what it would be is not in memory first: $grown kB");
}
$node->safe_psql('postgres', q{DELETE FROM collections.c; INSERT INTO collections.c (id, data, metadata)
	SELECT 'm' || i, '[1,2]', jsonb_build_object('t', repeat(md5(i::text), 20000)) FROM generate_series(1, 200) i});
$grown = growth_kb(sub { $answer = call($node, 'POST', '/collections/c/search', { vector => [ 1, 2 ], k => 200 }) });
is_error($answer, 500, qr/too large/, 'many rows of 640 kB are too large together');
cmp_ok($grown, '<', 60_000, "they are not in memory first either: $grown kB");

# Messages of somebody's function
$node->safe_psql('postgres', q{
	CREATE FUNCTION public.long_message() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN RAISE EXCEPTION USING MESSAGE = repeat('long ', 4000000), DETAIL = repeat(chr(1), 20000000), HINT = repeat('é', 5000); END $$;
	SELECT vecdb.create_collection('raising', 2, index_type => 'flat'); GRANT ALL ON collections.raising TO vecdb_anon;
	CREATE TRIGGER t BEFORE INSERT ON collections.raising FOR EACH ROW EXECUTE FUNCTION public.long_message()});
$answer = call($node, 'POST', '/vectors', { vectors => [ { id => 'x', data => [ 1, 2 ], collection => 'raising' } ] });
is_error($answer, 400, qr/^(?:long )+lo\.\.\.|^(?:long )+.*\.\.\.$/, 'a message of 20 MB is cut');
cmp_ok(length $answer->{body}, '<', 6 * 3 * 8300, 'to ' . length($answer->{body}) . ' bytes with its details');

# --- who does not read
$node->safe_psql('postgres', q{DELETE FROM collections.c;
	INSERT INTO collections.c (id, data, metadata) VALUES ('small', '[1,2]', '{}'), ('large', '[1,2]', jsonb_build_object('t', repeat('y', 7000000)))});

sub reader
{
	my ($address, $buffer) = @_;
	my $c = VecdbHttp::Client->new($node->{http}, LocalAddr => $address);

	setsockopt $c->{socket}, Socket::SOL_SOCKET(), Socket::SO_RCVBUF(), $buffer // 4096;
	return $c;
}

sub ask_large
{
	my ($c) = @_;

	$c->send(VecdbHttp::Client::compose('GET', '/vectors/large?collection=c'));
	return;
}

# Again after a 503, as its Retry-After asks for.
sub insist
{
	my ($address, $seconds) = @_;
	my $until = time() + $seconds;
	my $got;

	do
	{
		my $c = VecdbHttp::Client->new($node->{http}, LocalAddr => $address);
		$got = $c->request('GET', '/vectors/large?collection=c');
		$c->close;
		usleep(200_000) if $got && $got->{status} == 503;
	} while ($got && $got->{status} == 503 && time() < $until);
	return $got;
}

sub buffered_kb { return metric($node, 'vecdb_http_buffered_bytes') / 1024 }

# With a deadline of minutes: it must not be what frees the memory.
$node->safe_psql('postgres', q{ALTER SYSTEM SET vecdb.http_body_timeout = '10min'});
reload($node);
for my $round ([ '127.0.0.2', 'another address' ], [ '127.0.0.1', 'their own address' ])
{
	my ($address, $who) = @$round;
	my @readers = map { reader('127.0.0.1') } 1 .. 6;

	ask_large($_) for @readers;
	ok(wait_until(sub { buffered_kb() > ($max_buffered_mb - 8) * 1024 }), 'clients ask for 7 MB each and read nothing, until all memory is taken');
	cmp_ok(buffered_kb(), '<=', $max_buffered_mb * 1024 + 512, 'not more');
	my $c = VecdbHttp::Client->new($node->{http}, LocalAddr => $address);
	my $got = $c->request('GET', '/vectors/small?collection=c');
	is(($got // { status => 'no answer' })->{status}, 200, "a small answer for $who is served at once");
	$got = insist($address, 180);
	is(($got // { status => 'no answer' })->{status}, 200, "and a large one for $who, for which one of them makes room");
	cmp_ok(length(($got // { body => '' })->{body}), '>', 7_000_000, 'all of it');
	cmp_ok(metric($node, 'vecdb_http_rejections_total{reason="memory"}'), '>', 0, 'they are counted');
	$_->close for @readers;
	ok(wait_until(sub { buffered_kb() == 0 }), 'and nothing of them is kept');
}
$node->safe_psql('postgres', 'ALTER SYSTEM RESET vecdb.http_body_timeout');
reload($node);

# --- progress keeps a reader alive, the size of its answer does not
{
	my $c = reader('127.0.0.1');
	my $began = time();

	ask_large($c);
	# A look may come too late to see the answer wait.
	ok(wait_until(sub { buffered_kb() > 0 || time() - $began > 2 * $body_s }), 'a client asks and reads nothing');
	ok(wait_until(sub { buffered_kb() == 0 }), 'the answer goes');
	my $took = time() - $began;
	cmp_ok($took, '>=', $body_s - 0.1, sprintf 'after %.1f s', $took);
	1 while $c->more(time() + $VecdbHttp::Client::patience);
	ok($c->{eof} && length $c->{in} < 7_000_000, 'and the client is cut off');
	$c->close;
}
{
	# 7 MB in about three times the deadline, as the clock goes, in steps
	my $c = reader('127.0.0.1', 65536);
	my $began = time();
	my $seconds = 3 * $body_s;
	my ($size, $got) = (7_000_000, 0);

	ask_large($c);
	while ($got < $size)
	{
		my $due = int($size * (time() - $began) / $seconds);
		if ($got > $due)
		{
			usleep(20_000);
			next;
		}
		my $n = IO::Select->new($c->{socket})->can_read($VecdbHttp::Client::patience) ? sysread $c->{socket}, my $piece, 65536 : 0;
		last if !$n;
		$got += $n;
	}
	cmp_ok($got, '>=', $size, sprintf 'one that reads slowly has all of it, after %.1f s', time() - $began);
	cmp_ok(time() - $began, '>', 1.5 * $body_s, 'which is more than the deadline');
	$c->close;
}

# --- bodies that stop
$node->safe_psql('postgres', q{ALTER SYSTEM SET vecdb.http_body_timeout = '10min'});
reload($node);
{
	my @senders = map { VecdbHttp::Client->new($node->{http}) } 1 .. 6;
	my $piece = ' ' x 6_000_000;

	$_->send("POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 7000000\r\n\r\n$piece") for @senders;
	ok(wait_until(sub { buffered_kb() > ($max_buffered_mb - 8) * 1024 }), 'clients send 6 of 7 MB and stop, until all memory is taken');
	my $body = '{"vectors":[{"id":"b","collection":"c","data":[1,2],"metadata":{"t":"' . ('z' x 3_000_000) . '"}}]}';
	my $until = time() + 180;
	my $got;
	do
	{
		$got = call($node, 'POST', '/vectors', $body, 'Content-Type' => 'application/json');
		usleep(200_000) if $got && $got->{status} == 503;
	} while ($got && $got->{status} == 503 && time() < $until);
	is(($got // { status => 'no answer' })->{status}, 201, 'a body that comes whole finds room');
	$_->close for @senders;
}
is_kept(VecdbHttp::Client->new($node->{http}), 'and all goes on');
$node->stop;
done_testing();
