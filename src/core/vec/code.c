/*
 * code.c
 *	  Encoding of a node's neighbors, blocks of codes, and the estimate of 32
 *	  distances at once.  The layout of a block is described in code.h.
 *
 * Here are the public functions and the scalar forms; code_avx2.c, code_avx512.c
 * and code_neon.c have the others, and code_forms.h says what they must share.
 */
#include "core/vec/code.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/assert.h"
#include "core/vec/code_forms.h"

/* 1/delta would overflow below, and no estimate can use such a query anyway. */
#define QUERY_LEAST 1e-30f

static bool encode_scalar(int bits, int dc, int D, const float *y, const float *c,
						  uint8_t *u, EncodeSums *sums);
static void query_size_scalar(int dc, const float *q, float *widest, double *total);
static void query_table_scalar(int dc, const float *q, float scale, uint8_t *table);
static void scan_scalar(const CodeQuery *self, const uint8_t *block, uint32_t *acc);
static uint32_t estimate_scalar(const CodeQuery *self, const uint8_t *block, float own,
								const bfloat16 *f_add, const bfloat16 *f_mul, float limit, float *est);

static const CodeForms forms_scalar = {
	.encode = encode_scalar,
	.query_size = query_size_scalar,
	.query_table = query_table_scalar,
	.scan = scan_scalar,
	.estimate = estimate_scalar,
};

static const CodeForms *const forms[] = {
	[CPU_SCALAR] = &forms_scalar,
#ifdef CORE_X86
	[CPU_AVX2] = &code_forms_avx2,
	[CPU_AVX512] = &code_forms_avx512,
#endif
#ifdef CORE_ARM64
	[CPU_NEON] = &code_forms_neon,
	[CPU_DOTPROD] = &code_forms_neon,
	[CPU_FP16] = &code_forms_neon,
#endif
};

static inline const CodeForms *
forms_in_force(void)
{
	return forms[cpu_level_in_force()];
}

/* The byte of a group that holds a slot, and the slot's place in it */
static inline int
slot_byte(int slot)
{
	int			s = slot & 15;

	return s < 8 ? 2 * s : 2 * (s - 8) + 1;
}

static inline int
slot_shift(int slot)
{
	return slot < 16 ? 0 : 4;
}

/* What code.h asks of the bits of a level and the coordinates of a code */
static inline bool
is_shape(int bits, int dc)
{
	return (bits == 1 || bits == 2 || bits == 4) && dc > 0 && dc % 8 == 0;
}

static bool
levels_fit(int bits, int dc, const uint8_t *u)
{
	for (int i = 0; i < dc; i++)
	{
		if (u[i] >> bits != 0)
			return false;
	}
	return true;
}

/* code_load() gives the levels u back from a slot; zeros where u is NULL. */
static bool
is_stored(const uint8_t *block, int bits, int dc, int slot, const uint8_t *u)
{
	const uint8_t *byte = block + slot_byte(slot);

	for (int p = 0; p < bits; p++)
	{
		for (int i = 0; i < dc; i++)
		{
			int			bit = byte[(p * (dc / 4) + i / 4) * 16] >> (slot_shift(slot) + i % 4) & 1;

			if (bit != (u == NULL ? 0 : u[i] >> p & 1))
				return false;
		}
	}
	return true;
}

static bool
are_stored(const uint8_t *block, int bits, int dc, int count, const uint8_t *u)
{
	for (int slot = 0; slot < CODE_SLOTS; slot++)
	{
		if (!is_stored(block, bits, dc, slot, slot < count ? u + (size_t) slot * dc : NULL))
			return false;
	}
	return true;
}

static inline bool
is_query(const CodeQuery *self)
{
	return is_shape(self->bits, self->dc) && self->delta >= 0 && self->delta <= FLT_MAX &&
		self->base <= 0 && self->base >= -FLT_MAX && (uintptr_t) self->table % 64 == 0;
}

/* A float that is always finite */
static float
clamp_to_float(double d)
{
	if (d > FLT_MAX)
		return FLT_MAX;
	if (d < -FLT_MAX)
		return -FLT_MAX;
	return d == d ? (float) d : 0;
}

