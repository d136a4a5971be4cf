/*
 * shmring_service.c: the tender's side of shared-memory rings. See the header.
 *
 * Everything in a region may change at any time under our hands: words are
 * loaded once, as atomics, and only the loaded value is checked and used.
 */
#include "shmring_service.h"

#include <stdatomic.h>
#include <string.h>

/* Offsets in the region's header. */
enum {
    H_MAGIC = 0x000,
    H_VERSION = 0x008,
    H_REGION_SIZE = 0x010,
    H_COUNTS = 0x020,
    H_STATS = 0x038,
    H_STATS_COUNT = 0x040,
    H_FEATURES_ACCEPTED = 0x080,
    H_TENDER_STATUS = 0x100,
    H_EPOCH = 0x104,
    H_CLASSES = 0x200,
    H_QUEUES = 0x300,
    H_LEN = 0xb00,
};

/* Rows of the header, and offsets in them. */
enum {
    CLASS_ROW = 32,
    CLASS_BASE = 0,
    CLASS_SHAPE = 8,
    CLASS_FIRST_ID = 16,
    QUEUE_ROW = 64,
    QUEUE_TYPE = 0,
    QUEUE_CTRL = 8,
    QUEUE_DESC = 16,
    QUEUE_SHAPE = 24,
};

enum {
    QUEUE_TX = 1,
    QUEUE_FILL = 2,
    QUEUE_RX = 3,
    QUEUE_LARGE = 4,
    QUEUE_MAX_LOG2 = 15,
};

/* Control words of a queue. */
enum {
    CTRL_PROD = 0x000,
    CTRL_CONS = 0x080,
    CTRL_CONS_EVENT = 0x100,
    CTRL_PROD_EVENT = 0x180,
    CTRL_LEN = 0x200,
    CTRL_ALIGN = 128,
};

enum { STATUS_REASON = 8 };
enum { DESC_LEN = 16, DESC_LOG2 = 4 };
enum { STAT_LEN = 32, MAX_STATS = 256 };
enum { MIN_ENTRIES_RX_GSO = 64 };
enum { MIN_STRIDE = 64, MAX_STRIDE = 65536, MAX_BUFFERS = 1 << 24 };

enum { FLAG_NEXT = 1, FLAG_NEEDS_CSUM = 2, FLAG_DATA_VALID = 4 };

_Static_assert(H_QUEUES + SHMRING_MAX_QUEUES * QUEUE_ROW == H_LEN,
               "queue rows end the header");
_Static_assert(H_CLASSES + SHMRING_MAX_CLASSES * CLASS_ROW <= H_QUEUES,
               "class rows fit");
_Static_assert(sizeof(_Atomic uint32_t) == 4 && sizeof(_Atomic uint64_t) == 8,
               "atomics are plain words");

/* A snapshot of a descriptor. */
struct desc {
    uint32_t id;
    uint16_t offset;
    uint16_t len;
    uint16_t flags;
    uint16_t gso_size;
    uint16_t csum_start;
    uint8_t csum_offset;
    uint8_t gso_type;
};

static uint32_t load32(uint8_t *at, memory_order order)
{
    return atomic_load_explicit((_Atomic uint32_t *)(void *)at, order);
}

static void store32(uint8_t *at, uint32_t value, memory_order order)
{
    atomic_store_explicit((_Atomic uint32_t *)(void *)at, value, order);
}

static uint64_t load64(uint8_t *at)
{
    return atomic_load_explicit((_Atomic uint64_t *)(void *)at,
                                memory_order_relaxed);
}

static void store64(uint8_t *at, uint64_t value)
{
    atomic_store_explicit((_Atomic uint64_t *)(void *)at, value,
                          memory_order_relaxed);
}

