/*
 * rotation_passes.h
 *	  The Walsh-Hadamard transform of a round, written once over the primitives
 *	  of one instruction set; included by rotation_avx2.c, rotation_avx512.c and
 *	  rotation_neon.c after they have defined
 *
 *	  TARGET			attribute of functions that use the primitives
 *	  Vector, WIDTH		a register of WIDTH floats, or a few
 *	  vec_load_f32(p), vec_store(p, v), vec_add, vec_sub, vec_set(f)
 *	  start(x, signs, scale)	WIDTH coordinates with signs and scale, and all
 *					butterflies inside a vector done
 *
 * A first pass applies signs and scale and does all levels of butterflies that
 * fit into registers: inside vectors, then between them.  Further passes do two
 * or three levels each.
 *
 * Inside a vector, the butterfly of width w makes lane j from lanes j and
 * j ^ w: partner + own where j & w is 0, partner - own where it is not.  As a
 * fused multiplication by 1 or -1 that is one instruction, and rounds like
 * the addition, since the product is exact.
 */

#define CROSS(a, b) \
	do \
	{ \
		Vector		a_ = a; \
\
		a = vec_add(a_, b); \
		b = vec_sub(a_, b); \
	} while (0)

/* Butterflies between 2, 4 or 8 vectors, narrowest first */
#define CROSS_1(v) (void) 0
#define CROSS_2(v) CROSS(v[0], v[1])
#define CROSS_4(v) \
	do \
	{ \
		CROSS(v[0], v[1]); \
		CROSS(v[2], v[3]); \
		CROSS(v[0], v[2]); \
		CROSS(v[1], v[3]); \
	} while (0)
#define CROSS_8(v) \
	do \
	{ \
		CROSS_4(v); \
		CROSS_4((v + 4)); \
		CROSS(v[0], v[4]); \
		CROSS(v[1], v[5]); \
		CROSS(v[2], v[6]); \
		CROSS(v[3], v[7]); \
	} while (0)

#define FIRST_PASS(COUNT) \
	do \
	{ \
		for (int i = 0; i < T; i += WIDTH * COUNT) \
		{ \
			Vector		v[COUNT]; \
\
			for (int k = 0; k < COUNT; k++) \
				v[k] = start(x + i + WIDTH * k, signs + i + WIDTH * k, scales); \
			CROSS_##COUNT(v); \
			for (int k = 0; k < COUNT; k++) \
				vec_store(x + i + WIDTH * k, v[k]); \
		} \
	} while (0)

/* Butterflies of widths `width`, 2 width, .. COUNT / 2 width */
#define FURTHER_PASS(COUNT) \
	do \
	{ \
		for (int i = 0; i < T; i += COUNT * width) \
		{ \
			for (int j = i; j < i + width; j += WIDTH) \
			{ \
				Vector		v[COUNT]; \
\
				for (int k = 0; k < COUNT; k++) \
					v[k] = vec_load_f32(x + j + k * width); \
				CROSS_##COUNT(v); \
				for (int k = 0; k < COUNT; k++) \
					vec_store(x + j + k * width, v[k]); \
			} \
		} \
	} while (0)

TARGET static void
transform(float *x, const uint32_t *signs, int T, float scale)
{
	Vector		scales = vec_set(scale);
	int			width;

	if (T >= 8 * WIDTH)
		FIRST_PASS(8);
	else if (T == 4 * WIDTH)
		FIRST_PASS(4);
	else if (T == 2 * WIDTH)
		FIRST_PASS(2);
	else
		FIRST_PASS(1);

	for (width = 8 * WIDTH; width < T;)
	{
		if (T / width == 2)
		{
			FURTHER_PASS(2);
			width *= 2;
		}
		else if (T / width == 4 || T / width == 16)
		{
			FURTHER_PASS(4);
			width *= 4;
		}
		else
		{
			FURTHER_PASS(8);
			width *= 8;
		}
	}
}
