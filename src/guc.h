/*
 * guc.h
 *	  Every setting of vecdb: its variable and when it is defined.
 */
#ifndef VECDB_GUC_H
#define VECDB_GUC_H

#include <stdbool.h>

/*
 * vecdb_http.so reads its settings here: the only symbols, beside the
 * functions known to SQL, that vecdb.so lets others see.
 */
#define VECDB_SETTING extern __attribute__((visibility("default")))

/* Report what each index scan has done. */
extern bool VecdbLogScanCounters;

/* Which requests the HTTP front writes to the log. */
typedef enum VecdbHttpAccessLog
{
	HTTP_ACCESS_LOG_OFF,
	HTTP_ACCESS_LOG_ERRORS,		/* status 400 and above */
	HTTP_ACCESS_LOG_ALL
} VecdbHttpAccessLog;

/* HTTP: where it listens, what it connects to. */
VECDB_SETTING int VecdbHttpExecutors;	/* 0: no HTTP at all */
VECDB_SETTING char *VecdbHttpListen;
VECDB_SETTING int VecdbHttpPort;
VECDB_SETTING int VecdbHttpAdminPort;	/* 0: none */
VECDB_SETTING bool VecdbHttpAllowRemote;
VECDB_SETTING char *VecdbHttpHosts; /* see http/site.h; "": localhost and our own address */
VECDB_SETTING char *VecdbHttpCorsOrigins;	/* "": none */
VECDB_SETTING char *VecdbHttpDatabase;
VECDB_SETTING char *VecdbHttpRole;
VECDB_SETTING char *VecdbHttpSchemas;	/* those that /rest/v1 serves, the first by default */
VECDB_SETTING int VecdbHttpMaxDepth;	/* of a JSON value of a request, and of conditions of /rest/v1 */
VECDB_SETTING int VecdbHttpMaxRows; /* of an answer of /rest/v1; 0: no limit */
VECDB_SETTING bool VecdbHttpWholeTables;	/* /rest/v1 changes and deletes rows without a filter */
VECDB_SETTING bool VecdbHttpPlans;	/* /rest/v1 tells plans to who asks */
VECDB_SETTING bool VecdbHttpServerTiming;	/* and in each answer how long its parts took */
VECDB_SETTING char *VecdbHttpAnonRole;	/* "": none may come without a token */
VECDB_SETTING double VecdbHttpMaxCost;	/* of a plan; 0: no limit */
VECDB_SETTING char *VecdbHttpJwtKey;	/* "": none */
VECDB_SETTING char *VecdbHttpJwtKeyFile;	/* "": none; it counts before VecdbHttpJwtKey */
VECDB_SETTING char *VecdbHttpJwtAud;	/* "": all audiences are ours */
VECDB_SETTING char *VecdbHttpJwtRoleClaim;	/* see core/query/role_path.h */
VECDB_SETTING int VecdbHttpJwtCacheEntries;	/* 0: none */
VECDB_SETTING int VecdbHttpJwtMaxFailures;	/* of an address in a second; 0: no limit */
VECDB_SETTING char *VecdbHttpPreRequest;	/* schema.function; "": none */

/* HTTP: limits. */
VECDB_SETTING int VecdbHttpMaxBody_kb;
VECDB_SETTING int VecdbHttpMaxAnswer_kb;
VECDB_SETTING int VecdbHttpMaxBuffered_kb;
VECDB_SETTING int VecdbHttpMaxMemory_kb;
VECDB_SETTING int VecdbHttpMinRate_kb;	/* of an answer, in a second */
VECDB_SETTING int VecdbHttpMaxUri;	/* bytes */
VECDB_SETTING int VecdbHttpMaxHeaders;	/* bytes */
VECDB_SETTING int VecdbHttpMaxConnections;
VECDB_SETTING int VecdbHttpMaxPerAddress;
VECDB_SETTING int VecdbHttpMaxQueue;
VECDB_SETTING int VecdbHttpHeaderTimeout_ms;
VECDB_SETTING int VecdbHttpBodyTimeout_ms;
VECDB_SETTING int VecdbHttpIdleTimeout_ms;
VECDB_SETTING int VecdbHttpShutdownTimeout_ms;
VECDB_SETTING int VecdbHttpAccessLogs;	/* a VecdbHttpAccessLog */

/* Nodes: which databases are one, where they listen, whom they ask. */
VECDB_SETTING char *VecdbNodeDatabases;	/* name or name:port, separated by commas; "": no node */
VECDB_SETTING char *VecdbListen;
VECDB_SETTING int VecdbP2pPort;
VECDB_SETTING char *VecdbAdvertise; /* "": what is listened on */
VECDB_SETTING char *VecdbBootstrap;
VECDB_SETTING bool VecdbLanDiscovery;
VECDB_SETTING char *VecdbNetworkId;
VECDB_SETTING char *VecdbKeyFile;	/* "": below the data directory */
VECDB_SETTING int VecdbMaxPeers;
VECDB_SETTING int VecdbMaxSharedPerRole;	/* collections */
VECDB_SETTING int VecdbMeshDegree;
VECDB_SETTING int VecdbMaxClockSkew_s;
#define VECDB_SEND_RATE_LEAST_kB 64
VECDB_SETTING int VecdbMaxSendRate_kB;	/* in a second, 0: no limit */
VECDB_SETTING int VecdbApplyWorkers;
VECDB_SETTING int VecdbMaxBatch_kB;
VECDB_SETTING int VecdbMaxAtomic_kB;
VECDB_SETTING int VecdbAntiEntropy_s;
VECDB_SETTING int VecdbTombstoneRetention_min;
VECDB_SETTING bool VecdbLimitPrivateSubnets;

/* What a collection gets where its creator does not say. */
extern char *VecdbDefaultMetric;
extern char *VecdbDefaultIndexType;
extern int	VecdbDefaultM;
extern int	VecdbDefaultEfConstruction;

/* Tables of the schema of collections. */
VECDB_SETTING int VecdbMaxCollections;

/* Define the settings with the prefix "vecdb."; called once by _PG_init. */
extern void VecdbDefineSettings(void);

#endif							/* VECDB_GUC_H */
