/*
 * executor.c
 *	  An HTTP executor: the process that runs requests in the database.
 *
 * It never sees a socket.  A request comes from the front through shared memory
 * (see ipc.h), runs in one transaction as the role it acts as, is committed,
 * and only then answered.  Nothing that it did to the session outlives it.
 *
 * How it ends matters, as a crash would restart the whole server:
 *
 *	  SIGTERM from the postmaster	shutdown: the running request is finished
 *	  SIGTERM from anybody else		the request is given up, the process starts anew
 *	  SIGINT						pg_cancel_backend: the running query is cancelled
 *	  SIGUSR2						the front: likewise, if that request still runs
 */
#include "pgcompat.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_db_role_setting.h"
#include "commands/async.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "guc.h"
#include "http/admin/admin.h"
#include "http/api.h"
#include "http/api_statement.h"
#include "http/body.h"
#include "http/cost.h"
#include "http/ipc.h"
#include "http/native/native.h"
#include "http/rest/rest.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "monotonic.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "rows/rows_shared.h"
#include "storage/bufmgr.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/varlena.h"
#include "worker/worker.h"

PGDLLEXPORT void VecdbHttpExecutorMain(Datum arg);

/* After an answer, the longest wait for the front's signal before the executor looks into the queue. */
#define LOOK_AGAIN_MS			100

static const ApiSurface *const surfaces[NSURFACES] = {
	[SURFACE_NATIVE] = &native_api,
	[SURFACE_ADMIN] = &admin_api,
	[SURFACE_REST] = &rest_api
};

static IpcShared *shared;
static IpcSlot *slot;
static int	slot_number;
static shm_mq_handle *in;
static shm_mq_handle *out;
static MemoryContext queue_context;
static MemoryContext request_context;
static char *connected_database;
static char *connected_role;

/* The search_path of the connection: for what users have written, see assume_role. */
static char *users_path;
static ProcessUtility_hook_type next_process_utility;
static TimeoutId stubborn_timeout;
static bool connecting;			/* to end now is to have failed at it */

/* The request that runs now; 0: none.  Read by signal handlers. */
static volatile uint64 current_id;

/* ---------------------------------------------------------------------------
 * Signals
 */

static void
on_cancel(SIGNAL_ARGS)
{
	int			save_errno = errno;

	if (current_id != 0 && pg_atomic_read_u64(&slot->cancel_id) == current_id && !proc_exit_inprogress)
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
	SetLatch(MyLatch);
	errno = save_errno;
}

static void
on_sigterm(int signo, siginfo_t *info, void *context)
{
	int			save_errno = errno;

	if (info->si_pid == PostmasterPid && shared->front_latch != NULL)
	{
		ShutdownRequestPending = true;
		SetLatch(MyLatch);
	}
	else
		VecdbDie(signo, info);
	errno = save_errno;
}

/* SQL has caught the end of its time limit and goes on: end the process. */
static void
on_stubborn(void)
{
	InterruptPending = true;
	ProcDiePending = true;
	SetLatch(MyLatch);
}

static void
set_signals(void)
{
	struct sigaction action;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGUSR2, on_cancel);

	/* Only the extended form tells who sent the signal. */
	memset(&action, 0, sizeof(action));
	action.sa_sigaction = on_sigterm;
	action.sa_flags = SA_RESTART | SA_SIGINFO;
	sigemptyset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
}

/* ---------------------------------------------------------------------------
 * The slot and its queues
 */

static void
drop_queues(void)
{
	if (in)
		shm_mq_detach(in);
	if (out)
		shm_mq_detach(out);
	in = out = NULL;
	MemoryContextReset(queue_context);
}

static void
leave_slot(int code, Datum arg)
{
	drop_queues();
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot->state = IPC_FREE;
	slot->pid = 0;
	slot->latch = NULL;
	slot->connected = false;
	if (connecting)
	{
		slot->failures++;
		slot->last_failure_ms = MonotonicMs();
	}
	if (shared->front_latch)
		SetLatch(shared->front_latch);
	LWLockRelease(&shared->lock);
}

static void
enter_slot(void)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot->state = IPC_FREE;
	slot->pid = MyProcPid;
	slot->latch = MyLatch;
	slot->connected = false;
	pg_atomic_write_u64(&slot->cancel_id, 0);
	LWLockRelease(&shared->lock);
	before_shmem_exit(leave_slot, (Datum) 0);
}

