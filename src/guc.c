/*
 * guc.c
 *	  Defines every setting of vecdb.
 */
#include "pgcompat.h"

#include <ctype.h>

#include "core/query/role_path.h"
#include "guc.h"
#include "miscadmin.h"
#include "utils/guc.h"

bool		VecdbLogScanCounters = false;

char	   *VecdbDefaultMetric;
char	   *VecdbDefaultIndexType;
int			VecdbDefaultM = 16;
int			VecdbDefaultEfConstruction = 200;
int			VecdbMaxCollections = 10000;

/*
 * The words are checked where they are used: the check of create_collection()
 * has the better message, and here nothing of collections may be known.
 */
static void
DefineCollectionSettings(void)
{
	DefineCustomStringVariable("vecdb.default_metric",
							   "Metric of a collection that is created without one.",
							   "cosine, l2, ip or l1.",
							   &VecdbDefaultMetric, "cosine", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.default_index_type",
							   "Index type of a collection that is created without one.",
							   "hnsw or flat.",
							   &VecdbDefaultIndexType, "hnsw", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.default_m",
							"m of the index of a collection that is created without one.", NULL,
							&VecdbDefaultM, 16, 2, 100, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.default_ef_construction",
							"ef_construction of the index of a collection that is created without one.", NULL,
							&VecdbDefaultEfConstruction, 200, 4, 1000, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.max_collections",
							"Most collections of a database.",
							"vecdb.create_collection() makes no more, and a request of HTTP that names none looks into no more.",
							&VecdbMaxCollections, 10000, 1, 1000000, PGC_SUSET, 0, NULL, NULL, NULL);
}

int			VecdbHttpExecutors = 2;
char	   *VecdbHttpListen;
int			VecdbHttpPort = 8080;
int			VecdbHttpAdminPort = 8081;
bool		VecdbHttpAllowRemote = false;
char	   *VecdbHttpHosts;
char	   *VecdbHttpCorsOrigins;
char	   *VecdbHttpDatabase;
char	   *VecdbHttpRole;
char	   *VecdbHttpAnonRole;
char	   *VecdbHttpSchemas;
int			VecdbHttpMaxRows = 0;
int			VecdbHttpMaxDepth = 200;
bool		VecdbHttpWholeTables = false;
bool		VecdbHttpPlans = false;
bool		VecdbHttpServerTiming = false;
double		VecdbHttpMaxCost = 0;
char	   *VecdbHttpJwtKey;
char	   *VecdbHttpJwtKeyFile;
char	   *VecdbHttpJwtAud;
char	   *VecdbHttpJwtRoleClaim;
int			VecdbHttpJwtCacheEntries = 1000;
int			VecdbHttpJwtMaxFailures = 300;
char	   *VecdbHttpPreRequest;
int			VecdbHttpMaxBody_kb = 64 * 1024;
int			VecdbHttpMaxAnswer_kb = 256 * 1024;
int			VecdbHttpMaxBuffered_kb = 512 * 1024;
int			VecdbHttpMaxMemory_kb = 2 * 1024 * 1024;
int			VecdbHttpMinRate_kb = 16;
int			VecdbHttpMaxUri = 20 * 1024;
int			VecdbHttpMaxHeaders = 16384;
int			VecdbHttpMaxConnections = 2048;
int			VecdbHttpMaxPerAddress = 1024;
int			VecdbHttpMaxQueue = 256;
int			VecdbHttpHeaderTimeout_ms = 10 * 1000;
int			VecdbHttpBodyTimeout_ms = 30 * 1000;
int			VecdbHttpIdleTimeout_ms = 75 * 1000;
int			VecdbHttpShutdownTimeout_ms = 10 * 1000;
int			VecdbHttpAccessLogs = HTTP_ACCESS_LOG_ALL;

static const struct config_enum_entry access_log_options[] = {
	{"off", HTTP_ACCESS_LOG_OFF, false},
	{"errors", HTTP_ACCESS_LOG_ERRORS, false},
	{"all", HTTP_ACCESS_LOG_ALL, false},
	{NULL, 0, false}
};