/* encode() for any residual that floats can have */
static void
encode_in_double(int bits, int dc, int D, const float *y, const float *c,
				 uint8_t *u, EncodeSums *sums)
{
	double		middle = 1 << (bits - 1);
	double		top = (1 << bits) - 1;
	double		rr_coded = 0;
	double		unit;

	memset(sums, 0, sizeof *sums);
	for (int i = 0; i < dc; i++)
	{
		double		r = (double) y[i] - (double) c[i];

		rr_coded += r * r;
	}
	unit = sqrt(rr_coded / dc) * code_step(bits);

	for (int i = 0; i < D; i++)
	{
		double		r = (double) y[i] - (double) c[i];

		sums->rr += r * r;
		sums->cr += r * c[i];
		if (i < dc)
		{
			double		level;
			double		v;

			if (bits == 1)
				level = r > 0 ? 1 : 0;
			else
				level = unit > 0 ? r / unit + middle : middle;
			if (!(level > 0))	/* NaN too */
				level = 0;
			else if (level > top)
				level = top;
			u[i] = (uint8_t) level;
			v = u[i] - top / 2;
			sums->vr += v * r;
			sums->vc += v * c[i];
		}
	}
}

void
code_encode(CodeMetric metric, int bits, int dc, int D,
			const float *y, const float *c,
			uint8_t *u, float *f_add, float *f_mul)
{
	EncodeSums	sums;
	double		f;

	CORE_ASSERT(is_shape(bits, dc) && dc <= D && D % 8 == 0);
	if (!forms_in_force()->encode(bits, dc, D, y, c, u, &sums))
		encode_in_double(bits, dc, D, y, c, u, &sums);

	/* vr is 0 where r is 0 on all coded coordinates */
	f = sums.vr > 0 ? sums.rr / sums.vr : 0;
	if (metric == CODE_L2)
	{
		*f_add = clamp_to_float(sums.rr + 2 * f * sums.vc);
		*f_mul = clamp_to_float(-2 * f);
	}
	else
	{
		*f_add = clamp_to_float(f * sums.vc - sums.cr);
		*f_mul = clamp_to_float(-f);
	}
	CORE_ASSERT(levels_fit(bits, dc, u) && isfinite(*f_add) && *f_mul <= 0 && *f_mul >= -FLT_MAX);
}

/*
 * Bit p of eight levels, u[0]'s lowest: two nibbles of a plane.  The
 * multiplication gathers bit 0 of each of eight bytes into the topmost one.
 */
static inline unsigned
two_nibbles(const uint8_t *u, int p)
{
	uint64_t	eight;

	memcpy(&eight, u, sizeof eight);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	eight = __builtin_bswap64(eight);
#endif
	eight = (eight >> p) & UINT64_C(0x0101010101010101);
	return (unsigned) ((eight * UINT64_C(0x0102040810204080)) >> 56);
}

void
code_store(uint8_t *block, int bits, int dc, int slot, const uint8_t *u)
{
	uint8_t    *byte = block + slot_byte(slot);
	int			shift = slot_shift(slot);
	uint8_t		others = (uint8_t) (0xF0 >> shift);

	CORE_ASSERT(is_shape(bits, dc) && slot >= 0 && slot < CODE_SLOTS && levels_fit(bits, dc, u));
	for (int p = 0; p < bits; p++)
	{
		for (int i = 0; i < dc; i += 8)
		{
			unsigned	nibbles = two_nibbles(u + i, p);

			byte[0] = (uint8_t) ((byte[0] & others) | ((nibbles & 15) << shift));
			byte[16] = (uint8_t) ((byte[16] & others) | ((nibbles >> 4) << shift));
			byte += 32;
		}
	}
	CORE_ASSERT(is_stored(block, bits, dc, slot, u));
}

/* Slots s and s + 16 share their bytes, so that each byte is written once. */
void
code_store_all(uint8_t *block, int bits, int dc, int count, const uint8_t *u)
{
	uint8_t    *start = block;

	CORE_ASSERT(is_shape(bits, dc) && count >= 0 && count <= CODE_SLOTS);
	for (int p = 0; p < bits; p++)
	{
		for (int i = 0; i < dc; i += 8)
		{
			for (int s = 0; s < 16; s++)
			{
				const uint8_t *levels = u + (size_t) s * dc + i;
				unsigned	low = s < count ? two_nibbles(levels, p) : 0;
				unsigned	high = s + 16 < count ? two_nibbles(levels + (size_t) 16 * dc, p) : 0;

				block[slot_byte(s)] = (uint8_t) ((low & 15) | (high & 15) << 4);
				block[slot_byte(s) + 16] = (uint8_t) (low >> 4 | (high & 0xF0));
			}
			block += 32;
		}
	}
	CORE_ASSERT((size_t) (block - start) == code_block_bytes(bits, dc) && are_stored(start, bits, dc, count, u));
}