/* Ask the front for queues, or attach to those that it has made; true when we have them. */
static bool
attach_queues(void)
{
	bool		ready = false;

	if (in)
		return true;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (slot->state == IPC_READY)
	{
		shm_mq	   *requests = (shm_mq *) IpcRing(shared, slot_number, 0);
		shm_mq	   *answers = (shm_mq *) IpcRing(shared, slot_number, 1);
		MemoryContext old = MemoryContextSwitchTo(queue_context);

		shm_mq_set_receiver(requests, MyProc);
		shm_mq_set_sender(answers, MyProc);
		in = shm_mq_attach(requests, NULL, NULL);
		out = shm_mq_attach(answers, NULL, NULL);
		MemoryContextSwitchTo(old);
		slot->state = IPC_ATTACHED;
		ready = true;
	}
	else
		slot->state = IPC_WANTED;
	if (shared->front_latch)
		SetLatch(shared->front_latch);
	LWLockRelease(&shared->lock);
	return ready;
}

/* The front is gone; another one will make new queues. */
static void
lose_queues(void)
{
	drop_queues();
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	slot->state = IPC_WANTED;
	if (shared->front_latch)
		SetLatch(shared->front_latch);
	LWLockRelease(&shared->lock);
}

static void
wait_for_latch(long timeout_ms)
{
	WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout_ms >= 0 ? WL_TIMEOUT : 0),
			  timeout_ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Wait for one message; false when the front is gone. */
static bool
receive(Size *n, void **data)
{
	for (;;)
	{
		switch (shm_mq_receive(in, n, data, true))
		{
			case SHM_MQ_SUCCESS:
				return true;
			case SHM_MQ_DETACHED:
				return false;
			case SHM_MQ_WOULD_BLOCK:
				wait_for_latch(-1);
		}
	}
}

/*
 * The front has found the route.  Here it is only made sure that there is such a
 * one, that it is for an executor, and that the name and the query lie in the target.
 */
static void
check_route(const IpcRequest *head)
{
	const HttpSurface *surface = head->surface < NSURFACES ? http_surfaces[head->surface] : NULL;
	const RouteDef *route = surface && head->route < surface->nroutes ? &surface->routes[head->route] : NULL;

	if (!route || route->text || head->method >= HTTP_OTHER || !(route->methods & (1U << head->method)))
		elog(FATAL, "HTTP request is for route %u of surface %u, which no executor serves", head->route, head->surface);
	if (head->param_at > head->target_len || head->param_len > head->target_len - head->param_at ||
		head->query_at > head->target_len || head->query_len > head->target_len - head->query_at ||
		route->has_param != (head->param_len > 0))
		elog(FATAL, "HTTP request has a name or a query that is no part of its target");
}

/*
 * Take a request, if there is one, into the request's memory.  *got tells
 * whether; false when the front is gone.
 */
static bool
receive_request(IpcRequest *head, ApiRequest *request, bool *got)
{
	Size		n;
	void	   *data;
	char	   *copy;
	char	   *body = NULL;
	uint64		have = 0;

	*got = false;
	switch (shm_mq_receive(in, &n, &data, true))
	{
		case SHM_MQ_WOULD_BLOCK:
			return true;
		case SHM_MQ_DETACHED:
			return false;
		case SHM_MQ_SUCCESS:
			break;
	}
	if (n < sizeof(*head))
		elog(FATAL, "HTTP request of %zu bytes has no head", n);
	memcpy(head, data, sizeof(*head));
	if (n != sizeof(*head) + head->target_len + head->headers_len + head->role_len + head->claims_len)
		elog(FATAL, "HTTP request of %zu bytes does not have the length it tells", n);
	if (head->body_len >= MaxAllocHugeSize)
		elog(FATAL, "HTTP request tells of a body of " UINT64_FORMAT " bytes", head->body_len);

	check_route(head);

	memset(request, 0, sizeof(*request));
	copy = MemoryContextAlloc(request_context, n - sizeof(*head) + 1);
	memcpy(copy, (char *) data + sizeof(*head), n - sizeof(*head));
	copy[n - sizeof(*head)] = '\0';
	request->method = head->method;
	request->target = copy;
	request->target_len = head->target_len;
	request->path_len = head->query_at > 0 ? head->query_at - 1 : head->target_len;
	request->route = (int) head->route;
	request->query = copy + head->query_at;
	request->query_len = head->query_len;
	request->headers = copy + head->target_len;
	request->headers_len = head->headers_len;
	request->role = pnstrdup(copy + head->target_len + head->headers_len, head->role_len);
	request->claims = pnstrdup(copy + head->target_len + head->headers_len + head->role_len, head->claims_len);
	if (head->body_len > 0)
		body = MemoryContextAllocHuge(request_context, head->body_len + 1);
	while (have < head->body_len)
	{
		if (!receive(&n, &data))
			return false;
		if (n > head->body_len - have)
			elog(FATAL, "HTTP request has more body than it tells");
		memcpy(body + have, data, n);
		have += n;
	}
	if (body)
		body[have] = '\0';
	request->body = body ? body : "";
	request->body_len = have;
	*got = true;
	return true;
}

