/*
 * beacon_socket.h
 *	  Datagrams (core/beacon.h): a socket on the node's own port, where it asks
 *	  and is asked, and one that hears what is announced on the local network.
 *	  Plain C.
 *
 * Announcements go to the multicast groups 239.255.118.100 and
 * ff02::7665:6364:6200, port 7776, on every interface that is up, with a reach
 * of one hop.
 */
#ifndef NET_BEACON_SOCKET_H
#define NET_BEACON_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/net/net_address.h"

#define BEACON_LAN_PORT 7776
#define BEACON_SOCKET_DESCRIPTORS 3

typedef struct BeaconSocket BeaconSocket;

typedef struct BeaconSocketConfig
{
	const char *listen;			/* as of transport.h */
	uint16_t	port;
	bool		lan;
} BeaconSocketConfig;

/*
 * NULL, with one line without a full stop in error[room], when the port cannot
 * be had.  Where only the local network cannot be heard the rest works.
 */
extern BeaconSocket *beacon_socket_new(const BeaconSocketConfig *config, char *error, size_t room);
extern void beacon_socket_free(BeaconSocket **self);

/* Descriptors that become readable; at most BEACON_SOCKET_DESCRIPTORS. */
extern int	beacon_socket_descriptors(const BeaconSocket *self, int *fds, int room);

/* Does it hear the local network? */
extern bool beacon_socket_lan(const BeaconSocket *self);

/* To one address.  False when it could not be sent: as good as lost. */
extern bool beacon_socket_send(BeaconSocket *self, const NetAddress *to, const uint8_t *bytes, size_t len);

/* To everybody on the local network. */
extern void beacon_socket_announce(BeaconSocket *self, const uint8_t *bytes, size_t len);

/* The next datagram that fits into bytes[room], and from where; -1 when there is none. */
extern ssize_t beacon_socket_receive(BeaconSocket *self, uint8_t *bytes, size_t room, NetAddress *from);

#endif							/* NET_BEACON_SOCKET_H */
