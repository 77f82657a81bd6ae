/*
 * site.c
 *	  Which pages may call us: Host, Origin and Sec-Fetch-Site.
 *
 * Host is defined in RFC 9110, 7.2, Origin in RFC 6454, 7, the other headers in the
 * standards Fetch and Fetch Metadata.  If Host is an address, the browser has
 * connected to it, so the address of the connection is ours; a name may be anybody's.
 */
#include "http/site.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/list.h"

#define HINT_HOST	"Names that are served, beside localhost and the server's own address, are those of the setting vecdb.http_hosts."
#define HINT_ORIGIN	"Origins of pages that may are those of the setting vecdb.http_cors_origins."

/* Most bytes of a client's value that a message shows. */
#define SHOWN 100

typedef struct Text
{
	const char *s;
	size_t		len;
} Text;

/* ---------------------------------------------------------------------------
 * Texts and lists
 */

static bool
same(Text a, Text b)
{
	return a.len == b.len && strncasecmp(a.s, b.s, a.len) == 0;
}

static Text
text_of(const char *s)
{
	return (Text) {s, strlen(s)};
}

static bool
is_word(Text a, const char *word)
{
	return same(a, text_of(word));
}

static bool
next_entry(const char **list, Text *entry)
{
	return list_next(list, &entry->s, &entry->len);
}

