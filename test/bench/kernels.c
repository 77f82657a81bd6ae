/*
 * kernels.c
 *	  Times the kernels of src/core: nanoseconds a call and bytes read a
 *	  second, for each form that this processor has, at the dimensions that
 *	  matter.
 *
 * A call's operands are one query, which stays in the first cache, and one of
 * many stored vectors or blocks: as many as fit in `working set`, visited in
 * order of a fixed shuffle, as a search visits nodes.  With 256 kB they come
 * from the second-level cache, where what counts is the kernel; with 64 MB,
 * from memory.  The first lines give what the machine reads and copies at
 * best, to hold the kernels against.
 *
 * The figure is the best of several runs: everything that disturbs a run only
 * adds to it.
 *
 * Usage: kernels [part of a kernel's name]
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/vec/code.h"
#include "core/vec/cpu.h"
#include "core/vec/distance.h"
#include "core/vec/half.h"
#include "core/vec/packed12.h"
#include "core/vec/rotation.h"
#include "core/vec/scalar_code.h"

/* Short runs, and many: some then fall between two interruptions. */
#define RUNS 60
#define RUN_NS 2e5

static const size_t working_sets[] = {256 << 10, 64 << 20};

/* What a case is given: fixed operands, and the number of the stored item */
typedef struct Operands
{
	int			dim;
	int			bits;
	size_t		stride;			/* bytes from one stored item to the next */
	uint8_t    *stored;
	float	   *query;			/* floats, as many as dim, at least */
	half	   *query16;
	uint8_t    *query_code;
	uint8_t    *levels;			/* CODE_SLOTS rows of dim */
	float	   *out;
	uint8_t    *out_bytes;
	Rotation   *rotation;
	CodeQuery	code_query;
	bfloat16	f_add[CODE_SLOTS];
	bfloat16	f_mul[CODE_SLOTS];
} Operands;

/* The result goes to a sum that main prints, so that no call is optimised away. */
typedef double (*Call) (Operands *on, const void *item);

typedef struct Case
{
	const char *name;
	Call		call;
	size_t		(*bytes) (int dim, int bits);	/* stored bytes read by a call */
	const int  *dims;			/* ends with 0 */
	const int  *bits;			/* ends with 0 */
} Case;

static size_t
bytes_f32(int dim, int bits)
{
	return sizeof(float) * (size_t) dim;
}

static size_t
bytes_f16(int dim, int bits)
{
	return sizeof(half) * (size_t) dim;
}

static size_t
bytes_packed12(int dim, int bits)
{
	return packed12_bytes(dim);
}

static size_t
bytes_bits(int dim, int bits)
{
	return (size_t) dim / 8;
}

static size_t
bytes_block(int dim, int bits)
{
	return code_block_bytes(bits, dim);
}

static size_t
bytes_scalar8(int dim, int bits)
{
	return scalar_code_bytes(8, dim);
}

static size_t
bytes_scalar4(int dim, int bits)
{
	return scalar_code_bytes(4, dim);
}

#define DISTANCE(NAME, QUERY) \
static double \
NAME(Operands *on, const void *item) \
{ \
	return dist_##NAME(on->QUERY, item, on->dim); \
}

DISTANCE(l2sq_f32, query)
DISTANCE(ip_f32, query)
DISTANCE(l1_f32, query)
DISTANCE(cosine_f32, query)
DISTANCE(l2sq_f16, query16)
DISTANCE(ip_f16, query16)
DISTANCE(l1_f16, query16)
DISTANCE(cosine_f16, query16)

static double
norm_f32(Operands *on, const void *item)
{
	return dist_norm_f32(item, on->dim);
}

static double
hamming(Operands *on, const void *item)
{
	return (double) dist_hamming((const uint8_t *) on->query, item, on->dim / 8);
}

static double
jaccard(Operands *on, const void *item)
{
	return dist_jaccard((const uint8_t *) on->query, item, on->dim / 8);
}

static double
half_to_float_each(Operands *on, const void *item)
{
	half_to_float_array(on->out, item, on->dim);
	return on->out[0];
}

static double
l2sq_f32_p12(Operands *on, const void *item)
{
	return dist_l2sq_f32_p12(on->query, item, on->dim, 1);
}

