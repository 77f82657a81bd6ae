/*
 * client.c
 *	  Asks a server for nearest neighbors as fast as it answers, and prints
 *	  how many queries it answered in a second, and which part of the rows that
 *	  were asked for did not come.
 *
 *	client VIEW OPERATOR K CLIENTS SECONDS QUERY
 *
 * VIEW is "client": one prepared statement for each query, the vector and the
 * result in binary, a round trip each.  Or it is "inside": one statement that
 * runs many queries through a lateral join, so that what is measured is the
 * server alone.  The connection comes from libpq's environment, with settings
 * in PGOPTIONS; QUERY is a file of vectors, the same as in the table query.
 *
 * Each client is a process with a connection of its own.  All begin together,
 * when the last has connected and warmed up, each at its own part of the
 * queries; each stops after the first statement that ends past SECONDS.  The
 * rates of all are added.
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "vectors.h"

#define WARM_UP 20				/* queries, which tell how many a statement is given */
#define MOST_WARM_UP 2.0		/* seconds in all */
#define MAX_CLIENTS 64
#define INSIDE_SECONDS 0.2		/* of one statement, about */

typedef struct Session
{
	PGconn	   *conn;
	bool		inside;
	int			k;				/* rows that a query asks for */
	const Vectors *query;
	char	   *binary;			/* query's rows as the type sends them */
	int			bytes;			/* of such a row */
	long		missing;		/* rows fewer than asked for */
} Session;

typedef struct Report
{
	double		rate;
	long		queries;
	long		missing;
} Report;

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void
check(Session *self, PGresult *result, ExecStatusType expected)
{
	if (PQresultStatus(result) != expected)
		fail("%s", PQerrorMessage(self->conn));
}

static void
session_open(Session *self, const char *operator)
{
	char		sql[512];

	self->conn = PQconnectdb("");
	if (PQstatus(self->conn) != CONNECTION_OK)
		fail("%s", PQerrorMessage(self->conn));
	if (self->inside)
		snprintf(sql, sizeof(sql),
				 "SELECT count(*)::int FROM query q CROSS JOIN LATERAL "
				 "(SELECT id FROM item ORDER BY item.embedding %s q.embedding LIMIT %d) r "
				 "WHERE q.id >= $1 AND q.id < $1 + $2", operator, self->k);
	else
		snprintf(sql, sizeof(sql), "SELECT id FROM item ORDER BY embedding %s $1::vector LIMIT %d", operator, self->k);
	check(self, PQprepare(self->conn, "ask", sql, 0, NULL), PGRES_COMMAND_OK);
}

/* Asks n queries from the given one on. */
static void
session_ask(Session *self, int first, int n)
{
	if (self->inside)
	{
		uint32_t	range[2] = {htonl(first), htonl(n)};
		const char *values[2] = {(char *) &range[0], (char *) &range[1]};
		int			lengths[2] = {4, 4};
		int			formats[2] = {1, 1};
		PGresult   *result = PQexecPrepared(self->conn, "ask", 2, values, lengths, formats, 1);
		uint32_t	rows;

		check(self, result, PGRES_TUPLES_OK);
		memcpy(&rows, PQgetvalue(result, 0, 0), 4);
		self->missing += (long) n * self->k - ntohl(rows);
		PQclear(result);
		return;
	}
	for (int i = first; i < first + n; i++)
	{
		const char *value = self->binary + (size_t) i * self->bytes;
		int			format = 1;
		PGresult   *result = PQexecPrepared(self->conn, "ask", 1, &value, &self->bytes, &format, 1);

		check(self, result, PGRES_TUPLES_OK);
		self->missing += self->k - PQntuples(result);
		PQclear(result);
	}
}

static void
session_encode(Session *self)
{
	const Vectors *query = self->query;

	self->bytes = 4 + 4 * query->dim;
	self->binary = allocate((size_t) query->n * self->bytes);
	for (int i = 0; i < query->n; i++)
	{
		uint16_t   *head = (uint16_t *) (self->binary + (size_t) i * self->bytes);
		uint32_t   *values = (uint32_t *) (head + 2);

		head[0] = htons(query->dim);
		head[1] = 0;
		for (int j = 0; j < query->dim; j++)
		{
			uint32_t	bits;

			memcpy(&bits, &vectors_row(query, i)[j], 4);
			values[j] = htonl(bits);
		}
	}
}

