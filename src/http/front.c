/*
 * front.c
 *	  The HTTP front: the process that holds the sockets.
 *
 * It owns connections, deadlines, limits and the queue, and never touches the
 * database.  Requests that need it go to executors through shared memory (see
 * ipc.h).  One loop waits for the latch, for libmicrohttpd's epoll descriptor
 * and for one of our own, which tells of clients that hang up while they wait.
 *
 * What clients cause must neither end this process nor make it grow without
 * bound.  Hooks of the HTTP library must not raise errors, so all that belongs
 * to clients is malloc'ed, checked, and counted against vecdb.http_max_buffered.
 */
#include "http/front.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"

PGDLLEXPORT void VecdbHttpFrontMain(Datum arg);

/* At shutdown, the time that cancelled requests have to end. */
#define STOP_CANCEL_MS			1000

Front		front;

int64
FrontMonotonicUs(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void
on_sigterm(SIGNAL_ARGS)
{
	int			save_errno = errno;

	/* Executors look at this to tell a shutdown from an end of theirs alone. */
	pg_atomic_write_u32(&front.shared->stopping, 1);
	ShutdownRequestPending = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

/* However the front ends, so do the executors that run a request. */
static void
front_exit(int code, Datum arg)
{
	WorkersLeave();
	AwaitLetGo();
	LWLockAcquire(&front.shared->lock, LW_EXCLUSIVE);
	front.shared->front_latch = NULL;
	LWLockRelease(&front.shared->lock);
}

/* The usual limit of 1,024 descriptors is less than the connections we allow. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		rlim_t		wanted = (rlim_t) VecdbHttpMaxConnections + 256;

		if (limit.rlim_cur < wanted)
		{
			limit.rlim_cur = Min(limit.rlim_max, wanted);
			if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
				ereport(LOG, (errmsg("the HTTP front may open %lu files, fewer than vecdb.http_max_connections needs",
									 (unsigned long) limit.rlim_cur)));
		}
	}
}

static void
build_wait_set(void)
{
	if (front.wait_set)
		FreeWaitEventSet(front.wait_set);
	front.wait_set = CreateSessionWaitEventSet(3 + NSERVERS);
	AddWaitEventToSet(front.wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(front.wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(front.wait_set, WL_SOCKET_READABLE, front.watch_fd, NULL, &front.watch_fd);
	for (int i = 0; i < NSERVERS; i++)
	{
		if (front.servers[i].http)
			AddWaitEventToSet(front.wait_set, WL_SOCKET_READABLE, http_server_fd(front.servers[i].http), NULL, &front.servers[i]);
	}
	front.wait_set_stale = false;
}

/* How long there is nothing to do; -1 for ever. */
static int64
time_to_wait(void)
{
	int64		next = -1;

#define AT_MOST(ms) do { int64 ms_ = Max(ms, 0); next = next < 0 ? ms_ : Min(next, ms_); } while (0)
	if (ClientsDeadline() >= 0)
		AT_MOST(ClientsDeadline() - front.now_ms);
	if (LingerDeadline() >= 0)
		AT_MOST(LingerDeadline() - front.now_ms);
	if (WorkersDeadline() >= 0)
		AT_MOST(WorkersDeadline() - front.now_ms);
	for (int i = 0; i < NSERVERS; i++)
	{
		int64		ms = !front.servers[i].http ? -1 : front.servers[i].to_run ? 0 : http_server_timeout_ms(front.servers[i].http);

		if (ms >= 0)
			AT_MOST(ms);
	}
	if (front.listen_retry_ms != 0)
		AT_MOST(front.listen_retry_ms - front.now_ms);
	if (front.stop_ms != 0)
		AT_MOST(front.stop_ms - front.now_ms);
#undef AT_MOST
	return next;
}

/* Stop taking requests; those that run may finish. */
static void
begin_stop(void)
{
	dlist_mutable_iter iter;
	Request    *r;

	front.stop_ms = front.now_ms + VecdbHttpShutdownTimeout_ms;
	front.listen_retry_ms = 0;
	for (int i = 0; i < NSERVERS; i++)
	{
		if (!front.servers[i].http)
			continue;
		if (i != SERVER_DRAINING)
		{
			int			fd = http_server_quiesce(front.servers[i].http);

			if (fd >= 0)
				close(fd);
		}
		dlist_foreach_modify(iter, &front.servers[i].clients)
		{
			Client	   *c = dlist_container(Client, node, iter.cur);

			if (c->phase == CLIENT_IDLE || c->phase == CLIENT_NEW || c->phase == CLIENT_HEADER)
				shutdown(c->fd, SHUT_RDWR);
		}
	}
	AwaitStop();
	while ((r = QueueNext()) != NULL)
	{
		if (!r->metrics)
			ReplyStopping(r);
		RequestDeliver(r);
	}
}

/* Time is up for requests that still run: cancel them, and wait for the answers. */
static void
cancel_running(void)
{
	WorkersCancelAll();
	front.stop_ms = front.now_ms + STOP_CANCEL_MS;
	front.cancelled_running = true;
}

static bool
stopped(void)
{
	if (front.now_ms >= front.stop_ms && !front.cancelled_running)
		cancel_running();
	else if (front.now_ms >= front.stop_ms)
		return true;
	for (int i = 0; i < NSERVERS; i++)
	{
		if (front.servers[i].http && front.servers[i].connections > 0)
			return false;
	}
	return true;
}

static void
front_init(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, on_sigterm);
	front.shared = IpcAttach();
	pg_atomic_write_u32(&front.shared->stopping, 0);
	BackgroundWorkerUnblockSignals();

	MemoryContextSwitchTo(TopMemoryContext);
	WorkersInit();
	ClientsInit();
	AwaitInit();
	QueueInit();
	LingerInit();
	for (int i = 0; i < NSERVERS; i++)
	{
		front.servers[i].kind = i;
		front.servers[i].port = i == SERVER_ADMIN ? PORT_ADMIN : PORT_API;
		dlist_init(&front.servers[i].clients);
	}
	front.wait_set_stale = true;
	front.watch_fd = epoll_create1(EPOLL_CLOEXEC);
	if (front.watch_fd < 0)
		ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR), errmsg("could not create an epoll descriptor: %m")));
	before_shmem_exit(front_exit, (Datum) 0);
	LWLockAcquire(&front.shared->lock, LW_EXCLUSIVE);
	front.shared->front_latch = MyLatch;
	LWLockRelease(&front.shared->lock);
	raise_descriptor_limit();
	front.now_ms = FrontMonotonicUs() / 1000;
	BearerInit();
}

