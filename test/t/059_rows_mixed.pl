# Three servers share a collection, and one runs an older vecdb, which neither packs rows nor
# takes packed ones. Rows are written on all, and each converges; then the older one is
# upgraded while all of them write.
#
# VECDB_OLD_VECDB is a directory with the sources of an older vecdb whose rows travel. Without
# it they are of the commit below, where the test runs in a checkout that has it.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use VecdbTest;
use VecdbNodes;
use VecdbRows;
use VecdbStorage;

my $commit = 'bc7186498012c80b06a34e6e123cc622e66dc1ed';
my $checkout = abs_path("$FindBin::RealBin/../..");
my $sources = "${PostgreSQL::Test::Utils::tmp_check}/older_vecdb";
my $config = $ENV{PG_CONFIG} || 'pg_config';

# ---- the older build ----

# The sources, unpacked; why there are none, or undef.
sub no_sources
{
	my @pack = ('git', '-c', "safe.directory=$checkout", '-C', $checkout, 'archive', $commit);

	if ($ENV{VECDB_OLD_VECDB})
	{
		return "VECDB_OLD_VECDB=$ENV{VECDB_OLD_VECDB} has no vecdb.control" if !-e "$ENV{VECDB_OLD_VECDB}/vecdb.control";
		@pack = ('tar', '-C', $ENV{VECDB_OLD_VECDB}, '--exclude=./.git', '--exclude=./.vecdb', '--exclude=./.deps', '--exclude=*.o', '--exclude=*.so', '--exclude=*.a', '-cf', '-', '.');
	}
	elsif (!-e "$checkout/.git")
	{
		return 'VECDB_OLD_VECDB names no sources of an older vecdb, and there is no history here';
	}
	system_or_bail('rm', '-rf', $sources);
	system_or_bail('mkdir', '-p', $sources);
	my ($out, $err) = ('', '');
	return undef if eval { IPC::Run::run(\@pack, '|', [ 'tar', '-C', $sources, '-xf', '-' ], '>', \$out, '2>', \$err) };
	return "the sources of an older vecdb are not here: " . (split /\n/, $err || $@)[0];
}

my $why = no_sources();
plan skip_all => $why if $why;

sub version_of
{
	return (slurp_file("$_[0]/vecdb.control") =~ /^default_version = '([^']+)'/m)[0];
}

# Of a day between two releases: no script brings its objects to what they are now, as those of
# releases do. So it is another version here, with a script of its own.
my $version = version_of($checkout);
my $older = version_of($sources);
my $between = $older eq $version && slurp_file("$sources/sql/sync.sql") !~ /\bpaused boolean\b/;
if ($between)
{
	$older = "$version-older";
	system_or_bail('sed', '-i', "s/^default_version = .*/default_version = '$older'/", "$sources/vecdb.control");
}
my ($root, $bin, $lib, $share) = postgres_copy('postgres_of_older');
my $made = time();
my ($out, $err);
delete local @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
if (!IPC::Run::run([ 'make', '-s', '-j2', '-C', $sources, "EXTVERSION=$older", "PG_CONFIG=$config" ], '>', \$out, '2>', \$err))
{
	plan skip_all => 'the older vecdb is not built by what is installed here: ' . (grep { /error|Error/ } split(/\n/, $err), $err)[0];
}
note(sprintf 'vecdb %s is built in %.0f s', $older, time() - $made);

# Files of vecdb in that PostgreSQL are those of another directory.
sub files_of
{
	my ($from_lib, $from_share) = @_;

	unlink glob("$root$lib/vecdb*.so"), glob("$root$share/extension/vecdb*");
	system_or_bail('cp', '-L', glob("$from_lib/vecdb*.so"), "$root$lib/");
	system_or_bail('cp', '-L', glob("$from_share/vecdb*.sql"), glob("$from_share/vecdb.control"), "$root$share/extension/");
	return;
}

