/*
 * writer.c
 *	  Writes rows to a collection, as fast as it takes them or at a rate, and looks
 *	  when rows that it has written are on other servers.
 *
 *	writer KIND BATCH CLIENTS RATE SECONDS FIRST BASE [RECEIVER...]
 *
 * KIND is insert, update (a row's vector and metadata) or metadata (that alone).
 * Each transaction is one statement of BATCH rows.  CLIENTS have a connection each;
 * together they write RATE rows a second, 0: as many as they can; who is late does
 * not wait.  Rows to insert are w<n>, n from FIRST on; updated are r<n>, n < FIRST,
 * which must be there.  Vectors are those of the file BASE, in turn, and binary.
 *
 * With RECEIVERs, which are connection strings, there is one more connection, which
 * inserts a row MARKERS_A_SECOND times a second whatever becomes of those before.
 * For each receiver a thread asks every POLL_MS for those that it has not seen yet.
 * A row's lag is from when its commit was answered to the answer that has it: it is up
 * to POLL_MS and one question too long, which is printed, too.
 *
 * Printed is a line: rows a second; commits' p50 and p99, ms; rows a second until all
 * was everywhere; and of lags p50, p99 and the longest, ms; how many lags; ms from
 * question to question.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "vectors.h"

#define MAX_CLIENTS 64
#define MAX_RECEIVERS 16
#define MAX_BATCH 1000
#define MARKERS_A_SECOND 40
#define MAX_MARKERS 100000
#define POLL_MS 2.0
#define PATIENCE 300.0			/* seconds until all is everywhere */
#define TABLE "collections.docs"

typedef enum Kind
{
	INSERT,
	UPDATE,
	METADATA
} Kind;

/* A row whose coming is looked for; those that clients wrote last have no lag. */
typedef struct Marker
{
	char		id[32];
	bool		has_lag;
	double		committed;		/* 0: not yet */
	double		seen[MAX_RECEIVERS];
} Marker;

typedef struct Client
{
	pthread_t	thread;
	int			number;
	long		rows;
	int			transactions;
	int			room;
	double	   *latency;		/* ms, of each transaction */
} Client;

typedef struct Receiver
{
	pthread_t	thread;
	int			number;
	const char *conninfo;
	long		polls;
	double		polling;		/* seconds in which there was something to ask for */
} Receiver;

static Kind kind;
static int	batch;
static int	nclients;
static double rate;
static double seconds;
static int	first;
static Vectors base;
static char *binary;			/* base's rows as the type sends them */
static int	bytes;				/* of such a row */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t ready;
static Marker *marker;
static int	nmarkers;
static int	nreceivers;
static double began;
static bool all_written;		/* no marker comes any more */

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void
sleep_until(double when)
{
	double		left = when - now();

	if (left > 0)
		usleep((useconds_t) (left * 1e6));
}

static PGconn *
connect_to(const char *conninfo)
{
	PGconn	   *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) != CONNECTION_OK)
		fail("%s", PQerrorMessage(conn));
	return conn;
}

static void
encode_base(void)
{
	bytes = 4 + 4 * base.dim;
	binary = allocate((size_t) base.n * bytes);
	for (int i = 0; i < base.n; i++)
	{
		uint16_t   *head = (uint16_t *) (binary + (size_t) i * bytes);
		uint32_t   *values = (uint32_t *) (head + 2);

		head[0] = htons(base.dim);
		head[1] = 0;
		for (int j = 0; j < base.dim; j++)
		{
			uint32_t	bits;

			memcpy(&bits, &vectors_row(&base, i)[j], 4);
			values[j] = htonl(bits);
		}
	}
}