void shmring_fence(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

const char *shmring_violation_name(enum shmring_violation violation)
{
    switch (violation) {
    case SHMRING_OK:
        return "ok";
    case SHMRING_V_INDEX:
        return "index";
    case SHMRING_V_BUFFER_ID:
        return "buffer_id";
    case SHMRING_V_RANGE:
        return "range";
    case SHMRING_V_CHAIN:
        return "chain";
    case SHMRING_V_FRAME_LENGTH:
        return "frame_length";
    case SHMRING_V_FLAGS:
        return "flags";
    case SHMRING_V_CHECKSUM:
        return "checksum";
    case SHMRING_V_SEGMENTATION:
        return "segmentation";
    }
    return "unknown";
}

/*
 * Rings.
 */

/* Whether a peer that waits for `event` is told of a move from old to new. */
static bool need_event(uint32_t event, uint32_t new, uint32_t old)
{
    return (uint32_t)(new - event - 1) < (uint32_t)(new - old);
}

static uint8_t *desc_at(const struct shmring_ring *ring, uint32_t index)
{
    return ring->desc + (size_t)(index & (ring->entries - 1)) * DESC_LEN;
}

/* Consumer: what can be taken without another look. */
static uint32_t ready(const struct shmring_ring *ring)
{
    return ring->peer - ring->own;
}

static bool consumer_refresh(struct shmring_ring *ring)
{
    uint32_t prod = load32(ring->ctrl + CTRL_PROD, memory_order_acquire);
    uint32_t pending = prod - ring->shown;

    if (pending > ring->entries || pending < ring->peer - ring->shown)
        return false;
    ring->peer = prod;
    return true;
}

/* Goes on at the index that the ring shows. */
static bool consumer_open(struct shmring_ring *ring)
{
    ring->own = load32(ring->ctrl + CTRL_CONS, memory_order_relaxed);
    ring->shown = ring->own;
    ring->peer = ring->own;
    return consumer_refresh(ring);
}

/* To a producer that never sleeps for room. */
static void consumer_release(struct shmring_ring *ring)
{
    if (ring->shown == ring->own)
        return;
    store32(ring->ctrl + CTRL_CONS, ring->own, memory_order_release);
    ring->shown = ring->own;
}

/* One fence for everything released; true when the producer waits for it. */
static bool consumer_release_notify(struct shmring_ring *ring)
{
    uint32_t old = ring->shown;

    if (old == ring->own)
        return false;
    consumer_release(ring);
    atomic_thread_fence(memory_order_seq_cst);
    return need_event(
        load32(ring->ctrl + CTRL_PROD_EVENT, memory_order_relaxed), ring->own,
        old);
}

static void consumer_disarm(struct shmring_ring *ring)
{
    store32(ring->ctrl + CTRL_CONS_EVENT, ring->peer - 1,
            memory_order_relaxed);
}

static void consumer_arm(struct shmring_ring *ring)
{
    store32(ring->ctrl + CTRL_CONS_EVENT, ring->peer, memory_order_relaxed);
}

/* Producer: what can be written without another look. */
static uint32_t room(const struct shmring_ring *ring)
{
    return ring->entries - (ring->own - ring->peer);
}

/* Goes on at the indices that the ring shows. */
static bool producer_open(struct shmring_ring *ring)
{
    ring->own = load32(ring->ctrl + CTRL_PROD, memory_order_relaxed);
    ring->shown = ring->own;
    ring->peer = load32(ring->ctrl + CTRL_CONS, memory_order_acquire);
    return ring->own - ring->peer <= ring->entries;
}

static bool producer_refresh(struct shmring_ring *ring)
{
    uint32_t cons = load32(ring->ctrl + CTRL_CONS, memory_order_acquire);

    if (cons - ring->peer > ring->shown - ring->peer)
        return false;
    ring->peer = cons;
    return true;
}

/* One fence for everything written. */
static bool producer_publish(struct shmring_ring *ring)
{
    uint32_t old = ring->shown;

    if (old == ring->own)
        return false;
    store32(ring->ctrl + CTRL_PROD, ring->own, memory_order_release);
    ring->shown = ring->own;
    /* Pairs with the fence of a consumer between arming and its second look:
     * one of the two sees the other's store. */
    atomic_thread_fence(memory_order_seq_cst);
    return need_event(
        load32(ring->ctrl + CTRL_CONS_EVENT, memory_order_relaxed), ring->own,
        old);
}

/* The snapshot of the n-th entry ahead; false for a reserved flag. */
static bool decode(const struct shmring_ring *ring, uint32_t n,
                   struct desc *desc)
{
    uint8_t *at = desc_at(ring, ring->own + n);
    uint64_t w0 = load64(at);
    uint64_t w1 = load64(at + 8);

    desc->id = (uint32_t)(w0 & 0xffffff);
    desc->offset = (uint16_t)(w0 >> 32);
    desc->len = (uint16_t)(w0 >> 48);
    desc->flags = (uint16_t)w1;
    desc->gso_size = (uint16_t)(w1 >> 16);
    desc->csum_start = (uint16_t)(w1 >> 32);
    desc->csum_offset = (uint8_t)(w1 >> 48);
    desc->gso_type = (uint8_t)(w1 >> 56);
    return desc->flags <= (FLAG_NEXT | FLAG_NEEDS_CSUM | FLAG_DATA_VALID);
}

/* The bytes that a descriptor names. */
static enum shmring_violation resolve(const struct shmring_classes *classes,
                                      const struct desc *desc, bool for_tx,
                                      struct shmring_span *span)
{
    for (unsigned i = 0; i < classes->len; i++) {
        const struct shmring_class *class = &classes->row[i];
        uint32_t n = desc->id - class->first_id;

        if (desc->id < class->first_id || n >= class->count)
            continue;
        if (class->tx_only && !for_tx)
            return SHMRING_V_BUFFER_ID;
        if (desc->len == 0 ||
            (uint32_t)desc->offset + desc->len > class->stride)
            return SHMRING_V_RANGE;
        span->address =
            class->base + (uint64_t)n * class->stride + desc->offset;
        span->len = desc->len;
        return SHMRING_OK;
    }
    return SHMRING_V_BUFFER_ID;
}

/*
 * Latching a region.
 */

static bool closed(uint64_t features)
{
    const uint64_t csum_users =
        SHMRING_F_TSO4 | SHMRING_F_TSO6 | SHMRING_F_USO;

    if ((features & csum_users) && !(features & SHMRING_F_TX_CSUM))
        return false;
    if ((features & SHMRING_F_RX_GSO) && !(features & SHMRING_F_RX_CSUM))
        return false;
    if ((features & SHMRING_F_FILL_LARGE) && !(features & SHMRING_F_RX_GSO))
        return false;
    return !(features & ~(SHMRING_F_RINGS | SHMRING_F_STATS)) ||
           (features & SHMRING_F_RINGS);
}

static bool latch_stats(uint8_t *region, const struct shmring_limits *limits,
                        struct shmring_attached *out)
{
    uint64_t address = load64(region + H_STATS);
    uint32_t records = (uint32_t)load64(region + H_STATS_COUNT);

    out->stats = 0;
    out->stats_count = 0;
    if (!(out->features & SHMRING_F_STATS) || address == 0)
        return true;
    if (address % 8 != 0 || records > MAX_STATS ||
        address > UINT64_MAX - (uint64_t)records * STAT_LEN ||
        address + (uint64_t)records * STAT_LEN > limits->memory)
        return false;
    out->stats = address;
    out->stats_count = records;
    return true;
}

static bool latch_classes(uint8_t *region, unsigned count,
                          const struct shmring_limits *limits,
                          struct shmring_attached *out)
{
    uint32_t next_id = 0;

    if (count == 0 || count > SHMRING_MAX_CLASSES)
        return false;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *row = region + H_CLASSES + i * CLASS_ROW;
        struct shmring_class *class = &out->classes.row[i];
        uint64_t shape;

        class->base = load64(row + CLASS_BASE);
        shape = load64(row + CLASS_SHAPE);
        class->stride = (uint32_t)shape;
        class->count = (uint32_t)(shape >> 32);
        class->first_id = (uint32_t)load64(row + CLASS_FIRST_ID);
        /* A class that covers memory as a whole starts at its first byte;
         * the tender never writes to such a buffer. */
        class->tx_only = class->base == 0;

        if (class->stride < MIN_STRIDE || class->stride > MAX_STRIDE ||
            class->count == 0 || class->count > MAX_BUFFERS ||
            class->first_id < next_id ||
            class->first_id > MAX_BUFFERS - class->count)
            return false;
        if (class->tx_only && !(out->features & SHMRING_F_MEM_CLASS))
            return false;
        uint64_t bytes = (uint64_t)class->stride * class->count;
        if (bytes > limits->memory || class->base > limits->memory - bytes)
            return false;
        next_id = class->first_id + class->count;
    }
    out->classes.len = count;
    return true;
}