/* false when the front is gone. */
static bool
send_answer(uint64 id, ApiAnswer *answer)
{
	IpcAnswer	head = {
		.id = id,
		.status = answer->status,
		.headers_len = answer->headers.len,
		.body_len = answer->body.len
	};
	shm_mq_iovec iov[2] = {
		{(char *) &head, sizeof(head)},
		{answer->headers.data, answer->headers.len}
	};

	if (shm_mq_sendv(out, iov, 2, false, answer->body.len == 0) != SHM_MQ_SUCCESS)
		return false;
	for (int sent = 0; sent < answer->body.len;)
	{
		Size		n = Min(answer->body.len - sent, IPC_PIECE);

		if (shm_mq_send(out, n, answer->body.data + sent, false, true) != SHM_MQ_SUCCESS)
			return false;
		sent += n;
	}
	return true;
}

/* ---------------------------------------------------------------------------
 * Role and settings of a request
 */

static void
set_local(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, ERROR, false);
}

/* What ALTER ROLE ... SET gives the role, in this database or all of them. */
static void
apply_role_settings(Oid role)
{
	Relation	rel = table_open(DbRoleSettingRelationId, AccessShareLock);
	Oid			databases[] = {InvalidOid, MyDatabaseId};
	bool		any = RelationGetNumberOfBlocks(rel) > 0;	/* most servers have none */

	for (int i = 0; i < 2 && any; i++)
	{
		ScanKeyData key[2];
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(databases[i]));
		ScanKeyInit(&key[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(role));
		scan = systable_beginscan(rel, DbRoleSettingDatidRolidIndexId, true, NULL, 2, key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			bool		isnull;
			Datum		value = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig, RelationGetDescr(rel), &isnull);
			Datum	   *items;
			int			nitems;

			if (isnull)
				continue;
			deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &items, NULL, &nitems);
			for (int j = 0; j < nitems; j++)
			{
				char	   *name = TextDatumGetCString(items[j]);
				char	   *setting = strchr(name, '=');

				/*
				 * A superuser has allowed them when they were given.  Those that
				 * only a new connection can take are passed over.
				 */
				if (setting)
				{
					*setting++ = '\0';
					(void) set_config_option(name, setting, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, DEBUG1, false);
				}
			}
		}
		systable_endscan(scan);
	}
	table_close(rel, AccessShareLock);
}

/*
 * Answers are UTF-8, whatever the database has.  What cannot be converted was
 * stored so; it is the server's fault.
 */
static void
encode_answer(ApiAnswer *answer)
{
	MemoryContext old;
	char	   *converted;

	if (GetDatabaseEncoding() == PG_UTF8 || answer->body.len == 0)
		return;
	ApiErrorStatus = 500;
	old = MemoryContextSwitchTo(request_context);
	converted = pg_server_to_any(answer->body.data, answer->body.len, PG_UTF8);
	MemoryContextSwitchTo(old);
	if (converted != answer->body.data)
	{
		pfree(answer->body.data);
		answer->body.data = converted;
		answer->body.len = (int) strlen(converted);
		answer->body.maxlen = answer->body.len + 1;
	}
	ApiErrorStatus = 0;
}

static bool
is_ascii(const char *s)
{
	while (*s && !IS_HIGHBIT_SET(*s))
		s++;
	return *s == '\0';
}

