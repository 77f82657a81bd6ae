/*
 * sync_names.c
 *	  Addresses that settings name: where the node listens (vecdb.listen), what it
 *	  tells others of itself (vecdb.advertise), whom it asks first (vecdb.bootstrap).
 *	  Names are resolved on threads, and looked up again from time to time.
 */
#include "sync/sync_worker.h"

#include "guc.h"

#define RESOLVE_MS 300000

bool
SyncListenAddress(NetAddress *out)
{
	char		text[SYNC_ADDRESS];

	strlcpy(text, VecdbListen, sizeof(text));
	text[strcspn(text, "%")] = '\0';	/* the zone of a link-local one */
	return address_parse_ip(text, out);
}

/* Those that this machine can be reached at, as far as the setting tells. */
static int
own_addresses(SyncWorker *self, NetAddress *out)
{
	NetAddress	listen;

	if (!SyncListenAddress(&listen))
		return 0;
	listen.port = (uint16_t) SyncPort(self);
	if (!address_is_any(&listen))
	{
		out[0] = listen;
		return 1;
	}
	/* :: takes both families, 0.0.0.0 only its own */
	return address_local(listen.port, true, strchr(VecdbListen, ':') != NULL, out, NODE_RECORD_ADDRESSES);
}

void
SyncResolveNames(SyncWorker *self)
{
	resolver_free(&self->names.advertise);
	resolver_free(&self->names.bootstrap);
	if (VecdbAdvertise[0])
		self->names.advertise = resolver_start(VecdbAdvertise, SyncPort(self));
	if (VecdbBootstrap[0])
		self->names.bootstrap = resolver_start(VecdbBootstrap, VecdbP2pPort);
	else
		self->names.n_asked = 0;
	self->due.resolve = node_clock().tick_ms + RESOLVE_MS;
}

static void
tell_failed(SyncWorker *self, int which, const char *setting, const char *failed)
{
	if (strcmp(self->names.told_failed[which], failed) == 0)
		return;
	strlcpy(self->names.told_failed[which], failed, ADDRESS_HOST);
	if (failed[0])
		ereport(LOG, (errmsg("could not use \"%s\" in %s: no address, and no name that resolves", failed, setting)));
}

void
SyncTakeNames(SyncWorker *self)
{
	char		failed[ADDRESS_HOST];
	NetAddress	found[SYNC_BOOTSTRAP_ADDRESSES];
	int			n;

	if (self->names.advertise && resolver_done(self->names.advertise, found, NODE_RECORD_ADDRESSES, &n, failed))
	{
		resolver_free(&self->names.advertise);
		tell_failed(self, 0, "vecdb.advertise", failed);
		/* a server of names that is down does not make us another node */
		if (n > 0 || !self->names.advertise_known)
		{
			memcpy(self->names.advertised, found, sizeof(NetAddress) * (size_t) n);
			self->names.n_advertised = n;
		}
		self->names.advertise_known = true;
		self->due.address = 0;
	}
	/* a name that takes its time must not hold up the others of the list */
	if (self->names.bootstrap && self->names.n_asked == 0 && (n = resolver_so_far(self->names.bootstrap, self->names.asked, SYNC_BOOTSTRAP_ADDRESSES)) > 0)
	{
		self->names.n_asked = n;
		self->due.ask = 0;
	}
	if (self->names.bootstrap && resolver_done(self->names.bootstrap, found, SYNC_BOOTSTRAP_ADDRESSES, &n, failed))
	{
		resolver_free(&self->names.bootstrap);
		tell_failed(self, 1, "vecdb.bootstrap", failed);
		if (n > 0)
		{
			memcpy(self->names.asked, found, sizeof(NetAddress) * (size_t) n);
			self->names.n_asked = n;
			self->due.ask = 0;
		}
	}
}

int
SyncWantedAddresses(SyncWorker *self, NetAddress *out)
{
	if (VecdbAdvertise[0] == '\0')
		return own_addresses(self, out);
	memcpy(out, self->names.advertised, sizeof(NetAddress) * (size_t) self->names.n_advertised);
	return self->names.n_advertised;
}
