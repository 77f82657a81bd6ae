/*
 * distance_sums.h
 *	  The vector forms of the distance sums, written once over the primitives
 *	  of one instruction set; included by distance_avx2.c, distance_avx512.c,
 *	  distance_neon.c and distance_fp16.c after they have defined
 *
 *	  TARGET			attribute of functions that use the primitives
 *	  Vector, WIDTH		a register of WIDTH floats
 *	  vec_zero, vec_add, vec_sub, vec_mul_add, vec_abs, vec_sum
 *	  vec_load_f32(p), vec_load_f16(p)				WIDTH elements
 *	  vec_load_some_f32(p, n), vec_load_some_f16(p, n)	0 < n < WIDTH elements,
 *					reading no other; zeros follow.  What f16 loads may be of a
 *					type of its own, which vec_sub and vec_mul_add take too
 *	  vec_set(f), vec_mul_sub_from(x, y, z)		z - x * y
 *	  vec_load_p12(high, low)	WIDTH integers of packed12.h from their two parts
 *	  vec_load_eight_p12(high, low)	eight of them; zeros follow
 *
 * Each sum runs in four registers, as many as hide the latency of a fused
 * multiplication.  What is left at the end of an array loads as zeros, which
 * add nothing to any of these sums.
 */

/* One term of a sum, and the loads of its operands */
#define STEP_L2SQ(sum, x, y) \
	do \
	{ \
		Vector		d_ = vec_sub(x, y); \
\
		sum = vec_mul_add(d_, d_, sum); \
	} while (0)
#define STEP_IP(sum, x, y) sum = vec_mul_add(x, y, sum)
#define STEP_L1(sum, x, y) sum = vec_add(sum, vec_abs(vec_sub(x, y)))

