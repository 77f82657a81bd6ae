/*
 * vectors.h
 *	  Files of vectors and of exact answers, as the benchmark's programs in C
 *	  and C++ read and write them; data.c tells their formats.
 *
 * Every failure ends the program with a message.  Memory is never freed: the
 * programs are short.
 */
#ifndef VECTORS_H
#define VECTORS_H

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Vectors
{
	int32_t		n;
	int32_t		dim;
	float	   *values;			/* n rows of dim */
} Vectors;

typedef struct Truth
{
	int			n;				/* queries */
	int		   *start;			/* n + 1 positions in rows */
	int		   *rows;
} Truth;

__attribute__((noreturn, format(printf, 1, 2), unused))
static void
fail(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

__attribute__((unused))
static void *
allocate(size_t bytes)
{
	void	   *memory = malloc(bytes > 0 ? bytes : 1);

	if (memory == NULL)
		fail("out of memory, %zu bytes wanted", bytes);
	return memory;
}

__attribute__((unused))
static float *
vectors_row(const Vectors *self, int row)
{
	return self->values + (size_t) row * self->dim;
}

__attribute__((unused))
static FILE *
create_file(const char *path)
{
	FILE	   *file = fopen(path, "wb");

	if (file == NULL)
		fail("could not create %s", path);
	return file;
}

__attribute__((unused))
static void
close_file(FILE *file, const char *path)
{
	if (fflush(file) != 0 || ferror(file) || fclose(file) != 0)
		fail("could not write %s", path);
}

/* The rows in order[0 .. n - 1], or the first n when order is null */
__attribute__((unused))
static void
vectors_write_some(const Vectors *self, const int *order, int n, const char *path)
{
	FILE	   *file = create_file(path);
	int32_t		head[2] = {n, self->dim};

	fwrite(head, sizeof(head), 1, file);
	for (int i = 0; i < n; i++)
		fwrite(vectors_row(self, order != NULL ? order[i] : i), sizeof(float), self->dim, file);
	close_file(file, path);
}

__attribute__((unused))
static void
vectors_write(const Vectors *self, const char *path)
{
	vectors_write_some(self, NULL, self->n, path);
}

__attribute__((unused))
static Vectors
vectors_read(const char *path)
{
	Vectors		self = {0, 0, NULL};
	FILE	   *file = fopen(path, "rb");
	size_t		count;

	if (file == NULL)
		fail("could not open %s", path);
	if (fread(&self.n, 4, 1, file) != 1 || fread(&self.dim, 4, 1, file) != 1 || self.n < 1 || self.dim < 1)
		fail("%s is not a file of vectors", path);
	count = (size_t) self.n * self.dim;
	self.values = (float *) allocate(count * sizeof(float));
	if (fread(self.values, sizeof(float), count, file) != count)
		fail("%s ends before its %d rows of %d", path, self.n, self.dim);
	fclose(file);
	return self;
}

__attribute__((unused))
static void
vectors_normalise(Vectors *self)
{
	for (int i = 0; i < self->n; i++)
	{
		float	   *row = vectors_row(self, i);
		double		sum = 0;

		for (int j = 0; j < self->dim; j++)
			sum += (double) row[j] * row[j];
		if (sum > 0)
			for (int j = 0; j < self->dim; j++)
				row[j] = row[j] / sqrt(sum);
	}
}

__attribute__((unused))
static Truth
truth_read(const char *path)
{
	Truth		self = {0, NULL, NULL};
	FILE	   *file = fopen(path, "r");
	int			room = 1 << 20;
	int			nrows = 0;
	int			value;

	if (file == NULL)
		fail("could not open %s", path);
	self.rows = (int *) allocate(room * sizeof(int));
	self.start = (int *) allocate((room + 1) * sizeof(int));
	self.start[0] = 0;
	while (self.n < room && nrows < room && fscanf(file, "%d", &value) == 1)
	{
		int			c;

		self.rows[nrows++] = value;
		if ((c = fgetc(file)) == '\n' || c == EOF)
			self.start[++self.n] = nrows;
	}
	if (!feof(file) && fgetc(file) != EOF)
		fail("%s has more answers than expected", path);
	fclose(file);
	return self;
}

/* How many of the n rows found are among the answers to a query, at most k */
__attribute__((unused))
static int
truth_hits(const Truth *self, int query, const int *found, int n, int k)
{
	int			hits = 0;

	for (int i = 0; i < n; i++)
		for (int j = self->start[query]; j < self->start[query + 1]; j++)
			if (self->rows[j] == found[i])
			{
				hits++;
				break;
			}
	return hits < k ? hits : k;
}

#endif
