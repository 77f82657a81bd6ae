/*
 * dispatch.c
 *	  Executors as the front sees them: which is idle, what it is sent over
 *	  shm_mq, what it answers, and how a statement is cancelled.
 *
 * Nothing here waits: what a queue does not take now is sent in the next turn.
 */
#include "http/front.h"

#include "miscadmin.h"
#include "storage/proc.h"

void
WorkersInit(void)
{
	front.nworkers = front.shared->nslots;
	front.workers = palloc0(sizeof(Worker) * front.nworkers);
	front.worker_busy = palloc0(sizeof(bool) * front.nworkers);
}

/*
 * The executor gets SIGUSR2, and its slot has the number of the request.  If it
 * runs another request by then, it ignores the signal.
 */
static void
cancel(int worker)
{
	IpcSlot    *slot = &front.shared->slots[worker];

	LWLockAcquire(&front.shared->lock, LW_SHARED);
	if (slot->pid != 0)
	{
		pg_atomic_write_u64(&slot->cancel_id, front.workers[worker].request->id);
		kill(slot->pid, SIGUSR2);
	}
	LWLockRelease(&front.shared->lock);
	if (front.workers[worker].give_up_ms == 0)
		front.workers[worker].give_up_ms = front.now_ms + IPC_CANCEL_MS;
}

/* SQL can catch its cancellation and go on, but not the end of its process. */
static void
terminate(int worker)
{
	IpcSlot    *slot = &front.shared->slots[worker];

	LWLockAcquire(&front.shared->lock, LW_SHARED);
	if (slot->pid != 0)
		kill(slot->pid, SIGTERM);
	LWLockRelease(&front.shared->lock);
}

void
WorkersCancel(const Request *r)
{
	for (int i = 0; i < front.nworkers; i++)
	{
		if (front.workers[i].request == r)
		{
			front.counters.cancelled++;
			cancel(i);
		}
	}
}

void
WorkersCancelAll(void)
{
	for (int i = 0; i < front.nworkers; i++)
	{
		if (front.workers[i].request)
			cancel(i);
	}
}

void
WorkersLeave(void)
{
	for (int i = 0; i < front.nworkers; i++)
	{
		/* Nobody is left to take the answer, nor to see that a cancelled query ends. */
		if (front.workers[i].request)
			terminate(i);
		if (front.workers[i].out)
			shm_mq_detach(front.workers[i].out);
		if (front.workers[i].in)
			shm_mq_detach(front.workers[i].in);
	}
}

static void
end_stubborn(void)
{
	for (int i = 0; i < front.nworkers; i++)
	{
		Worker	   *w = &front.workers[i];

		if (!w->request || w->give_up_ms == 0 || front.now_ms < w->give_up_ms)
			continue;
		terminate(i);
		w->give_up_ms = front.now_ms + IPC_CANCEL_MS;
	}
}

bool
WorkersAnyUp(void)
{
	for (int i = 0; i < front.nworkers; i++)
	{
		if (front.shared->slots[i].state == IPC_ATTACHED)
			return true;
	}
	return false;
}

bool
WorkersAnyFailing(void)
{
	for (int i = 0; i < front.nworkers; i++)
	{
		if (front.shared->slots[i].failures > 0)
			return true;
	}
	return false;
}

void
RequestDeliver(Request *r)
{
	Client	   *c = r->client;

	r->state = REQUEST_ANSWERED;
	if (!c)
	{
		RequestFree(r);
		return;
	}
	if (!c->gone)
		ClientResume(c);
}

static void
free_worker_answer(Worker *w)
{
	free(w->headers);
	free(w->body);
	w->headers = w->body = NULL;
}

/* The executor is gone, or broke the protocol and counts as gone. */
static void
worker_lost(int i)
{
	Worker	   *w = &front.workers[i];
	Request    *r = w->request;

	if (w->out)
		shm_mq_detach(w->out);
	if (w->in)
		shm_mq_detach(w->in);
	w->out = w->in = NULL;
	w->phase = WORKER_DOWN;
	w->request = NULL;
	front.worker_busy[i] = false;
	free_worker_answer(w);
	if (r)
	{
		front.counters.lost++;
		if (r->client && !r->metrics)
			ReplyError(r, 503, "57P01", "the process that executed the request has ended",
					  "Whether the request took effect is not known; try again.");
		RequestDeliver(r);
	}
}