/* Byte ranges of the region that queues have taken. */
struct taken {
    uint64_t from[2 * SHMRING_MAX_QUEUES];
    uint64_t to[2 * SHMRING_MAX_QUEUES];
    unsigned len;
};

static bool take(struct taken *taken, uint64_t size, uint64_t start,
                 uint64_t len, uint64_t align)
{
    if (start < H_LEN || start % align != 0 || len > size ||
        start > size - len)
        return false;
    for (unsigned i = 0; i < taken->len; i++)
        if (start + len > taken->from[i] && start < taken->to[i])
            return false;
    taken->from[taken->len] = start;
    taken->to[taken->len] = start + len;
    taken->len++;
    return true;
}

static bool latch_queue(uint8_t *region, uint64_t size, unsigned index,
                        unsigned pair, unsigned type, struct taken *taken,
                        struct shmring_ring *ring)
{
    uint8_t *row = region + H_QUEUES + index * QUEUE_ROW;
    uint64_t kinds = load64(row + QUEUE_TYPE);
    uint64_t ctrl = load64(row + QUEUE_CTRL);
    uint64_t desc = load64(row + QUEUE_DESC);
    uint64_t shape = load64(row + QUEUE_SHAPE);
    uint8_t log2 = (uint8_t)shape;

    if ((uint16_t)kinds != type || (uint16_t)(kinds >> 16) != pair)
        return false;
    if (log2 == 0 || log2 > QUEUE_MAX_LOG2 ||
        (uint8_t)(shape >> 8) != DESC_LOG2)
        return false;
    memset(ring, 0, sizeof *ring);
    ring->entries = UINT32_C(1) << log2;
    if (!take(taken, size, ctrl, CTRL_LEN, CTRL_ALIGN) ||
        !take(taken, size, desc, (uint64_t)ring->entries * DESC_LEN, DESC_LEN))
        return false;
    ring->ctrl = region + ctrl;
    ring->desc = region + desc;
    return true;
}