static double
ip_f32_p12(Operands *on, const void *item)
{
	return dist_ip_f32_p12(on->query, item, on->dim, 1);
}

static double
half_from_float_each(Operands *on, const void *item)
{
	half_from_float_array((half *) on->out, item, on->dim);
	return on->out[0];
}

static double
estimate(Operands *on, const void *item)
{
	code_estimate(&on->code_query, item, 1, on->f_add, on->f_mul, 1, on->out);
	return on->out[5];
}

static double
scan(Operands *on, const void *item)
{
	code_scan(&on->code_query, item, (uint32_t *) on->out);
	return on->out_bytes[5];
}

static double
query_init(Operands *on, const void *item)
{
	code_query_init(&on->code_query, on->bits, on->dim, item, on->code_query.table);
	return on->code_query.base;
}

static double
encode(Operands *on, const void *item)
{
	float		f_add;
	float		f_mul;

	code_encode(CODE_L2, on->bits, on->dim, on->dim, item, on->query, on->out_bytes, &f_add, &f_mul);
	return f_mul;
}

static double
store(Operands *on, const void *item)
{
	code_store((uint8_t *) item, on->bits, on->dim, 17, on->query_code);
	return 0;
}

/* The item is what is written; the levels stay in the first cache, or nearly */
static double
store_all(Operands *on, const void *item)
{
	code_store_all((uint8_t *) item, on->bits, on->dim, CODE_SLOTS, on->levels);
	return 0;
}

static double
rotate(Operands *on, const void *item)
{
	rotation_apply(on->rotation, item, on->out);
	return on->out[1];
}

static double
encode8(Operands *on, const void *item)
{
	return scalar_encode(8, on->dim, item, on->out_bytes);
}

static double
encode4(Operands *on, const void *item)
{
	return scalar_encode(4, on->dim, item, on->out_bytes);
}

static double
dot8(Operands *on, const void *item)
{
	return scalar_dot8((const int8_t *) on->query_code, item, on->dim);
}

static double
dot4(Operands *on, const void *item)
{
	return scalar_dot4(on->query_code, item, on->dim);
}

/* The item four times, so that its time is that of four */
static double
dots8(Operands *on, const void *item)
{
	const void *four[4] = {item, item, item, item};
	int32_t		dots[4];

	scalar_dots(8, on->dim, on->query_code, four, 4, dots);
	return dots[3];
}

static const int vector_dims[] = {104, 384, 784, 1536, 0};
static const int odd_dims[] = {100, 103, 784, 1536, 0};
static const int code_dims[] = {104, 496, 504, 1024, 4096, 0};
static const int bit_dims[] = {256, 1024, 4096, 0};
static const int rotation_dims[] = {100, 384, 784, 960, 1024, 1536, 3072, 0};
static const int no_bits[] = {32, 0};
static const int code_bits[] = {1, 2, 4, 0};

static const Case cases[] = {
	{"dist_l2sq_f32_p12", l2sq_f32_p12, bytes_packed12, vector_dims, no_bits},
	{"dist_ip_f32_p12", ip_f32_p12, bytes_packed12, vector_dims, no_bits},
	{"code_estimate", estimate, bytes_block, code_dims, code_bits},
	{"code_scan", scan, bytes_block, code_dims, code_bits},
	{"code_query_init", query_init, bytes_f32, code_dims, code_bits},
	{"code_encode", encode, bytes_f32, code_dims, code_bits},
	{"code_store", store, bytes_block, code_dims, code_bits},
	{"code_store_all", store_all, bytes_block, code_dims, code_bits},
	{"rotation_apply", rotate, bytes_f32, rotation_dims, no_bits},
	{"scalar_dot8", dot8, bytes_scalar8, vector_dims, no_bits},
	{"scalar_dot4", dot4, bytes_scalar4, vector_dims, no_bits},
	{"scalar_dots 8, of four", dots8, bytes_scalar8, vector_dims, no_bits},
	{"scalar_encode8", encode8, bytes_f32, vector_dims, no_bits},
	{"scalar_encode4", encode4, bytes_f32, vector_dims, no_bits},
	{"dist_l2sq_f32", l2sq_f32, bytes_f32, odd_dims, no_bits},
	{"dist_ip_f32", ip_f32, bytes_f32, odd_dims, no_bits},
	{"dist_l1_f32", l1_f32, bytes_f32, odd_dims, no_bits},
	{"dist_cosine_f32", cosine_f32, bytes_f32, odd_dims, no_bits},
	{"dist_norm_f32", norm_f32, bytes_f32, odd_dims, no_bits},
	{"dist_l2sq_f16", l2sq_f16, bytes_f16, odd_dims, no_bits},
	{"dist_ip_f16", ip_f16, bytes_f16, odd_dims, no_bits},
	{"dist_l1_f16", l1_f16, bytes_f16, odd_dims, no_bits},
	{"dist_cosine_f16", cosine_f16, bytes_f16, odd_dims, no_bits},
	{"dist_hamming", hamming, bytes_bits, bit_dims, no_bits},
	{"dist_jaccard", jaccard, bytes_bits, bit_dims, no_bits},
	{"half_to_float_array", half_to_float_each, bytes_f16, vector_dims, no_bits},
	{"half_from_float_array", half_from_float_each, bytes_f32, vector_dims, no_bits},
};