#define DEFINE_SUM(NAME, TYPE_A, KIND_A, TYPE_B, KIND_B, STEP) \
TARGET static float \
NAME(const TYPE_A *a, const TYPE_B *b, int n) \
{ \
	Vector		s0 = vec_zero(); \
	Vector		s1 = vec_zero(); \
	Vector		s2 = vec_zero(); \
	Vector		s3 = vec_zero(); \
	int			i = 0; \
\
	for (; i + 4 * WIDTH <= n; i += 4 * WIDTH) \
	{ \
		STEP(s0, vec_load_##KIND_A(a + i), vec_load_##KIND_B(b + i)); \
		STEP(s1, vec_load_##KIND_A(a + i + WIDTH), vec_load_##KIND_B(b + i + WIDTH)); \
		STEP(s2, vec_load_##KIND_A(a + i + 2 * WIDTH), vec_load_##KIND_B(b + i + 2 * WIDTH)); \
		STEP(s3, vec_load_##KIND_A(a + i + 3 * WIDTH), vec_load_##KIND_B(b + i + 3 * WIDTH)); \
	} \
	if (i + 2 * WIDTH <= n) \
	{ \
		STEP(s0, vec_load_##KIND_A(a + i), vec_load_##KIND_B(b + i)); \
		STEP(s1, vec_load_##KIND_A(a + i + WIDTH), vec_load_##KIND_B(b + i + WIDTH)); \
		i += 2 * WIDTH; \
	} \
	if (i + WIDTH <= n) \
	{ \
		STEP(s2, vec_load_##KIND_A(a + i), vec_load_##KIND_B(b + i)); \
		i += WIDTH; \
	} \
	if (i < n) \
		STEP(s3, vec_load_some_##KIND_A(a + i, n - i), vec_load_some_##KIND_B(b + i, n - i)); \
	return vec_sum(vec_add(vec_add(s0, s1), vec_add(s2, s3))); \
}

/* Three sums at once; two registers each */
#define STEP_COSINE(k, x, y) \
	do \
	{ \
		__typeof__(x) x_ = x; \
		__typeof__(y) y_ = y; \
\
		ab##k = vec_mul_add(x_, y_, ab##k); \
		aa##k = vec_mul_add(x_, x_, aa##k); \
		bb##k = vec_mul_add(y_, y_, bb##k); \
	} while (0)

#define DEFINE_COSINE(NAME, TYPE, KIND) \
TARGET static CosineSums \
NAME(const TYPE *a, const TYPE *b, int n) \
{ \
	Vector		ab0 = vec_zero(); \
	Vector		aa0 = vec_zero(); \
	Vector		bb0 = vec_zero(); \
	Vector		ab1 = vec_zero(); \
	Vector		aa1 = vec_zero(); \
	Vector		bb1 = vec_zero(); \
	CosineSums	sums; \
	int			i = 0; \
\
	for (; i + 2 * WIDTH <= n; i += 2 * WIDTH) \
	{ \
		STEP_COSINE(0, vec_load_##KIND(a + i), vec_load_##KIND(b + i)); \
		STEP_COSINE(1, vec_load_##KIND(a + i + WIDTH), vec_load_##KIND(b + i + WIDTH)); \
	} \
	if (i + WIDTH <= n) \
	{ \
		STEP_COSINE(0, vec_load_##KIND(a + i), vec_load_##KIND(b + i)); \
		i += WIDTH; \
	} \
	if (i < n) \
		STEP_COSINE(1, vec_load_some_##KIND(a + i, n - i), vec_load_some_##KIND(b + i, n - i)); \
	sums.ab = vec_sum(vec_add(ab0, ab1)); \
	sums.aa = vec_sum(vec_add(aa0, aa1)); \
	sums.bb = vec_sum(vec_add(bb0, bb1)); \
	return sums; \
}

DEFINE_SUM(l2sq_f32, float, f32, float, f32, STEP_L2SQ)
DEFINE_SUM(ip_f32, float, f32, float, f32, STEP_IP)
DEFINE_SUM(l1_f32, float, f32, float, f32, STEP_L1)
DEFINE_COSINE(cosine_f32, float, f32)

DEFINE_SUM(l2sq_f16, half, f16, half, f16, STEP_L2SQ)
DEFINE_SUM(ip_f16, half, f16, half, f16, STEP_IP)
DEFINE_SUM(l1_f16, half, f16, half, f16, STEP_L1)
DEFINE_COSINE(cosine_f16, half, f16)

/*
 * A query against packed integers, whose two parts are apart.  n is a multiple
 * of 8: with WIDTH 16, half a register may be left.
 */
#define STEP_L2SQ_P12(sum, y, v) \
	do \
	{ \
		Vector		d_ = vec_mul_sub_from(scales, v, y); \
\
		sum = vec_mul_add(d_, d_, sum); \
	} while (0)
#define STEP_IP_P12(sum, y, v) sum = vec_mul_add(y, v, sum)

#define DEFINE_SUM_P12(NAME, STEP) \
TARGET static float \
NAME(const float *q, const uint8_t *x, int n, float scale) \
{ \
	const uint8_t *low = x + n; \
	Vector		scales = vec_set(scale); \
	Vector		s0 = vec_zero(); \
	Vector		s1 = vec_zero(); \
	int			i = 0; \
\
	(void) scales; \
	for (; i + 2 * WIDTH <= n; i += 2 * WIDTH) \
	{ \
		STEP(s0, vec_load_f32(q + i), vec_load_p12(x + i, low + i / 2)); \
		STEP(s1, vec_load_f32(q + i + WIDTH), vec_load_p12(x + i + WIDTH, low + (i + WIDTH) / 2)); \
	} \
	if (i + WIDTH <= n) \
	{ \
		STEP(s0, vec_load_f32(q + i), vec_load_p12(x + i, low + i / 2)); \
		i += WIDTH; \
	} \
	if (i < n) \
		STEP(s1, vec_load_some_f32(q + i, 8), vec_load_eight_p12(x + i, low + i / 2)); \
	return vec_sum(vec_add(s0, s1)); \
}

DEFINE_SUM_P12(l2sq_f32_p12, STEP_L2SQ_P12)
DEFINE_SUM_P12(ip_f32_p12, STEP_IP_P12)
