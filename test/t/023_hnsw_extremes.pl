# Order of rows whose magnitudes span all that a type holds, for each type and
# metric: the first row, from which an index made empty takes its unit, is as
# arbitrary as the rest.  The executor raises "index returned tuples in wrong
# order" where a bound that the index gave is above the operator's distance.
#
# VECDB_SEED=n gives other rows.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $seed = $ENV{VECDB_SEED} // 1;
my $indexes = 15;
my %operator = (l2 => '<->', ip => '<#>', cosine => '<=>', l1 => '<+>');

note "seed $seed";
my $node = new_node('extremes', "fsync = off\n");

is( $node->safe_psql(
		'postgres', q{
		CREATE TABLE given (v vector(2));
		CREATE INDEX ON given USING hnsw (v vector_ip_ops);
		INSERT INTO given VALUES ('[1e10,1e10]'), ('[1e19,-1e-38]');
		SET enable_seqscan = off;
		SELECT v FROM given ORDER BY v <#> '[6.320482695256729e-39,-8.185639009597438e-40]'}),
	"[1e+19,-1e-38]\n[1e+10,1e+10]", 'a query that the unit makes too small for a float');

# Coordinates are zero, or of either sign and any magnitude; those of a row are
# of one magnitude or of many.
$node->safe_psql(
	'postgres', q{
	CREATE FUNCTION coordinate(low float8, high float8) RETURNS float8 LANGUAGE sql VOLATILE AS
		$$ SELECT CASE WHEN random() < 0.1 THEN 0 ELSE sign(random() - 0.5) * (1 + random()) * 10 ^ (low + random() * (high - low)) END $$;
	CREATE FUNCTION extreme(dim int, low float8, high float8) RETURNS vector LANGUAGE plpgsql VOLATILE AS $$
	DECLARE
		one float8 := low + random() * (high - low);
		same bool := random() < 0.5;
		a float8[];
	BEGIN
		FOR i IN 1 .. dim LOOP
			a[i] := CASE WHEN same THEN coordinate(one, least(one + 2, high)) ELSE coordinate(low, high) END;
		END LOOP;
		RETURN a::vector;
	END $$;
	-- Rows, then queries; how many answers came out of order or not at all.
	-- Under cosine a vector of zeros has no place in the index.
	CREATE FUNCTION disorder(type text, operator text, opclass text, dim int, low float8, high float8) RETURNS int LANGUAGE plpgsql AS $$
	DECLARE
		q text;
		got float8[];
		bad int := 0;
	BEGIN
		EXECUTE format('CREATE TEMP TABLE item (id int, v %s(%s))', type, dim);
		EXECUTE format('CREATE INDEX item_v ON item USING hnsw (v %s)', opclass);
		EXECUTE format('INSERT INTO item SELECT i, extreme(%s, %s, %s)::%s FROM generate_series(1, 40) i', dim, low, high, type);
		FOR i IN 1 .. 15 LOOP
			EXECUTE format('SELECT extreme(%s, %s, %s)::%s::text', dim, low, high, type) INTO q;
			EXECUTE format('SELECT array_agg(d) FROM (SELECT v %1$s %2$L::%3$s AS d FROM item ORDER BY v %1$s %2$L::%3$s) t', operator, q, type) INTO got;
			IF operator <> '<=>' AND cardinality(got) IS DISTINCT FROM 40 THEN
				bad := bad + 1;
				RAISE NOTICE 'query % of % %: % rows', q, type, operator, cardinality(got);
			END IF;
			FOR k IN 2 .. coalesce(cardinality(got), 0) LOOP
				IF got[k] < got[k - 1] THEN
					bad := bad + 1;
					RAISE NOTICE 'query % of % %: % before %', q, type, operator, got[k - 1], got[k];
				END IF;
			END LOOP;
		END LOOP;
		DROP TABLE item;
		RETURN bad;
	END $$});

foreach my $type ([ 'vector', -44, 37.5 ], [ 'halfvec', -7, 4.5 ], [ 'sparsevec', -44, 37.5 ])
{
	my ($name, $low, $high) = @$type;

	foreach my $metric (sort keys %operator)
	{
		foreach my $dim (2, 3, 20)
		{
			my ($rc, $out, $err) = $node->psql(
				'postgres', qq{
				SELECT setseed(1.0 / (1 + $seed + $dim)) \\g /dev/null
				SET enable_seqscan = off;
				SET enable_sort = off;
				SET hnsw.ef_search = 200;
				SELECT sum(disorder('$name', '$operator{$metric}', '${name}_${metric}_ops', $dim, $low, $high)) FROM generate_series(1, $indexes)});
			is($out, '0', "$name($dim) $metric: all rows come in order") or note $err;
		}
	}
}

done_testing();
