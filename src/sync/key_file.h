#include "core/host.h"
typedef struct NodeKeys { uint8_t secret[64]; uint8_t curve_public[32]; uint8_t curve_secret[32]; } NodeKeys;
extern bool key_file_load(const char *path, NodeKeys *keys, bool *created, char *error, size_t room);
