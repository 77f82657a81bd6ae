# What a node keeps for its collections: a table that is moved or altered can still be
# named and left; key files that a crash leaves behind go, whatever is in use, or was
# brought from elsewhere, stays.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;

my $node = new_peer('keys');
ok(wait_until(sub { running($node) }), 'a node runs');
my $oid = $node->safe_psql('postgres', q{SELECT oid FROM pg_database WHERE datname = 'postgres'});
my $dir = $node->data_dir . "/vecdb/$oid";

sub keys_there
{
	return join ' ', sort map { s/.*collection-//r } glob "$dir/collection-*";
}

# The name of the key file of a root, given as hexadecimal digits.
sub name_of
{
	return substr(shift, 0, 32) . '.key';
}

sub plant
{
	my ($name, $bytes) = @_;

	open my $file, '>', "$dir/collection-$name" or die "could not create $name: $!";
	print $file $bytes // 'k' x 32;
	close $file;
	return;
}

sub sql
{
	return $node->safe_psql('postgres', shift);
}

sub error_of
{
	my ($rc, $out, $err) = $node->psql('postgres', shift);

	return $rc == 0 ? "no error, but: $out" : $err;
}

# Moved to another schema, altered until it is no collection: still shared, and its owner's to leave
sql('CREATE SCHEMA archive; CREATE ROLE reader');
sql(qq{SELECT vecdb.create_collection('$_', 2); SELECT vecdb.invite('$_')}) for qw(moved Moved-2 altered);
sql("ALTER TABLE collections.$_ SET SCHEMA archive") for 'moved', '"Moved-2"';
for my $table ('archive.moved', 'collections.altered')
{
	like(error_of("ALTER TABLE $table DROP COLUMN metadata"), qr/which is shared/, "columns of $table stay");
	# a superuser gets past that
	sql("UPDATE pg_attribute SET attname = 'meta' WHERE attrelid = '$table'::regclass AND attname = 'metadata'");
}
like(error_of(q{SELECT * FROM vecdb.members('moved')}), qr/collection "moved" does not exist/, 'what was moved is not found where it was');
is(sql(q{SELECT string_agg(name, ' ' ORDER BY name COLLATE "C") FROM vecdb.shared_collections}),
	'altered archive."Moved-2" archive.moved', 'the view tells how it is named now');
is(sql(qq{SELECT role FROM vecdb.members('$_')}), 'admin', "members of $_") for 'archive.moved', 'archive."Moved-2"', 'collections.altered', 'altered';
is(sql(qq{SELECT count(*) FROM vecdb.providers('archive.moved')}), '1', 'providers of what was moved');
like(error_of(q{SELECT vecdb.evict('archive.moved', vecdb.node_id())}), qr/that is this node itself/, 'who would be evicted is looked up, too');
like(sql(qq{SELECT vecdb.invite('$_')}), qr/^vecdb1:/, "others are still invited to $_") for 'archive."Moved-2"', 'altered';
like(error_of(q{SET ROLE reader; SELECT * FROM vecdb.members('archive.moved')}), qr/permission denied for schema archive/, 'who may not look there learns nothing');
sql('GRANT USAGE ON SCHEMA archive TO reader');
like(error_of(qq{SET ROLE reader; SELECT vecdb.$_}), qr/permission denied for table moved|must be owner of table moved/, "... nor who may not use the table: $_")
	for q{leave('archive.moved')}, q{members('archive.moved')}, q{invite('archive.moved')};
like(error_of(q{SELECT vecdb.leave('archive.nothing')}), qr/collection "archive.nothing" does not exist/, 'what is not there');
like(error_of(q{SELECT vecdb.leave('postgres.archive.moved')}), qr/does not exist/, 'a name of three words');
like(error_of(q{SELECT vecdb.leave('archive.')}), qr/invalid name syntax/, 'and one that is none');
like(error_of(q{SELECT vecdb.leave('pg_catalog.pg_class')}), qr/the collection is not shared/, 'any other table is not shared');
like(error_of(q{SELECT * FROM vecdb.providers('archive.' || repeat('m', 56))}), qr/collection "archive.m+" does not exist/, 'a name of 64 characters with its schema is no id');
sql(qq{SELECT vecdb.leave('$_')}) for 'archive.moved', 'archive."Moved-2"', 'altered';
ok(wait_until(sub { sql('SELECT count(*) FROM vecdb.shared_collection') eq '0' }), 'all three can be left');
ok(wait_until(sub { keys_there() eq '' }), '... and take their keys along');

for my $name (qw(kept left_late dropped_late))
{
	sql("SELECT vecdb.create_collection('$name', 2)");
	sql("SELECT vecdb.invite('$name')");
}
my %root = map { split /\|/ } split /\n/, sql('SELECT name, encode(root, \'hex\') FROM vecdb.shared_collection');
my %file = map { $_ => name_of($root{$_}) } keys %root;
is(keys_there(), join(' ', sort values %file), 'each shared collection has its key file');

# The state of a crash between a commit and the end of the file: what cannot be removed
chmod 0500, $dir or die "could not change the mode of $dir: $!";
my $offset = -s $node->logfile;
sql(q{SELECT vecdb.leave('left_late')});
sql(q{DROP TABLE collections.dropped_late});
ok(wait_until(sub { sql('SELECT string_agg(name, \' \') FROM vecdb.shared_collection') eq 'kept' }), 'rows of what was left or dropped are gone');
ok(wait_until(sub { (() = log_since($node, $offset) =~ /could not remove file .*collection-/g) >= 2 }), '... and their files are not');
is(keys_there(), join(' ', sort values %file), '... all are there');
$node->stop('immediate');
chmod 0700, $dir or die "could not change the mode of $dir: $!";

# The state of one between a file and its row, or in the midst of the file
my @planted = map { $_ x 32 . '.key' } 1 .. 3;
plant($_) for @planted[ 0, 1 ];
plant("$planted[2].new", 'half');
# Names that are none of ours, and a key that is older than the database
my @others = ('a' x 32 . '.key.old', 'b' x 30 . '.key', 'g' x 32 . '.key', 'C' x 31 . '.key', 'd' x 32 . '.key');
plant($_) for @others;
utime 1_000_000_000, 1_000_000_000, "$dir/collection-$others[4]" or die "could not set the time of a file: $!";
mkdir "$dir/collection-" . 'e' x 32 . '.key' or die "could not create a directory: $!";
push @others, 'e' x 32 . '.key';

# A link where the worker is about to write, to a file that is another's
my $victim = $node->basedir . '/victim';
append_to_file($victim, 'as it was');
symlink $victim, "$dir/seq.new" or die "could not make a link: $!";

ok(start_peer($node), 'the node comes back');
ok(wait_until(sub { running($node) && !-l "$dir/seq.new" }), 'it has written its sequence number');
is(slurp_file($victim), 'as it was', '... not through the link');
ok(-f "$dir/seq" && !-l "$dir/seq", '... but to a file of its own');
my $expected = join ' ', sort $file{kept}, @others;
ok(wait_until(sub { keys_there() eq $expected }), 'what was left behind goes, and nothing else') or diag('there: ' . keys_there() . "\nexpected: $expected");
is((() = log_since($node, $offset) =~ /LOG:  removed file ".*": this database does not hold its collection/g), 5, 'the log names each');
is(sql(q{SELECT role FROM vecdb.members('kept')}), 'admin', 'the collection in use is held');
like(sql(q{SELECT vecdb.invite('kept', 'admin')}), qr/^vecdb1:/, '... with the key in its file');
is(sql(q{SELECT count(*) FROM vecdb.shared_collection}), '1', '... and its row is the only one');

# More rows than a node holds: the last has a key, and no place in memory.  Rows
# without a table are taken back some time after their join, these not today.
sql(q{INSERT INTO vecdb.shared_collection (root, name, since)
	SELECT decode(lpad(to_hex(i), 8, '0') || repeat('00', 28), 'hex'), 'many', now() + '1 day' FROM generate_series(1, 1100) i});
my $last = name_of('ff' x 32);
sql(q{INSERT INTO vecdb.shared_collection (root, name, since) VALUES (decode(repeat('ff', 32), 'hex'), 'last', now() + '1 day')});
# ... and one of the same first byte that has none
my $near = name_of('ff' x 15 . 'fe');
$node->stop('immediate');
plant($_) for $last, $near;
# ... and a file with a row that does not hold the key
my $damaged = name_of('00000001' . '00' x 28);
plant($damaged);
$offset = -s $node->logfile;
$expected = join ' ', sort $last, $damaged, $file{kept}, @others;
ok(start_peer($node), 'the node comes back');
ok(wait_until(sub { keys_there() eq $expected }), 'a key is judged by its row, not by what the node holds') or diag('there: ' . keys_there() . "\nexpected: $expected");
like(log_since($node, $offset), qr/LOG:  file ".*collection-$damaged" does not hold the key of its collection/, 'a key that is damaged is told of');

# The extension goes while no worker sees it
sql(q{DELETE FROM vecdb.shared_collection WHERE name IN ('many', 'last')});
$node->append_conf('postgresql.conf', "vecdb.node_databases = ''\n");
$node->reload;
ok(wait_until(sub { sql(q{SELECT count(*) FROM vecdb.stat_workers WHERE kind = 'node'}) eq '0' }), 'no worker runs');
sql('DROP EXTENSION vecdb CASCADE');
sql('CREATE EXTENSION vecdb');
ok(-e "$dir/collection-$file{kept}", 'the key of the dropped extension is there');
$node->append_conf('postgresql.conf', "vecdb.node_databases = 'postgres'\n");
$node->reload;
ok(wait_until(sub { running($node) }), 'the worker runs again');
$expected = join ' ', sort @others;
ok(wait_until(sub { keys_there() eq $expected }), 'then it goes') or diag('there: ' . keys_there());

# A path that would be cut is not used
$node->append_conf('postgresql.conf', "vecdb.key_file = '" . 'k' x 1000 . "'\n");
$node->reload;
ok( wait_until(sub { sql(q{SELECT reason FROM vecdb.stat_workers WHERE kind = 'node'}) =~ /the path in vecdb\.key_file is too long/ }),
	'a path of a key file that is too long is refused');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'nothing has crashed');
done_testing();