/* A client's life */
static Report
run_client(Session *self, const char *operator, int number, int nclients, double seconds, int ready, int go)
{
	int			at = (long) self->query->n * number / nclients;
	int			batch = 1;
	long		done = 0;
	double		began;
	double		warm_up;
	double		elapsed;
	char		byte = 0;

	session_open(self, operator);
	began = now();
	for (int i = 0; i < WARM_UP; i++)
		session_ask(self, (at + i) % self->query->n, 1);
	warm_up = now() - began;
	if (self->inside)
	{
		batch = INSIDE_SECONDS * WARM_UP / warm_up;
		batch = batch < 10 ? 10 : batch > self->query->n ? self->query->n : batch;
		batch = batch > self->query->n ? self->query->n : batch;
	}

	/* A new process maps shared memory page by page: all queries once, or for a while */
	for (int i = WARM_UP; i < self->query->n && now() - began < MOST_WARM_UP; i++)
		session_ask(self, (at + i) % self->query->n, 1);
	if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 0)
		fail("the other clients are gone");

	self->missing = 0;
	began = now();
	do
	{
		int			n = batch < self->query->n - at ? batch : self->query->n - at;

		session_ask(self, at, n);
		done += n;
		at = (at + n) % self->query->n;
		elapsed = now() - began;
	} while (elapsed < seconds);
	PQfinish(self->conn);
	return (Report) {done / elapsed, done, self->missing};
}

int
main(int argc, char **argv)
{
	Session		session = {0};
	Vectors		query;
	int			nclients;
	double		seconds;
	int			ready[2];
	int			go[2];
	int			reports[2];
	Report		sum = {0};
	bool		failed = false;

	if (argc != 7 || (strcmp(argv[1], "client") != 0 && strcmp(argv[1], "inside") != 0))
		fail("usage: client client|inside OPERATOR K CLIENTS SECONDS QUERY");
	session.inside = strcmp(argv[1], "inside") == 0;
	session.k = atoi(argv[3]);
	nclients = atoi(argv[4]);
	seconds = atof(argv[5]);
	query = vectors_read(argv[6]);
	session.query = &query;
	session_encode(&session);
	if (session.k < 1)
		fail("at least one row, not %d", session.k);
	if (nclients < 1 || nclients > MAX_CLIENTS)
		fail("1 to %d clients, not %d", MAX_CLIENTS, nclients);
	if (pipe(ready) != 0 || pipe(go) != 0 || pipe(reports) != 0)
		fail("could not make pipes");

	for (int i = 0; i < nclients; i++)
	{
		pid_t		pid = fork();

		if (pid < 0)
			fail("could not start a client");
		if (pid == 0)
		{
			Report		report;

			close(ready[0]);
			close(go[1]);
			report = run_client(&session, argv[2], i, nclients, seconds, ready[1], go[0]);
			if (write(reports[1], &report, sizeof(report)) != sizeof(report))
				fail("could not report");
			_exit(0);
		}
	}
	/* The clients wait for the end of this pipe, which comes when all are ready. */
	close(ready[1]);
	for (int i = 0; i < nclients; i++)
	{
		char		byte;

		if (read(ready[0], &byte, 1) != 1)
			failed = true;
	}
	close(go[1]);
	close(reports[1]);
	for (int i = 0; i < nclients; i++)
	{
		Report		report;

		if (read(reports[0], &report, sizeof(report)) != sizeof(report))
		{
			failed = true;
			continue;
		}
		sum.rate += report.rate;
		sum.queries += report.queries;
		sum.missing += report.missing;
	}
	for (int i = 0; i < nclients; i++)
	{
		int			status;

		if (wait(&status) < 0 || status != 0)
			failed = true;
	}
	if (failed)
		fail("a client failed");
	printf("%.2f %.6f\n", sum.rate, sum.missing / ((double) sum.queries * session.k));
	return 0;
}
