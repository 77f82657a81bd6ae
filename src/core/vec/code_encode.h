/*
 * code_encode.h
 *	  Encoding, written once over eight floats at a time; included by
 *	  code_avx2.c and code_neon.c after they have defined
 *
 *	  TARGET, INLINE	attributes of functions that use the primitives
 *	  Vector			eight floats
 *	  vec_zero, vec_set(f), vec_load_f32(p), vec_add, vec_sub, vec_mul_add, vec_abs
 *	  vec_max, vec_min	of NaN and a number, which stands second, the number
 *	  vec_mul_rounded	a product that no addition takes up
 *	  vec_sum(v)		of lanes by halves: j and j + 4, then j + 2, then both
 *	  vec_put_signs(u, r, at)	bytes u: 1 where r > 0, else 0; gives at back,
 *					its sign turned where they are 0
 *	  vec_put_whole(u, level)	bytes u, from level without its fraction; gives
 *					this back
 */

INLINE Vector
square_of_residual(const float *y, const float *c, int i)
{
	Vector		r = vec_sub(vec_load_f32(y + i), vec_load_f32(c + i));

	return vec_mul_rounded(r, r);
}

/* The order of code_forms.h: lane j is element j % 8 of vector j / 8 */
TARGET static float
sum_of_squares(int n, const float *y, const float *c)
{
	Vector		lane[4] = {vec_zero(), vec_zero(), vec_zero(), vec_zero()};
	int			i = 0;

	for (; i + 32 <= n; i += 32)
	{
		for (int j = 0; j < 4; j++)
			lane[j] = vec_add(lane[j], square_of_residual(y, c, i + 8 * j));
	}
	for (int j = 0; i < n; i += 8, j++)
		lane[j] = vec_add(lane[j], square_of_residual(y, c, i));
	return vec_sum(vec_add(vec_add(lane[0], lane[2]), vec_add(lane[1], lane[3])));
}

/* Running sums of encoding, two of each to hide the latency of additions */
typedef struct Running
{
	Vector		rr;
	Vector		vr;
	Vector		vc;
	Vector		cr;
} Running;

/* v is 1/2 or -1/2: sum |r| and sum +-c are twice what is wanted */
INLINE void
step_1_bit(Running *sum, const float *y, const float *c, uint8_t *u, int i)
{
	Vector		at = vec_load_f32(c + i);
	Vector		r = vec_sub(vec_load_f32(y + i), at);

	sum->rr = vec_mul_add(r, r, sum->rr);
	sum->cr = vec_mul_add(at, r, sum->cr);
	sum->vr = vec_add(sum->vr, vec_abs(r));
	sum->vc = vec_add(sum->vc, vec_put_signs(u + i, r, at));
}

INLINE void
step_more_bits(Running *sum, const float *y, const float *c, uint8_t *u, int i,
			   Vector per_unit, Vector middle, Vector top, Vector half_top)
{
	Vector		at = vec_load_f32(c + i);
	Vector		r = vec_sub(vec_load_f32(y + i), at);
	Vector		level = vec_add(vec_mul_rounded(r, per_unit), middle);
	Vector		v;

	level = vec_min(vec_max(level, vec_zero()), top);
	v = vec_sub(vec_put_whole(u + i, level), half_top);
	sum->cr = vec_mul_add(at, r, sum->cr);
	sum->vr = vec_mul_add(v, r, sum->vr);
	sum->vc = vec_mul_add(v, at, sum->vc);
}

TARGET static bool
encode(int bits, int dc, int D, const float *y, const float *c,
	   uint8_t *u, EncodeSums *sums)
{
	Vector		zero = vec_zero();
	Running		a = {zero, zero, zero, zero};
	Running		b = {zero, zero, zero, zero};
	float		rr;
	int			i = 0;

	if (bits == 1)
	{
		for (; i + 16 <= dc; i += 16)
		{
			step_1_bit(&a, y, c, u, i);
			step_1_bit(&b, y, c, u, i + 8);
		}
		if (i < dc)
			step_1_bit(&a, y, c, u, i);
		rr = 0;
	}
	else
	{
		Vector		middle = vec_set((float) (1 << (bits - 1)));
		Vector		top = vec_set((float) ((1 << bits) - 1));
		Vector		half_top = vec_set((float) ((1 << bits) - 1) / 2);
		Vector		per_unit;

		rr = sum_of_squares(dc, y, c);
		if (!(rr >= SAFE_LEAST && rr <= SAFE_MOST))
			return false;
		per_unit = vec_set(1 / (sqrtf(rr / (float) dc) * code_step(bits)));
		for (; i + 16 <= dc; i += 16)
		{
			step_more_bits(&a, y, c, u, i, per_unit, middle, top, half_top);
			step_more_bits(&b, y, c, u, i + 8, per_unit, middle, top, half_top);
		}
		if (i < dc)
			step_more_bits(&a, y, c, u, i, per_unit, middle, top, half_top);
	}

	for (i = dc; i < D; i += 8)
	{
		Vector		at = vec_load_f32(c + i);
		Vector		r = vec_sub(vec_load_f32(y + i), at);

		a.rr = vec_mul_add(r, r, a.rr);
		a.cr = vec_mul_add(at, r, a.cr);
	}

	sums->rr = rr + vec_sum(vec_add(a.rr, b.rr));
	sums->vr = vec_sum(vec_add(a.vr, b.vr)) * (bits == 1 ? 0.5f : 1);
	sums->vc = vec_sum(vec_add(a.vc, b.vc)) * (bits == 1 ? 0.5f : 1);
	sums->cr = vec_sum(vec_add(a.cr, b.cr));

	/* the residual may be small beside a huge c */
	return sums->rr >= SAFE_LEAST && sums->rr <= SAFE_MOST &&
		isfinite(sums->vc) && isfinite(sums->cr);
}
