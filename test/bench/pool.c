/*
 * pool.c
 *	  Runs one statement through libpq as fast as it is answered: the peer that
 *	  HTTP is measured against.
 *
 *	pool KIND CLIENTS CONNECTIONS SECONDS FILE
 *
 * Clients are threads, which share the connections as those of an application
 * share a pool; what a client waits for a connection is part of its time.
 * KIND is one of those below; FILE has on each line what a statement is about: a
 * vector in text, an id, a number of metadata or an array of JSON.  Statements are prepared, values and results text.  Prints
 * requests a second and the times in milliseconds below which 50 and 99 of a
 * hundred were answered.  The connection comes from libpq's environment.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#define MAX_CLIENTS 1024
#define WARM_UP 50

typedef struct Pool
{
	pthread_mutex_t lock;
	pthread_cond_t freed;
	PGconn	  **free;
	int			nfree;
} Pool;

typedef struct Client
{
	pthread_t	thread;
	int			number;
	long		n;
	long		size;
	float	   *ms;
} Client;

typedef struct Kind
{
	const char *name;
	const char *sql;
} Kind;

static const Kind kinds[] = {
	{"search", "SELECT s.id, s.score, s.metadata FROM vecdb.search('bench', $1, 10) s"},
	{"read", "SELECT id, data, metadata, created_at, updated_at FROM collections.bench WHERE id = $1"},
	{"insert", "SELECT vecdb.upsert('bench_libpq', $2, $1, '{\"n\": 1}')"},
	{"get", "SELECT id, metadata FROM collections.bench WHERE id = $1"},
	{"list", "SELECT id, metadata FROM collections.bench WHERE metadata ->> 'n' = $1 LIMIT 20"},
	{"order", "SELECT id, metadata FROM collections.bench ORDER BY data <=> $1 LIMIT 10"},
	{"bulk", "INSERT INTO collections.bulk_libpq (id, data, metadata) "
		"SELECT t.id, t.data, t.metadata FROM json_to_recordset($1) AS t(id text, data vector, metadata jsonb) "
	"ON CONFLICT (id) DO UPDATE SET id = EXCLUDED.id, data = EXCLUDED.data, metadata = EXCLUDED.metadata"}
};

static Pool pool = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, 0};
static const Kind *kind;
static char **lines;
static long nlines;
static double until;
static atomic_long last_id;

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "pool: %s: %s\n", what, why);
	exit(1);
}

static void *
allocate(size_t size)
{
	void	   *p = malloc(size);

	if (!p)
		fail("malloc", "out of memory");
	return p;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void
read_lines(const char *path)
{
	FILE	   *file = fopen(path, "r");
	char	   *line = NULL;
	size_t		size = 0;
	ssize_t		len;
	long		room = 0;

	if (!file)
		fail(path, "cannot be read");
	while ((len = getline(&line, &size, file)) > 0)
	{
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (nlines == room)
		{
			room = room ? room * 2 : 1024;
			lines = realloc(lines, sizeof(char *) * (size_t) room);
			if (!lines)
				fail("realloc", "out of memory");
		}
		lines[nlines++] = strdup(line);
	}
	free(line);
	fclose(file);
	if (nlines == 0)
		fail(path, "is empty");
}

static PGconn *
open_connection(void)
{
	PGconn	   *conn = PQconnectdb("");
	PGresult   *result;

	if (PQstatus(conn) != CONNECTION_OK)
		fail("connection", PQerrorMessage(conn));
	result = PQprepare(conn, "s", kind->sql, 0, NULL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail("PREPARE", PQerrorMessage(conn));
	PQclear(result);
	return conn;
}

static void
ask(PGconn *conn, long number)
{
	char		id[32];
	const char *values[2] = {lines[number % nlines], id};
	bool		insert = strcmp(kind->name, "insert") == 0;
	PGresult   *result;

	if (insert)
		snprintf(id, sizeof(id), "p%d-%ld", (int) getpid(), atomic_fetch_add(&last_id, 1));
	result = PQexecPrepared(conn, "s", insert ? 2 : 1, values, NULL, NULL, 0);
	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		fail("statement", PQerrorMessage(conn));
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) < 1)
		fail("statement", "no rows");
	PQclear(result);
}

static void *
run_client(void *arg)
{
	Client	   *self = arg;
	long		at = (long) self->number * 7919;

	for (double began = now(); began < until; began = now())
	{
		PGconn	   *conn;

		pthread_mutex_lock(&pool.lock);
		while (pool.nfree == 0)
			pthread_cond_wait(&pool.freed, &pool.lock);
		conn = pool.free[--pool.nfree];
		pthread_mutex_unlock(&pool.lock);
		ask(conn, at++);
		pthread_mutex_lock(&pool.lock);
		pool.free[pool.nfree++] = conn;
		pthread_cond_signal(&pool.freed);
		pthread_mutex_unlock(&pool.lock);
		if (self->n == self->size)
		{
			self->size = self->size ? self->size * 2 : 4096;
			self->ms = realloc(self->ms, sizeof(float) * (size_t) self->size);
			if (!self->ms)
				fail("realloc", "out of memory");
		}
		self->ms[self->n++] = (float) ((now() - began) * 1000);
	}
	return NULL;
}

static int
compare(const void *a, const void *b)
{
	float		x = *(const float *) a;
	float		y = *(const float *) b;

	return x < y ? -1 : x > y;
}

int
main(int argc, char **argv)
{
	static Client clients[MAX_CLIENTS];
	int			nclients;
	int			nconns;
	double		seconds;
	double		began;
	long		n = 0;
	float	   *all;

	if (argc != 6)
		fail("usage", "pool KIND CLIENTS CONNECTIONS SECONDS FILE");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		if (strcmp(argv[1], kinds[i].name) == 0)
			kind = &kinds[i];
	}
	if (!kind)
		fail("no such kind", argv[1]);
	nclients = atoi(argv[2]);
	nconns = atoi(argv[3]);
	seconds = atof(argv[4]);
	if (nclients < 1 || nclients > MAX_CLIENTS || nconns < 1)
		fail("usage", "1 to 1024 clients, 1 connection at least");
	read_lines(argv[5]);
	pool.free = allocate(sizeof(PGconn *) * (size_t) nconns);
	for (; pool.nfree < nconns; pool.nfree++)
	{
		pool.free[pool.nfree] = open_connection();
		for (int i = 0; i < WARM_UP; i++)
			ask(pool.free[pool.nfree], i);
	}

	began = now();
	until = began + seconds;
	for (int i = 0; i < nclients; i++)
	{
		clients[i].number = i;
		if (pthread_create(&clients[i].thread, NULL, run_client, &clients[i]) != 0)
			fail("pthread_create", "failed");
	}
	for (int i = 0; i < nclients; i++)
	{
		pthread_join(clients[i].thread, NULL);
		n += clients[i].n;
	}
	seconds = now() - began;
	all = allocate(sizeof(float) * (size_t) (n ? n : 1));
	n = 0;
	for (int i = 0; i < nclients; i++)
	{
		memcpy(all + n, clients[i].ms, sizeof(float) * (size_t) clients[i].n);
		n += clients[i].n;
	}
	qsort(all, (size_t) n, sizeof(float), compare);
	printf("%.1f %.3f %.3f\n", (double) n / seconds, all[n / 2], all[n * 99 / 100]);
	return 0;
}