/* What the token claims, for policies and functions; of a request without one, the role. */
static void
set_claims(const ApiRequest *request)
{
	StringInfoData json;

	if (request->claims[0] != '\0')
	{
		set_local("request.jwt.claims", pg_any_to_server(request->claims, (int) strlen(request->claims), PG_UTF8));
		return;
	}
	initStringInfo(&json);
	appendStringInfoString(&json, "{\"role\":");
	escape_json(&json, VecdbHttpAnonRole);
	appendStringInfoChar(&json, '}');
	set_local("request.jwt.claims", json.data);
}

/* For functions and policies: current_setting('request.headers')::json and the like. */
static void
set_request_settings(const ApiRequest *request)
{
	StringInfoData json;
	const char *h = request->headers;
	const char *end = h + request->headers_len;

	set_claims(request);
	set_local("request.method", guard_method_name(request->method));
	set_local("request.path", pnstrdup(request->target, request->path_len));
	initStringInfo(&json);
	while (h < end)
	{
		const char *value = h + strlen(h) + 1;
		char	   *name = pstrdup(h);

		/* What clients send need not be valid in the database's encoding. */
		for (char *p = name; *p; p++)
			*p = pg_tolower((unsigned char) *p);
		if (is_ascii(value))
		{
			appendStringInfoChar(&json, json.len == 0 ? '{' : ',');
			escape_json(&json, name);
			appendStringInfoChar(&json, ':');
			escape_json(&json, value);
		}
		h = value + strlen(value) + 1;
	}
	appendStringInfoString(&json, json.len == 0 ? "{}" : "}");
	set_local("request.headers", json.data);
}

/* The role of the settings, which every request without a token acts as. */
static Oid
find_anonymous_role(const char *name)
{
	Oid			role;

	if (name[0] == '\0')
	{
		ApiErrorStatus = 401;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("requests without a token are not accepted"),
				 errhint("The setting vecdb.http_anon_role names the role they would act as.")));
	}
	role = get_role_oid(name, true);
	if (!OidIsValid(role) || superuser_arg(role))
	{
		ApiErrorStatus = 503;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_ROLE_SPECIFICATION),
				 OidIsValid(role) ? errmsg("role \"%s\" is a superuser, which HTTP requests cannot act as", name) :
				 errmsg("role \"%s\" does not exist", name),
				 errhint("The setting vecdb.http_anon_role names the role that requests act as.")));
	}
	return role;
}

/*
 * The role that a token names.  Whether the executors may act as it is looked at when
 * the role is set; that would let them act as their own role, too.
 */
static Oid
find_token_role(const char *name)
{
	Oid			role = get_role_oid(name, true);

	if (!OidIsValid(role))
	{
		ApiErrorStatus = 401;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("role \"%s\" does not exist", name)));
	}
	if (superuser_arg(role) || role == GetSessionUserId())
	{
		ApiErrorStatus = 403;
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set role \"%s\"", name),
				 errdetail("HTTP requests act neither as a superuser nor as the role of vecdb.http_role.")));
	}
	return role;
}

/*
 * Become the role that the request acts as, with no way back for SQL: not even
 * RESET ROLE is allowed while the user id is marked as set by a function.  The
 * mark stays until the transaction has ended, see unlock_role.
 *
 * From here on names are looked up as in a session of the role, for triggers and
 * functions of users were written for that; our own statements qualify theirs.
 */
static void
assume_role(const ApiRequest *request)
{
	const char *name = VecdbHttpAnonRole;
	Oid			role;

	if (request->role[0] != '\0')
	{
		/* It comes in UTF-8; in an encoding that does not have its characters there is no such role. */
		ApiErrorStatus = 401;
		name = pg_any_to_server(request->role, (int) strlen(request->role), PG_UTF8);
		ApiErrorStatus = 0;
	}
	ApiAnonymous = strcmp(name, VecdbHttpAnonRole) == 0;
	role = ApiAnonymous ? find_anonymous_role(name) : find_token_role(name);
	set_local("search_path", users_path);
	apply_role_settings(role);
	set_local("role", name);
	SetUserIdAndSecContext(GetUserId(), SECURITY_LOCAL_USERID_CHANGE);
}

/*
 * A role may change its own settings and password, which would outlive the
 * request: whoever has a trigger on a table that the role writes to could take
 * the time limits off all later requests.
 */
static void
process_utility(PlannedStmt *plan, const char *query, bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	if ((IsA(plan->utilityStmt, AlterRoleSetStmt) || IsA(plan->utilityStmt, AlterRoleStmt)) && GetUserId() == GetCurrentRoleId())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("an HTTP request must not alter roles")));
	if (next_process_utility)
		next_process_utility(plan, query, read_only_tree, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(plan, query, read_only_tree, context, params, environment, dest, completion);
}

