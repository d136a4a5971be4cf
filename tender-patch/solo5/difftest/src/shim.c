/* Keeps the layout of the service's larger structs out of the bindings. */
#include "shmring_service.h"

#include <stdlib.h>

struct shmring_attached *shim_new(void);
void shim_free(struct shmring_attached *attached);
unsigned shim_pairs(const struct shmring_attached *attached);
uint64_t shim_features(const struct shmring_attached *attached);
uint64_t shim_stats(const struct shmring_attached *attached,
                    uint32_t *records);
struct shmring_tx *shim_tx(struct shmring_attached *attached, unsigned pair);
struct shmring_rx *shim_rx(struct shmring_attached *attached, unsigned pair);
size_t shim_sizeof(unsigned which);

struct shmring_attached *shim_new(void)
{
    return calloc(1, sizeof(struct shmring_attached));
}

void shim_free(struct shmring_attached *attached)
{
    free(attached);
}

unsigned shim_pairs(const struct shmring_attached *attached)
{
    return attached->pairs;
}

uint64_t shim_features(const struct shmring_attached *attached)
{
    return attached->features;
}

uint64_t shim_stats(const struct shmring_attached *attached, uint32_t *records)
{
    *records = attached->stats_count;
    return attached->stats;
}

struct shmring_tx *shim_tx(struct shmring_attached *attached, unsigned pair)
{
    return &attached->pair[pair].tx;
}

struct shmring_rx *shim_rx(struct shmring_attached *attached, unsigned pair)
{
    return &attached->pair[pair].rx;
}

/* What the bindings mirror. */
size_t shim_sizeof(unsigned which)
{
    switch (which) {
    case 0:
        return sizeof(struct shmring_limits);
    case 1:
        return sizeof(struct shmring_span);
    case 2:
        return sizeof(struct shmring_tx_frame);
    default:
        return sizeof(struct shmring_rx_info);
    }
}
