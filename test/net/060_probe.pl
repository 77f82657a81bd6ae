# vecdb-probe, the second implementation of datagrams and greetings, with a real node and
# with what answers as no node should; and a real node with greetings that are odd.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use IO::Socket::IP;
use JSON::PP;
use Test::More;
use VecdbNet;

my $tools = $VecdbNet::tools;
my $long = 60;	# seconds that a probe has which does not need them

# Its exit status, output and error output.
sub probe
{
	my (@args) = @_;

	return run([ 'vecdb-probe', @args ]);
}

# Its JSON; with its exit status in it.
sub probe_json
{
	my (@args) = @_;
	my ($status, $out, $err) = probe('--json', @args);
	my $json = eval { decode_json($out) } // {};

	diag("vecdb-probe @args: $out$err") if !%$json;
	return { %$json, status => $status };
}

sub outcome_is
{
	my ($json, $status, $outcome, $pattern, $name) = @_;

	is("$json->{status} " . ($json->{exit_status} // '') . ' ' . ($json->{outcome} // ''), "$status $status $outcome", $name);
	like($json->{message} // '', $pattern, 'it says why');
	return;
}

# ---------------------------------------------------------------------------
# The command line

my ($status, $out, $err) = probe('--help');
is($status, 0, '--help');
like($out, qr/Usage:.*--network=NAME.*Exit status:.*12  /s, 'tells options and statuses');
($status, $out) = probe('--version');
like($out, qr/^vecdb-probe \d+\.\d+\.\d+$/, '--version');
for my $bad ([], ['--nothing', 'localhost'], ['a', 'b'], ['127.0.0.1:0'], ['127.0.0.1:65536'], ['127.0.0.1:77x'], ['[::1'], [':7777'], ['x' x 300],
	['--timeout=0', 'localhost'], ['--timeout=nan', 'localhost'], ['--key=12', 'localhost'], ['--key=' . 'x' x 64, 'localhost'],
	['--invitation=/nowhere', 'localhost'], ['--invitation=/dev/null', 'localhost'])
{
	($status, $out, $err) = probe(@$bad);
	is("$status $out", '2 ', "\"@$bad\" is not understood");
	like($err, qr/^vecdb-probe: .+\nTry "vecdb-probe --help"\.\n$/, 'which it says in a line');
}
outcome_is(probe_json('nowhere.invalid'), 3, 'unresolved', qr/"nowhere\.invalid"/, 'a name without an address');

# ---------------------------------------------------------------------------
# A real node

my $node = new_node('node')->start;
my $id = $node->id;
my $key = $node->curve_key;
my $at = $node->address;
my $offset = $node->log_length;

($status, $out, $err) = probe("--timeout=$long", $at);
is("$status $err", '0 ', 'a node answers by UDP and by TCP');
like($out, qr/^\Q$at\E$/m, 'the text begins with what was asked');
like($out, qr/^  id +$id$/m, 'its id');
like($out, qr/^  CURVE key +$key$/m, 'its CURVE key');
like($out, qr/^  tells others +\Q$at\E answers$/m, 'its address, which works');
like($out, qr/^  protocol +1$/m, 'the protocol');
like($out, qr/^  network +vecdb$/m, 'the network');
like($out, qr/^  $_ +answers in [\d.]+ ms$/m, "$_ answers") for qw(UDP TCP);
like($out, qr/^ok: the node answers by UDP and by TCP$/m, 'what that comes to');

my $json = probe_json("--timeout=$long", $at);
outcome_is($json, 0, 'ok', qr/answers/, 'the same as JSON');
is($json->{node}{id}, $id, 'its id');
is($json->{node}{curve_key}, $key, 'its CURVE key, as the other implementation reads it');
is_deeply($json->{node}{addresses}, [ { address => $at, tcp => 'answers' } ], 'its address, which works');
is_deeply($json->{versions}, { least => 1, greatest => 1 }, 'the protocol');
is($json->{network}, 'vecdb', 'the network');
cmp_ok(abs($json->{clock_difference_ms}), '<', 60000, 'two clocks of one machine are no minute apart');
is($json->{$_}{state}, 'answers', "$_ answers") for qw(udp tcp);
cmp_ok($json->{$_}{round_trip_ms}, '>', 0, "$_ takes time") for qw(udp tcp);
cmp_ok($json->{udp}{answer_bytes}, '>', 0, 'the answer has bytes');
cmp_ok($json->{udp}{answer_bytes}, '<=', 2 * $json->{udp}{ask_bytes}, 'at most twice those of the question');
is($json->{target}, $at, 'what was asked');
is(probe_json("--timeout=$long", 'localhost:' . $node->{port})->{node}{id}, $id, 'by name');
is($node->count_log(qr/refused/, $offset), 0, 'the node has refused nothing of it');
ok($node->wait_sql('SELECT count(*) FROM vecdb.peers()', '0'), 'and has no peer afterwards');

# Keys, networks, invitations
outcome_is(probe_json("--timeout=$long", "--key=$key", $at), 0, 'ok', qr/answers/, 'with its key');
outcome_is(probe_json("--timeout=8", '--key=' . '5a' x 32, $at), 11, 'strange', qr/another node answers than the one of the key/, "with another's");
outcome_is(probe_json('--timeout=8', '--network=elsewhere', "--key=$key", $at), 7, 'network', qr/another network than "elsewhere"/, 'of another network');
outcome_is(probe_json('--timeout=8', '--network=elsewhere', $at), 6, 'tcp_only', qr/another network than "elsewhere", or.*--key tells which/, 'which cannot be told without its key');
outcome_is(probe_json('--timeout=8', '--network=elsewhere', '--key=' . '5a' x 32, $at), 11, 'strange', qr/does not answer a greeting to key 5a5a5a5a/, 'nor with a wrong one');
$node->sql(q{SELECT vecdb.create_collection('letters', 3)});
my $invitation = $node->invite('letters', 'writer');
my $file = "$node->{data}.invitation";
open(my $fh, '>', $file) or die "could not write $file: $!";
print $fh "$invitation\n";
close $fh;
$json = probe_json("--timeout=$long", "--invitation=$file");
outcome_is($json, 0, 'ok', qr/answers/, 'the node of an invitation');
is("$json->{target} $json->{node}{id}", "$at $id", 'is found by that alone');
($status, $out) = run([ 'vecdb-probe', "--timeout=$long", '--invitation=-', $at ], stdin => $file);
is($status, 0, 'also on standard input');
unlike($out, qr/\Q@{[ substr($invitation, 7, 40) ]}\E/, 'the invitation is not told');
open($fh, '>', $file) or die "could not write $file: $!";
print $fh $invitation =~ s/.(.{3})$/-$1/r, "\n";
close $fh;
($status, $out, $err) = probe("--invitation=$file");
like("$status $err", qr/^2 vecdb-probe: the invitation cannot be used: it is mistyped$/m, 'one that is mistyped is refused');
unlink $file;

# Clocks
for my $off (3600, -7200, 82800)
{
	local $ENV{LD_PRELOAD} = "$tools/other_time.so";
	local $ENV{OTHER_TIME} = $off * 1000;

	$json = probe_json('--timeout=20', $at);
	outcome_is($json, 9, 'clock', $off > 0 ? qr/clock is \d+ s behind the one here, and nodes allow 300 s/ : qr/clock is \d+ s ahead of the one here/,
		"a clock that is off by $off s");
	cmp_ok(abs($json->{clock_difference_ms} + $off * 1000), '<', 60000, 'by how much');
	is($json->{node}{id}, $id, 'and whose');
}

# Addresses
$node->set('vecdb.advertise' => '127.0.0.1:' . free_port());
ok(wait_until(sub { $json = probe_json('--timeout=8', $at); ($json->{node}{addresses}[0]{address} // '') ne $at }), 'a node that tells of another address');
outcome_is($json, 12, 'addresses', qr/tells other nodes 127\.0\.0\.1:\d+, where it does not \(nobody listens there\): set vecdb\.advertise/, 'where it is not');
is($json->{node}{addresses}[0]{tcp}, 'refused', 'it says what is there');

# ---------------------------------------------------------------------------
# Greetings that are odd, for a real node

my $seed = 100;
for my $case ([ good => qr/welcome from $id/ ], [ extra => qr/welcome/ ], [ extras => qr/welcome/ ], [ full => qr/welcome/ ], [ later => qr/welcome/ ],
	[ range => qr/error 1 / ], [ order => qr/error 1 / ], [ twice => qr/error 1 / ], [ belongs => qr/error 1 / ], [ critical => qr/error 1 / ], [ cut => qr/error 1 / ])
{
	my ($kind, $pattern) = @$case;

	$seed++;
	like(hostile($node, "--seed=$seed", "--key=$key", "hello=$kind"), qr/^hello=$kind: $pattern/, "a greeting that is $kind");
}
$node->is_sound;

# ---------------------------------------------------------------------------
# What is no node

outcome_is(probe_json('--timeout=8', '127.0.0.1:' . free_port()), 4, 'nothing', qr/nothing answers on port \d+, by UDP \(nobody listens there\) or by TCP \(nobody listens there\)/,
	'a port where nobody listens');

# Options of the false node, those of the probe, exit status, outcome, words.
my $none = qr/is no node/;
my @cases = (
	[ [], [], 0, 'ok', qr/answers by UDP and by TCP/ ],

	# greetings that are odd and legal
	(map { [ ["--hello=$_"], [], 0, 'ok', qr/answers by UDP and by TCP/ ] } qw(extra extras full later extension)),
	[ ['--hello=error=4'], [], 10, 'refused', qr/code 4, as "told": its log/ ],
	[ ['--hello=error=999'], [], 10, 'refused', qr/code 999, as "told"/ ],
	[ ['--hello=error=3'], [], 7, 'network', qr/another network/ ],
	[ ['--hello=error=2'], [], 8, 'version', qr/no version/ ],
	[ ['--hello=error=8'], [], 9, 'clock', qr/clock/ ],
	[ ['--hello=newer'], [], 8, 'version', qr/no version/ ],
	[ ['--hello=network'], [], 7, 'network', qr/another network/ ],

	# and those that are not
	[ ['--hello=error=6'], [], 11, 'strange', qr/text of its error is none/ ],
	[ ['--hello=critical'], [], 11, 'strange', qr/critical item/ ],
	[ ['--hello=marked'], [], 11, 'strange', qr/does not belong/ ],
	[ ['--hello=belongs'], [], 11, 'strange', qr/does not belong/ ],
	[ ['--hello=order'], [], 11, 'strange', qr/not in order/ ],
	[ ['--hello=twice'], [], 11, 'strange', qr/twice/ ],
	[ ['--hello=lacks'], [], 11, 'strange', qr/lacks an item/ ],
	[ ['--hello=range'], [], 11, 'strange', qr/no range/ ],
	[ ['--hello=zero'], [], 11, 'strange', qr/no range/ ],
	[ ['--hello=version'], [], 11, 'strange', qr/another version than 1/ ],
	[ ['--hello=long'], [], 11, 'strange', qr/too long/ ],
	[ ['--hello=length'], [], 11, 'strange', qr/not as long as it says/ ],
	[ ['--hello=cut'], [], 11, 'strange', qr/cut off/ ],
	[ ['--hello=flags'], [], 11, 'strange', qr/unknown flags/ ],
	[ ['--hello=collection'], [], 11, 'strange', qr/names a collection/ ],
	[ ['--hello=forged'], [], 11, 'strange', qr/signature of its record/ ],
	[ ['--hello=criticalextension'], [], 11, 'strange', qr/critical extension/ ],
	[ ['--hello=stolen'], [], 11, 'strange', qr/record of another node/ ],
	[ ['--hello=disagree'], [], 11, 'strange', qr/another network than its record/ ],
	[ ['--hello=expired'], [], 9, 'clock', qr/has expired/ ],
	[ ['--hello=type'], [], 11, 'strange', qr/something else than was asked/ ],
	[ ['--hello=two'], [], 11, 'strange', qr/several parts/ ],
	(map { [ ["--hello=$_"], ['--timeout=8'], 11, 'strange', qr/does not answer a greeting/ ] } qw(mute ask request flood parts)),

	# ports
	[ [ '--tcp=closed' ], ['--timeout=8'], 5, 'udp_only', qr/TCP port \d+ does not \(nobody listens there\).*open TCP port/ ],
	[ [ '--udp=closed' ], ['--timeout=8'], 6, 'tcp_only', qr/UDP port \d+ does not answer \(nobody listens there\).*--key/ ],
	[ [ '--udp=closed' ], [ '--timeout=8', '--key' ], 6, 'tcp_only', qr/TCP port \d+ answers, UDP port \d+ does not \(nobody listens there\)/ ],
	[ [ '--udp=mute' ], [ '--timeout=8', '--key' ], 6, 'tcp_only', qr/TCP port \d+ answers, UDP port \d+ does not \(no answer in time\)/ ],
	[ [ '--udp=closed', '--tcp=mute' ], ['--timeout=8'], 11, 'strange', $none ],
	[ ['--tcp=mute'], ['--timeout=8'], 11, 'strange', $none ],
	[ ['--tcp=text'], ['--timeout=8'], 11, 'strange', $none ],
	[ ['--tcp=null'], ['--timeout=8'], 11, 'strange', $none ],
	[ ['--tcp=key'], ['--timeout=8'], 11, 'strange', qr/speaks CURVE, and does not answer/ ],
	[ ['--udp=key'], ['--timeout=8'], 11, 'strange', qr/speaks CURVE, and does not answer/ ],
	[ ['--tcp=loworder'], [], 11, 'strange', qr/ended by signal 6: libzmq gives up/ ],

	# datagrams
	[ ['--udp=noise'], ['--timeout=8'], 11, 'strange', qr/does not begin/ ],
	[ ['--udp=flood'], ['--timeout=8'], 11, 'strange', qr/does not begin/ ],
	[ ['--udp=long'], ['--timeout=8'], 11, 'strange', qr/too long/ ],
	[ ['--udp=cut'], ['--timeout=8'], 11, 'strange', qr/not as long as it says/ ],
	[ ['--udp=kind'], ['--timeout=8'], 11, 'strange', qr/no announcement/ ],
	[ ['--udp=record'], ['--timeout=8'], 11, 'strange', qr/signature of its record/ ],
	[ ['--udp=datagram'], ['--timeout=8'], 11, 'strange', qr/signature of its datagram/ ],
	[ ['--udp=nonce'], ['--timeout=8'], 11, 'strange', qr/answers no ask/ ],
	[ ['--udp=network'], ['--timeout=8'], 7, 'network', qr/another network/ ],

	# clocks, networks, addresses
	[ ['--clock=200000'], [], 0, 'ok', qr/answers/ ],
	[ ['--clock=200000'], ['--max-clock-skew=100'], 9, 'clock', qr/200 s ahead of the one here, and nodes allow 100 s/ ],
	[ ['--clock=-40000000'], ['--timeout=20'], 9, 'clock', qr/40000 s behind the one here/ ],
	[ ['--network=of "us"'], ['--network=of "us"'], 0, 'ok', qr/answers/ ],
	[ ['--tell=127.0.0.1:1'], ['--timeout=8'], 12, 'addresses', qr/tells other nodes 127\.0\.0\.1:1, where it does not/ ],
);

# Many side by side: each waits for most of its time.
sub probe_cases
{
	my (@part) = @_;

	for my $case (@part)
	{
		my ($options, $args) = @$case;
		my $port = free_port();
		my $false = VecdbNet::background_start(qr/^ready/m, "$tools/false_node", @$options, '127.0.0.1', $port);
		my ($curve) = VecdbNet::slurp($false->{out}) =~ /curve=(\w+)/;
		my @args = map { $_ eq '--key' ? "--key=$curve" : $_ } @$args;

		@args = ("--timeout=$long", @args) if !grep { /^--timeout/ } @args;
		push @$case, $false, VecdbNet::background_start(qr//, 'bash', '-c', '"$@"; echo "status $?"', 'sh', 'vecdb-probe', '--json', @args, "127.0.0.1:$port");
	}
	for my $case (@part)
	{
		my ($options, $args, $expected, $outcome, $pattern, $false, $probe) = @$case;

		ok(wait_until(sub { VecdbNet::slurp($probe->{out}) =~ /^status/m }), "\"@$options\", the probe \"@$args\", comes to an end");
		my $said = background_stop($probe);
		my ($line) = $said =~ /^(\{.*\})$/m;
		my $result = eval { decode_json($line) } // {};

		diag($said) if !%$result;
		background_stop($false);
		$result->{status} = $said =~ /^status (\d+)/m ? $1 : -1;
		outcome_is($result, $expected, $outcome, $pattern, "it is $outcome");
	}
	return;
}

probe_cases(splice(@cases, 0, 12)) while @cases;

# ---------------------------------------------------------------------------
# IPv6, and firewalls

SKIP:
{
	my $six = IO::Socket::IP->new(LocalHost => '::1', Proto => 'tcp', Listen => 1) or skip 'there is no IPv6 here', 2;
	close $six;
	my $v6 = new_node('v6', conf => { 'vecdb.listen' => '::1' })->start;
	my $port = $v6->{port};

	ok($v6->wait_sql(q{SELECT state FROM vecdb.stat_workers WHERE kind = 'node'}, 'running'), 'a node of IPv6');
	($status, $out) = probe("--timeout=$long", "[::1]:$port");
	like("$status\n$out", qr/^0\n\[::1\]:$port\n.*^  tells others +\[::1\]:$port answers$/ms, 'by its address');
	is((probe('-6', "--timeout=$long", "localhost:$port"))[0], 0, 'and by name') if `getent ahostsv6 localhost` =~ /^::1\s/;
	$v6->stop;
}

my $why = no_namespaces();
SKIP:
{
	skip $why, 9 if $why;
	make_switch();
	my $hidden = new_node('hidden', place => 'v4')->start;
	my @nft = $hidden->inside('nft');
	my $where = $hidden->address;
	my $of = sub {
		my (@args) = @_;
		my ($code, $said) = run([ $hidden->inside('vecdb-probe', '--json', '--timeout=8', @args, $where) ]);

		my $read = eval { decode_json($said) } // {};

		return { %$read, status => $code };
	};
	my $rule = sub { VecdbNet::must_run([ @nft, $_ ]) for 'flush ruleset', 'add table inet f', 'add chain inet f in { type filter hook input priority 0; }', "add rule inet f in @_" };

	my $open = $of->();
	outcome_is($open, 0, 'ok', qr/answers/, 'a node in a namespace');
	$rule->('tcp dport 7777 drop');
	outcome_is($of->(), 5, 'udp_only', qr/TCP port 7777 does not \(no answer in time\)/, 'whose firewall drops TCP');
	$rule->('tcp dport 7777 reject');
	outcome_is($of->(), 5, 'udp_only', qr/TCP port 7777 does not/, 'or rejects it');
	$rule->('udp dport 7777 drop');
	outcome_is($of->(), 6, 'tcp_only', qr/UDP is closed by a firewall/, 'whose firewall drops UDP');
	outcome_is($of->("--key=$open->{node}{curve_key}"), 6, 'tcp_only', qr/TCP port 7777 answers/, 'and with its key');
	$rule->('meta l4proto { tcp, udp } th dport 7777 drop');
	outcome_is($of->(), 4, 'nothing', qr/by UDP \(no answer in time\) or by TCP \(no answer in time\)/, 'whose firewall drops both');
}

done_testing;
