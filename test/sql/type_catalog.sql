-- What holds for every object of the extension.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;

CREATE TEMP VIEW member AS
SELECT classid, objid FROM pg_depend
WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'vecdb');

-- Types: pgvector's layout, both formats, stored out of line uncompressed
SELECT typname, typlen, typbyval, typalign, typstorage, typcategory, typinput, typoutput, typreceive, typsend, typmodin
FROM pg_type WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_type'::regclass)
	AND typname IN ('vector', 'halfvec', 'sparsevec') ORDER BY typname;

-- Functions on values are immutable, strict and parallel safe: those behind types,
-- operators, casts, aggregates and indexes, and those that users call
CREATE TEMP VIEW value_function AS
SELECT oid, proname, provolatile, proisstrict, proparallel FROM pg_proc
WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass) AND prokind = 'f'
	AND (oid IN (SELECT unnest(ARRAY[typinput, typoutput, typreceive, typsend, typmodin]) FROM pg_type)
		OR oid IN (SELECT oprcode FROM pg_operator)
		OR oid IN (SELECT castfunc FROM pg_cast)
		OR oid IN (SELECT unnest(ARRAY[aggtransfn, aggfinalfn, aggcombinefn]) FROM pg_aggregate)
		OR oid IN (SELECT amproc FROM pg_amproc WHERE 'internal'::regtype <> ALL (proargtypes))
		OR proname ~ '_(distance|product|norm|normalize|quantize|dims)$' OR proname IN ('subvector', 'l2_norm'));
SELECT count(*) FROM value_function;
SELECT oid::regprocedure FROM value_function WHERE NOT (provolatile = 'i' AND proisstrict AND proparallel = 's');
SELECT p.oid::regprocedure FROM pg_proc p
WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass)
	AND prokind = 'a' AND proparallel <> 's';

-- A function that reads whole vectors to give a number costs more than one operator
SELECT DISTINCT p.proname FROM pg_proc p
WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass)
	AND proname ~ 'distance|product|norm' AND procost <= 1;

-- Operators without a commutator are those that do not commute
SELECT o.oid::regoperator, oprcode::regprocedure FROM pg_operator o
WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_operator'::regclass) AND oprcom = 0 ORDER BY o.oid::regoperator::text COLLATE "C";
SELECT o.oid::regoperator FROM pg_operator o
WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_operator'::regclass) AND oprresult = 'boolean'::regtype
	AND (oprnegate = 0 OR oprrest = 0 OR oprjoin = 0);
SELECT o.oid::regoperator, oprcanhash, oprcanmerge FROM pg_operator o
WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_operator'::regclass) AND oprname = '=' ORDER BY o.oid::regoperator::text COLLATE "C";

-- Default operator classes
SELECT amname, opcname, opcintype::regtype FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod
WHERE c.oid IN (SELECT objid FROM member WHERE classid = 'pg_opclass'::regclass) AND opcdefault ORDER BY amname, opcname;

-- The operator classes that are there are valid
SELECT amname, opcname FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod
WHERE c.oid IN (SELECT objid FROM member WHERE classid = 'pg_opclass'::regclass) AND NOT amvalidate(c.oid) ORDER BY 1, 2;
