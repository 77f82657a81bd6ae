# VecdbTraps.pm
#	  Functions, operators, types and relations of one who is hostile, which fit
#	  names of pg_catalog better than what is there, or stand before it.
#
# A trap tells in the server's log who ran it, and does what it stands for no
# further.  None of it needs a right but CREATE on the database.
package VecdbTraps;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(trap_body traps_sql temp_traps_sql sprung foreign_dependencies call_everything as_role);

my @types = ('oid', 'regnamespace', 'regclass', 'name', 'text', '"char"', 'integer', 'bigint', 'boolean', 'bytea', 'timestamptz', 'float8', 'numeric', 'jsonb');

# What extension scripts and statements of ours call: result and a value of it.
# A trap that fits is not noticed.
my %one_argument = (
	pg_table_size => [ 'bigint', 1 ],
	pg_indexes_size => [ 'bigint', 1 ],
	pg_total_relation_size => [ 'bigint', 1 ],
	pg_get_userbyid => [ 'name', q{'x'::name} ],
	sha256 => [ 'bytea', q{''::bytea} ],
	length => [ 'int', 32 ],
	jsonb_typeof => [ 'text', q{'x'::text} ],
	text => [ 'text', q{'x'::text} ],
	float8 => [ 'float8', 1 ],
	regnamespace => [ 'regnamespace', q{'public'::regnamespace} ]);
my %two_arguments = (
	has_table_privilege => [ 'boolean', 'true' ],
	has_schema_privilege => [ 'boolean', 'true' ],
	encode => [ 'text', q{'x'::text} ],
	concat_ws => [ 'text', q{'x'::text} ]);

# The body of a PL/pgSQL function that tells who ran it and returns a value.
sub trap_body
{
	my ($value) = @_;

	return "BEGIN RAISE WARNING 'a trap was sprung by %', current_user; RETURN $value; END";
}

# CREATE FUNCTION as an argument of EXECUTE
sub create_trap
{
	my ($schema, $name, $result, $value, @arguments) = @_;
	my $body = trap_body($value);

	return "format('CREATE FUNCTION $schema.$name(" . join(', ', map { '%s' } @arguments) . ") RETURNS $result LANGUAGE plpgsql AS %L', "
		. join(', ', @arguments, "\$q\$$body\$q\$") . ')';
}

# SQL that fills a schema with traps: an operator of these names for every two of
# @types, and overloads of what is called for every one or two of them.
sub traps_sql
{
	my ($schema) = @_;
	my $list = join ', ', map { "'$_'" } @types;
	my $one = join "\n", map { 'EXECUTE ' . create_trap($schema, $_, @{ $one_argument{$_} }, 'one') . ';' } sort keys %one_argument;
	my $two = join "\n", map { 'EXECUTE ' . create_trap($schema, $_, @{ $two_arguments{$_} }, 'one', 'two') . ';' } sort keys %two_arguments;
	my $operand = create_trap($schema, 'trap', 'boolean', 'true', 'one', 'two');
	my $to_text = trap_body(q{'x'});

	return qq{
	DO \$do\$
	DECLARE
		one text;
		two text;
		op text;
	BEGIN
		FOREACH one IN ARRAY ARRAY[$list] LOOP
			$one
			FOREACH two IN ARRAY ARRAY[$list] LOOP
				$two
				EXECUTE $operand;
				FOREACH op IN ARRAY ARRAY['=', '<>', '<', '>', '||', '+', '-'] LOOP
					EXECUTE format('CREATE OPERATOR $schema.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = $schema.trap)', op, one, two);
				END LOOP;
			END LOOP;
		END LOOP;
	END \$do\$;
	CREATE DOMAIN $schema.regnamespace AS oid;
	CREATE DOMAIN $schema.text AS varchar;
	CREATE VIEW $schema.pg_class AS SELECT $schema.trap(1, 1);
	CREATE VIEW $schema.pg_extension AS SELECT $schema.trap(1, 1);
	CREATE TYPE $schema.pair AS (a int, b int);
	CREATE FUNCTION $schema.to_text($schema.pair) RETURNS text LANGUAGE plpgsql AS \$q\$$to_text\$q\$;
	CREATE CAST ($schema.pair AS text) WITH FUNCTION $schema.to_text($schema.pair) AS IMPLICIT;
	CREATE CAST ($schema.pair AS oid) WITH INOUT AS IMPLICIT;
	};
}