mkdir "$sources/share" or die "$sources/share: $!";
system_or_bail('cp', glob("$sources/sql/vecdb--*.sql"), "$sources/vecdb.control", "$sources/share/");
files_of($sources, "$sources/share");
system_or_bail('rm', '-rf', $sources);

# What brings objects of the older one to what they are now
sub script_between
{
	my $install = slurp_file("$share/extension/vecdb--$version.sql");
	my $script = "ALTER TABLE vecdb.shared_collection ADD COLUMN paused boolean NOT NULL DEFAULT false;\n"
	  . "DROP VIEW vecdb.stat_copy, vecdb.stat_collections;\nDROP FUNCTION vecdb.node_collections();\n";

	for my $object ('FUNCTION vecdb.pause', 'FUNCTION vecdb.resume', 'FUNCTION vecdb.verify_collection', 'FUNCTION vecdb.node_collections',
		'FUNCTION vecdb.replication_stats', 'VIEW vecdb.stat_collections', 'VIEW vecdb.stat_copy')
	{
		my ($text) = $install =~ /^(CREATE \Q$object\E\b.*?^COMMENT ON [^\n]*;\n)/ms or die "$object is not in the script";
		$script .= $text;
	}
	return $script . join '', map { "$_\n" } $install =~ /^((?:GRANT|REVOKE) [^\n]*vecdb\.(?:node_collections\(\)|stat_collections)[^\n]*;)/mg;
}

# ---- rows between both ----

# a is the older one: others copy what it has; another collection it copies from b
my @all = share_docs(
	conf => 'vecdb.anti_entropy_interval = 1s',
	install_path => { a => dirname("$root$bin") },
	rows => q{SELECT 'first' || i, '[1,2,3]', '{"n": 0}' FROM generate_series(1, 200) i});
my ($a, $b, $c) = @all;

all_equal(\@all, 'others copy rows of the older one', 200);
now_is($a, map { "first$_" } 1 .. 200);
sql($b, q{SELECT vecdb.create_collection('notes', 3, 'l2')});
sql($b, q{INSERT INTO collections.notes (id, data) SELECT i::text, '[1,2,3]' FROM generate_series(1, 100) i});
is(sql($_, q{SELECT vecdb.join('} . sql($b, q{SELECT vecdb.invite('notes')}) . q{')}), 'collections.notes', $_->name . ' joins another') for $a, $c;
all_equal(\@all, 'and the older one copies', 100, 'collections.notes');

# Rows and deletes of each, and one key that each writes
sub write_on_all
{
	my ($when) = @_;

	for my $node (@all)
	{
		my $name = $node->name;

		put($node, "$when-common", map { "$when-$name-$_" } 1 .. 50);
		remove($node, "$when-$name-1");
	}
	return;
}

# Bytes that a is sent while b writes so many rows of text
sub bytes_of_text
{
	my ($when, $rows) = @_;
	my $id = node_id($a);
	my $sent = sub {
		my $sum = 0;
		$sum += sql($_, "SELECT coalesce(sum(bytes_sent), 0) FROM vecdb.stat_peers WHERE node_id = '$id'") for $b, $c;
		return $sum;
	};
	my $before = $sent->();
	my $there = sql($b, 'SELECT count(*) FROM collections.notes');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	sql($b, qq{INSERT INTO collections.notes (id, data, metadata)
		SELECT '$when text ' || i, '[1,1,1]', jsonb_build_object('text', repeat('what is said again ', 500)) FROM generate_series(1, $rows) i});
	all_equal(\@all, "$when: rows of much text are on all", $there + $rows, 'collections.notes');
	return $sent->() - $before;
}

write_on_all('mixed');
is_whole(\@all, 'with an older one among them');
my $bytes = bytes_of_text('mixed', 200);
cmp_ok($bytes, '>', 1_900_000, "the older one is sent rows that are not packed ($bytes bytes)") if $between;

# ---- the older one is upgraded while all write ----

