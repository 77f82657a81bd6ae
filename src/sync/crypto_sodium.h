#include "core/host.h"
extern CoreCrypto crypto_sodium(void);
extern CoreRandom crypto_sodium_random(void);