/* The statement of one transaction: parameters are key and vector of each row, or its key alone. */
static void
prepare(PGconn *conn, Kind of, int rows)
{
	char	   *sql = allocate(512 + (size_t) rows * 96);
	char	   *at = sql;
	PGresult   *result;

	if (of == INSERT)
		at += sprintf(at, "INSERT INTO " TABLE " (id, data, metadata) VALUES ");
	else if (of == UPDATE)
		at += sprintf(at, "UPDATE " TABLE " t SET data = v.data, metadata = jsonb_build_object('n', random()) FROM (VALUES ");
	else
		at += sprintf(at, "UPDATE " TABLE " t SET metadata = jsonb_build_object('n', random()) FROM (VALUES ");
	for (int i = 0; i < rows; i++)
	{
		if (of == METADATA)
			at += sprintf(at, "%s($%d::text)", i ? ", " : "", i + 1);
		else
			at += sprintf(at, "%s($%d::text, $%d::vector%s)", i ? ", " : "", 2 * i + 1, 2 * i + 2, of == INSERT ? ", '{\"n\": 1}'" : "");
	}
	if (of != INSERT)
		at += sprintf(at, ") v(id%s) WHERE t.id = v.id", of == UPDATE ? ", data" : "");
	result = PQprepare(conn, "write", sql, 0, NULL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail("%s", PQerrorMessage(conn));
	PQclear(result);
	free(sql);
}

/* Row number[i] of the base goes to the row ids[i]. */
static void
write_rows(PGconn *conn, Kind of, int rows, char ids[][32], const long *number)
{
	const char *values[2 * MAX_BATCH];
	int			lengths[2 * MAX_BATCH];
	int			formats[2 * MAX_BATCH];
	int			n = 0;
	PGresult   *result;

	for (int i = 0; i < rows; i++)
	{
		values[n] = ids[i];
		lengths[n] = 0;
		formats[n++] = 0;
		if (of == METADATA)
			continue;
		values[n] = binary + (size_t) (number[i] % base.n) * bytes;
		lengths[n] = bytes;
		formats[n++] = 1;
	}
	result = PQexecPrepared(conn, "write", n, values, lengths, formats, 0);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail("%s", PQerrorMessage(conn));
	if (atol(PQcmdTuples(result)) != rows)
		fail("%s rows were written instead of %d", PQcmdTuples(result), rows);
	PQclear(result);
}

/* Ids of the k-th transaction of a client: no two clients have the same row at once. */
static void
choose_rows(const Client *self, long k, char ids[][32], long *number)
{
	for (int i = 0; i < batch; i++)
	{
		long		n = (k * batch + i) * nclients + self->number;

		number[i] = first + n;
		if (kind == INSERT)
			snprintf(ids[i], 32, "w%ld", first + n);
		else
		{
			/* scattered: first / nclients of them are this client's */
			long		own = first / nclients;

			snprintf(ids[i], 32, "r%ld", ((k * batch + i) * 7919 % own) * nclients + self->number);
		}
	}
}

static void
add_marker(const char *id, bool has_lag)
{
	if (nmarkers == MAX_MARKERS)
		fail("there are more than %d markers", MAX_MARKERS);
	snprintf(marker[nmarkers].id, sizeof(marker[nmarkers].id), "%s", id);
	marker[nmarkers].has_lag = has_lag;
	nmarkers++;
}

static void
note_latency(Client *self, double ms)
{
	if (self->transactions == self->room)
	{
		self->room = self->room ? 2 * self->room : 1024;
		self->latency = realloc(self->latency, self->room * sizeof(double));
		if (self->latency == NULL)
			fail("out of memory");
	}
	self->latency[self->transactions++] = ms;
}

static void *
run_client(void *arg)
{
	Client	   *self = arg;
	PGconn	   *conn = connect_to("");
	char		ids[MAX_BATCH][32];
	long		number[MAX_BATCH];

	prepare(conn, kind, batch);
	pthread_barrier_wait(&ready);
	for (long k = 0;; k++)
	{
		double		start;

		if (rate > 0)
			sleep_until(began + (k * nclients + self->number) * batch / rate);
		start = now();
		if (start - began >= seconds)
			break;
		choose_rows(self, k, ids, number);
		write_rows(conn, kind, batch, ids, number);
		note_latency(self, (now() - start) * 1000);
		self->rows += batch;
	}
	if (self->rows > 0 && nreceivers > 0 && kind == INSERT)
	{
		pthread_mutex_lock(&lock);
		add_marker(ids[batch - 1], false);
		marker[nmarkers - 1].committed = now();
		pthread_mutex_unlock(&lock);
	}
	PQfinish(conn);
	return NULL;
}

static void *
run_markers(void *arg)
{
	PGconn	   *conn = connect_to("");
	char		id[1][32];

	(void) arg;
	prepare(conn, INSERT, 1);
	pthread_barrier_wait(&ready);
	for (long k = 0;; k++)
	{
		long		number = first + k;
		int			at;

		sleep_until(began + (double) k / MARKERS_A_SECOND);
		if (now() - began >= seconds)
			break;
		snprintf(id[0], sizeof(id[0]), "m%ld", number);
		pthread_mutex_lock(&lock);
		at = nmarkers;
		add_marker(id[0], true);
		pthread_mutex_unlock(&lock);
		write_rows(conn, INSERT, 1, id, &number);
		pthread_mutex_lock(&lock);
		marker[at].committed = now();
		pthread_mutex_unlock(&lock);
	}
	PQfinish(conn);
	return NULL;
}

/*
 * An array with those that a receiver has not shown; how many, -1: it has shown all that
 * there will be.  The first of them is told.
 */
static int
unseen(const Receiver *self, int *from, char *array, size_t room)
{
	char	   *at = array;
	bool		all;
	int			n = 0;

	*at++ = '{';
	pthread_mutex_lock(&lock);
	all = all_written;
	for (int i = *from; i < nmarkers && (size_t) (at - array) + 40 < room; i++)
	{
		if (marker[i].seen[self->number] != 0)
		{
			*from += i == *from;
			continue;
		}
		at += sprintf(at, "%s%s", n++ ? "," : "", marker[i].id);
	}
	pthread_mutex_unlock(&lock);
	strcpy(at, "}");
	return n == 0 && all ? -1 : n;
}

static void
note_seen(const Receiver *self, int from, const char *id, double when)
{
	pthread_mutex_lock(&lock);
	for (int i = from; i < nmarkers; i++)
		if (strcmp(marker[i].id, id) == 0)
			marker[i].seen[self->number] = when;
	pthread_mutex_unlock(&lock);
}

static void *
run_receiver(void *arg)
{
	Receiver   *self = arg;
	PGconn	   *conn = connect_to(self->conninfo);
	PGresult   *result = PQprepare(conn, "look", "SELECT id FROM " TABLE " WHERE id = ANY ($1::text[])", 0, NULL);
	static __thread char array[16384];
	const char *value = array;
	int			from = 0;

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail("%s", PQerrorMessage(conn));
	PQclear(result);
	pthread_barrier_wait(&ready);
	for (;;)
	{
		double		start = now();
		double		when;
		int			n = unseen(self, &from, array, sizeof(array));

		if (n < 0)
			break;
		if (n == 0)
		{
			usleep(1000);
			continue;
		}
		if (start - began > seconds + PATIENCE)
			fail("not all has come after %.0f s", PATIENCE);
		result = PQexecPrepared(conn, "look", 1, &value, NULL, NULL, 0);
		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			fail("%s", PQerrorMessage(conn));
		when = now();
		for (int i = 0; i < PQntuples(result); i++)
			note_seen(self, from, PQgetvalue(result, i, 0), when);
		PQclear(result);
		usleep((useconds_t) (POLL_MS * 1000));
		self->polls++;
		self->polling += now() - start;
	}
	PQfinish(conn);
	return NULL;
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

static double
percentile(const double *sorted, int n, double part)
{
	int			at = (int) ceil(n * part) - 1;

	return n == 0 ? 0 : sorted[at < 0 ? 0 : at];
}

static void
report(const Client *client, const Receiver *receiver, double written)
{
	double	   *latency;
	double	   *lag = allocate((size_t) nmarkers * MAX_RECEIVERS * sizeof(double));
	double		everywhere = written;
	double		polling = 0;
	long		polls = 0;
	long		rows = 0;
	int			n = 0;
	int			nlags = 0;

	for (int i = 0; i < nclients; i++)
		n += client[i].transactions;
	latency = allocate(n * sizeof(double));
	n = 0;
	for (int i = 0; i < nclients; i++)
	{
		memcpy(latency + n, client[i].latency, client[i].transactions * sizeof(double));
		n += client[i].transactions;
		rows += client[i].rows;
	}
	qsort(latency, n, sizeof(double), compare_doubles);
	for (int i = 0; i < nmarkers; i++)
		for (int j = 0; j < nreceivers; j++)
		{
			double		late = (marker[i].seen[j] - marker[i].committed) * 1000;

			everywhere = marker[i].seen[j] > everywhere ? marker[i].seen[j] : everywhere;
			if (marker[i].has_lag)
				lag[nlags++] = late > 0 ? late : 0;
			rows += marker[i].has_lag && j == 0;
		}
	qsort(lag, nlags, sizeof(double), compare_doubles);
	for (int j = 0; j < nreceivers; j++)
	{
		polls += receiver[j].polls;
		polling += receiver[j].polling;
	}
	printf("%.1f %.2f %.2f %.1f %.1f %.1f %.1f %d %.1f\n", rows / (written - began),
		   percentile(latency, n, 0.5), percentile(latency, n, 0.99), rows / (everywhere - began),
		   percentile(lag, nlags, 0.5), percentile(lag, nlags, 0.99), percentile(lag, nlags, 1),
		   nlags, polls ? polling / polls * 1000 : 0);
}

int
main(int argc, char **argv)
{
	Client		client[MAX_CLIENTS] = {0};
	Receiver	receiver[MAX_RECEIVERS] = {0};
	pthread_t	markers;
	double		written;

	if (argc < 8 || argc > 8 + MAX_RECEIVERS)
		fail("usage: writer insert|update|metadata BATCH CLIENTS RATE SECONDS FIRST BASE [RECEIVER...]");
	kind = strcmp(argv[1], "insert") == 0 ? INSERT : strcmp(argv[1], "update") == 0 ? UPDATE : METADATA;
	batch = atoi(argv[2]);
	nclients = atoi(argv[3]);
	rate = atof(argv[4]);
	seconds = atof(argv[5]);
	first = atoi(argv[6]);
	base = vectors_read(argv[7]);
	nreceivers = argc - 8;
	if (batch < 1 || batch > MAX_BATCH || nclients < 1 || nclients > MAX_CLIENTS || first < 0 || seconds <= 0)
		fail("1 to %d rows a transaction and 1 to %d clients", MAX_BATCH, MAX_CLIENTS);
	if (kind != INSERT && first < nclients * batch)
		fail("there are fewer rows than clients write at once");
	encode_base();
	marker = calloc(MAX_MARKERS, sizeof(Marker));
	if (marker == NULL || pthread_barrier_init(&ready, NULL, nclients + nreceivers + (nreceivers > 0) + 1) != 0)
		fail("out of memory");

	for (int i = 0; i < nclients; i++)
	{
		client[i].number = i;
		if (pthread_create(&client[i].thread, NULL, run_client, &client[i]) != 0)
			fail("could not start a client");
	}
	for (int i = 0; i < nreceivers; i++)
	{
		receiver[i].number = i;
		receiver[i].conninfo = argv[8 + i];
		if (pthread_create(&receiver[i].thread, NULL, run_receiver, &receiver[i]) != 0)
			fail("could not start a receiver");
	}
	if (nreceivers > 0 && pthread_create(&markers, NULL, run_markers, NULL) != 0)
		fail("could not start the markers");
	began = now() + 0.1;
	pthread_barrier_wait(&ready);
	for (int i = 0; i < nclients; i++)
		pthread_join(client[i].thread, NULL);
	if (nreceivers > 0)
		pthread_join(markers, NULL);
	written = now();
	pthread_mutex_lock(&lock);
	all_written = true;
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < nreceivers; i++)
		pthread_join(receiver[i].thread, NULL);
	report(client, receiver, written);
	return 0;
}