/* ---------------------------------------------------------------------------
 * A request
 */

/*
 * Do now, within the time limit of statements, what a commit would still run as the
 * role: deferred triggers, and those that they defer in turn, until none is left.
 * Then drop what would outlive the transaction: cursors WITH HOLD, of which a trigger
 * may have opened some, and temporary tables.
 */
static void
settle(void)
{
	AfterTriggerFireDeferred();
	PortalHashTableDeleteAll();
	Async_UnlistenAll();
	if (MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE)
	{
		/* rows of catalogs may have values out of line, which want a snapshot to be deleted with them */
		PushActiveSnapshot(GetTransactionSnapshot());
		ResetTempTableNamespace();
		PopActiveSnapshot();
	}
}

/*
 * Take the mark of assume_role() off.  At this event a commit has run all that it
 * runs as the current user, so no SQL comes any more; and the steps that follow, of
 * which the first resets the role, expect no mark.  An abort takes the mark off by
 * itself, before anything else.
 */
static void
unlock_role(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT)
		SetUserIdAndSecContext(GetUserId(), 0);
}

/* What setseed() has made random() give must not be what the next request gets. */
static void
reset_random(void)
{
	uint32		number;

	if (pg_strong_random(&number, sizeof(number)))
		DirectFunctionCall1(setseed, Float8GetDatum((double) number / PG_UINT32_MAX));
}

static void
reset_session(void)
{
	ResetAllOptions();
	reset_random();
	DropAllPreparedStatements();
	LockReleaseAll(USER_LOCKMETHOD, true);
	ResetSequenceCaches();
}

static void
disarm(void)
{
	if (get_timeout_active(STATEMENT_TIMEOUT))
		disable_timeout(STATEMENT_TIMEOUT, false);
	if (get_timeout_active(stubborn_timeout))
		disable_timeout(stubborn_timeout, false);
}

/*
 * Call the function of vecdb.http_pre_request.  The plan is kept, for each role its own:
 * a function of SQL may become part of the plan, and then only its making looks at the
 * right to call it.  PostgreSQL renews it when the function changes.  It looks at rights
 * to the schema only when it makes a plan, so that is done here.
 */
static void
call_pre_request(void)
{
	List	   *name = textToQualifiedNameList(cstring_to_text(VecdbHttpPreRequest));
	RestSql		sql;
	int			result;

	if (list_length(name) != 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("vecdb.http_pre_request \"%s\" is no schema.function", VecdbHttpPreRequest)));
	(void) LookupExplicitNamespace(strVal(linitial(name)), false);
	RestSqlBegin(&sql, NULL);
	appendStringInfo(&sql.text, "SELECT %s()", NameListToQuotedString(name));
	result = SPI_execute_plan(RestPlan(&sql), NULL, NULL, false, 0);
	if (result < 0)
		elog(ERROR, "could not call vecdb.http_pre_request: %s", SPI_result_code_string(result));
}

/* The token of what was committed, with which a client finds it on other nodes. */
static void
tell_token(ApiAnswer *answer)
{
	const RowTokenTicket *ticket;
	int			n = RowsLastCommit(&ticket);
	char		text[ROW_TOKEN_TEXT];

	if (n == 0 || n > ROW_TOKEN_TICKETS)
		return;
	row_token_write(ticket, n, text);
	ApiHeader(answer, "Vecdb-Commit-Token", text);
}

static void
run_request(const IpcRequest *head, ApiRequest *request, ApiAnswer *answer)
{
	const ApiSurface *surface = surfaces[head->surface];

	StartTransactionCommand();
	if (request->method == HTTP_GET || request->method == HTTP_HEAD)
		XactReadOnly = true;
	PushActiveSnapshot(GetTransactionSnapshot());
	CostLimit(!surface->as_executor);
	if (!surface->as_executor)
	{
		assume_role(request);
		set_request_settings(request);
	}
	if (StatementTimeout > 0)
	{
		enable_timeout_after(STATEMENT_TIMEOUT, StatementTimeout);
		enable_timeout_after(stubborn_timeout, Min(StatementTimeout, INT_MAX - IPC_CANCEL_MS) + IPC_CANCEL_MS);
	}
	if (request->param_len > 0)
		request->param = pg_any_to_server(request->param, request->param_len, PG_UTF8);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (!surface->as_executor && VecdbHttpPreRequest[0] != '\0')
		call_pre_request();
	surface->run(request, answer);
	SPI_finish();
	encode_answer(answer);
	PopActiveSnapshot();
	settle();
	disarm();
	if (answer->rollback)
		AbortCurrentTransaction();
	else
	{
		CommitTransactionCommand();
		tell_token(answer);
	}
}

