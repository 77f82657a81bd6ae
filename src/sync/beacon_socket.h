#include <sys/types.h>
#include "core/net_address.h"
typedef struct BeaconSocket BeaconSocket;
typedef struct BeaconSocketConfig { const char *listen; uint16_t port; bool lan; } BeaconSocketConfig;
#define BEACON_SOCKET_DESCRIPTORS 2
extern BeaconSocket *beacon_socket_new(const BeaconSocketConfig *c, char *error, size_t room);
extern void beacon_socket_free(BeaconSocket **self);
extern bool beacon_socket_send(BeaconSocket *self, const NetAddress *to, const uint8_t *b, size_t n);
extern void beacon_socket_announce(BeaconSocket *self, const uint8_t *b, size_t n);
extern ssize_t beacon_socket_receive(BeaconSocket *self, uint8_t *b, size_t n, NetAddress *from);
extern int beacon_socket_descriptors(const BeaconSocket *self, int *fds, int room);
