/*
 * shmring_service.h: the tender's side of shared-memory rings.
 *
 * Latches a region that a guest has laid out in its own memory, then checks
 * every index and descriptor on a private snapshot. Nothing here touches
 * packet bytes: what comes out are checked ranges of guest memory. The ABI is
 * written down in shmring/ABI.md of the zerohop project.
 *
 * Needs C11 atomics and nothing of Solo5.
 */
#ifndef SHMRING_SERVICE_H
#define SHMRING_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The manifest entry through which a tender offers rings. */
#define SHMRING_OFFER_NAME "shmring"
#define SHMRING_OFFER_TYPE ((UINT32_C(1) << 30) | UINT32_C(0x5a52))
#define SHMRING_OFFER_LEN  16

#define SHMRING_MAGIC UINT64_C(0x31474e49524d4853) /* "SHMRING1" */
#define SHMRING_MAJOR 1
#define SHMRING_MINOR 1

/* Ports, from SHMRING_PORT on. */
#define SHMRING_PORT        0x610
#define SHMRING_PORT_ATTACH 0
#define SHMRING_PORT_WAIT   1
#define SHMRING_PORT_RESET  2
#define SHMRING_PORT_KICK   4
#define SHMRING_PORTS       8

/* Features. */
#define SHMRING_F_RINGS      (UINT64_C(1) << 0)
#define SHMRING_F_STATS      (UINT64_C(1) << 1)
#define SHMRING_F_TX_CSUM    (UINT64_C(1) << 2)
#define SHMRING_F_RX_CSUM    (UINT64_C(1) << 3)
#define SHMRING_F_TSO4       (UINT64_C(1) << 4)
#define SHMRING_F_TSO6       (UINT64_C(1) << 5)
#define SHMRING_F_USO        (UINT64_C(1) << 6)
#define SHMRING_F_RX_GSO     (UINT64_C(1) << 7)
#define SHMRING_F_MEM_CLASS  (UINT64_C(1) << 8)
#define SHMRING_F_FILL_LARGE (UINT64_C(1) << 9)
#define SHMRING_F_ALL        ((UINT64_C(1) << 10) - 1)

/* virtio's segmentation types. */
#define SHMRING_GSO_NONE   0
#define SHMRING_GSO_TCPV4  1
#define SHMRING_GSO_TCPV6  4
#define SHMRING_GSO_UDP_L4 5
#define SHMRING_GSO_ECN    0x80

#define SHMRING_MAX_CLASSES 4
#define SHMRING_MAX_QUEUES  32
#define SHMRING_MAX_PAIRS   (SHMRING_MAX_QUEUES / 3)
#define SHMRING_MAX_FRAGS   34
#define SHMRING_MIN_FRAME   14
#define SHMRING_MAX_FRAME   65549

/* Why a region was refused; the number is what the guest gets back. */
enum shmring_attach_error {
    SHMRING_ATTACHED = 0,
    SHMRING_E_REGION = 1, /* outside guest memory, or not page-aligned */
    SHMRING_E_MAGIC = 2, /* another magic number, header or size */
    SHMRING_E_VERSION = 3, /* another major version */
    SHMRING_E_FEATURES = 4, /* not offered, or not closed */
    SHMRING_E_CLASS = 5, /* a class is malformed or outside memory */
    SHMRING_E_QUEUE = 6, /* a queue is malformed or outside the region */
    SHMRING_E_STATS = 7, /* the statistics table is outside memory */
    SHMRING_E_HANDLE = 8, /* no such device, or it is attached already */
    SHMRING_E_INDEX = 9, /* indices further apart than their ring is long */
};

/* The tender's status word; bits 15:8 hold the violation. */
#define SHMRING_STATUS_BROKEN (UINT32_C(1) << 1)

/* What a guest did that breaks a queue. The queue is not served any more. */
enum shmring_violation {
    SHMRING_OK = 0,
    SHMRING_V_INDEX = 1, /* further from ours than the ring is long, or back */
    SHMRING_V_BUFFER_ID, /* a buffer of no class */
    SHMRING_V_RANGE, /* bytes outside their buffer, or none */
    SHMRING_V_CHAIN, /* too long, or without an end */
    SHMRING_V_FRAME_LENGTH, /* too short or too long */
    SHMRING_V_FLAGS, /* reserved, or with no place here */
    SHMRING_V_CHECKSUM, /* outside the first fragment, or not negotiated */
    SHMRING_V_SEGMENTATION, /* unknown, not negotiated, or without a size */
};

/* A short name for logs. */
const char *shmring_violation_name(enum shmring_violation violation);

struct shmring_limits {
    uint64_t offered; /* features */
    uint16_t max_pairs;
    uint64_t memory; /* bytes of guest memory; every buffer lies below */
};

/* Checked bytes of guest memory, by guest-physical address. */
struct shmring_span {
    uint64_t address;
    uint32_t len;
};

struct shmring_class {
    uint64_t base;
    uint32_t stride;
    uint32_t count;
    uint32_t first_id;
    bool tx_only;
};

struct shmring_classes {
    struct shmring_class row[SHMRING_MAX_CLASSES];
    unsigned len;
};

