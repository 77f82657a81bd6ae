/*
 * address_fuzz.c
 *	  Lists of addresses, as in vecdb.bootstrap and vecdb.advertise.
 */
#include "net/address.h"

#include "net_fuzz.h"

/* The rules of address.h once more, of one entry without the spaces around it. */
static bool
expected(const char *entry, size_t len, int *port)
{
	const char *host = entry;
	size_t		host_len = len;
	const char *digits = NULL;
	const char *end = entry + len;
	const char *colon = memchr(entry, ':', len);

	*port = 7777;
	if (entry[0] == '[')
	{
		const char *close = memchr(entry, ']', len);

		if (close == NULL || (close + 1 < end && close[1] != ':'))
			return false;
		host++;
		host_len = (size_t) (close - host);
		if (close + 1 < end)
			digits = close + 2;
	}
	else if (colon != NULL && memchr(colon + 1, ':', (size_t) (end - colon - 1)) == NULL)
	{
		host_len = (size_t) (colon - entry);
		digits = colon + 1;
	}
	if (digits != NULL)
	{
		*port = 0;
		if (digits == end)
			return false;
		for (; digits < end; digits++)
		{
			if (*digits < '0' || *digits > '9')
				return false;
			*port = *port * 10 + *digits - '0';
			if (*port > 65535)
				return false;
		}
		if (*port == 0)
			return false;
	}
	return host_len > 0 && host_len < ADDRESS_HOST;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* a string in a block without a byte to spare */
	char	   *list = malloc(size + 1);
	const char *at = list;
	const char *mine = list;
	char		host[ADDRESS_HOST];
	int			port;
	int			what;
	size_t		numeric = 0;
	bool		all_numeric = true;
	bool		any_bad = false;
	Resolver   *resolver;

	REQUIRE(list != NULL);
	if (size > 0)
		memcpy(list, data, size);
	list[size] = '\0';
	while ((what = address_next(&at, 7777, host, &port)) != 0)
	{
		NetAddress	address;
		size_t		len;
		int			mine_port;
		bool		good;

		REQUIRE(what == 1 || what == -1);
		REQUIRE(at > mine && at <= list + strlen(list) && (*at == ',' || *at == '\0'));
		mine += strspn(mine, " \t,");
		len = (size_t) (at - mine);
		while (len > 0 && (mine[len - 1] == ' ' || mine[len - 1] == '\t'))
			len--;
		REQUIRE(len > 0 && memchr(mine, ',', len) == NULL);
		good = expected(mine, len, &mine_port);
		REQUIRE(good == (what == 1));
		REQUIRE(memchr(host, '\0', sizeof host) != NULL && host[0] != '\0');
		mine = at;
		if (!good)
		{
			any_bad = true;
			continue;
		}
		REQUIRE(port == mine_port);
		if (!address_parse_ip(host, &address))
		{
			all_numeric = false;
			continue;
		}
		/* what is printed of it reads as the same */
		{
			char		text[ADDRESS_TEXT];
			const char *again = text;
			char		host2[ADDRESS_HOST];
			int			port2;
			NetAddress	address2;

			address.port = (uint16_t) port;
			REQUIRE(address_text(&address, text) == text && strlen(text) < ADDRESS_TEXT);
			REQUIRE(address_next(&again, 1, host2, &port2) == 1 && *again == '\0' && port2 == port);
			REQUIRE(address_parse_ip(host2, &address2));
			address2.port = (uint16_t) port2;
			REQUIRE(net_address_equal(&address, &address2));
			numeric += net_address_usable(&address);
		}
	}
	REQUIRE(mine[strspn(mine, " \t,")] == '\0');

	/* numbers alone are there at once, without a thread or a server of names */
	if (all_numeric)
	{
		NetAddress	out[2 * RESOLVER_LIMIT];
		char		failed[ADDRESS_HOST];
		int			n = -1;

		resolver = resolver_start(list, 7777);
		REQUIRE(resolver != NULL && resolver_done(resolver, out, 2 * RESOLVER_LIMIT, &n, failed));
		REQUIRE(n >= 0 && (size_t) n <= numeric && n <= 2 * RESOLVER_LIMIT && (n > 0) == (numeric > 0));
		REQUIRE((failed[0] != '\0') == any_bad);
		resolver_free(&resolver);
	}
	free(list);
	return 0;
}
