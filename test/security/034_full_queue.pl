# 034_full_queue.pl
#	  An anonymous client that has more requests wait than the queue has places,
#	  or holds more connections than there may be: it waits for itself, and others
#	  are served in their turn.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../http";
use Test::More;
use VecdbHttp;

my $places = 8;
my $node = http_node('full_queue', <<"CONF", lab => 1);
vecdb.http_executors = 1
vecdb.http_max_queue = $places
CONF
my $slow = { vectors => [ { id => 's', collection => 'lab', data => [ 1, 2, 3 ], metadata => { run => 'SELECT pg_advisory_xact_lock_shared(1)' } } ] };

sub from
{
	my ($address) = @_;

	return VecdbHttp::Client->new($node->{http}, LocalAddr => $address);
}

sub ask_for_slow
{
	my ($count, $address) = @_;
	my @clients = map { from($address) } 1 .. $count;

	$_->send(VecdbHttp::Client::compose('POST', '/vectors', $slow)) for @clients;
	return @clients;
}

sub depth_is
{
	my ($depth, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until(sub { metric($node, 'vecdb_http_queue_depth') == $depth }), $name);
	return;
}

sub is_running
{
	return wait_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}) == 1 });
}

sub statuses { return [ map { ($_->answer // {})->{status} // 'none' } @_ ] }

# --- a queue full of one address's requests has a place for another's
{
	my $lock = hold_lock($node, 1);
	my @greedy = ask_for_slow(1, '127.0.0.1');
	ok(is_running(), 'the executor is busy');
	push @greedy, ask_for_slow($places, '127.0.0.1');
	depth_is($places, 'one address has all places');
	my $refused = from('127.0.0.1');
	is_error($refused->request('GET', '/collections/lab'), 503, qr/^too many requests are waiting$/, 'it has no other', '53400');

	my $before = metric($node, 'vecdb_http_rejections_total{reason="queue"}');
	my $other = from('127.0.0.2');
	$other->send(VecdbHttp::Client::compose('GET', '/collections/lab'));
	ok(wait_until(sub { metric($node, 'vecdb_http_rejections_total{reason="queue"}') == $before + 1 }), 'for a request of another address one of them is refused');
	is_error($greedy[-1]->answer, 503, qr/^too many requests are waiting$/, 'which is the latest', '53400');
	is_kept($greedy[-1], 'its connection is good');
	depth_is($places, 'the queue is as full as it was');

	# Each has half of the places in the end.
	my @others = ask_for_slow($places / 2 - 1, '127.0.0.2');
	ok(wait_until(sub { metric($node, 'vecdb_http_rejections_total{reason="queue"}') == $before + $places / 2 }), 'two addresses share the places');
	is_error(from('127.0.0.2')->request('GET', '/collections/lab'), 503, qr/^too many requests are waiting$/, 'and neither gets more', '53400');
	release_lock($lock);
	is_deeply(statuses(@greedy[ 0 .. $places / 2 ]), [ (201) x ($places / 2 + 1) ], 'those that kept their places are served');
	is_deeply(statuses($other, @others), [ 200, (201) x ($places / 2 - 1) ], 'of both addresses');
	$_->close for @greedy, $other, @others;
}

# --- addresses take turns: a request waits for one of each other address at most
{
	my $lock = hold_lock($node, 1);
	my @running = ask_for_slow(1, '127.0.0.1');
	ok(is_running(), 'the executor is busy');
	my $row = { id => 'turn', collection => 'lab', data => [ 1, 2, 3 ], metadata => { run => q{INSERT INTO turns SELECT current_setting('request.headers')::json->>'x-name'} } };
	$node->safe_psql('postgres', 'CREATE TABLE turns (name text, n serial); GRANT ALL ON turns, turns_n_seq TO vecdb_anon');
	my @waiting;
	my $depth = 0;
	for my $who ([ a1 => '127.0.0.1' ], [ a2 => '127.0.0.1' ], [ a3 => '127.0.0.1' ], [ b1 => '127.0.0.2' ], [ b2 => '127.0.0.2' ], [ c1 => '127.0.0.3' ])
	{
		my ($name, $address) = @$who;
		my $c = from($address);

		$c->send(VecdbHttp::Client::compose('POST', '/vectors', { vectors => [ $row ] }, 'X-Name' => $name));
		push @waiting, $c;
		depth_is(++$depth, "$name waits");
	}
	release_lock($lock);
	is_deeply(statuses(@running, @waiting), [ (201) x 7 ], 'all are served');
	is($node->safe_psql('postgres', q{SELECT string_agg(name, ' ' ORDER BY n) FROM turns}), 'a1 b1 c1 a2 b2 a3', 'in turns of their addresses');
	$_->close for @running, @waiting;
}

# --- one that hangs up leaves the queue to the others
{
	my $lock = hold_lock($node, 1);
	my @greedy = ask_for_slow(1, '127.0.0.1');
	ok(is_running(), 'the executor is busy');
	push @greedy, ask_for_slow($places, '127.0.0.1');
	depth_is($places, 'the queue is full');
	$_->close for @greedy[ 1 .. $places ];
	depth_is(0, 'it is empty when they have gone');
	release_lock($lock);
	is_deeply(statuses($greedy[0]), [201], 'the one that runs is served');
	$greedy[0]->close;
}

# --- connections that are all taken, none of them idle
{
	my $most = 40;
	$node->append_conf('postgresql.conf', "vecdb.http_max_connections = $most\nvecdb.http_max_connections_per_address = " . $most / 2 . "\nvecdb.http_header_timeout = 180s\nvecdb.http_body_timeout = 180s");
	my $log = -s $node->logfile;
	reload($node);
	ok(VecdbTest::wait_for_line($node, qr/HTTP listens on/, $log), 'a limit of connections');

	my $honest = from('127.0.0.2');
	$honest->send('POST /vectors HTTP/1.1');
	ok(wait_until(sub { metric($node, 'vecdb_http_connections') == 1 }), 'one client sends a request slowly');

	# What each sends before it stops, and how far that brings it.
	for my $start ('', "POST /vectors HTTP/1.1\r\nHost: loc", VecdbHttp::Client::compose('POST', '/vectors', '{', 'Content-Length' => 100))
	{
		my $name = substr($start, 0, 4) eq '' ? 'nothing' : $start =~ /\{/ ? 'a piece of a body' : 'a piece of a head';
		my @greedy;

		for my $i (0 .. $most - 2)
		{
			my $c = from($i % 2 ? '127.0.0.3' : '127.0.0.4');
			$c->send($start);
			push @greedy, $c;
		}
		ok(wait_until(sub { metric($node, 'vecdb_http_connections') >= $most - 1 }), "two addresses take all connections and send $name");
		for my $address ('127.0.0.2', '127.0.0.5')
		{
			my $c = from($address);
			$c->send(VecdbHttp::Client::compose('GET', '/health'));
			is(($c->answer // {})->{body}, 'OK', "$address is served");
			$c->close;
		}
		$_->close for @greedy;
		ok(wait_until(sub { metric($node, 'vecdb_http_connections') == 1 }), 'the greedy have gone, the slow one is there');
	}
	$honest->send("\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
	is(($honest->answer // {})->{status}, 422, 'and has its answer');
	$honest->close;
}

$node->stop;
done_testing();