static enum shmring_attach_error
latch_pairs(uint8_t *region, uint64_t size, unsigned queues,
            const struct shmring_limits *limits, struct shmring_attached *out)
{
    const bool large = out->features & SHMRING_F_FILL_LARGE;
    const unsigned each = large ? 4 : 3;
    struct taken taken = {.len = 0};

    if (queues == 0 || queues > SHMRING_MAX_QUEUES || queues % each != 0 ||
        queues / each > limits->max_pairs)
        return SHMRING_E_QUEUE;
    for (unsigned i = 0; i < queues / each; i++) {
        struct shmring_pair *pair = &out->pair[i];

        memset(pair, 0, sizeof *pair);
        if (!latch_queue(region, size, each * i, i, QUEUE_TX, &taken,
                         &pair->tx.ring) ||
            !latch_queue(region, size, each * i + 1, i, QUEUE_FILL, &taken,
                         &pair->rx.fill) ||
            !latch_queue(region, size, each * i + 2, i, QUEUE_RX, &taken,
                         &pair->rx.rx) ||
            (large && !latch_queue(region, size, each * i + 3, i, QUEUE_LARGE,
                                   &taken, &pair->rx.large)))
            return SHMRING_E_QUEUE;
        if ((out->features & SHMRING_F_RX_GSO) &&
            (pair->rx.fill.entries < MIN_ENTRIES_RX_GSO ||
             pair->rx.rx.entries < MIN_ENTRIES_RX_GSO))
            return SHMRING_E_QUEUE;
        if (!consumer_open(&pair->tx.ring) || !consumer_open(&pair->rx.fill) ||
            !producer_open(&pair->rx.rx) ||
            (large && !consumer_open(&pair->rx.large)))
            return SHMRING_E_INDEX;
        pair->tx.classes = pair->rx.classes = &out->classes;
        pair->tx.features = pair->rx.features = out->features;
    }
    out->pairs = queues / each;
    return SHMRING_ATTACHED;
}

enum shmring_attach_error shmring_attach(uint8_t *region, uint64_t size,
                                         const struct shmring_limits *limits,
                                         struct shmring_attached *out)
{
    uint64_t version, counts;

    out->region = region;
    if (size < 4096)
        return SHMRING_E_REGION;
    if (load64(region + H_MAGIC) != SHMRING_MAGIC)
        return SHMRING_E_MAGIC;
    version = load64(region + H_VERSION);
    if ((uint16_t)version != SHMRING_MAJOR)
        return SHMRING_E_VERSION;
    if (version >> 32 != H_LEN || load64(region + H_REGION_SIZE) != size)
        return SHMRING_E_MAGIC;
    out->features = load64(region + H_FEATURES_ACCEPTED);
    if ((out->features & ~limits->offered) || !closed(out->features))
        return SHMRING_E_FEATURES;
    if (!latch_stats(region, limits, out))
        return SHMRING_E_STATS;
    counts = load64(region + H_COUNTS);
    out->pairs = 0;
    out->classes.len = 0;
    if (!(out->features & SHMRING_F_RINGS))
        return SHMRING_ATTACHED;
    if (!latch_classes(region, (uint16_t)(counts >> 16), limits, out))
        return SHMRING_E_CLASS;
    return latch_pairs(region, size, (uint16_t)counts, limits, out);
}