void
WorkersServeSlots(void)
{
	LWLockAcquire(&front.shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < front.nworkers; i++)
	{
		IpcSlot    *slot = &front.shared->slots[i];
		Worker	   *w = &front.workers[i];
		shm_mq	   *out,
				   *in;

		if (slot->state == IPC_ATTACHED && w->phase == WORKER_DOWN && w->out)
			w->phase = WORKER_IDLE;
		if (slot->state != IPC_WANTED)
			continue;
		worker_lost(i);
		out = shm_mq_create(IpcRing(front.shared, i, 0), IPC_RING);
		in = shm_mq_create(IpcRing(front.shared, i, 1), IPC_RING);
		shm_mq_set_sender(out, MyProc);
		shm_mq_set_receiver(in, MyProc);
		w->out = shm_mq_attach(out, NULL, NULL);
		w->in = shm_mq_attach(in, NULL, NULL);
		slot->state = IPC_READY;
		SetLatch(slot->latch);
	}
	LWLockRelease(&front.shared->lock);
}

/* Send as much of the request as there is room for; false: the executor is gone. */
static bool
send_request(Worker *w)
{
	Request    *r = w->request;
	shm_mq_result result;

	if (w->phase == WORKER_HEAD)
	{
		shm_mq_iovec iov[5] = {
			{(char *) &w->head, sizeof(w->head)},
			{r->target, w->head.target_len},
			{r->headers, w->head.headers_len},
			{r->role, w->head.role_len},
			{r->claims, w->head.claims_len}
		};

		result = shm_mq_sendv(w->out, iov, 5, true, w->head.body_len == 0);
		if (result != SHM_MQ_SUCCESS)
			return result == SHM_MQ_WOULD_BLOCK;
		w->phase = WORKER_BODY;
		w->sent = 0;
	}
	while (w->sent < w->head.body_len)
	{
		size_t		n = Min(w->head.body_len - w->sent, IPC_PIECE);

		result = shm_mq_send(w->out, n, r->body + w->sent, true, w->sent + n == w->head.body_len);
		if (result != SHM_MQ_SUCCESS)
			return result == SHM_MQ_WOULD_BLOCK;
		w->sent += n;
	}
	w->phase = WORKER_ANSWER_HEAD;
	RequestDropBody(r);
	return true;
}

/* The head of an answer: make room for the rest of it. */
static bool
begin_answer(Worker *w, const char *data, Size n)
{
	Request    *r = w->request;

	if (n < sizeof(IpcAnswer))
		return false;
	memcpy(&w->answer, data, sizeof(IpcAnswer));
	if (w->answer.id != r->id || w->answer.headers_len != n - sizeof(IpcAnswer))
		return false;
	w->got = 0;
	w->phase = WORKER_ANSWER_BODY;
	if (!r->client)
		return true;
	w->headers = malloc(w->answer.headers_len + 1);
	w->no_room = !RequestCountBytes(r, w->answer.body_len);
	w->body = w->no_room ? NULL : malloc(w->answer.body_len + 1);
	if (w->headers)
		memcpy(w->headers, data + sizeof(IpcAnswer), w->answer.headers_len);
	return true;
}

static void
end_answer(int i)
{
	Worker	   *w = &front.workers[i];
	Request    *r = w->request;

	w->request = NULL;
	w->phase = WORKER_IDLE;
	front.worker_busy[i] = false;
	if (r->client && w->headers && w->body)
	{
		r->status = w->answer.status;
		r->answer_headers = w->headers;
		r->answer_headers_len = w->answer.headers_len;
		r->answer = w->body;
		r->answer_len = w->answer.body_len;
		w->headers = w->body = NULL;
	}
	else if (r->client && w->no_room)
	{
		front.counters.rejected[METRICS_REJECT_MEMORY]++;
		ReplyError(r, 503, "53200", "too many answers wait to be taken by their clients",
				  "The limit is the setting vecdb.http_max_buffered.");
	}
	else if (r->client)
		ReplyNoMemory(r);
	free_worker_answer(w);
	RequestDeliver(r);
}