# The same in the temporary schema of a session, which a path has first that does
# not name it.
sub temp_traps_sql
{
	return q{
	CREATE TEMP TABLE pg_class (oid oid, relname name, relnamespace oid, relkind "char", relowner oid);
	CREATE TEMP TABLE pg_extension (extname name, extversion text);
	CREATE TEMP TABLE pg_stat_all_tables (schemaname name, relname name, n_dead_tup int8, idx_scan int8, seq_scan int8);
	CREATE DOMAIN pg_temp.regclass AS oid;
	CREATE DOMAIN pg_temp.jsonb AS varchar;
	};
}

# Who ran traps since an offset of the log
sub sprung
{
	my ($node, $offset) = @_;
	my %who = map { $_ => 1 } substr(slurp_file($node->logfile), $offset) =~ /a trap was sprung by (\S+)/g;

	return join ' ', sort keys %who;
}

# What views, rules, SQL functions, constraints, defaults and policies of the
# extension are bound to, and is neither of pg_catalog nor of the extension.
# (Objects that initdb made are pinned: of them there are no rows.)
sub foreign_dependencies
{
	my ($node, $db) = @_;

	return $node->safe_psql(
		$db, q{
		SET search_path = pg_catalog;
		WITH RECURSIVE ours AS (
			SELECT classid, objid FROM pg_depend
			WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'vecdb')
			UNION
			-- rules, constraints, indexes, row types, array types, TOAST tables: parts of those
			SELECT d.classid, d.objid FROM pg_depend d JOIN ours o ON d.refclassid = o.classid AND d.refobjid = o.objid AND d.deptype IN ('i', 'a', 'P', 'S')
		)
		SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) || ' -> ' || pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
		FROM ours o JOIN pg_depend d USING (classid, objid)
		WHERE NOT EXISTS (SELECT FROM ours r WHERE r.classid = d.refclassid AND r.objid = d.refobjid)
			AND NOT (d.refclassid = 'pg_extension'::regclass)
			AND NOT (d.refclassid = 'pg_namespace'::regclass AND d.deptype = 'n'
				AND d.refobjid = (SELECT extnamespace FROM pg_extension WHERE extname = 'vecdb'))
			-- what the system made after its pinned objects: views and functions of system_views.sql
			AND (pg_identify_object(d.refclassid, d.refobjid, d.refobjsubid)).schema IS DISTINCT FROM 'pg_catalog'
		ORDER BY 1});
}

# Select from each view of the extension and call what a user calls, as the
# superuser, with the database's search_path.  An error of one ends none of them.
sub call_everything
{
	my ($node, $db, $home) = @_;
	my ($rc, $out, $err) = $node->psql(
		$db, qq{
		SELECT * FROM vecdb.collections;
		SELECT * FROM vecdb.shared_collections;
		SELECT * FROM vecdb.stat_workers;
		SELECT * FROM vecdb.stat_peers;
		SELECT * FROM vecdb.stat_routing_table;
		SELECT * FROM vecdb.stats();
		SELECT vecdb.create_collection('called', 2, filter_index => true);
		SELECT vecdb.upsert('called', 'a', '[1,2]', '{"n": 1}');
		SELECT vecdb.upsert('called', '[{"id": "b", "data": [2,1]}]'::pg_catalog.jsonb);
		SELECT vecdb.upsert_batch('called', '{c,d}', ARRAY['[1,1]', '[3,1]']::$home.vector[]);
		SELECT * FROM vecdb.search('called', '[1,2]');
		SELECT * FROM vecdb.search('called', '[1,2]', filter => '{"n": {"\$gte": 1}, "\$or": [{"a": {"\$in": [1]}}, {"b": {"\$exists": false}}]}');
		SELECT * FROM vecdb.search('called', '[1,2]', exact => true);
		SELECT * FROM vecdb.search('caled', '[1,2]');
		SELECT * FROM vecdb.collections;
		SELECT * FROM vecdb.collection_info('called');
		SELECT vecdb.collection_table('called');
		SELECT * FROM vecdb.describe('collections.called');
		SELECT vecdb.count_rows('collections.called');
		SELECT * FROM vecdb.stats();
		SELECT * FROM vecdb.peers();
		SELECT * FROM vecdb.members('called');
		SELECT * FROM vecdb.providers('called');
		SELECT * FROM $home.hnsw_check('collections.called_data_idx'::pg_catalog.regclass);
		SELECT * FROM $home.hnsw_stats('collections.called_data_idx'::pg_catalog.regclass);
		SELECT $home.avg(data), $home.sum(data) FROM collections.called;
		SELECT '[1,2]'::$home.vector::$home.halfvec::$home.vector::$home.sparsevec;
		SELECT vecdb.rename_collection('called', 'called2');
		SELECT vecdb.drop_collection('called2');
		}, on_error_stop => 0);

	return ($out, $err);
}

# psql options for a role
sub as_role
{
	return (extra_params => [ '-U', $_[0] ]);
}

1;