/* An error becomes the answer, after the transaction is gone. */
static void
answer_with_error(const IpcRequest *head, ApiAnswer *answer, const ErrorData *error)
{
	int			status = surfaces[head->surface]->error_status(error->sqlerrcode);

	ApiAnswerError(answer, http_surfaces[head->surface], status, error);
}

static void
encode_in_transaction(void *answer)
{
	StartTransactionCommand();
	encode_answer(answer);
	CommitTransactionCommand();
}

static bool
log_nothing(void *arg, const ErrorData *error)
{
	return false;
}

/* After the request's transaction: a conversion needs another one. */
static void
encode_error(ApiAnswer *answer)
{
	if (is_ascii(answer->body.data) || WorkerTry(encode_in_transaction, log_nothing, answer))
		return;
	for (char *p = answer->body.data; *p; p++)
	{
		if (IS_HIGHBIT_SET(*p))
			*p = '?';
	}
}

/* Errors that are the server's, not the client's, belong in its log as well. */
static bool
is_servers_fault(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_INTERNAL_ERROR) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR);
}

/* A request that runs: what WorkerTry() hands on. */
typedef struct Attempt
{
	const IpcRequest *head;
	ApiRequest *request;
	ApiAnswer  *answer;
	const ErrorData *error;		/* how it failed */
} Attempt;

static void
attempt_request(void *arg)
{
	Attempt    *attempt = arg;
	ApiRequest *request = attempt->request;
	const IpcRequest *head = attempt->head;
	char	   *param = palloc(head->param_len + 1);

	request->param = param;
	request->param_len = Max(route_decode(request->target + head->param_at, head->param_len, false, param), 0);
	run_request(attempt->head, request, attempt->answer);
}

static bool
keep_error(void *arg, const ErrorData *error)
{
	((Attempt *) arg)->error = error;
	return is_servers_fault(error);
}

/* Run a request and have its answer; raises nothing. */
static void
serve(const IpcRequest *head, ApiRequest *request, ApiAnswer *answer)
{
	MemoryContext old = MemoryContextSwitchTo(request_context);
	Attempt		attempt = {head, request, answer};
	char		activity[128];
	bool		ok;

	initStringInfo(&answer->headers);
	initStringInfo(&answer->body);
	answer->status = 200;
	answer->rollback = false;
	ApiErrorStatus = 0;
	ApiErrorCode = NULL;
	RowsForgetLastCommit();

	/* A cancel that was meant for the request before must not hit this one. */
	QueryCancelPending = false;
	current_id = head->id;
	if (pg_atomic_read_u64(&slot->cancel_id) == head->id)
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
	snprintf(activity, sizeof(activity), "%s %.*s", guard_method_name(request->method),
			 (int) Min(request->target_len, 100), request->target);

	/* query_start is the time of the statement, which begins here. */
	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, activity);

	ok = WorkerTry(attempt_request, keep_error, &attempt);
	if (!ok)
		answer_with_error(head, answer, attempt.error);
	current_id = 0;
	QueryCancelPending = false;
	if (!ok && GetDatabaseEncoding() != PG_UTF8)
		encode_error(answer);

	/* Whatever writes a body keeps to the limit, but the conversion may have made it longer. */
	if ((Size) answer->body.len > BodyLimit() && answer->status < 400)
	{
		ErrorData	error = {
			.sqlerrcode = ERRCODE_PROGRAM_LIMIT_EXCEEDED,
			.message = "the answer is too large",
			.hint = "The limit is the setting vecdb.http_max_answer."
		};

		answer_with_error(head, answer, &error);
	}
	MemoryContextSwitchTo(old);
}

/* ---------------------------------------------------------------------------
 * The process
 */

/* After a failure, wait before the next attempt, or until somebody asks for it. */
static void
back_off(void)
{
	while (slot->failures > 0 && !slot->retry)
	{
		int64		left = slot->last_failure_ms + WorkerBackoff(slot->failures) - MonotonicMs();

		if (left <= 0)
			break;
		wait_for_latch(left);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			break;
		}
		if (ShutdownRequestPending)
			proc_exit(1);
	}
	slot->retry = false;
}

