# VecdbNodes.pm
#	  Servers that are nodes of one network, on loopback: each has a port for the
#	  others beside that of its clients.
package VecdbNodes;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

our @EXPORT = qw(new_peer start_peer address node_id running peers_of short log_since);

my %port;

# What another needs to find it.
sub address
{
	my ($node) = @_;

	return "127.0.0.1:$port{$node->name}";
}

# A server whose database postgres is a node, of the PostgreSQL in install_path or
# that of PATH.  initdb lists options of that program; what is in conf is appended to the
# server's configuration; bootstrap is a list of servers.  Where empty is set it is not
# started and has no extension.
sub new_peer
{
	my ($name, %opt) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, $opt{install_path} ? (install_path => $opt{install_path}) : ());

	$port{$name} = $opt{port} // PostgreSQL::Test::Cluster::get_free_port();
	$node->init($opt{initdb} ? (extra => $opt{initdb}) : ());
	my $bootstrap = join ',', map { address($_) } @{ $opt{bootstrap} // [] };
	$node->append_conf('postgresql.conf', <<"EOT");
shared_preload_libraries = 'vecdb'
log_statement = none
autovacuum = off
vecdb.http_executors = 0
vecdb.node_databases = 'postgres'
vecdb.listen = '127.0.0.1'
vecdb.p2p_port = $port{$name}
vecdb.bootstrap = '$bootstrap'
${\($opt{conf} // '')}
EOT
	return $node if $opt{empty};
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION vecdb');
	return $node;
}

# Does its worker run?
sub running
{
	my ($node) = @_;

	return $node->safe_psql('postgres', q{SELECT state FROM vecdb.stat_workers WHERE database = 'postgres'}) eq 'running';
}

sub start_peer
{
	my ($node) = @_;

	$node->start;
	return wait_until(sub { running($node) });
}

sub node_id
{
	my ($node) = @_;

	return $node->safe_psql('postgres', 'SELECT vecdb.node_id()');
}

# How many others it is connected with; -1 while its worker does not run.
sub peers_of
{
	my ($node) = @_;
	my ($rc, $out) = $node->psql('postgres', 'SELECT count(*) FROM vecdb.peers()');

	return $rc == 0 ? $out : -1;
}

# An id as the log has it.
sub short
{
	return substr(shift, 0, 12);
}

sub log_since
{
	my ($node, $offset) = @_;

	return substr(slurp_file($node->logfile), $offset);
}

1;
