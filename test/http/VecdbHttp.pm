# VecdbHttp.pm
#	  What the tests of HTTP share: servers with it, a client that sends any
#	  bytes, and the form that answers and errors must have.
#
# The client is a plain socket: what a well-behaved HTTP client would never send
# is half of what is tested.  Every wait has a bound, and a test that runs into
# it fails and goes on.
package VecdbHttp;

use strict;
use warnings;
use Exporter 'import';
use FindBin;
use lib "$FindBin::RealBin/../t";
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use VecdbTest qw(wait_until);

our @EXPORT = qw(http_node base_url call ask_admin metrics metric decode encode decode_raw same_json is_error is_kept
	is_refused lab_run lab_ask hold_lock hold_sql release_lock executors worker_pid memory_kb library_is_strict reload wait_until wait_ready roles_sql js_clients js_cases);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;

# As doc/http.md says: the role that executors connect as, and the one that requests
# act as.
sub roles_sql
{
	return q{
		CREATE ROLE vecdb_anon NOLOGIN; CREATE ROLE vecdb_http LOGIN NOINHERIT; GRANT vecdb_anon TO vecdb_http;
		GRANT USAGE, CREATE ON SCHEMA collections TO vecdb_anon;
	};
}

# A server that serves HTTP; deadlines are such that a busy processor keeps nobody
# from them, unless a test sets its own.  Ports are in $node->{http} and $node->{admin}.
# With lab => 1 it has the collection "lab", of three dimensions, whose trigger
# runs SQL that a row brings with it, as the role of the request: see lab_run.
sub http_node
{
	my ($name, $conf, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->{http} = PostgreSQL::Test::Cluster::get_free_port();
	$node->{admin} = PostgreSQL::Test::Cluster::get_free_port();
	$node->append_conf('postgresql.conf', <<"CONF" . ($conf // ''));
log_statement = none
autovacuum = off
shared_preload_libraries = 'vecdb'
vecdb.http_port = $node->{http}
vecdb.http_admin_port = $node->{admin}
vecdb.http_hosts = 'x'
vecdb.http_header_timeout = 10min
vecdb.http_body_timeout = 10min
vecdb.http_idle_timeout = 10min
CONF
	$node->start;
	return $node if $options{bare};
	$node->safe_psql('postgres', 'CREATE EXTENSION vecdb;' . roles_sql());
	$node->safe_psql('postgres', <<'SQL') if $options{lab};
		CREATE FUNCTION public.lab() RETURNS trigger LANGUAGE plpgsql AS $$
		DECLARE
			answer text;
		BEGIN
			IF NEW.metadata ? 'run' THEN
				EXECUTE NEW.metadata->>'run';
			END IF;
			IF NEW.metadata ? 'ask' THEN
				EXECUTE NEW.metadata->>'ask' INTO answer;
				NEW.metadata := pg_catalog.jsonb_build_object('answer', answer);
			END IF;
			RETURN NEW;
		END $$;
		SELECT vecdb.create_collection('lab', 3, index_type => 'flat');
		GRANT ALL ON collections.lab TO vecdb_anon;
		CREATE TRIGGER lab BEFORE INSERT ON collections.lab FOR EACH ROW EXECUTE FUNCTION public.lab();
SQL
	reload($node);
	wait_ready($node) or BAIL_OUT("HTTP of $name did not become ready");
	return $node;
}

sub reload
{
	my ($node) = @_;

	$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
	return;
}

# Skip all where there is nothing to run the clients of JavaScript with.
sub js_clients
{
	plan(skip_all => $ENV{VECDB_JS_CLIENTS_MISSING} // 'VECDB_JS_CLIENTS names no directory') unless $ENV{VECDB_JS_CLIENTS};
	my ($major) = (`node --version 2>/dev/null` // '') =~ /^v(\d+)/;
	plan(skip_all => 'the clients run on node 20 and later') if ($major // 0) < 20;
	return;
}

# The cases that a program of JavaScript tells, each a line {name, got, expected}; the
# last is its end.
sub js_cases
{
	my ($program, @arguments) = @_;
	my ($out, $err, $last) = ('', '', '');
	my $run = IPC::Run::run([ 'node', "$FindBin::RealBin/$program", $ENV{VECDB_JS_CLIENTS}, @arguments ], '<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));

	ok($run, "$program has run") or diag($err);
	for my $line (split /\n/, $out)
	{
		my $case = decode($line);

		is_deeply($case->{got}, $case->{expected}, $case->{name}) or diag(explain($case->{got}));
		$last = $case->{name};
	}
	is($last, 'the end', 'to the end');
	return;
}

# All executors are connected, and the front listens.
sub wait_ready
{
	my ($node, $seconds) = @_;

	return wait_until(
		sub {
			my $m = eval { metrics($node) } or return 0;
			my @down = grep { /^vecdb_http_executor_state\{.*state="down"/ && $m->{$_} } keys %$m;
			!@down && eval { ask_admin($node, '/ready')->{status} == 200 } && eval { call($node, 'GET', '/health')->{status} == 200 };
		},
		$seconds);
}

sub base_url { return "http://127.0.0.1:$_[0]{http}" }

sub decode { return $json->decode($_[0]) }
sub encode { return $json->encode($_[0]) }

# An answer's body; undef when it is no JSON.
sub decode_raw
{
	my ($answer) = @_;

	return $answer ? eval { $json->decode($answer->{body}) } : undef;
}

sub same_json
{
	my ($answer, $status, $expected, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_deeply([ $answer ? $answer->{status} : undef, decode_raw($answer) ], [ $status, $expected ], $name)
	  or diag($answer ? $answer->{body} : 'no answer');
	return;
}

# One request on a connection of its own.  The body may be a structure.
sub call
{
	my ($node, $method, $path, $body, %headers) = @_;
	my $c = VecdbHttp::Client->new($node->{http});
	my $answer = $c->request($method, $path, $body, Connection => 'close', %headers);

	$c->close;
	return $answer;
}

sub ask_admin
{
	my ($node, $path, $method) = @_;
	my $c = VecdbHttp::Client->new($node->{admin});
	my $answer = $c->request($method // 'GET', $path, undef, Connection => 'close');

	$c->close;
	return $answer;
}

# /metrics as a hash of "name{labels}" to value.
sub metrics
{
	my ($node) = @_;
	my $answer = ask_admin($node, '/metrics');

	return { map { /^([a-z_]+(?:\{.*\})?) (\S+)$/ ? ($1 => $2) : () } split /\n/, $answer->{body} };
}

sub metric
{
	my ($node, $name) = @_;

	return metrics($node)->{$name} // 0;
}

# From 1.0 on libmicrohttpd refuses by itself most of what it cannot read in one
# way only; before that we do.
sub library_is_strict
{
	my ($node) = @_;
	my ($version) = map { /^vecdb_http_info\{.*version="(\d+)/ } keys %{ metrics($node) };

	return $version >= 1;
}

# The form of every error: four members, the status, a code, and a message like this.
sub is_error
{
	my ($answer, $status, $message, $name, $code) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $body = decode_raw($answer);
	my $why =
	    !$answer ? 'no answer'
	  : $answer->{status} != $status ? "status $answer->{status}"
	  : ref $body ne 'HASH' || join(' ', sort keys %$body) ne 'code details hint message' ? 'not the form of an error'
	  : ($answer->{headers}{'content-type'} // '') !~ m{^application/json} ? 'not said to be JSON'
	  : ($body->{code} // '') !~ /^(?:[0-9A-Z]{5}|PGRST[0-9]{3})$/ ? 'no code'
	  : defined $code && $body->{code} ne $code ? "code $body->{code}"
	  : ($body->{message} // '') !~ $message ? 'another message'
	  : (grep { defined $body->{$_} && ref $body->{$_} } qw(details hint)) ? 'details or hint are no text'
	  : undef;
	ok(!defined $why, $name)
	  or diag("$why; expected $status " . ($code // '') . " $message; got " . ($answer ? "$answer->{status} $answer->{body}" : 'nothing'));
	return;
}

# Bytes on a connection of their own are answered with an error, after which
# the server closes, and answers nothing more.
sub is_refused
{
	my ($node, $bytes, $status, $message, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $c = VecdbHttp::Client->new($node->{http});
	$c->send($bytes);
	my $answer = $c->answer;
	my $closed = $answer && $c->closed;
	if ($answer && $answer->{status} == $status && !$closed)
	{
		fail("$name: the connection is closed");
		diag('after the answer came: ' . substr($c->{in}, 0, 200));
	}
	else
	{
		is_error($answer, $status, $message, $name);
	}
	$c->close;
	return;
}

# The connection is good for another request.
sub is_kept
{
	my ($c, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $answer = $c->request('GET', '/health');
	is($answer && "$answer->{status} $answer->{body}", '200 OK', $name);
	return;
}

# Run SQL within a request, as its role: gives the request's answer.
sub lab_run
{
	my ($node, $sql, $client) = @_;
	my $body = { vectors => [ { id => 'run', collection => 'lab', data => [ 1, 2, 3 ], metadata => { run => $sql } } ] };

	return $client ? $client->request('POST', '/vectors', $body) : call($node, 'POST', '/vectors', $body);
}

# The value that a query gives within a request; an error's message where it fails.
sub lab_ask
{
	my ($node, $sql, $client) = @_;
	my $body = { vectors => [ { id => 'ask', collection => 'lab', data => [ 1, 2, 3 ], metadata => { ask => $sql } } ] };
	my $answer = $client ? $client->request('POST', '/vectors', $body) : call($node, 'POST', '/vectors', $body);

	return $answer ? decode_raw($answer)->{message} : undef if !$answer || $answer->{status} != 201;
	return $node->safe_psql('postgres', q{SELECT metadata->>'answer' FROM collections.lab WHERE id = 'ask'});
}

# A session that has run SQL and waits, for requests to wait for it.
sub hold_lock
{
	my ($node, $key) = @_;

	return hold_sql($node, "SELECT pg_advisory_lock($key)");
}

sub hold_sql
{
	my ($node, $sql) = @_;
	my $self = { in => "$sql;\n\\echo held\n", out => '' };

	$self->{run} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ],
		'<', \$self->{in}, '>', \$self->{out}, '2>&1', IPC::Run::timeout(10 * $PostgreSQL::Test::Utils::timeout_default));	# as long as it is held
	$self->{run}->pump until $self->{out} =~ /held/;
	return $self;
}

sub release_lock
{
	my ($self, $sql) = @_;

	$self->{in} .= ($sql ? "$sql;\n" : '') . "\\q\n";
	$self->{run}->finish;
	return;
}

# The executors' process ids, by their numbers.
sub executors
{
	my ($node) = @_;

	return split /\n/, $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'vecdb http executor%' ORDER BY backend_type});
}

# The process id of a worker by its title; undef when there is none.
sub worker_pid
{
	my ($node, $title) = @_;
	my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];

	for my $dir (glob '/proc/[0-9]*')
	{
		open my $fh, '<', "$dir/stat" or next;
		my $stat = <$fh> // '';
		next if $stat !~ /\) \S (\d+) / || $1 != $postmaster;
		open $fh, '<', "$dir/cmdline" or next;
		my $line = <$fh> // '';
		return $dir =~ s{/proc/}{}r if $line =~ /\Q$title\E/;
	}
	return;
}

# Memory of a process that it shares with no other, in kB.
sub memory_kb
{
	my ($pid) = @_;
	my $kb = 0;

	open my $fh, '<', "/proc/$pid/smaps_rollup" or return;
	while (my $line = <$fh>)
	{
		$kb += $1 if $line =~ /^Private_(?:Clean|Dirty):\s+(\d+) kB/;
	}
	return $kb;
}

# ---------------------------------------------------------------------------

package VecdbHttp::Client;

use strict;
use warnings;
use Time::HiRes qw(time);

our $patience = 60;

sub new
{
	my ($class, $port, %options) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp', Timeout => 10, %options)
	  or die "could not connect to port $port: $@\n";

	$socket->blocking(0);
	$SIG{PIPE} = 'IGNORE';
	return bless { socket => $socket, in => '', eof => 0 }, $class;
}

sub close { my ($self) = @_; CORE::close($self->{socket}); return }

# Send bytes, up to the patience; false when the server no longer takes them.
sub send
{
	my ($self, $bytes) = @_;
	my $until = time() + $patience;
	my $at = 0;

	while ($at < length $bytes)
	{
		my $n = syswrite $self->{socket}, $bytes, length($bytes) - $at, $at;
		if (defined $n)
		{
			$at += $n;
			next;
		}
		return 0 if !$!{EAGAIN} || time() > $until;
		# An early answer may be why nothing more is taken.
		my ($r, $w, $fileno) = ('', '', fileno $self->{socket});
		vec($w, $fileno, 1) = 1;
		select undef, $w, undef, 0.5;
	}
	return 1;
}

# Bytes of a request; the body may be text or a structure.  It is said to be JSON
# unless Content-Type is given; a header that is undef is left out.
sub compose
{
	my ($method, $path, $body, %headers) = @_;

	$body = VecdbHttp::encode($body) if ref $body;
	$headers{'Content-Type'} = 'application/json' if defined $body && !exists $headers{'Content-Type'};
	$headers{Host} //= 'localhost';
	$headers{'Content-Length'} //= length $body if defined $body;
	my $head = "$method $path HTTP/1.1\r\n";
	$head .= "$_: $headers{$_}\r\n" for grep { defined $headers{$_} } sort keys %headers;
	return "$head\r\n" . ($body // '');
}

sub request
{
	my ($self, $method, $path, $body, %headers) = @_;

	$self->send(compose($method, $path, $body, %headers));
	return $self->answer($method);
}

# Read more; false at the end, or when the patience is over.
sub more
{
	my ($self, $until) = @_;

	return 0 if $self->{eof};
	my $left = $until - time();
	return 0 if $left <= 0 || !IO::Select->new($self->{socket})->can_read($left);
	my $n = sysread $self->{socket}, $self->{in}, 262144, length $self->{in};
	return 1 if !defined $n && $!{EAGAIN};
	$self->{eof} = 1 if !$n;
	$self->{reset} = 1 if !defined $n;
	return $n ? 1 : 0;
}

# The next answer: status, headers by lower-case name, body.  Nothing when the
# connection ends before it is whole, or the patience does.
sub answer
{
	my ($self, $method, $seconds) = @_;
	my $until = time() + ($seconds // $patience);
	my $answer;

	do
	{
		while ($self->{in} !~ /\r\n\r\n/)
		{
			return if !$self->more($until);
		}
		$self->{in} =~ s/\A(.*?)\r\n\r\n//s;
		my ($first, @lines) = split /\r\n/, $1;
		$first =~ m{^(HTTP/1\.[01]) (\d{3}) ?(.*)} or return;
		$answer = { version => $1, status => $2, reason => $3, headers => {}, body => '' };
		for (@lines)
		{
			my ($name, $value) = /^([^:\s]+):\s*(.*?)\s*$/ or return;
			$answer->{twice}{ lc $name } = 1 if exists $answer->{headers}{ lc $name };
			$answer->{headers}{ lc $name } = $value;
		}
		$self->{continued} = 1 if $answer->{status} == 100;
	} while ($answer->{status} == 100);

	return $answer if ($method // '') eq 'HEAD' || $answer->{status} == 204 || $answer->{status} == 304;
	my $length = $answer->{headers}{'content-length'};
	if (defined $length)
	{
		while (length $self->{in} < $length)
		{
			return if !$self->more($until);
		}
		$answer->{body} = substr $self->{in}, 0, $length, '';
	}
	else
	{
		1 while $self->more($until);
		return if !$self->{eof};
		$answer->{body} = $self->{in};
		$self->{in} = '';
	}
	return $answer;
}

# The server ends the connection, and sends nothing before that.
sub closed
{
	my ($self, $seconds) = @_;
	my $until = time() + ($seconds // $patience);

	1 while $self->{in} eq '' && $self->more($until);
	return $self->{eof} && $self->{in} eq '';
}

1;
