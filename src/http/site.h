/*
 * site.h
 *	  Which pages may call us: Host, Origin and Sec-Fetch-Site.
 *
 * A browser sends requests to this machine for any page that its user looks at, and
 * keeps the answers from pages of another origin.  That leaves two ways for a hostile
 * page.  Its own name may point at this machine (DNS rebinding), so that the browser
 * takes our answers for its own: a request whose Host is no name of ours is refused.
 * And a request may change something, whoever reads the answer: a request of that
 * kind from a page of another origin is refused.  Programs that are no browsers send
 * none of these headers but Host.
 *
 * Plain C: nothing of PostgreSQL, nothing of the HTTP library.
 */
#ifndef VECDB_HTTP_SITE_H
#define VECDB_HTTP_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "http/guard.h"

typedef struct SiteRules
{
	const char *hosts;			/* names that are ours too, separated by commas; "*": all */
	const char *origins;		/* of pages that may call us, likewise */
	const char *listen;			/* the address of vecdb.http_listen */
	const struct sockaddr *local;	/* the address that the connection came to; NULL: unknown */
} SiteRules;

typedef struct SiteResult
{
	int			status;			/* 0: passed */
	char		message[256];	/* when it did not pass */
	const char *hint;			/* static */
	bool		preflight;		/* a browser asks whether it may send another request */
	const char *allow_origin;	/* for Access-Control-Allow-Origin: "*", or within the request; NULL: none */
	size_t		allow_origin_len;
} SiteResult;

/*
 * Check a request that has passed guard_check().  Its Host must always be ours.  The
 * page that it comes from matters only if the request does more than read.
 */
extern void site_check(const GuardRequest *request, const GuardResult *guard, const SiteRules *rules, SiteResult *result);

#endif							/* VECDB_HTTP_SITE_H */