void shmring_accept(struct shmring_attached *attached, uint32_t epoch)
{
    store32(attached->region + H_TENDER_STATUS, 0, memory_order_relaxed);
    store32(attached->region + H_EPOCH, epoch, memory_order_release);
}

void shmring_set_broken(struct shmring_attached *attached,
                        enum shmring_violation violation)
{
    store32(attached->region + H_TENDER_STATUS,
            SHMRING_STATUS_BROKEN | (uint32_t)violation << STATUS_REASON,
            memory_order_release);
}

void shmring_offer(uint8_t u[SHMRING_OFFER_LEN],
                   const struct shmring_limits *limits)
{
    const uint16_t words[4] = {SHMRING_MAJOR, SHMRING_MINOR, SHMRING_PORT,
                               limits->max_pairs};

    for (unsigned i = 0; i < 4; i++) {
        u[2 * i] = (uint8_t)words[i];
        u[2 * i + 1] = (uint8_t)(words[i] >> 8);
    }
    for (unsigned i = 0; i < 8; i++)
        u[8 + i] = (uint8_t)(limits->offered >> (8 * i));
}

/*
 * Frames from the guest.
 */

enum shmring_violation shmring_tx_refresh(struct shmring_tx *tx,
                                          uint32_t *found)
{
    if (tx->broken == SHMRING_OK && !consumer_refresh(&tx->ring))
        tx->broken = SHMRING_V_INDEX;
    *found = tx->broken == SHMRING_OK ? ready(&tx->ring) : 0;
    return tx->broken;
}

static enum shmring_violation check_offloads(const struct shmring_tx *tx,
                                             const struct desc *first,
                                             struct shmring_tx_frame *frame)
{
    uint64_t feature;

    if (first->flags & FLAG_DATA_VALID)
        return SHMRING_V_FLAGS;
    if (first->flags & FLAG_NEEDS_CSUM) {
        uint32_t end = (uint32_t)first->csum_start + first->csum_offset + 2;

        if (!(tx->features & SHMRING_F_TX_CSUM) || end > first->len)
            return SHMRING_V_CHECKSUM;
        frame->csum = true;
        frame->csum_start = first->csum_start;
        frame->csum_offset = first->csum_offset;
    }
    if (first->gso_type == SHMRING_GSO_NONE)
        return SHMRING_OK;
    switch (first->gso_type) {
    case SHMRING_GSO_TCPV4:
    case SHMRING_GSO_TCPV4 | SHMRING_GSO_ECN:
        feature = SHMRING_F_TSO4;
        break;
    case SHMRING_GSO_TCPV6:
    case SHMRING_GSO_TCPV6 | SHMRING_GSO_ECN:
        feature = SHMRING_F_TSO6;
        break;
    case SHMRING_GSO_UDP_L4:
        feature = SHMRING_F_USO;
        break;
    default:
        return SHMRING_V_SEGMENTATION;
    }
    if (!(tx->features & feature) || first->gso_size == 0 || !frame->csum)
        return SHMRING_V_SEGMENTATION;
    frame->gso_type = first->gso_type;
    frame->gso_size = first->gso_size;
    return SHMRING_OK;
}

static enum shmring_violation walk(const struct shmring_tx *tx,
                                   struct shmring_tx_frame *frame)
{
    uint32_t have = ready(&tx->ring);
    struct desc first, desc;
    enum shmring_violation violation;