void
code_load(const uint8_t *block, int bits, int dc, int slot, uint8_t *u)
{
	const uint8_t *byte = block + slot_byte(slot);
	int			shift = slot_shift(slot);

	CORE_ASSERT(is_shape(bits, dc) && slot >= 0 && slot < CODE_SLOTS);
	memset(u, 0, (size_t) dc);
	for (int p = 0; p < bits; p++)
	{
		for (int i = 0; i < dc; i += 4)
		{
			int			nibble = *byte >> shift;

			for (int b = 0; b < 4; b++)
				u[i + b] |= (uint8_t) (((nibble >> b) & 1) << p);
			byte += 16;
		}
	}
}

float
code_dot(const uint8_t *block, int bits, int dc, int slot, const float *x)
{
	const uint8_t *byte = block + slot_byte(slot);
	int			shift = slot_shift(slot);
	double		sum = 0;
	double		total = 0;

	CORE_ASSERT(is_shape(bits, dc) && slot >= 0 && slot < CODE_SLOTS);
	for (int p = 0; p < bits; p++)
	{
		for (int i = 0; i < dc; i += 4)
		{
			int			nibble = *byte >> shift;

			for (int b = 0; b < 4; b++)
			{
				if ((nibble >> b) & 1)
					sum += (double) x[i + b] * (1 << p);
			}
			byte += 16;
		}
	}
	for (int i = 0; i < dc; i++)
		total += x[i];
	return (float) (sum - total * ((1 << bits) - 1) / 2);
}

/*
 * In each group of four, T_g[m] - lo_g is the sum of the |q_b| on one side of
 * the subset m: those of positive q_b inside it and of negative ones outside.
 * lo_g and the -1/2 sum of q in sum_i v_i q_i add up to -1/2 sum |q|.
 *
 * Each |q_b| is rounded to a multiple of delta/256 first, and the table holds
 * sums of those, rounded again: integers that every form gets alike.
 */
void
code_query_init(CodeQuery *self, int bits, int dc, const float *q, uint8_t *table)
{
	const CodeForms *f = forms_in_force();
	float		widest;
	double		total;
	double		base;

	f->query_size(dc, q, &widest, &total);

	self->bits = bits;
	self->dc = dc;
	self->table = table;
	base = -0.5 * ((1 << bits) - 1) * total;
	if (widest >= QUERY_LEAST && widest <= FLT_MAX && base >= -FLT_MAX / 4)
	{
		self->delta = widest / 255;
		self->base = (float) base;
		f->query_table(dc, q, (float) (255 * 256 / (double) widest), table);
	}
	else
	{
		/*
		 * All but zero, or past what float distances can tell apart: no code
		 * then moves the estimate, and none makes it NaN.
		 */
		self->delta = 0;
		self->base = 0;
		memset(table, 0, CODE_TABLE_BYTES(dc));
	}
	CORE_ASSERT(is_query(self));
}

void
code_scan(const CodeQuery *self, const uint8_t *block, uint32_t *acc)
{
	CORE_ASSERT(is_query(self));
	forms_in_force()->scan(self, block, acc);
}

uint32_t
code_estimate(const CodeQuery *self, const uint8_t *block, float own,
			  const bfloat16 *f_add, const bfloat16 *f_mul, float limit, float *est)
{
	CORE_ASSERT(is_query(self));
	return forms_in_force()->estimate(self, block, own, f_add, f_mul, limit, est);
}

/* ---- scalar forms ---- */

/* The sum of LANES lanes, in the order that all forms keep */
static float
sum_lanes(float *lane)
{
	for (int width = LANES / 2; width > 0; width /= 2)
	{
		for (int j = 0; j < width; j++)
			lane[j] += lane[j + width];
	}
	return lane[0];
}