static bool
has_all(const char *list)
{
	Text		entry;

	while (next_entry(&list, &entry))
	{
		if (is_word(entry, "*"))
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------------------
 * Hosts
 */

/* The host of "host[:port]", without the brackets of an IPv6 address; false: it is none. */
static bool
split_authority(Text all, Text *host, Text *port)
{
	const char *colon;

	if (all.len > 0 && all.s[0] == '[')
	{
		const char *close = memchr(all.s, ']', all.len);

		if (!close)
			return false;
		*host = (Text) {all.s + 1, (size_t) (close - all.s) - 1};
		colon = close + 1 < all.s + all.len ? close + 1 : NULL;
		if (colon && *colon != ':')
			return false;
	}
	else
	{
		colon = memchr(all.s, ':', all.len);
		*host = (Text) {all.s, colon ? (size_t) (colon - all.s) : all.len};
		if (host->len > 1 && host->s[host->len - 1] == '.')
			host->len--;
	}
	*port = colon ? (Text) {colon + 1, (size_t) (all.s + all.len - colon) - 1} : (Text) {"", 0};
	for (size_t i = 0; i < port->len; i++)
	{
		if (port->s[i] < '0' || port->s[i] > '9')
			return false;
	}
	return host->len > 0 && port->len <= 5;
}

/* An address in 16 bytes, IPv4 as mapped into IPv6; false: the host is a name. */
static bool
address_of(Text host, unsigned char *address)
{
	char		text[INET6_ADDRSTRLEN];

	if (host.len >= sizeof(text) || memchr(host.s, '\0', host.len) != NULL)
		return false;
	memcpy(text, host.s, host.len);
	text[host.len] = '\0';
	memset(address, 0, 10);
	memset(address + 10, 0xFF, 2);
	return inet_pton(AF_INET, text, address + 12) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

static bool
address_of_socket(const struct sockaddr *from, unsigned char *address)
{
	memset(address, 0, 10);
	memset(address + 10, 0xFF, 2);
	if (from && from->sa_family == AF_INET)
		memcpy(address + 12, &((const struct sockaddr_in *) (const void *) from)->sin_addr, 4);
	else if (from && from->sa_family == AF_INET6)
		memcpy(address, &((const struct sockaddr_in6 *) (const void *) from)->sin6_addr, 16);
	else
		return false;
	return true;
}

static bool
is_mapped(const unsigned char *address)
{
	static const unsigned char prefix[12] = {[10] = 0xFF,[11] = 0xFF};

	return memcmp(address, prefix, sizeof(prefix)) == 0;
}

/* 127.0.0.0/8 or ::1 */
static bool
is_loopback_address(const unsigned char *address)
{
	static const unsigned char loopback[16] = {[15] = 1};

	return memcmp(address, loopback, 16) == 0 || (is_mapped(address) && address[12] == 127);
}

/* 0.0.0.0 or :: is no address to call anybody by. */
static bool
is_no_address(const unsigned char *address)
{
	static const unsigned char none[16];

	return memcmp(address, none, 16) == 0 || (is_mapped(address) && memcmp(address + 12, none, 4) == 0);
}

static bool
same_host(Text a, Text b)
{
	unsigned char x[16],
				y[16];

	if (address_of(a, x))
		return address_of(b, y) && memcmp(x, y, 16) == 0;
	return same(a, b);
}

/* An entry of vecdb.http_hosts: a name or an address, with or without brackets, with or without a port. */
static bool
split_entry(Text entry, Text *host)
{
	unsigned char address[16];
	Text		port;

	*host = entry;
	return address_of(entry, address) || split_authority(entry, host, &port);
}

static bool
is_ours(Text host, const SiteRules *rules)
{
	unsigned char address[16],
				local[16];
	const char *list = rules->hosts;
	Text		entry,
				listed;

	while (next_entry(&list, &entry))
	{
		if (is_word(entry, "*") || (split_entry(entry, &listed) && same_host(host, listed)))
			return true;
	}
	if (!address_of(host, address))
		return is_word(host, "localhost") || same(host, text_of(rules->listen));
	if (is_no_address(address))
		return false;
	return is_loopback_address(address) || same_host(host, text_of(rules->listen)) ||
		(address_of_socket(rules->local, local) && memcmp(address, local, 16) == 0);
}

/* The message has the client's value in quotes between two pieces of ours. */
static bool
refuse(SiteResult *result, int status, const char *before, Text value, const char *after, const char *hint)
{
	result->status = status;
	result->hint = hint;
	snprintf(result->message, sizeof(result->message), "%s\"%.*s\"%s",
			 before, (int) (value.len < SHOWN ? value.len : SHOWN), value.s, after);
	return false;
}

static bool
check_host(Text authority, const SiteRules *rules, SiteResult *result)
{
	Text		host,
				port;

	if (!split_authority(authority, &host, &port))
	{
		/* An empty Host is ours only where the setting is "*". */
		if (authority.len == 0 && has_all(rules->hosts))
			return true;
		return refuse(result, authority.len == 0 ? 421 : 400, "", authority, " is not a host name", HINT_HOST);
	}
	if (!is_ours(host, rules))
		return refuse(result, 421, "host ", host, " is not served here", HINT_HOST);
	return true;
}

/* ---------------------------------------------------------------------------
 * Origins
 */

/* Does the page come from us?  Then its origin is scheme://authority; the scheme's own port may be left out. */
static bool
is_own_origin(Text origin, Text authority)
{
	static const struct
	{
		const char *scheme;
		const char *port;
	}			schemes[] = {{"http://", "80"}, {"https://", "443"}};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
	{
		size_t		n = strlen(schemes[i].scheme);
		Text		a_host,
					a_port,
					b_host,
					b_port;

		if (origin.len <= n || strncasecmp(origin.s, schemes[i].scheme, n) != 0 ||
			!split_authority((Text) {origin.s + n, origin.len - n}, &a_host, &a_port) ||
			!split_authority(authority, &b_host, &b_port))
			continue;
		if (a_port.len == 0)
			a_port = text_of(schemes[i].port);
		if (b_port.len == 0)
			b_port = text_of(schemes[i].port);
		return same_host(a_host, b_host) && same(a_port, b_port);
	}
	return false;
}

static Text
header(const GuardRequest *request, const char *name, bool *given)
{
	const GuardHeader *h = guard_header(request, name);

	*given = h != NULL;
	return h ? (Text) {h->value, h->value_len} : (Text) {"", 0};
}

/* Whether pages of this origin may call us; the answer then says so to the browser. */
static bool
allow_origin(Text origin, const SiteRules *rules, SiteResult *result)
{
	const char *list = rules->origins;
	Text		entry;

	while (next_entry(&list, &entry))
	{
		if (is_word(entry, "*"))
		{
			result->allow_origin = "*";
			result->allow_origin_len = 1;
			return true;
		}
		if (same(entry, origin))
		{
			result->allow_origin = origin.s;
			result->allow_origin_len = origin.len;
		}
	}
	return result->allow_origin != NULL;
}

static void
check_page(const GuardRequest *request, const GuardResult *guard, Text host, const SiteRules *rules, SiteResult *result)
{
	bool		reads = guard->method == HTTP_GET || guard->method == HTTP_HEAD || guard->method == HTTP_OPTIONS;
	bool		has_origin,
				has_site,
				given;
	Text		origin = header(request, "Origin", &has_origin);
	Text		site = header(request, "Sec-Fetch-Site", &has_site);

	header(request, "Access-Control-Request-Method", &given);
	result->preflight = guard->method == HTTP_OPTIONS && has_origin && given;
	if (has_origin && !is_own_origin(origin, host) && !allow_origin(origin, rules, result) &&
		(!reads || result->preflight))
		refuse(result, 403, "a page of origin ", origin, " may not call this server", HINT_ORIGIN);
	else if (has_site && !result->allow_origin && !is_word(site, "same-origin") && !is_word(site, "none") &&
			 !(reads && is_word(header(request, "Sec-Fetch-Mode", &given), "navigate")) && !has_all(rules->origins))
		refuse(result, 403, "a page of another origin, with Sec-Fetch-Site ", site, ", may not call this server", HINT_ORIGIN);
}

void
site_check(const GuardRequest *request, const GuardResult *guard, const SiteRules *rules, SiteResult *result)
{
	bool		has_host;
	Text		host = header(request, "Host", &has_host);

	memset(result, 0, sizeof(*result));

	/* HTTP/1.0, which no browser speaks, may come without. */
	if (has_host && !check_host(host, rules, result))
		return;
	/* RFC 9112, 3.2.2: an authority in the target counts in place of Host. */
	if (guard->authority)
	{
		host = (Text) {guard->authority, guard->authority_len};
		if (!check_host(host, rules, result))
			return;
	}
	check_page(request, guard, host, rules, result);
}
