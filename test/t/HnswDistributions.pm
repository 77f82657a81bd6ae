# HnswDistributions.pm
#	  Recall of an hnsw index on rows of many distributions, by the statements
#	  that vecdb and pgvector both take.
#
# 022_hnsw_distributions.pl asks vecdb for what pgvector reached;
# "make bench ROW=recall" measures both in one server.
#
# Rows are made by SQL from setseed(), so they are the same in each database of
# PostgreSQL 15 and later.  A case has a form: built at once, inserted one by one
# into an empty index, or built, then with a half of the rows deleted and
# vacuumed.  Recall@20 is the share of the rows given that are not farther than
# the twentieth nearest.
package HnswDistributions;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(@CASES @FORMS preparation measurement case_name);

our @FORMS = qw(built inserted vacuumed);

my $LIMIT = 20;

# Distribution, type, metric, dimensions, rows, queries, and whether a short run has it
our @CASES = map { { distribution => $_->[0], type => $_->[1], metric => $_->[2], dim => $_->[3], rows => $_->[4], queries => $_->[5], short => $_->[6] } } (
	# where lengths differ, under each metric that looks at them
	[ 'uniform', 'vector', 'ip', 3, 5000, 200, 1 ],
	[ 'uniform', 'halfvec', 'ip', 3, 5000, 200 ],
	[ 'uniform', 'sparsevec', 'ip', 3, 5000, 200, 1 ],
	[ 'cubes', 'vector', 'ip', 3, 5000, 200, 1 ],
	[ 'cubes', 'halfvec', 'ip', 3, 3000, 200, 1 ],
	[ 'cubes', 'sparsevec', 'ip', 3, 3000, 200 ],
	[ 'lengths', 'vector', 'ip', 16, 5000, 200, 1 ],
	[ 'lengths', 'halfvec', 'ip', 16, 3000, 100 ],
	[ 'lengths', 'sparsevec', 'ip', 16, 3000, 100 ],
	[ 'lengths', 'vector', 'ip', 100, 5000, 200, 1 ],
	[ 'lengths', 'vector', 'l2', 16, 3000, 100 ],
	[ 'normal', 'vector', 'ip', 100, 3000, 100 ],

	[ 'normal', 'vector', 'l1', 100, 5000, 200, 1 ],
	[ 'normal', 'halfvec', 'l1', 100, 3000, 100 ],
	[ 'normal', 'vector', 'l2', 100, 3000, 100, 1 ],
	[ 'normal', 'vector', 'cosine', 100, 3000, 100, 1 ],
	[ 'uniform', 'vector', 'l2', 2, 3000, 100 ],
	[ 'uniform', 'vector', 'cosine', 3, 3000, 100 ],
	[ 'cubes', 'vector', 'l2', 32, 3000, 100 ],
	[ 'cubes', 'vector', 'l1', 32, 3000, 100 ],
	[ 'cubes', 'vector', 'ip', 32, 3000, 100 ],
	[ 'duplicates', 'vector', 'l2', 4, 3000, 100, 1 ],
	[ 'duplicates', 'vector', 'ip', 4, 3000, 100 ],
	[ 'duplicates', 'halfvec', 'cosine', 4, 3000, 100 ],
	[ 'clusters', 'vector', 'l2', 64, 3000, 100 ],
	[ 'clusters', 'vector', 'ip', 64, 3000, 100 ],
	[ 'clusters', 'sparsevec', 'cosine', 64, 2000, 100, 1 ],
	[ 'thin', 'sparsevec', 'l2', 500, 2000, 100 ],
	[ 'thin', 'sparsevec', 'ip', 500, 2000, 100, 1 ],
	[ 'thin', 'sparsevec', 'l1', 500, 2000, 100, 1 ],
	[ 'surface', 'vector', 'cosine', 768, 1000, 50 ],
	[ 'surface', 'vector', 'ip', 1536, 1000, 50 ],
	[ 'surface', 'halfvec', 'l2', 1536, 1000, 50, 1 ],
	[ 'normal', 'bit', 'hamming', 256, 3000, 100, 1 ],
	[ 'clusters', 'bit', 'jaccard', 256, 3000, 100, 1 ],);

my %OPERATOR = (l2 => '<->', ip => '<#>', cosine => '<=>', l1 => '<+>', hamming => '<~>', jaccard => '<%>');

sub case_name
{
	my ($case) = @_;

	return "$case->{distribution} $case->{type}($case->{dim}) $case->{metric}";
}