static double checksum;

static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

static void *
allocate(size_t bytes)
{
	void	   *p = aligned_alloc(64, (bytes + 127) / 64 * 64);

	if (p == NULL)
	{
		perror("memory");
		exit(1);
	}
	memset(p, 0, (bytes + 127) / 64 * 64);
	return p;
}

static uint64_t
next_random(uint64_t *state)
{
	uint64_t	x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

/* Values of about one */
static void
fill_floats(float *x, size_t n, uint64_t *state)
{
	for (size_t i = 0; i < n; i++)
	{
		float		sum = -6;

		for (int k = 0; k < 12; k++)
			sum += (float) (next_random(state) >> 40) * 0x1p-24f;
		x[i] = sum;
	}
}

static void
fill_stored(const Case *c, Operands *on, size_t count, uint64_t *state)
{
	size_t		bytes = c->bytes(on->dim, on->bits);
	uint8_t    *sample = allocate(sizeof(float) * 16 * 4096);

	/* a few items of each kind, repeated: contents do not change the time */
	fill_floats((float *) sample, 16 * 4096, state);
	for (size_t i = 0; i < count; i++)
	{
		uint8_t    *item = on->stored + i * on->stride;
		size_t		at = (i % 8) * 4 * 4096;

		if (c->bytes == bytes_f16)
			half_from_float_array((half *) item, (float *) (sample + at), on->dim);
		else if (c->bytes == bytes_f32)
			memcpy(item, sample + at, bytes);
		else
		{
			for (size_t k = 0; k < bytes; k++)
				item[k] = (uint8_t) ((k * 131 + i * 17) % 127 + 17);
		}
	}
	free(sample);
}

/* Nanoseconds a call, best of RUNS */
static double
time_case(const Case *c, Operands *on, const uint32_t *order, size_t count)
{
	double		best = INFINITY;
	size_t		calls = 64;

	for (int run = 0; run < RUNS;)
	{
		double		start = now_ns();
		double		elapsed;
		double		sum = 0;

		for (size_t k = 0, at = 0; k < calls; k++)
		{
			sum += c->call(on, on->stored + order[at] * on->stride);
			if (++at == count)
				at = 0;
		}
		elapsed = now_ns() - start;
		checksum += sum;
		if (elapsed < RUN_NS)
		{
			/* not yet long enough to measure: that was warming up */
			calls *= 2;
			continue;
		}
		if (elapsed / (double) calls < best)
			best = elapsed / (double) calls;
		run++;
	}
	return best;
}

static void
run_case(const Case *c, int dim, int bits)
{
	uint64_t	state = 88172645463325252u;
	size_t		most = working_sets[1];
	Operands	on = {.dim = dim, .bits = bits};
	size_t		bytes = c->bytes(dim, bits);
	size_t		wide = sizeof(float) * (size_t) (dim + CODE_SLOTS + 16);
	uint32_t   *order;

	on.stride = (bytes + 63) / 64 * 64;
	on.stored = allocate(most + on.stride);
	on.query = allocate(wide);
	on.query16 = allocate(wide);
	on.query_code = allocate(wide);
	on.levels = allocate((size_t) CODE_SLOTS * (size_t) dim);
	on.out = allocate(wide);
	on.out_bytes = allocate(wide);
	on.rotation = allocate(rotation_size(dim));
	on.code_query.table = allocate(CODE_TABLE_BYTES(dim));
	order = allocate(sizeof(uint32_t) * (most / on.stride + 1));
	fill_floats(on.query, (size_t) dim, &state);
	half_from_float_array(on.query16, on.query, dim);
	for (int i = 0; i < dim; i++)
		on.query_code[i] = (uint8_t) (i % 15 + 1);
	rotation_init(on.rotation, dim, 1);
	if (dim % 8 == 0 && bits <= 4)
		code_query_init(&on.code_query, bits, dim, on.query, on.code_query.table);
	fill_stored(c, &on, most / on.stride, &state);

	for (int level = CPU_SCALAR; level <= (int) cpu_level(); level++)
	{
		cpu_level_limit((CpuLevel) level);
		printf("%-22s %5d", c->name, dim);
		if (bits <= 4)
			printf(" %dbit", bits);
		else
			printf("     ");
		printf(" %-7s", cpu_level_names[level]);
		for (int w = 0; w < 2; w++)
		{
			size_t		count = working_sets[w] / on.stride;
			double		ns;

			for (size_t i = 0; i < count; i++)
				order[i] = (uint32_t) i;
			for (size_t i = count - 1; i > 0; i--)
			{
				size_t		k = next_random(&state) % (i + 1);
				uint32_t	swap = order[i];

				order[i] = order[k];
				order[k] = swap;
			}
			ns = time_case(c, &on, order, count);
			printf(" %10.1f ns %7.1f GB/s", ns, (double) bytes / ns);
		}
		printf("\n");
		fflush(stdout);
	}
	free(on.stored);
	free(on.query);
	free(on.query16);
	free(on.query_code);
	free(on.levels);
	free(on.out);
	free(on.out_bytes);
	free(on.rotation);
	free(on.code_query.table);
	free(order);
}

/* What the machine can do at best: eight sums over words, and memcpy */
static void
run_memory(void)
{
	for (int w = 0; w < 2; w++)
	{
		size_t		bytes = working_sets[w];
		uint64_t   *from = allocate(bytes);
		uint64_t   *to = allocate(bytes);
		double		best_read = INFINITY;
		double		best_copy = INFINITY;
		int			repeat = w == 0 ? 64 : 1;

		memset(from, 1, bytes);
		for (int run = 0; run < RUNS; run++)
		{
			double		start = now_ns();
			uint64_t	sum[8] = {0};
			double		elapsed;

			for (int r = 0; r < repeat; r++)
			{
				for (size_t i = 0; i < bytes / 8; i += 8)
				{
					for (int k = 0; k < 8; k++)
						sum[k] += from[i + k];
				}
				/* the data may have changed, for all the compiler knows */
				__asm__ volatile("" : : "r"(from) : "memory");
			}
			elapsed = (now_ns() - start) / repeat;
			for (int k = 0; k < 8; k++)
				checksum += (double) sum[k];
			best_read = elapsed < best_read ? elapsed : best_read;

			start = now_ns();
			for (int r = 0; r < repeat; r++)
			{
				memcpy(to, from, bytes);
				__asm__ volatile("" : : "r"(to) : "memory");
			}
			elapsed = (now_ns() - start) / repeat;
			best_copy = elapsed < best_copy ? elapsed : best_copy;
		}
		printf("working set %6zu kB: read in order %.1f GB/s (plain C, 128-bit), memcpy %.1f GB/s\n",
			   bytes >> 10, (double) bytes / best_read, (double) bytes / best_copy);
		free(from);
		free(to);
	}
}

int
main(int argc, char **argv)
{
	const char *only = argc > 1 ? argv[1] : "";

	run_memory();
	printf("%-22s %5s %4s %-7s %s\n", "kernel", "dim", "", "form",
		   "         256 kB working set           64 MB working set");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
	{
		if (strstr(cases[i].name, only) == NULL)
			continue;
		for (const int *dim = cases[i].dims; *dim != 0; dim++)
		{
			for (const int *bits = cases[i].bits; *bits != 0; bits++)
				run_case(&cases[i], *dim, *bits);
		}
	}
	printf("(checksum %g)\n", checksum);
	return 0;
}