    if (have == 0)
        return SHMRING_OK;
    if (!decode(&tx->ring, 0, &first))
        return SHMRING_V_FLAGS;
    desc = first;
    for (;;) {
        violation = resolve(tx->classes, &desc, true,
                            &frame->span[frame->count]);
        if (violation != SHMRING_OK)
            return violation;
        frame->len += desc.len;
        frame->count++;
        if (!(desc.flags & FLAG_NEXT))
            break;
        if (frame->count == SHMRING_MAX_FRAGS || frame->count == have)
            return SHMRING_V_CHAIN;
        if (!decode(&tx->ring, frame->count, &desc))
            return SHMRING_V_FLAGS;
        /* Only the first says more than where bytes lie. */
        if ((desc.flags & ~FLAG_NEXT) || desc.gso_type || desc.gso_size ||
            desc.csum_start || desc.csum_offset)
            return SHMRING_V_FLAGS;
    }
    if (frame->len < SHMRING_MIN_FRAME || frame->len > SHMRING_MAX_FRAME)
        return SHMRING_V_FRAME_LENGTH;
    return check_offloads(tx, &first, frame);
}

enum shmring_violation shmring_tx_next(struct shmring_tx *tx,
                                       struct shmring_tx_frame *frame)
{
    frame->count = 0;
    frame->len = 0;
    frame->csum = false;
    frame->csum_start = 0;
    frame->csum_offset = 0;
    frame->gso_type = SHMRING_GSO_NONE;
    frame->gso_size = 0;
    if (tx->broken == SHMRING_OK)
        tx->broken = walk(tx, frame);
    if (tx->broken == SHMRING_OK)
        tx->ring.own += frame->count;
    else
        frame->count = 0;
    return tx->broken;
}

bool shmring_tx_release(struct shmring_tx *tx)
{
    return consumer_release_notify(&tx->ring);
}

void shmring_tx_arm(struct shmring_tx *tx)
{
    consumer_arm(&tx->ring);
}

void shmring_tx_disarm(struct shmring_tx *tx)
{
    consumer_disarm(&tx->ring);
}

/*
 * Frames to the guest.
 */

static bool has_large(const struct shmring_rx *rx)
{
    return rx->features & SHMRING_F_FILL_LARGE;
}

/* Whether the large buffer and the first of the others hold any frame. */
static bool large_usable(const struct shmring_rx *rx)
{
    return rx->count > 0 && rx->held_large.len > 0 &&
           rx->held[0].len + rx->held_large.len >= SHMRING_MAX_FRAME;
}

/* The n-th buffer of the next frame. */
static const struct shmring_span *nth(const struct shmring_rx *rx, unsigned n)
{
    return n == 1 && large_usable(rx) ? &rx->held_large : &rx->held[n];
}

/* How many it may take. */
static unsigned planned(const struct shmring_rx *rx)
{
    return large_usable(rx) ? 2 : rx->count;
}

/* Whether the held buffers are enough for any frame, and RX has an entry for
 * each. */
static bool suffices(const struct shmring_rx *rx)
{
    uint32_t wanted = (rx->features & SHMRING_F_RX_GSO) ? SHMRING_MAX_FRAME : 1;
    bool enough = large_usable(rx) || rx->bytes >= wanted ||
                  rx->count == SHMRING_MAX_FRAGS;

    return enough && planned(rx) <= room(&rx->rx);
}

/* The n-th entry of FILL or LARGE ahead. */
static enum shmring_violation check_lent(const struct shmring_rx *rx,
                                         const struct shmring_ring *ring,
                                         uint32_t n, struct shmring_lent *lent,
                                         struct shmring_span *span)
{
    struct desc desc;

    if (!decode(ring, n, &desc) || desc.flags || desc.gso_type ||
        desc.gso_size || desc.csum_start || desc.csum_offset)
        return SHMRING_V_FLAGS;
    lent->id = desc.id;
    lent->offset = desc.offset;
    return resolve(rx->classes, &desc, false, span);
}

static enum shmring_violation top_up_large(struct shmring_rx *rx)
{
    if (!has_large(rx) || rx->held_large.len > 0)
        return SHMRING_OK;
    if (ready(&rx->large) == 0) {
        if (!consumer_refresh(&rx->large))
            return SHMRING_V_INDEX;
        if (ready(&rx->large) == 0)
            return SHMRING_OK;
    }
    return check_lent(rx, &rx->large, 0, &rx->lent_large, &rx->held_large);
}

/* Changes nothing once the held buffers are enough: the kernel may have
 * written to them. */
static enum shmring_violation top_up(struct shmring_rx *rx)
{
    uint32_t usable = SHMRING_MAX_FRAGS;
    enum shmring_violation violation;