/* A page of a list that does not name what browsers send would never be let in, and nobody would know why. */
static bool
check_hosts(char **newval, void **extra, GucSource source)
{
	for (const char *p = *newval; *p != '\0'; p++)
	{
		if (!isalnum((unsigned char) *p) && strchr(" \t,.-_:[]*", *p) == NULL)
		{
			GUC_check_errdetail("Hosts, separated by commas, hold no \"%c\".", *p);
			return false;
		}
	}
	return true;
}

static bool
check_role_claim(char **newval, void **extra, GucSource source)
{
	RolePath	path;
	size_t		at;
	const char *error = role_path_parse(*newval, &path, &at);

	if (error)
		GUC_check_errdetail("At byte %zu of \"%s\": %s.", at, *newval, error);
	return !error;
}

/* Which of several functions is called must not depend on anybody's search_path. */
static bool
check_pre_request(char **newval, void **extra, GucSource source)
{
	if (**newval != '\0' && strchr(*newval, '.') == NULL)
	{
		GUC_check_errdetail("The function is given with its schema, as schema.function.");
		return false;
	}
	return true;
}

/* With less a row would take longer than who asked for it waits. */
static bool
check_send_rate(int *newval, void **extra, GucSource source)
{
	if (*newval > 0 && *newval < VECDB_SEND_RATE_LEAST_kB)
	{
		GUC_check_errdetail("At least %d kB in a second, or 0 for no limit.", VECDB_SEND_RATE_LEAST_kB);
		return false;
	}
	return true;
}

static bool
check_origins(char **newval, void **extra, GucSource source)
{
	char	   *list = pstrdup(*newval);
	bool		good = true;
	char	   *rest;

	for (char *entry = strtok_r(list, ", \t", &rest); entry != NULL && good; entry = strtok_r(NULL, ", \t", &rest))
	{
		const char *host = strstr(entry, "://");

		good = strcmp(entry, "*") == 0 || strcmp(entry, "null") == 0 ||
			(host != NULL && host > entry && host[3] != '\0' && strpbrk(host + 3, "/\\?#@*\"") == NULL);
		if (!good)
			GUC_check_errdetail("\"%s\" is not an origin as browsers send it, scheme://host[:port].", entry);
	}
	pfree(list);
	return good;
}

/*
 * Settings of the HTTP workers.  All but the number of executors follow a
 * reload.  A backend that loads the library by itself defines them too, though
 * it has no use for them: a configuration file that names them is then no
 * reason for a warning.
 */
