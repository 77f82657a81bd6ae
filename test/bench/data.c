/*
 * data.c
 *	  Makes the sets of the benchmark and their exact answers.
 *
 *	data idx COUNT FILE < images		Fashion-MNIST's images, or the first COUNT
 *	data words QUERIES SEED BASE QUERY < json	word vectors, QUERIES of them held out
 *	data synthetic ROWS QUERIES DIM SEED BASE QUERY
 *	data truth METRIC BASE QUERY FILE K	the K nearest by brute force; metric l2 or cosine
 *	data copy BASE [TRUTH]				to standard output, for COPY (FORMAT binary)
 *	data size BASE						rows and dimensions
 *
 * A file of vectors is int32 rows, int32 dimensions, then the rows as float32,
 * all in the machine's byte order.  A file of answers has a line for each
 * query: the rows nearest to it.  Rows that are as near as the last are all in
 * it, up to most_answers(), since any of them is right.
 *
 * Seeds decide everything that is random, and are in the names of the files.
 */
#include <arpa/inet.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vectors.h"

#define QUERIES_AT_ONCE 8
#define ROWS_AT_ONCE 512
#define MAX_THREADS 16

#define LATENT 32
#define HIDDEN 256

typedef struct Random
{
	uint64_t	state;
} Random;

/* splitmix64 */
static uint64_t
random_bits(Random *self)
{
	uint64_t	z = (self->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* In (0, 1) */
static double
random_fraction(Random *self)
{
	return ((random_bits(self) >> 11) + 0.5) * 0x1p-53;
}

/* Box and Muller */
static double
random_normal(Random *self)
{
	double		radius = sqrt(-2 * log(random_fraction(self)));

	return radius * cos(2 * M_PI * random_fraction(self));
}

/* A permutation of 0 .. n - 1; the caller frees it. */
static int *
random_order(int n, uint64_t seed)
{
	Random		random = {seed};
	int		   *order = allocate(n * sizeof(int));

	for (int i = 0; i < n; i++)
	{
		int			j = random_bits(&random) % (i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	return order;
}

/* ---------------------------------------------------------------------
 * Sets
 * --------------------------------------------------------------------- */

static uint32_t
read_big_endian(void)
{
	uint32_t	word;

	if (fread(&word, 4, 1, stdin) != 1)
		fail("the images end early");
	return ntohl(word);
}

static void
make_idx(int count, const char *path)
{
	Vectors		out;
	unsigned char *pixels;
	uint32_t	height;

	if (read_big_endian() != 0x803)
		fail("not a file of images in IDX format");
	out.n = read_big_endian();
	height = read_big_endian();
	out.dim = height * read_big_endian();
	if (count > 0 && count < out.n)
		out.n = count;
	if (out.dim < 1 || out.dim > 100000 || out.n < 1)
		fail("the images have %d pixels", out.dim);
	out.values = allocate((size_t) out.n * out.dim * sizeof(float));
	pixels = allocate(out.dim);
	for (int i = 0; i < out.n; i++)
	{
		if (fread(pixels, out.dim, 1, stdin) != 1)
			fail("the images end after %d of %d", i, out.n);
		for (int j = 0; j < out.dim; j++)
			vectors_row(&out, i)[j] = pixels[j];
	}
	/* Who writes the rest shall not fail. */
	while (getchar() != EOF)
		;
	vectors_write(&out, path);
}

static char *
read_all(size_t *length)
{
	size_t		room = (size_t) 1 << 24;
	char	   *text = allocate(room);

	for (*length = 0;;)
	{
		size_t		got = fread(text + *length, 1, room - *length - 1, stdin);

		*length += got;
		if (got == 0)
			break;
		if (*length == room - 1 && (text = realloc(text, room *= 2)) == NULL)
			fail("out of memory");
	}
	text[*length] = '\0';
	return text;
}

/* Past a JSON string that starts at p */
static char *
skip_string(char *p)
{
	for (p++; *p != '"'; p++)
	{
		if (*p == '\\' && p[1] != '\0')
			p++;
		if (*p == '\0')
			fail("a word has no end");
	}
	return p + 1;
}

/*
 * The file is one JSON object.  Its member "vectors" maps each word to an array
 * of its elements, followed by its norm and its rank; "dimensions" says how
 * many are elements.
 */
static void
make_words(int nqueries, uint64_t seed, const char *base_path, const char *query_path)
{
	size_t		length;
	char	   *text = read_all(&length);
	char	   *p = strstr(text, "\"dimensions\":");
	Vectors		all = {0, 0, NULL};
	int			room = 0;
	int		   *order;

	if (p == NULL || (all.dim = atoi(p + strlen("\"dimensions\":"))) < 1 || all.dim > 10000)
		fail("the words have no dimensions");
	if ((p = strstr(text, "\"vectors\":{")) == NULL)
		fail("the words have no vectors");
	p += strlen("\"vectors\":{");
	while (*p == '"')
	{
		if (all.n == room)
		{
			room = room == 0 ? 65536 : room * 2;
			all.values = realloc(all.values, (size_t) room * all.dim * sizeof(float));
			if (all.values == NULL)
				fail("out of memory");
		}
		p = skip_string(p);
		if (*p++ != ':' || *p != '[')
			fail("word %d has no vector", all.n);
		for (int j = 0; j < all.dim; j++)
		{
			char	   *end;

			vectors_row(&all, all.n)[j] = strtof(p + 1, &end);
			if (end == p + 1 || *end != ',')
				fail("word %d has %d elements, not %d", all.n, j, all.dim);
			p = end;
		}
		if ((p = strchr(p, ']')) == NULL)
			fail("word %d has no end", all.n);
		p++;
		all.n++;
		if (*p == ',')
			p++;
	}
	if (all.n <= nqueries)
		fail("there are only %d words", all.n);
	free(text);
	order = random_order(all.n, seed);
	vectors_write_some(&all, order, nqueries, query_path);
	vectors_write_some(&all, order + nqueries, all.n - nqueries, base_path);
}

/* out = tanh(weights · in): the inner loop runs along a column, to be vectorised */
static void
network_layer(const float *in, int nin, const float *columns, float *out, int nout)
{
	memset(out, 0, nout * sizeof(float));
	for (int i = 0; i < nin; i++)
		for (int j = 0; j < nout; j++)
			out[j] += in[i] * columns[(size_t) i * nout + j];
	for (int j = 0; j < nout; j++)
		out[j] = tanhf(out[j]);
}

/*
 * Embeddings as a model gives them: many dimensions, of which few are free.  A
 * point of LATENT normal coordinates goes through two layers of tanh with
 * random weights, and is normalised.
 */
static void
make_synthetic(int nrows, int nqueries, int dim, uint64_t seed, const char *base_path, const char *query_path)
{
	Random		random = {seed};
	Vectors		all = {nrows + nqueries, dim, NULL};
	Vectors		part;
	float	   *first = allocate(LATENT * HIDDEN * sizeof(float));
	float	   *second = allocate((size_t) HIDDEN * dim * sizeof(float));
	float		latent[LATENT];
	float		hidden[HIDDEN];

	for (int i = 0; i < LATENT * HIDDEN; i++)
		first[i] = random_normal(&random) / sqrt(LATENT);
	for (int i = 0; i < HIDDEN * dim; i++)
		second[i] = random_normal(&random) / sqrt(HIDDEN);
	all.values = allocate((size_t) all.n * dim * sizeof(float));
	for (int i = 0; i < all.n; i++)
	{
		for (int j = 0; j < LATENT; j++)
			latent[j] = random_normal(&random);
		network_layer(latent, LATENT, first, hidden, HIDDEN);
		network_layer(hidden, HIDDEN, second, vectors_row(&all, i), dim);
	}
	vectors_normalise(&all);
	part = (Vectors) {nqueries, dim, all.values};
	vectors_write(&part, query_path);
	part = (Vectors) {nrows, dim, vectors_row(&all, nqueries)};
	vectors_write(&part, base_path);
}

/* ---------------------------------------------------------------------
 * Exact answers
 * --------------------------------------------------------------------- */

typedef struct Answer
{
	double		distance;
	int			row;
} Answer;

typedef struct TruthTask
{
	const Vectors *base;
	const Vectors *query;
	bool		cosine;
	int			first;			/* queries of this thread */
	int			end;
	Answer	   *answers;		/* most for each query, nearest first */
	int			most;
	pthread_t	thread;
} TruthTask;

static float
squared_distance(const float *a, const float *b, int dim)
{
	float		sum = 0;

	for (int i = 0; i < dim; i++)
		sum += (a[i] - b[i]) * (a[i] - b[i]);
	return sum;
}

/* In double, for the few that are near */
static double
exact_distance(const float *a, const float *b, int dim)
{
	double		sum = 0;

	for (int i = 0; i < dim; i++)
		sum += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
	return sum;
}

/* Room for rows as near as the last of k: any of them is right. */
static int
most_answers(int k)
{
	return k + k / 4 + 20;
}

static void
keep_answer(Answer *answers, int most, double distance, int row)
{
	int			i = most - 1;

	if (distance >= answers[i].distance)
		return;
	for (; i > 0 && answers[i - 1].distance > distance; i--)
		answers[i] = answers[i - 1];
	answers[i] = (Answer) {distance, row};
}

static void *
find_truth(void *argument)
{
	TruthTask  *self = argument;
	int			dim = self->base->dim;
	int			most = self->most;

	for (int q = self->first; q < self->end; q++)
		for (int i = 0; i < most; i++)
			self->answers[(size_t) q * most + i] = (Answer) {INFINITY, -1};
	/* Some queries against some rows, which stay in the cache */
	for (int from = self->first; from < self->end; from += QUERIES_AT_ONCE)
	{
		int			to = from + QUERIES_AT_ONCE < self->end ? from + QUERIES_AT_ONCE : self->end;

		for (int start = 0; start < self->base->n; start += ROWS_AT_ONCE)
		{
			int			stop = start + ROWS_AT_ONCE < self->base->n ? start + ROWS_AT_ONCE : self->base->n;

			for (int q = from; q < to; q++)
			{
				Answer	   *answers = self->answers + (size_t) q * most;
				const float *query = vectors_row(self->query, q);

				for (int row = start; row < stop; row++)
				{
					const float *value = vectors_row(self->base, row);
					float		distance = squared_distance(query, value, dim);

					if (distance <= answers[most - 1].distance * 1.0001)
						keep_answer(answers, most, exact_distance(query, value, dim), row);
				}
			}
		}
		if (self->first == 0 && from % 64 == 0 && isatty(2))
			fprintf(stderr, "\r  exact answers: %d of %d", from, self->end);
	}
	if (self->first == 0 && isatty(2))
		fprintf(stderr, "\r%60s\r", "");
	return NULL;
}

static void
make_truth(bool cosine, const char *base_path, const char *query_path, const char *path, int k)
{
	Vectors		base = vectors_read(base_path);
	Vectors		query = vectors_read(query_path);
	int			most = most_answers(k);
	Answer	   *answers = allocate((size_t) query.n * most * sizeof(Answer));
	TruthTask	tasks[MAX_THREADS];
	int			nthreads = sysconf(_SC_NPROCESSORS_ONLN);
	FILE	   *out;

	if (base.dim != query.dim || base.n < most)
		fail("%d rows of %d dimensions cannot answer queries of %d", base.n, base.dim, query.dim);
	/* Of unit vectors the nearest by angle are the nearest in space. */
	if (cosine)
	{
		vectors_normalise(&base);
		vectors_normalise(&query);
	}
	nthreads = nthreads < 1 ? 1 : nthreads > MAX_THREADS ? MAX_THREADS : nthreads;
	for (int i = 0; i < nthreads; i++)
	{
		tasks[i] = (TruthTask) {&base, &query, cosine, query.n / nthreads * i,
			i == nthreads - 1 ? query.n : query.n / nthreads * (i + 1), answers, most, 0};
		if (pthread_create(&tasks[i].thread, NULL, find_truth, &tasks[i]) != 0)
			fail("could not start a thread");
	}
	for (int i = 0; i < nthreads; i++)
		pthread_join(tasks[i].thread, NULL);

	out = create_file(path);
	for (int q = 0; q < query.n; q++)
	{
		const Answer *answer = answers + (size_t) q * most;
		/* What single precision cannot tell from the last is as near. */
		double		limit = answer[k - 1].distance * (1 + 1e-6) + (cosine ? 1e-6 : 0);

		for (int i = 0; i < most && (i < k || answer[i].distance <= limit); i++)
			fprintf(out, "%s%d", i == 0 ? "" : " ", answer[i].row);
		fputc('\n', out);
	}
	close_file(out, path);
}

/* ---------------------------------------------------------------------
 * COPY
 * --------------------------------------------------------------------- */

static void
put16(uint16_t value)
{
	value = htons(value);
	fwrite(&value, 2, 1, stdout);
}

static void
put32(uint32_t value)
{
	value = htonl(value);
	fwrite(&value, 4, 1, stdout);
}

/* Rows (id integer, embedding vector), and answers integer[] when there is truth */
static void
copy(const char *base_path, const char *truth_path)
{
	static char buffer[1 << 20];
	Vectors		base = vectors_read(base_path);
	Truth		truth = {0, NULL, NULL};

	if (truth_path != NULL)
		truth = truth_read(truth_path);
	if (truth_path != NULL && truth.n != base.n)
		fail("there are %d queries, and answers to %d", base.n, truth.n);
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	fwrite("PGCOPY\n\377\r\n\0", 11, 1, stdout);
	put32(0);
	put32(0);
	for (int i = 0; i < base.n; i++)
	{
		put16(truth_path != NULL ? 3 : 2);
		put32(4);
		put32(i);
		put32(4 + 4 * base.dim);
		put16(base.dim);
		put16(0);
		for (int j = 0; j < base.dim; j++)
		{
			uint32_t	bits;

			memcpy(&bits, &vectors_row(&base, i)[j], 4);
			put32(bits);
		}
		if (truth_path != NULL)
		{
			int			n = truth.start[i + 1] - truth.start[i];

			put32(20 + 8 * n);
			put32(1);			/* dimensions of the array */
			put32(0);			/* no nulls */
			put32(23);			/* int4 */
			put32(n);
			put32(1);
			for (int j = 0; j < n; j++)
			{
				put32(4);
				put32(truth.rows[truth.start[i] + j]);
			}
		}
	}
	put16(0xffff);
	if (fflush(stdout) != 0 || ferror(stdout))
		fail("could not write the rows");
}

int
main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (strcmp(verb, "idx") == 0 && argc == 4)
		make_idx(atoi(argv[2]), argv[3]);
	else if (strcmp(verb, "words") == 0 && argc == 6)
		make_words(atoi(argv[2]), strtoull(argv[3], NULL, 10), argv[4], argv[5]);
	else if (strcmp(verb, "synthetic") == 0 && argc == 8)
		make_synthetic(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), strtoull(argv[5], NULL, 10), argv[6], argv[7]);
	else if (strcmp(verb, "truth") == 0 && argc == 7 && atoi(argv[6]) > 0)
		make_truth(strcmp(argv[2], "cosine") == 0, argv[3], argv[4], argv[5], atoi(argv[6]));
	else if (strcmp(verb, "copy") == 0 && (argc == 3 || argc == 4))
		copy(argv[2], argv[3]);
	else if (strcmp(verb, "size") == 0 && argc == 3)
	{
		Vectors		base = vectors_read(argv[2]);

		printf("%d %d\n", base.n, base.dim);
	}
	else
		fail("usage: data idx|words|synthetic|truth|copy|size ...");
	return 0;
}
