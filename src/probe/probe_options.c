/*
 * probe_options.c
 *	  The command line.
 */
#include "probe/probe_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define TIMEOUT_MS 5000
#define SKEW_S 300				/* vecdb.max_clock_skew by default */
#define INVITATION_ROOM 4096	/* of a file with an invitation */

static const char help[] =
	"vecdb-probe asks a node of vecdb by UDP and by TCP who it is, and says what other nodes\n"
	"would meet there: its id, addresses, network and protocol versions, how long an answer takes,\n"
	"how far its clock is off, and whether both ports can be reached.\n"
	"\n"
	"Usage:\n"
	"  vecdb-probe [OPTION]... HOST[:PORT]\n"
	"  vecdb-probe [OPTION]... --invitation=FILE\n"
	"\n"
	"HOST is a name, an IPv4 address, or an IPv6 address, in brackets where a port follows:\n"
	"[::1]:7777. The port is 7777 where none is given.\n"
	"\n"
	"Options:\n"
	"  -n, --network=NAME         network of the node, its vecdb.network_id (default: vecdb)\n"
	"  -k, --key=HEX              CURVE key of the node, 64 digits, for where it does not answer by\n"
	"                             UDP: a probe on the node's own machine shows it\n"
	"  -i, --invitation=FILE      take network, key, id and addresses from an invitation; - reads it\n"
	"                             from standard input. It is not redeemed\n"
	"  -t, --timeout=SECONDS      give up after that (default: 5; 0.1 to 600)\n"
	"  -s, --max-clock-skew=SECONDS  how far the clocks may be apart (default: 300)\n"
	"  -4, -6                     only addresses of IPv4, of IPv6\n"
	"  -j, --json                 one object of JSON instead of text\n"
	"  -V, --version              show the version and exit\n"
	"  -?, -h, --help             show this help and exit\n"
	"\n"
	"Exit status:\n"
	"   0  the node answers by UDP and by TCP, and nothing is wrong\n"
	"   1  the probe itself could not work\n"
	"   2  the command line cannot be understood\n"
	"   3  the name has no address\n"
	"   4  nothing answers\n"
	"   5  it answers by UDP only\n"
	"   6  it answers by TCP only\n"
	"   7  it is of another network\n"
	"   8  it speaks no version of the protocol that the probe speaks\n"
	"   9  its clock, or the one here, is off by more than nodes allow\n"
	"  10  it refuses the greeting for another reason\n"
	"  11  what answers is no node, or another one than it should be\n"
	"  12  none of the addresses that it tells other nodes works from here\n";

static void __attribute__((noreturn, format(printf, 1, 2)))
usage(const char *format,...)
{
	va_list		args;

	fputs("vecdb-probe: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("\nTry \"vecdb-probe --help\".\n", stderr);
	exit(OUTCOME_USAGE);
}

static double
seconds(const char *option, const char *text, double least, double most)
{
	char	   *end;
	double		value;

	errno = 0;
	value = strtod(text, &end);
	if (errno != 0 || end == text || *end != '\0' || !isfinite(value) || value < least || value > most)
		usage("%s is a number of seconds from %g to %g, not \"%s\"", option, least, most, text);
	return value;
}

/* "host", "host:port", "[v6]", "[v6]:port", "v6" */
static void
parse_target(const char *text, ProbeOptions *options)
{
	const char *host = text;
	size_t		len = strlen(text);
	const char *colon = strrchr(text, ':');
	const char *port = NULL;
	char	   *end;
	long		value;

	if (text[0] == '[')
	{
		const char *bracket = strchr(text, ']');

		if (bracket == NULL || (bracket[1] != '\0' && bracket[1] != ':'))
			usage("\"%s\" is no address: IPv6 is written [::1]:7777", text);
		host = text + 1;
		len = (size_t) (bracket - host);
		port = bracket[1] == ':' ? bracket + 2 : NULL;
	}
	else if (colon != NULL && strchr(text, ':') == colon)
	{
		len = (size_t) (colon - text);
		port = colon + 1;
	}
	if (len == 0 || len >= sizeof options->host)
		usage("\"%s\" names no host", text);
	memcpy(options->host, host, len);
	options->host[len] = '\0';
	options->port = PROBE_PORT;
	if (port == NULL)
		return;
	errno = 0;
	value = strtol(port, &end, 10);
	if (errno != 0 || end == port || *end != '\0' || port[0] < '0' || port[0] > '9' || value < 1 || value > UINT16_MAX)
		usage("\"%s\" is no port: 1 to 65535", port);
	options->port = (uint16_t) value;
}

