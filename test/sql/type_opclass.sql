-- The operator classes of hnsw: for each type and metric, one.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vecdb;
RESET client_min_messages;

SELECT opcname, opcintype::regtype, opcdefault, amopopr::regoperator, amoppurpose, sf.opfname AS sorted_by, amproc
FROM pg_opclass c
JOIN pg_am a ON a.oid = opcmethod
JOIN pg_amop o ON amopfamily = opcfamily
JOIN pg_opfamily sf ON sf.oid = amopsortfamily
JOIN pg_amproc p ON p.amprocfamily = opcfamily
WHERE amname = 'hnsw'
ORDER BY opcintype::regtype::text COLLATE "C", opcname;

-- Names of pgvector's operator classes are ours
SELECT name FROM unnest(ARRAY[
	'vector_l2_ops', 'vector_ip_ops', 'vector_cosine_ops', 'vector_l1_ops',
	'halfvec_l2_ops', 'halfvec_ip_ops', 'halfvec_cosine_ops', 'halfvec_l1_ops',
	'sparsevec_l2_ops', 'sparsevec_ip_ops', 'sparsevec_cosine_ops', 'sparsevec_l1_ops',
	'bit_hamming_ops', 'bit_jaccard_ops']) name
WHERE name NOT IN (SELECT opcname FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'hnsw');

-- Each has one operator and one support function, which only the server can call
SELECT opcname FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod
WHERE amname = 'hnsw' AND ((SELECT count(*) FROM pg_amop WHERE amopfamily = opcfamily) <> 1
	OR (SELECT count(*) FROM pg_amproc WHERE amprocfamily = opcfamily) <> 1
	OR (SELECT amproclefttype <> opcintype OR amprocnum <> 1 FROM pg_amproc WHERE amprocfamily = opcfamily));
SELECT count(*) FROM pg_proc WHERE proname ~ '^hnsw_.*_support$' AND prorettype = 'internal'::regtype AND proargtypes::text = 'internal'::regtype::oid::text;

-- amvalidate() tells of a class that is not what the index takes it for
BEGIN;
CREATE OPERATOR CLASS fault_no_function FOR TYPE vector USING hnsw AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops;
CREATE OPERATOR CLASS fault_no_operator FOR TYPE vector USING hnsw AS
	FUNCTION 1 hnsw_vector_l2_support(internal);
CREATE OPERATOR CLASS fault_function FOR TYPE vector USING hnsw AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 l2_distance(vector, vector);
CREATE OPERATOR CLASS fault_purpose FOR TYPE vector USING hnsw AS
	OPERATOR 1 < (vector, vector),
	FUNCTION 1 hnsw_vector_l2_support(internal);
CREATE OPERATOR CLASS fault_strategy FOR TYPE vector USING hnsw AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	OPERATOR 2 <#> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 hnsw_vector_l2_support(internal);
CREATE OPERATOR CLASS fault_sort FOR TYPE vector USING hnsw AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY integer_ops,
	FUNCTION 1 hnsw_vector_l2_support(internal);
CREATE OPERATOR CLASS fault_types FOR TYPE vector USING hnsw AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 (vector, halfvec) hnsw_vector_l2_support(internal);
CREATE OPERATOR CLASS fault_none FOR TYPE vector USING hnsw AS
	OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
	FUNCTION 1 hnsw_vector_l2_support(internal);
SELECT opcname, amvalidate(oid) FROM pg_opclass WHERE opcname LIKE 'fault\_%' ORDER BY opcname;
ROLLBACK;
