/*
 * site.h
 *	  Which pages may call us: Host, Origin and Sec-Fetch-Site.
 *
 * A browser sends requests to this machine for any page that its user looks at.
 * What such a page must not get is kept from it by the browser, as long as we say
 * whose we are: so a request is refused that calls us by a name which is not
 * ours (a name that an attacker points at this machine, DNS rebinding), and one
 * by which a page of another origin would do something.  Programs that are no
 * browsers send none of these headers but Host.
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
	const char *listen;			/* the address that we were told to listen on */
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
 * Check a request that has passed guard_check.  Whose Host it has is asked of
 * all; of what kind of page it comes from, of all but what only reads and whose
 * answer the browser keeps from that page.
 */
extern void site_check(const GuardRequest *request, const GuardResult *guard, const SiteRules *rules, SiteResult *result);

#endif							/* VECDB_HTTP_SITE_H */