    if (suffices(rx))
        return SHMRING_OK;
    violation = top_up_large(rx);
    if (violation != SHMRING_OK)
        return violation;
    if (ready(&rx->fill) < usable && !consumer_refresh(&rx->fill))
        return SHMRING_V_INDEX;
    if (room(&rx->rx) < usable && !producer_refresh(&rx->rx))
        return SHMRING_V_INDEX;
    if (usable > ready(&rx->fill))
        usable = ready(&rx->fill);
    if (usable > room(&rx->rx))
        usable = room(&rx->rx);
    while (rx->count < usable && !suffices(rx)) {
        violation = check_lent(rx, &rx->fill, rx->count, &rx->lent[rx->count],
                               &rx->held[rx->count]);
        if (violation != SHMRING_OK)
            return violation;
        rx->bytes += rx->held[rx->count].len;
        rx->count++;
    }
    return SHMRING_OK;
}

enum shmring_violation shmring_rx_buffers(struct shmring_rx *rx,
                                          const struct shmring_span **spans,
                                          unsigned *count)
{
    if (rx->broken == SHMRING_OK)
        rx->broken = top_up(rx);
    *count = rx->broken == SHMRING_OK && suffices(rx) ? planned(rx) : 0;
    *spans = rx->held;
    if (large_usable(rx)) {
        rx->two[0] = *nth(rx, 0);
        rx->two[1] = *nth(rx, 1);
        *spans = rx->two;
    }
    return rx->broken;
}

/* Takes the first `used` of FILL's buffers. */
static void use_small(struct shmring_rx *rx, unsigned used)
{
    for (unsigned i = 0; i < used; i++)
        rx->bytes -= rx->held[i].len;
    rx->fill.own += used;
    rx->count -= used;
    memmove(rx->held, rx->held + used, rx->count * sizeof rx->held[0]);
    memmove(rx->lent, rx->lent + used, rx->count * sizeof rx->lent[0]);
}

bool shmring_rx_commit(struct shmring_rx *rx, uint32_t len,
                       struct shmring_rx_info info)
{
    const bool large = large_usable(rx);
    uint32_t rest = len;
    unsigned used = 0;

    while (used < planned(rx) && rest > nth(rx, used)->len)
        rest -= nth(rx, used++)->len;
    if (rx->broken != SHMRING_OK || !suffices(rx) || len == 0 ||
        used == planned(rx))
        return false;
    used++;
    rest = len;
    for (unsigned i = 0; i < used; i++) {
        const struct shmring_lent *lent =
            large && i == 1 ? &rx->lent_large : &rx->lent[i];
        const uint32_t lent_len = nth(rx, i)->len;
        uint32_t part = rest < lent_len ? rest : lent_len;
        uint64_t w0 = (uint64_t)lent->id | (uint64_t)lent->offset << 32 |
                      (uint64_t)part << 48;
        uint64_t w1 = i + 1 < used ? FLAG_NEXT : 0;
        uint8_t *at = desc_at(&rx->rx, rx->rx.own);

        if (i == 0) {
            w1 |= info.csum_valid ? FLAG_DATA_VALID : 0;
            w1 |= (uint64_t)info.gso_size << 16;
            w1 |= (uint64_t)info.gso_type << 56;
        }
        store64(at, w0);
        store64(at + 8, w1);
        rx->rx.own++;
        rest -= part;
    }
    if (large && used == 2) {
        rx->large.own++;
        rx->held_large.len = 0;
        used = 1;
    }
    use_small(rx, used);
    return true;
}

bool shmring_rx_publish(struct shmring_rx *rx)
{
    consumer_release(&rx->fill);
    if (has_large(rx))
        consumer_release(&rx->large);
    return producer_publish(&rx->rx);
}

enum shmring_violation shmring_rx_pending(struct shmring_rx *rx, bool *pending)
{
    if (rx->broken == SHMRING_OK && !producer_refresh(&rx->rx))
        rx->broken = SHMRING_V_INDEX;
    *pending = rx->broken == SHMRING_OK && rx->rx.own != rx->rx.peer;
    return rx->broken;
}

void shmring_rx_arm_fill(struct shmring_rx *rx)
{
    consumer_arm(&rx->fill);
    if (has_large(rx))
        consumer_arm(&rx->large);
}

void shmring_rx_disarm_fill(struct shmring_rx *rx)
{
    consumer_disarm(&rx->fill);
    if (has_large(rx))
        consumer_disarm(&rx->large);
}