static void
read_key(const char *text, ProbeOptions *options)
{
	size_t		len;
	const char *end;

	if (sodium_hex2bin(options->key, 32, text, strlen(text), NULL, &len, &end) != 0 || len != 32 || *end != '\0')
		usage("--key is 64 hexadecimal digits");
	options->has_key = true;
}

static void
take_invitation(const char *name, ProbeOptions *options)
{
	static const char space[] = " \t\r\n";
	char		text[INVITATION_ROOM];
	FILE	   *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
	size_t		len;
	size_t		begin;
	const char *fault;

	if (file == NULL)
		usage("could not open \"%s\": %s", name, strerror(errno));
	len = fread(text, 1, sizeof text - 1, file);
	if (ferror(file))
		usage("could not read \"%s\": %s", name, strerror(errno));
	if (file != stdin)
		fclose(file);
	while (len > 0 && strchr(space, text[len - 1]) != NULL)
		len--;
	text[len] = '\0';
	begin = strspn(text, space);
	if (begin > len)
		begin = len;
	fault = probe_read_invitation(text + begin, len - begin, options);
	sodium_memzero(text, sizeof text);
	if (fault != NULL)
		usage("the invitation cannot be used: %s", fault);
}

void
probe_options(int argc, char **argv, ProbeOptions *options)
{
	static const struct option long_options[] = {
		{"network", required_argument, NULL, 'n'},
		{"key", required_argument, NULL, 'k'},
		{"invitation", required_argument, NULL, 'i'},
		{"timeout", required_argument, NULL, 't'},
		{"max-clock-skew", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	const char *network = NULL;
	const char *invitation = NULL;
	const char *key = NULL;
	int			option;

	*options = (ProbeOptions) {.family = AF_UNSPEC,.timeout_ms = TIMEOUT_MS,.skew_ms = SKEW_S * 1000};
	opterr = 0;
	while ((option = getopt_long(argc, argv, "n:k:i:t:s:46jVh?", long_options, NULL)) != -1)
		switch (option)
		{
			case 'n':
				network = optarg;
				break;
			case 'k':
				key = optarg;
				break;
			case 'i':
				invitation = optarg;
				break;
			case 't':
				options->timeout_ms = (int) (seconds("--timeout", optarg, 0.1, 600) * 1000);
				break;
			case 's':
				options->skew_ms = (int64_t) (seconds("--max-clock-skew", optarg, 0, 86400) * 1000);
				break;
			case '4':
			case '6':
				options->family = option == '4' ? AF_INET : AF_INET6;
				break;
			case 'j':
				options->json = true;
				break;
			case 'V':
				puts("vecdb-probe " VECDB_VERSION);
				exit(OUTCOME_OK);
			case '?':
				/* an option of that name, or one that is not known */
				if (optopt != 0 && optopt != '?')
					usage("option -%c is not known, or lacks its value", optopt);
				if (strcmp(argv[optind - 1], "-?") != 0)
					usage("option %s is not known, or lacks its value", argv[optind - 1]);
				/* FALLTHROUGH */
			default:
				fputs(help, stdout);
				exit(OUTCOME_OK);
		}
	if (invitation != NULL)
		take_invitation(invitation, options);
	if (key != NULL)
		read_key(key, options);
	if (optind + 1 < argc)
		usage("one HOST:PORT, not more");
	if (optind < argc)
		parse_target(argv[optind], options);
	else if (invitation == NULL)
		usage("HOST:PORT is missing");
	options->network_name = network == NULL && invitation == NULL ? PROBE_NETWORK : network;
	if (options->network_name != NULL)
		options->network = probe_network(options->network_name);
}