/* One end of a ring. `own` is the index of this side, `shown` what the peer
 * can see of it, `peer` the last good value of the peer's index. */
struct shmring_ring {
    uint8_t *ctrl;
    uint8_t *desc;
    uint32_t entries;
    uint32_t own;
    uint32_t shown;
    uint32_t peer;
};

/* A checked frame to send. */
struct shmring_tx_frame {
    struct shmring_span span[SHMRING_MAX_FRAGS];
    unsigned count;
    uint32_t len;
    bool csum;
    uint16_t csum_start;
    uint16_t csum_offset;
    uint8_t gso_type; /* SHMRING_GSO_NONE: not segmented */
    uint16_t gso_size;
};

struct shmring_tx {
    struct shmring_ring ring;
    const struct shmring_classes *classes;
    uint64_t features;
    enum shmring_violation broken;
};

/* Offload facts of a frame for the guest. */
struct shmring_rx_info {
    bool csum_valid;
    uint8_t gso_type;
    uint16_t gso_size;
};

/* A buffer that the guest has lent, checked once. */
struct shmring_lent {
    uint32_t id;
    uint16_t offset;
};

struct shmring_rx {
    struct shmring_ring fill;
    struct shmring_ring large; /* with FILL_LARGE */
    struct shmring_ring rx;
    const struct shmring_classes *classes;
    uint64_t features;
    enum shmring_violation broken;
    /* From FILL, used in order. */
    struct shmring_lent lent[SHMRING_MAX_FRAGS];
    struct shmring_span held[SHMRING_MAX_FRAGS];
    unsigned count;
    uint32_t bytes; /* of them */
    /* From LARGE; of length 0 for none. */
    struct shmring_lent lent_large;
    struct shmring_span held_large;
    /* The first of held and the large one, for the next frame. */
    struct shmring_span two[2];
};

struct shmring_pair {
    struct shmring_tx tx;
    struct shmring_rx rx;
};

/* A region that was checked and latched. Pairs point into it: do not copy. */
struct shmring_attached {
    uint8_t *region;
    uint64_t features;
    struct shmring_classes classes;
    struct shmring_pair pair[SHMRING_MAX_PAIRS];
    unsigned pairs;
    uint64_t stats; /* guest-physical address of the table, 0 for none */
    uint32_t stats_count;
};

/* Fills in the 16 bytes of the manifest entry. */
void shmring_offer(uint8_t u[SHMRING_OFFER_LEN],
                   const struct shmring_limits *limits);

/*
 * Checks the region, `size` bytes at `region` (aligned to 8), and latches it.
 * Each constant is read once. After a refusal `out` is not to be used.
 */
enum shmring_attach_error shmring_attach(uint8_t *region, uint64_t size,
                                         const struct shmring_limits *limits,
                                         struct shmring_attached *out);

/* Tells the guest that its rings are served, in its device's epoch-th region. */
void shmring_accept(struct shmring_attached *attached, uint32_t epoch);
/* Tells the guest that its rings are closed, and why. */
void shmring_set_broken(struct shmring_attached *attached,
                        enum shmring_violation violation);

/* Looks for frames; their descriptors into `ready`. */
enum shmring_violation shmring_tx_refresh(struct shmring_tx *tx,
                                          uint32_t *ready);
/*
 * Takes the next frame that is ready, or leaves frame->count 0. The guest may
 * not reuse its bytes before shmring_tx_release().
 */
enum shmring_violation shmring_tx_next(struct shmring_tx *tx,
                                       struct shmring_tx_frame *frame);
/* Gives back all frames taken; true when the guest waits for that. */
bool shmring_tx_release(struct shmring_tx *tx);
/* Asks for a kick; a fence and shmring_tx_refresh() before sleeping. */
void shmring_tx_arm(struct shmring_tx *tx);
void shmring_tx_disarm(struct shmring_tx *tx);

/*
 * Buffers for the next frame, at `spans`: one, or with RX_GSO as many as a
 * coalesced frame may need, which are one and a large one where the guest has
 * lent such. `count` is 0 when it has lent too few or has no room: a frame is
 * never cut. They stay the same until some were used.
 */
enum shmring_violation shmring_rx_buffers(struct shmring_rx *rx,
                                          const struct shmring_span **spans,
                                          unsigned *count);
/*
 * A frame of `len` bytes lies in the first of these: writes its descriptors.
 * False, and nothing written, when they do not hold `len` bytes.
 */
bool shmring_rx_commit(struct shmring_rx *rx, uint32_t len,
                       struct shmring_rx_info info);
/* Hands over what was committed; true when the guest sleeps. */
bool shmring_rx_publish(struct shmring_rx *rx);
/* Whether the guest has not taken all frames yet. */
enum shmring_violation shmring_rx_pending(struct shmring_rx *rx,
                                          bool *pending);
/* Asks for a kick when buffers of either kind are lent; a fence, then look
 * again. */
void shmring_rx_arm_fill(struct shmring_rx *rx);
void shmring_rx_disarm_fill(struct shmring_rx *rx);

/* Between arming and the second look. */
void shmring_fence(void);

#endif /* SHMRING_SERVICE_H */