void
VecdbHttpFrontMain(Datum arg)
{
	front_init();
	ListenersAdjust();
	for (;;)
	{
		WaitEvent	events[3 + NSERVERS];
		int64		wait_ms = time_to_wait();
		int			n;
		bool		watch_fired = false;

		if (front.wait_set_stale)
			build_wait_set();
		n = WaitEventSetWait(front.wait_set, wait_ms > INT_MAX ? INT_MAX : (long) wait_ms, events, lengthof(events), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		front.now_ms = FrontMonotonicUs() / 1000;
		for (int i = 0; i < n; i++)
		{
			if (events[i].user_data == &front.watch_fd)
				watch_fired = true;
			else if (events[i].user_data)
				((Server *) events[i].user_data)->to_run = true;
		}

		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			BearerReload();
			if (front.stop_ms == 0)
				ListenersAdjust();
			WorkersNudge();
		}
		if (ShutdownRequestPending && front.stop_ms == 0)
			begin_stop();
		if (front.stop_ms != 0 && stopped())
			break;
		if (front.listen_retry_ms != 0 && front.listen_retry_ms <= front.now_ms)
			ListenersAdjust();

		WorkersServeSlots();
		if (watch_fired)
			ClientsWatchEvents();
		ClientsWatchDue();
		WorkersTurn();
		AwaitTurn();
		ClientsExpire();
		LingerExpire();
		for (int i = 0; i < NSERVERS; i++)
		{
			if (front.servers[i].http && (front.servers[i].to_run || http_server_timeout_ms(front.servers[i].http) == 0))
			{
				front.servers[i].to_run = false;
				http_server_run(front.servers[i].http);
			}
		}
		if (front.servers[SERVER_DRAINING].http && front.servers[SERVER_DRAINING].connections == 0)
			ListenerStop(&front.servers[SERVER_DRAINING]);
		WorkersDispatch();
	}

	/* With any other code the postmaster would not start us again. */
	proc_exit(1);
}