/* Connect; does not come back when that is impossible. */
static void
connect_database(void)
{
	connecting = true;
	connected_database = MemoryContextStrdup(TopMemoryContext, VecdbHttpDatabase);
	connected_role = MemoryContextStrdup(TopMemoryContext, VecdbHttpRole);
	BackgroundWorkerInitializeConnection(connected_database, connected_role, 0);
	users_path = MemoryContextStrdup(TopMemoryContext, GetConfigOption("search_path", false, false));
	VecdbPinSearchPath();

	StartTransactionCommand();
	if (superuser_arg(GetSessionUserId()))
		ereport(FATAL,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("role \"%s\" of vecdb.http_role is a superuser", connected_role),
				 errhint("Give a role that may log in and is a member of the roles that requests act as.")));
	ApiStatementInit();
	RestPlanInit();
	RegisterXactCallback(unlock_role, NULL);
	stubborn_timeout = RegisterTimeout(USER_TIMEOUT, on_stubborn);
	CostInit();
	next_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	CommitTransactionCommand();
	connecting = false;
	slot->failures = 0;
	slot->connected = true;
	pgstat_report_activity(STATE_IDLE, NULL);
}

/*
 * Keep to vecdb.http_max_memory.  An expression that names a large value has a copy of it
 * for as long as its row is worked on, so a request with hundreds of them could take all
 * memory of the machine, and what the kernel kills then takes the server with it.
 */
static void
limit_memory(void)
{
	struct rlimit limit;
	rlim_t		most = VecdbHttpMaxMemory_kb > 0 ? (rlim_t) VecdbHttpMaxMemory_kb * 1024 : RLIM_INFINITY;

	if (getrlimit(RLIMIT_DATA, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? most : Min(most, limit.rlim_max);
	if (setrlimit(RLIMIT_DATA, &limit) != 0)
		ereport(LOG, (errmsg("could not set the limit of memory: %m")));
}

static void
reload(void)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	limit_memory();
	if (strcmp(connected_database, VecdbHttpDatabase) != 0 || strcmp(connected_role, VecdbHttpRole) != 0)
	{
		ereport(LOG, (errmsg("HTTP executor starts anew to connect to database \"%s\" as \"%s\"",
							 VecdbHttpDatabase, VecdbHttpRole)));
		proc_exit(1);
	}
}

void
VecdbHttpExecutorMain(Datum arg)
{
	long		stats_due_ms = -1;

	slot_number = DatumGetInt32(arg);
	shared = IpcAttach();
	slot = &shared->slots[slot_number];
	set_signals();
	enter_slot();
	BackgroundWorkerUnblockSignals();
	queue_context = AllocSetContextCreate(TopMemoryContext, "vecdb http queues", ALLOCSET_SMALL_SIZES);
	request_context = AllocSetContextCreate(TopMemoryContext, "vecdb http request", ALLOCSET_DEFAULT_SIZES);

	back_off();
	connect_database();
	limit_memory();

	for (;;)
	{
		IpcRequest	head;
		ApiRequest	request;
		ApiAnswer	answer;
		bool		got = false;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
			reload();
		if (attach_queues() && !receive_request(&head, &request, &got))
			lose_queues();
		if (got)
		{
			serve(&head, &request, &answer);
			if (!send_answer(head.id, &answer))
				lose_queues();
			reset_session();
			MemoryContextReset(request_context);
			pgstat_report_activity(STATE_IDLE, NULL);
			stats_due_ms = pgstat_report_stat(false);
			if (stats_due_ms == 0)
				stats_due_ms = -1;

			/*
			 * The next request comes when the front has this answer.  To read the
			 * queue sooner, while it is empty, would wake the front for nothing.
			 */
			wait_for_latch(LOOK_AGAIN_MS);
			continue;
		}
		MemoryContextReset(request_context);
		if (ShutdownRequestPending)
			break;
		if (catchupInterruptPending)
			ProcessCatchupInterrupt();
		wait_for_latch(stats_due_ms);
		if (stats_due_ms > 0)
			stats_due_ms = pgstat_report_stat(true) > 0 ? stats_due_ms : -1;
	}
	proc_exit(1);
}
