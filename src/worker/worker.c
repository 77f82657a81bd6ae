/*
 * worker.c
 *	  What worker processes do alike: settings, start, errors, transactions.
 *
 * A background worker that connects to a database gets the settings that
 * ALTER DATABASE and ALTER ROLE have stored, and by default it is the bootstrap
 * superuser: the owner of a database could choose its search_path, its role, how
 * its transactions are isolated and what its commits wait for.
 */
#include "worker/worker.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/lwlock.h"
#include "storage/sinval.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_LAST_MS 30000

/* ---------------------------------------------------------------------------
 * Settings
 */

/* The value that a setting is compiled with, as text; NULL where it has none. */
static const char *
boot_value(struct config_generic *setting, char *buffer, size_t room)
{
	switch (setting->vartype)
	{
		case PGC_BOOL:
			return VecdbSettingOf(setting, bool)->boot_val ? "on" : "off";
		case PGC_INT:
			snprintf(buffer, room, "%d", VecdbSettingOf(setting, int)->boot_val);
			return buffer;
		case PGC_REAL:
			snprintf(buffer, room, "%.17g", VecdbSettingOf(setting, real)->boot_val);
			return buffer;
		case PGC_STRING:
			return VecdbSettingOf(setting, string)->boot_val;
		case PGC_ENUM:
			return VecdbEnumName(setting, VecdbSettingOf(setting, enum)->boot_val);
	}
	return NULL;
}

static void
pin(const char *name, const char *value)
{
	/* some are of later versions */
	if (GetConfigOption(name, true, false) != NULL)
		SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
}

void
VecdbPinSearchPath(void)
{
	pin("search_path", "pg_catalog, pg_temp");
}

void
VecdbPinSettings(void)
{
	struct config_generic **settings;
	int			n;

	settings = VecdbSettings(&n);
	for (int i = 0; i < n; i++)
	{
		GucSource	source = settings[i]->source;
		char		buffer[64];
		const char *value;

		if (source != PGC_S_GLOBAL && source != PGC_S_DATABASE && source != PGC_S_USER && source != PGC_S_DATABASE_USER)
			continue;
		value = boot_value(settings[i], buffer, sizeof(buffer));
		if (value)
			SetConfigOption(settings[i]->name, value, PGC_SUSET, PGC_S_OVERRIDE);
	}

	/* What the configuration file says of sessions does not suit a loop that must not wait. */
	VecdbPinSearchPath();
	pin("default_transaction_isolation", "read committed");
	pin("default_transaction_read_only", "off");
	pin("default_transaction_deferrable", "off");
	pin("synchronous_commit", "local");
	pin("statement_timeout", "0");
	pin("transaction_timeout", "0");
	pin("idle_in_transaction_session_timeout", "0");
	pin("lock_timeout", "100ms");
}

/* ---------------------------------------------------------------------------
 * The process
 */

void
WorkerStart(Oid database, void (*on_sigterm) (SIGNAL_ARGS))
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, on_sigterm);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	VecdbPinSettings();
}

void
WorkerInterrupts(void)
{
	CHECK_FOR_INTERRUPTS();
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();
}

int
WorkerBackoff(int failures)
{
	return failures <= 0 ? 0 : Min(BACKOFF_FIRST_MS << Min(failures - 1, 5), BACKOFF_LAST_MS);
}

/* ---------------------------------------------------------------------------
 * Errors and transactions
 */

bool
WorkerTry(WorkerBody body, WorkerCatch catch, void *arg)
{
	MemoryContext old = CurrentMemoryContext;
	volatile bool ok = false;

	PG_TRY();
	{
		body(arg);
		ok = true;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		/* in this order: a timeout that strikes in between is a cancel */
		disable_all_timeouts(false);
		QueryCancelPending = false;
		MemoryContextSwitchTo(old);
		if (!catch || catch(arg, CopyErrorData()))
			EmitErrorReport();
		FlushErrorState();
		/* the error may come from within a subtransaction, or from where there is no transaction */
		AbortOutOfAnyTransaction();
		LWLockReleaseAll();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return ok;
}

typedef struct Transaction
{
	int			timeout_ms;
	WorkerBody	body;
	void	   *arg;
} Transaction;

static void
run_transaction(void *arg)
{
	Transaction *transaction = arg;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	enable_timeout_after(STATEMENT_TIMEOUT, transaction->timeout_ms);
	PushActiveSnapshot(GetTransactionSnapshot());
	transaction->body(transaction->arg);
	PopActiveSnapshot();
	disable_timeout(STATEMENT_TIMEOUT, false);
	CommitTransactionCommand();
	/* a cancel that came too late for this one is none of the next */
	QueryCancelPending = false;
}

bool
WorkerTransaction(int timeout_ms, WorkerBody body, void *arg)
{
	Transaction transaction = {timeout_ms, body, arg};

	Assert(timeout_ms > 0 && !IsTransactionState());
	return WorkerTry(run_transaction, NULL, &transaction);
}

dsm_segment *
WorkerAttach(dsm_handle handle)
{
	ResourceOwner old = CurrentResourceOwner;
	ResourceOwner owner = ResourceOwnerCreate(NULL, "segment");
	dsm_segment *volatile segment = NULL;

	/* without an owner, what could not be mapped would count as attached for ever */
	CurrentResourceOwner = owner;
	PG_TRY();
	{
		segment = dsm_attach(handle);
		if (segment)
			dsm_pin_mapping(segment);
	}
	PG_FINALLY();
	{
		CurrentResourceOwner = old;
		ResourceOwnerRelease(owner, RESOURCE_RELEASE_BEFORE_LOCKS, false, false);
		ResourceOwnerDelete(owner);
	}
	PG_END_TRY();
	return segment;
}
