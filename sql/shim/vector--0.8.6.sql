-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION vector" to load this file. \quit

-- Types, operators and the access method all come from vecdb, which this creates
-- where it is not there yet.  The schema of the extension may hold what somebody
-- hostile made: the function is called in a schema that is new and ours.
CREATE SCHEMA vecdb_for_vector;
CREATE FUNCTION vecdb_for_vector.create() RETURNS pg_catalog.void
	AS '$libdir/vecdb', 'vecdb_for_vector'
	LANGUAGE C;
SELECT vecdb_for_vector.create();
DROP FUNCTION vecdb_for_vector.create();
DROP SCHEMA vecdb_for_vector;