static bool
encode_scalar(int bits, int dc, int D, const float *y, const float *c,
			  uint8_t *u, EncodeSums *sums)
{
	float		middle = (float) (1 << (bits - 1));
	float		top = (float) ((1 << bits) - 1);
	float		squares[LANES] = {0};
	double		rr = 0;
	double		vr = 0;
	double		vc = 0;
	double		cr = 0;
	float		rr_coded;
	float		per_unit;

	for (int i = 0; i < dc; i++)
	{
		float		r = y[i] - c[i];

		squares[i % LANES] += r * r;
	}
	rr_coded = sum_lanes(squares);
	if (!(rr_coded >= SAFE_LEAST && rr_coded <= SAFE_MOST))
		return false;
	per_unit = 1 / (sqrtf(rr_coded / (float) dc) * code_step(bits));

	for (int i = 0; i < dc; i++)
	{
		float		r = y[i] - c[i];
		float		level;
		float		v;

		if (bits == 1)
			level = r > 0 ? 1 : 0;
		else
		{
			level = r * per_unit;
			level += middle;
			level = level > 0 ? level : 0;
			level = level < top ? level : top;
		}
		u[i] = (uint8_t) level;
		v = (float) u[i] - top / 2;
		vr += v * r;
		vc += v * c[i];
		cr += c[i] * r;
	}
	rr = rr_coded;
	for (int i = dc; i < D; i++)
	{
		float		r = y[i] - c[i];

		rr += r * r;
		cr += c[i] * r;
	}
	sums->rr = rr;
	sums->vr = vr;
	sums->vc = vc;
	sums->cr = cr;

	/* products of floats may still have overflowed: past dc, or beside a huge c */
	return rr <= SAFE_MOST && isfinite(vc) && isfinite(cr);
}

static void
query_size_scalar(int dc, const float *q, float *widest, double *total)
{
	float		most = 0;
	double		sum = 0;

	for (int i = 0; i < dc; i += 4)
	{
		float		group = (fabsf(q[i]) + fabsf(q[i + 1])) +
			(fabsf(q[i + 2]) + fabsf(q[i + 3]));

		most = group > most ? group : most;
		sum += group;
	}
	*widest = most;
	*total = sum;
}

static void
query_table_scalar(int dc, const float *q, float scale, uint8_t *table)
{
	for (int i = 0; i < dc; i += 4)
	{
		unsigned	size[4];
		unsigned	negative = 0;

		for (int b = 0; b < 4; b++)
		{
			size[b] = (unsigned) lrintf(fabsf(q[i + b]) * scale);
			negative |= (unsigned) (q[i + b] < 0) << b;
		}
		for (unsigned m = 0; m < 16; m++)
		{
			unsigned	sum = 128;	/* half of 256, for rounding */

			for (int b = 0; b < 4; b++)
			{
				if (((m ^ negative) >> b) & 1)
					sum += size[b];
			}
			*table++ = (uint8_t) (sum >> 8);
		}
	}
}

static void
scan_scalar(const CodeQuery *self, const uint8_t *block, uint32_t *acc)
{
	memset(acc, 0, CODE_SLOTS * sizeof(uint32_t));
	for (int p = 0; p < self->bits; p++)
	{
		for (int g = 0; g < self->dc / 4; g++)
		{
			const uint8_t *entry = self->table + 16 * (size_t) g;

			for (int s = 0; s < 16; s++)
			{
				uint8_t		byte = block[slot_byte(s)];

				acc[s] += (uint32_t) entry[byte & 15] << p;
				acc[s + 16] += (uint32_t) entry[byte >> 4] << p;
			}
			block += 16;
		}
	}
}

static uint32_t
estimate_scalar(const CodeQuery *self, const uint8_t *block, float own,
				const bfloat16 *f_add, const bfloat16 *f_mul, float limit, float *est)
{
	uint32_t	acc[CODE_SLOTS];
	uint32_t	below = 0;

	scan_scalar(self, block, acc);
	for (int s = 0; s < CODE_SLOTS; s++)
	{
		est[s] = own + bfloat16_to_float(f_add[s]) + bfloat16_to_float(f_mul[s]) * (self->delta * (float) acc[s] + self->base);
		below |= (uint32_t) !(est[s] >= limit) << s;
	}
	return below;
}
