-- What holds for every object of the extension.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;

CREATE TEMP VIEW member AS
SELECT classid, objid FROM pg_depend
WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'vecdb');

-- Types: pgvector's layout, both formats, stored out of line uncompressed
SELECT typname, typlen, typbyval, typalign, typstorage, typcategory, typinput, typoutput, typreceive, typsend, typmodin
FROM pg_type WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_type'::regclass) AND typcategory <> 'A' ORDER BY typname;

-- Functions on values are immutable, strict and parallel safe
SELECT p.oid::regprocedure FROM pg_proc p
WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass)
	AND prokind = 'f' AND 'internal'::regtype::oid <> ALL (proargtypes)
	AND NOT (provolatile = 'i' AND proisstrict AND proparallel = 's');
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