static void
DefineHttpSettings(void)
{
	DefineCustomIntVariable("vecdb.http_executors",
							"Number of processes that execute HTTP requests.",
							"0 switches HTTP off.",
							&VecdbHttpExecutors, 2, 0, 64,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP,
							0, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.http_listen",
							   "Address that the HTTP front listens on.",
							   "An IPv4 or IPv6 address; 0.0.0.0 or :: for all. One beyond this machine needs a key for tokens or vecdb.http_allow_remote.",
							   &VecdbHttpListen, "127.0.0.1", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_port",
							"TCP port that the HTTP front listens on.", NULL,
							&VecdbHttpPort, 8080, 1, 65535, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_admin_port",
							"TCP port, on 127.0.0.1, of /live, /ready and /metrics.",
							"0 means none.",
							&VecdbHttpAdminPort, 8081, 0, 65535, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("vecdb.http_allow_remote",
							 "Lets the HTTP front listen on an address beyond this machine.",
							 "Without a key for tokens, whoever reaches the port then acts as vecdb.http_anon_role.",
							 &VecdbHttpAllowRemote, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.http_hosts",
							   "Names that clients may call the HTTP front by.",
							   "Separated by commas, beside localhost and the address that it listens on; * for any.",
							   &VecdbHttpHosts, "", PGC_SIGHUP, 0, check_hosts, NULL, NULL);
	DefineCustomStringVariable("vecdb.http_cors_origins",
							   "Origins of web pages that may call the HTTP front from a browser.",
							   "scheme://host[:port], separated by commas; * for any.",
							   &VecdbHttpCorsOrigins, "", PGC_SIGHUP, 0, check_origins, NULL, NULL);
	DefineCustomStringVariable("vecdb.http_database",
							   "Database that HTTP serves.", NULL,
							   &VecdbHttpDatabase, "postgres", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.http_role",
							   "Role as which the executors connect.",
							   "It needs LOGIN and membership in the roles that requests act as, nothing else; a superuser is refused.",
							   &VecdbHttpRole, "vecdb_http", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.http_anon_role",
							   "Role that a request without a token acts as.",
							   "Empty: such requests are refused.",
							   &VecdbHttpAnonRole, "vecdb_anon", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.http_schemas",
							   "Schemas whose tables and views are served below /rest/v1.",
							   "Separated by commas; the first is the one of requests that name none.",
							   &VecdbHttpSchemas, "collections", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_max_rows",
							"Most rows of an answer below /rest/v1.",
							"0 means no limit.",
							&VecdbHttpMaxRows, 0, 0, INT_MAX, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_max_depth",
							"Levels that a JSON value of a request, or its conditions below /rest/v1, may nest.",
							"Those conditions at most 32, whatever it is.",
							&VecdbHttpMaxDepth, 200, 1, 200, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("vecdb.http_whole_tables",
							 "Lets PATCH and DELETE below /rest/v1 change all rows of a table, without a filter.",
							 NULL,
							 &VecdbHttpWholeTables, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("vecdb.http_plans",
							 "Lets requests below /rest/v1 ask for the plan of their query.",
							 NULL,
							 &VecdbHttpPlans, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("vecdb.http_server_timing",
							 "Tells in answers below /rest/v1 how long their parts took.",
							 NULL,
							 &VecdbHttpServerTiming, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("vecdb.http_max_cost",
							 "Highest cost that the planner may estimate of a statement of an HTTP request.",
							 "0 means no limit.",
							 &VecdbHttpMaxCost, 0, 0, 1e300, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.http_jwt_key",
							   "Key that tokens of HTTP requests are verified with.",
							   "A secret of HS256, a JSON Web Key or a set of them, or a public key in PEM. Empty, without vecdb.http_jwt_key_file: tokens are not looked at.",
							   &VecdbHttpJwtKey, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.http_jwt_key_file",
							   "File with that key, which counts in place of vecdb.http_jwt_key.",
							   "It is read again at each reload.",
							   &VecdbHttpJwtKeyFile, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.http_jwt_aud",
							   "Audience that a token must name, if it names any.",
							   "Empty: any will do.",
							   &VecdbHttpJwtAud, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.http_jwt_role_claim",
							   "Path to the role within the claims of a token.", NULL,
							   &VecdbHttpJwtRoleClaim, ".role", PGC_SIGHUP, 0, check_role_claim, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_jwt_cache_entries",
							"Most verified tokens that the HTTP front remembers.",
							"0 means that each is verified at each request.",
							&VecdbHttpJwtCacheEntries, 1000, 0, 100000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_jwt_max_failures",
							"How many tokens of an address may not count in a second; its further ones are refused unlooked at.",
							"Those that are remembered count all the same. 0: no limit.",
							&VecdbHttpJwtMaxFailures, 300, 0, 1000000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.http_pre_request",
							   "Function that each HTTP request calls first, as its role.",
							   "schema.function, without arguments; an error that it raises is the answer.",
							   &VecdbHttpPreRequest, "", PGC_SIGHUP, 0, check_pre_request, NULL, NULL);

	DefineCustomIntVariable("vecdb.http_max_body",
							"Largest body of an HTTP request.", NULL,
							&VecdbHttpMaxBody_kb, 64 * 1024, 1, 512 * 1024, PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_max_answer",
							"Largest body of an HTTP answer.", NULL,
							&VecdbHttpMaxAnswer_kb, 256 * 1024, 64, 512 * 1024, PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_max_buffered",
							"Memory of the HTTP front for all bodies together.",
							"Clients of one address have half of it. What does not fit is answered with status 503, unless who is slow makes room.",
							&VecdbHttpMaxBuffered_kb, 512 * 1024, 1024, MAX_KILOBYTES, PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_max_memory",
							"Memory that a process which runs HTTP requests may have of its own.",
							"A request that takes more is answered with status 503. 0: no limit.",
							&VecdbHttpMaxMemory_kb, 2 * 1024 * 1024, 0, MAX_KILOBYTES, PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_min_rate",
							"Least an HTTP client has to take of an answer in a second.",
							"Over each vecdb.http_body_timeout; one that takes less is cut off.",
							&VecdbHttpMinRate_kb, 16, 1, 1024 * 1024, PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_max_uri",
							"Longest path and query of an HTTP request.", NULL,
							&VecdbHttpMaxUri, 20 * 1024, 256, 65536, PGC_SIGHUP, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_max_headers",
							"Most bytes of headers of an HTTP request.", NULL,
							&VecdbHttpMaxHeaders, 16384, 1024, 65536, PGC_SIGHUP, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_max_connections",
							"Most connections of HTTP clients at a time.", NULL,
							&VecdbHttpMaxConnections, 2048, 1, 65536, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_max_connections_per_address",
							"Most connections of HTTP clients from one address at a time.",
							"0 means no limit but that of all connections.",
							&VecdbHttpMaxPerAddress, 1024, 0, 65536, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_max_queue",
							"Most HTTP requests that wait for an executor.",
							"Requests beyond it are answered with status 503.",
							&VecdbHttpMaxQueue, 256, 1, 65536, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_header_timeout",
							"Time an HTTP client has to send a request's headers.", NULL,
							&VecdbHttpHeaderTimeout_ms, 10 * 1000, 100, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_body_timeout",
							"Time an HTTP client has to send a request's body.",
							"While it takes an answer, its rate is measured over this time: vecdb.http_min_rate.",
							&VecdbHttpBodyTimeout_ms, 30 * 1000, 100, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_idle_timeout",
							"Time after which an HTTP connection without a request is closed.", NULL,
							&VecdbHttpIdleTimeout_ms, 75 * 1000, 100, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.http_shutdown_timeout",
							"Time that running HTTP requests have to finish when the server shuts down.", NULL,
							&VecdbHttpShutdownTimeout_ms, 10 * 1000, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomEnumVariable("vecdb.http_access_log",
							 "HTTP requests that are written to the server's log.",
							 "all, errors (status 400 and above) or off.",
							 &VecdbHttpAccessLogs, HTTP_ACCESS_LOG_ALL, access_log_options,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
}

char	   *VecdbNodeDatabases;
char	   *VecdbListen;
int			VecdbP2pPort = 7777;
char	   *VecdbAdvertise;
char	   *VecdbBootstrap;
bool		VecdbLanDiscovery = false;
char	   *VecdbNetworkId;
char	   *VecdbKeyFile;
int			VecdbMaxPeers = 50;
int			VecdbMaxSharedPerRole = 256;
int			VecdbMeshDegree = 6;
int			VecdbMaxClockSkew_s = 300;
int			VecdbMaxSendRate_kB = 0;
int			VecdbApplyWorkers = 1;
int			VecdbMaxBatch_kB = 4096;
int			VecdbMaxAtomic_kB = 4096;
int			VecdbAntiEntropy_s = 30;
int			VecdbTombstoneRetention_min = 30 * 24 * 60;
bool		VecdbLimitPrivateSubnets = false;

/*
 * Settings of the nodes.  All follow a reload, some by a restart of the node's
 * worker.  As with HTTP's, every backend defines them.
 */
static void
DefineSyncSettings(void)
{
	DefineCustomStringVariable("vecdb.node_databases",
							   "Databases that are nodes of the network.",
							   "Names separated by commas, each with \":port\" behind it where it is not vecdb.p2p_port. Empty: none, and nothing listens.",
							   &VecdbNodeDatabases, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.listen",
							   "Address that nodes listen on.",
							   "An IPv4 or IPv6 address; 0.0.0.0 for all of IPv4, :: for all of both.",
							   &VecdbListen, "0.0.0.0", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.p2p_port",
							"Port that nodes listen on: TCP, and UDP for those who ask for its keys.", NULL,
							&VecdbP2pPort, 7777, 1, 65535, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.advertise",
							   "Addresses under which other nodes can reach this one.",
							   "host:port, up to four, separated by commas. Empty: what is listened on.",
							   &VecdbAdvertise, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.bootstrap",
							   "Nodes that are asked when no other is known.",
							   "host:port, up to sixteen, separated by commas.",
							   &VecdbBootstrap, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("vecdb.lan_discovery",
							 "Announces the node to its local network, and hears others that do.", NULL,
							 &VecdbLanDiscovery, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.network_id",
							   "Name of the network; nodes of different names do not meet.", NULL,
							   &VecdbNetworkId, "vecdb", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.key_file",
							   "File with the node's keys, made when it is not there.",
							   "%d in it is the name of the database. Empty: vecdb/OID/node.key below the data directory.",
							   &VecdbKeyFile, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.max_peers",
							"Most nodes that a node connects to at a time.", NULL,
							&VecdbMaxPeers, 50, 4, 64, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.max_shared_collections_per_role",
							"Most shared collections whose tables one role owns.",
							"Of the 1024 of a node the last 64 are for superusers, who have no limit of their own.",
							&VecdbMaxSharedPerRole, 256, 0, 1024, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.mesh_degree",
							"Members of a collection that a node exchanges its news with at once.", NULL,
							&VecdbMeshDegree, 6, 4, 12, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.apply_workers",
							"Processes of a node that write rows of other nodes to tables.",
							"A shared collection is served by one of them. They are started when there is something to serve, and count for max_worker_processes.",
							&VecdbApplyWorkers, 1, 1, 16, process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.max_batch_bytes",
							"Rows of others that are on their way to a shared collection, at most.", NULL,
							&VecdbMaxBatch_kB, 4096, 64, 4096, PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.max_atomic_bytes",
							"Rows of others up to which all that another node had at one moment is written in one transaction.",
							"What is more is written in several, of which readers may see some without the others.",
							&VecdbMaxAtomic_kB, 4096, 64, 65536, PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.anti_entropy_interval",
							"How often a node tells a member at random what it has of a shared collection.",
							"It is half as much again at most, and each sixtieth time the rows are compared.",
							&VecdbAntiEntropy_s, 30, 1, 3600, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.tombstone_retention",
							"How long a member that is not heard of keeps others from forgetting which rows were deleted.",
							"When it comes back later, all of its rows are compared.",
							&VecdbTombstoneRetention_min, 30 * 24 * 60, 1, 10 * 365 * 24 * 60, PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.max_send_rate",
							"Bytes of rows that a node sends to others in a second, at most.",
							"0 means as many as links carry.",
							&VecdbMaxSendRate_kB, 0, 0, MAX_KILOBYTES, PGC_SIGHUP, GUC_UNIT_KB, check_send_rate, NULL, NULL);
	DefineCustomIntVariable("vecdb.max_clock_skew",
							"How far the clock of another node may be off.",
							"Signed statements from further in the future are refused.",
							&VecdbMaxClockSkew_s, 300, 1, 86400, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomBoolVariable("vecdb.limit_private_subnets",
							 "Counts private addresses towards the limits for each subnet.",
							 "Without it a LAN or a test on one machine may have any number of nodes.",
							 &VecdbLimitPrivateSubnets, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

void
VecdbDefineSettings(void)
{
	DefineHttpSettings();
	DefineSyncSettings();
	DefineCustomBoolVariable("vecdb.log_scan_counters",
							 "Reports what each scan of an hnsw index has done, at its end.",
							 "Searches, nodes expanded, pages, estimates, exact distances and rows.",
							 &VecdbLogScanCounters, false, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCollectionSettings();
	MarkGUCPrefixReserved("vecdb");
}