# Functions that make the arrays; to be run once in each database.
sub preparation
{
	return q{
CREATE FUNCTION normal() RETURNS float8 LANGUAGE sql VOLATILE AS
	$$ SELECT sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()) $$;
CREATE FUNCTION scaled(a float8[], factor float8) RETURNS float8[] LANGUAGE sql IMMUTABLE AS
	$$ SELECT array_agg(x * factor ORDER BY i) FROM unnest(a) WITH ORDINALITY u (x, i) $$;
CREATE FUNCTION make_uniform(i int, dim int) RETURNS float8[] LANGUAGE sql VOLATILE AS
	$$ SELECT array_agg(random()) FROM generate_series(1, dim) $$;
CREATE FUNCTION make_normal(i int, dim int) RETURNS float8[] LANGUAGE sql VOLATILE AS
	$$ SELECT array_agg(normal()) FROM generate_series(1, dim) $$;
-- cubes of absolute values: heavy tails, all of one sign
CREATE FUNCTION make_cubes(i int, dim int) RETURNS float8[] LANGUAGE sql VOLATILE AS
	$$ SELECT array_agg(abs(normal()) ^ 3) FROM generate_series(1, dim) $$;
-- random directions, log-normal lengths
CREATE FUNCTION make_lengths(i int, dim int) RETURNS float8[] LANGUAGE sql VOLATILE AS
	$$ SELECT scaled(a, exp(normal()) / (SELECT sqrt(sum(x * x)) FROM unnest(a) x)) FROM make_normal(i, dim) a $$;
-- few different values
CREATE FUNCTION make_duplicates(i int, dim int) RETURNS float8[] LANGUAGE sql VOLATILE AS
	$$ SELECT array_agg(1 + floor(random() * 4)) FROM generate_series(1, dim) $$;
-- 40 clusters that nearly touch
CREATE FUNCTION make_clusters(i int, dim int) RETURNS float8[] LANGUAGE sql VOLATILE AS
	$$ SELECT array_agg((hashint8((i % 40)::bigint * 100000 + j) & 65535) / 65536.0 - 0.5 + 0.5 * normal()) FROM generate_series(1, dim) j $$;
-- a twentieth of the coordinates are not zero
CREATE FUNCTION make_thin(i int, dim int) RETURNS float8[] LANGUAGE sql VOLATILE AS
	$$ SELECT array_agg(CASE WHEN random() < 0.05 OR j = 1 THEN normal() ELSE 0 END) FROM generate_series(1, dim) j $$;
-- three parameters give all coordinates
CREATE FUNCTION make_surface(i int, dim int) RETURNS float8[] LANGUAGE sql VOLATILE AS
	$$ SELECT array_agg(cos((1 + j % 7) * p[1] + j) + sin((1 + j % 5) * p[2] + j * j % 11) + cos(p[3] * 3 + j * 7)) FROM make_uniform(i, 3) p, generate_series(1, dim) j $$;
};
}

# Statements that create one form of a case and print its recall at ef_search 40
# and at 100.  ef_construction and m are the defaults, 64 and 16.
sub measurement
{
	my ($case, $form) = @_;
	my ($type, $dim) = @$case{qw(type dim)};
	my $operator = $OPERATOR{ $case->{metric} };
	my $opclass = "${type}_$case->{metric}_ops";
	my $value = "make_$case->{distribution}(i, $dim)";
	my $index = "CREATE INDEX item_v ON item USING hnsw (v $opclass);";
	my $sql;

	$value = $type eq 'bit' ? "binary_quantize($value\::vector)" : "$value\::vector" . ($type eq 'vector' ? '' : "::$type");
	$sql = qq{
SET max_parallel_maintenance_workers = 0;
SET max_parallel_workers_per_gather = 0;
SET enable_seqscan = on;
SET enable_sort = on;
SET client_min_messages = warning;
DROP TABLE IF EXISTS item, made, query;
SELECT setseed(0.25) \\g /dev/null
CREATE UNLOGGED TABLE made AS SELECT i AS id, $value AS v FROM generate_series(1, $case->{rows}) i;
CREATE UNLOGGED TABLE query AS SELECT i AS id, ($value)::$type($dim) AS v FROM generate_series(1, $case->{queries}) i;
CREATE UNLOGGED TABLE item (id int, v $type($dim));
};
	$sql .= $form eq 'inserted' ? "$index\nINSERT INTO item SELECT * FROM made;\n" : "INSERT INTO item SELECT * FROM made;\n$index\n";
	$sql .= "DELETE FROM item WHERE id % 2 = 0;\nVACUUM item;\n" if $form eq 'vacuumed';
	$sql .= qq{
ANALYZE item;
SET enable_indexscan = off;
CREATE TEMP TABLE exact AS SELECT q.id, q.v,
	(SELECT max(d) FROM (SELECT v $operator q.v AS d FROM item ORDER BY d LIMIT $LIMIT) t) AS most FROM query q;
SET enable_indexscan = on;
SET enable_seqscan = off;
SET enable_sort = off;
};
	foreach my $ef (40, 100)
	{
		$sql .= qq{
SET hnsw.ef_search = $ef;
SELECT round(avg((SELECT count(*) FROM (SELECT v $operator q.v AS d FROM item ORDER BY v $operator q.v LIMIT $LIMIT) t WHERE d <= q.most)) / $LIMIT, 4) FROM exact q;
};
	}
	$sql .= "DROP TABLE exact;\n";
	return $sql;
}

1;