/* Move what can be moved to and from an executor. */
static void
pump(int i)
{
	Worker	   *w = &front.workers[i];

	if (w->phase == WORKER_HEAD || w->phase == WORKER_BODY)
	{
		if (!send_request(w))
		{
			worker_lost(i);
			return;
		}
	}

	/*
	 * The queue of an idle executor is not read: on an empty queue,
	 * shm_mq_receive() would release what was read before and wake the executor
	 * for that.
	 */
	if (w->phase == WORKER_IDLE && front.shared->slots[i].state != IPC_ATTACHED)
		worker_lost(i);
	while (w->phase != WORKER_IDLE && w->in)
	{
		Size		n;
		void	   *data;
		shm_mq_result result = shm_mq_receive(w->in, &n, &data, true);

		if (result == SHM_MQ_WOULD_BLOCK)
			break;
		if (result == SHM_MQ_DETACHED ||
			(w->phase != WORKER_ANSWER_HEAD && w->phase != WORKER_ANSWER_BODY))
		{
			worker_lost(i);
			break;
		}
		if (w->phase == WORKER_ANSWER_HEAD)
		{
			if (!begin_answer(w, data, n))
			{
				worker_lost(i);
				break;
			}
		}
		else
		{
			if (n > w->answer.body_len - w->got)
			{
				worker_lost(i);
				break;
			}
			if (w->body)
				memcpy(w->body + w->got, data, n);
			w->got += n;
		}
		if (w->phase == WORKER_ANSWER_BODY && w->got == w->answer.body_len)
		{
			end_answer(i);
			break;
		}
	}
}

void
WorkersDispatch(void)
{
	for (int i = 0; i < front.nworkers; i++)
	{
		Worker	   *w = &front.workers[i];
		Request    *r;

		if (w->phase != WORKER_IDLE)
			continue;
		r = QueueNext();
		if (!r)
			break;
		r->state = REQUEST_RUNNING;
		w->request = r;
		w->give_up_ms = 0;
		w->head = (IpcRequest) {
			.id = r->id,
			.method = r->method,
			.surface = r->route.surface->id,
			.route = r->route.number,
			.param_at = r->route.param_at,
			.param_len = r->route.param_len,
			.query_at = r->route.query_at,
			.query_len = r->route.query_len,
			.target_len = r->target_len,
			.headers_len = r->headers_len,
			.role_len = r->names_role ? strlen(r->role) : 0,
			.claims_len = r->claims_len,
			.body_len = r->body_len
		};
		w->phase = WORKER_HEAD;
		front.worker_busy[i] = true;
		if (!send_request(w))
			worker_lost(i);
	}
}

/* No executor is there, and those that try to connect fail: refuse the requests that wait. */
static void
refuse_if_none(void)
{
	bool		up = false;
	Request    *r;

	for (int i = 0; i < front.nworkers; i++)
		up = up || front.workers[i].phase != WORKER_DOWN;
	if (up || front.counters.queued == 0 || !WorkersAnyFailing())
		return;
	while ((r = QueueNext()) != NULL)
	{
		if (!r->metrics)
			ReplyNoExecutor(r, "08006");
		RequestDeliver(r);
	}
}

void
WorkersNudge(void)
{
	LWLockAcquire(&front.shared->lock, LW_SHARED);
	for (int i = 0; i < front.nworkers; i++)
	{
		if (front.shared->slots[i].failures > 0 && front.shared->slots[i].latch)
		{
			front.shared->slots[i].retry = true;
			SetLatch(front.shared->slots[i].latch);
		}
	}
	LWLockRelease(&front.shared->lock);
}

void
WorkersTurn(void)
{
	for (int i = 0; i < front.nworkers; i++)
		pump(i);
	refuse_if_none();
	end_stubborn();
}

int64
WorkersDeadline(void)
{
	int64		next = -1;

	for (int i = 0; i < front.nworkers; i++)
	{
		const Worker *w = &front.workers[i];

		if (w->request && w->give_up_ms != 0 && (next < 0 || w->give_up_ms < next))
			next = w->give_up_ms;
	}
	return next;
}