my (%writer, %said);
sql($_, <<'EOT') for @all;
CREATE TABLE written (id text);
CREATE TABLE halt (now bool);
CREATE SEQUENCE numbers;
CREATE PROCEDURE write_on(me text) LANGUAGE plpgsql AS $$
DECLARE
	i int;
BEGIN
	LOOP
		i := nextval('numbers');
		INSERT INTO collections.notes (id, data) VALUES (me || '-' || i, ARRAY[i, 1, 2]::vector);
		INSERT INTO written VALUES (me || '-' || i);
		COMMIT;
		INSERT INTO collections.notes (id, data, metadata) VALUES ('common' || i * 7 % 40, ARRAY[1, 2, i]::vector, jsonb_build_object('by', me))
			ON CONFLICT (id) DO UPDATE SET data = EXCLUDED.data, metadata = EXCLUDED.metadata;
		COMMIT;
		DELETE FROM collections.notes WHERE id = 'common' || i * 11 % 40;
		COMMIT;
		EXIT WHEN (SELECT count(*) FROM halt) > 0;
		PERFORM pg_sleep(0.02);
	END LOOP;
END
$$
EOT

sub written
{
	return sql(shift, 'SELECT count(*) FROM written');
}

# Each of these has written so many more
sub have_written
{
	my ($nodes, $more, $what) = @_;
	my %target = map { $_->name => written($_) + $more } @$nodes;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until(sub { !grep { written($_) < $target{ $_->name } } @$nodes }), $what);
	return;
}

for my $node (@all)
{
	$writer{ $node->name } = start_psql($node, $said{ $node->name } = {}, "CALL write_on('" . $node->name . "')");
}
have_written(\@all, 20, 'all write');
my $id = node_id($a);
my $began = time();
$a->stop;
ok(!$writer{a}->finish, 'the older one is stopped while somebody writes');
like($said{a}{err}, qr/terminating connection due to administrator command|server closed the connection/, '... who is told');
have_written([ $b, $c ], 20, 'others go on');
files_of($lib, "$share/extension");
append_to_file("$root$share/extension/vecdb--$older--$version.sql", script_between()) if $between;
$a->start;
if ($older ne $version)
{
	ok( wait_until(sub { sql($a, q{SELECT state, reason FROM vecdb.stat_workers WHERE database = 'postgres'}) eq 'waiting|the extension vecdb in this database is of an older version' }),
		'with the files of this one it waits for its objects') if $between;
	sql($a, 'ALTER EXTENSION vecdb UPDATE');
}
is(sql($a, q{SELECT extversion FROM pg_extension WHERE extname = 'vecdb'}), $version, 'it is upgraded');
ok(wait_until(sub { running($a) }), '... and runs');
note(sprintf 'from stop to running: %.1f s', time() - $began);
is(node_id($a), $id, '... the same node');
$writer{a} = start_psql($a, $said{a} = {}, "CALL write_on('a')");
have_written(\@all, 20, 'all write again');
sql($_, 'INSERT INTO halt VALUES (true)') for @all;
ok($writer{ $_->name }->finish, $_->name . ' has written without an error') or diag($said{ $_->name }{err}) for @all;
all_equal(\@all, 'all have the same rows', undef, 'collections.notes');
for my $by (@all)
{
	my $n = written($by);

	is(join(' ', map { sql($_, q{SELECT count(*) FROM collections.notes WHERE id LIKE '} . $by->name . q{-%'}) } @all), "$n $n $n", 'all that ' . $by->name . ' has committed is on all');
}
note('rows written beside the upgrade: ' . join ', ', map { $_->name . ' ' . written($_) } @all);
write_on_all('upgraded');
is_whole(\@all, 'upgraded');
$bytes = bytes_of_text('upgraded', 200);
cmp_ok($bytes, '<', 1_000_000, "it is sent packed rows ($bytes bytes)");
is(join(' ', map { sql($_, q{SELECT count(*) FROM vecdb.verify_collection('docs', true)}) } @all), '0 0 0', 'each compares with each, and nothing differs');
is_well(\@all, 'in the end');

nothing_crashed(@all);
done_testing();
