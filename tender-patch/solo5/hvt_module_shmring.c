/*
 * hvt_module_shmring.c: shared-memory rings for network devices.
 *
 * An image asks for them by a manifest entry of a reserved type, which tenders
 * without this module skip. For such an image the module takes `--net:` before
 * the net module does, opens the tap with a virtio-net header, and serves the
 * rings on the vCPU's thread: the guest hands over a batch by one exit, and
 * sleeps in it. Any other image is left to the net module.
 *
 * Order matters: hvt_MODULES="blk shmring net".
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hvt.h"

#if defined(__linux__) && defined(__x86_64__)

#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#include "../common/tap_attach.h"
#include "hvt_kvm.h"
#include "solo5.h"

/* Solo5's makefile builds one file for each module. */
#include "shmring_service.c"

/*
 * Solo5 has its own ring, and a seccomp filter that allows read() and write()
 * but not their vectored forms, since 0.11.
 */
#if __has_include("hvt_ring.h")
#define GUEST_MEMORY(hvt) ((hvt)->guest_mem_size)
#ifndef SHMRING_VECTORED
#define SHMRING_VECTORED 0
#endif
#else
#define GUEST_MEMORY(hvt) ((hvt)->mem_size)
#ifndef SHMRING_VECTORED
#define SHMRING_VECTORED 1
#endif
#endif

#define RX_BUDGET 64 /* frames read from a tap before the guest sees them */
#define TX_BUDGET 256 /* frames taken before anything else has its turn */
#define SAID      16 /* faults of a guest that are told */
#define TIMER     UINT64_MAX

#define OFFLOADS                                                               \
    (SHMRING_F_TX_CSUM | SHMRING_F_RX_CSUM | SHMRING_F_TSO4 |                  \
     SHMRING_F_TSO6 | SHMRING_F_RX_GSO | SHMRING_F_FILL_LARGE)

/* struct virtio_net_hdr, in front of each frame on a tap opened with it. */
struct vnet_hdr {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t hdr_len;
    uint16_t gso_size;
    uint16_t csum_start;
    uint16_t csum_offset;
};
_Static_assert(sizeof(struct vnet_hdr) == 10, "no padding");
#define VNET_NEEDS_CSUM 1
#define VNET_DATA_VALID 2

struct nic {
    unsigned handle;
    int fd;
    bool ours; /* opened here, not by the net module */
    bool vnet;
    bool attached;
    bool starved; /* the guest has lent too few buffers */
    uint32_t epoch;
    struct shmring_attached rings;
};

static struct nic *nics;
static unsigned nnics;
static struct shmring_limits limits;
static int waitset = -1;
static int timer = -1;
static uint64_t opened; /* handles of taps that handle_cmdarg() opened */
static uint64_t opened_vnet;

/* A frame with its header, where it cannot be read or written in place. */
static union {
    struct vnet_hdr hdr;
    uint8_t bytes[sizeof(struct vnet_hdr) + SHMRING_MAX_FRAME];
} bounce;

/*
 * Guest memory that the tender itself must not touch, because elf_load() has
 * protected it: a store there would be a fault of the tender.
 */
static struct hole {
    uint64_t from, to;
    bool readable;
} holes[128];
static unsigned nholes;

static int find_holes(struct hvt *hvt)
{
    uint64_t base = (uintptr_t)hvt->mem, end = base + GUEST_MEMORY(hvt);
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");

    if (maps == NULL)
        return -1;
    while (fgets(line, sizeof line, maps)) {
        uint64_t from, to;
        char r, w;

        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %c%c", &from, &to, &r, &w) !=
                4 ||
            to <= base || from >= end || (r == 'r' && w == 'w'))
            continue;
        if (nholes == sizeof holes / sizeof holes[0]) {
            fclose(maps);
            return -1;
        }
        holes[nholes].from = from > base ? from - base : 0;
        holes[nholes].to = to - base;
        holes[nholes].readable = r == 'r';
        nholes++;
    }
    fclose(maps);
    return 0;
}

static bool touchable(uint64_t gpa, uint64_t len, bool write)
{
    for (unsigned i = 0; i < nholes; i++)
        if (gpa < holes[i].to && gpa + len > holes[i].from &&
            (write || !holes[i].readable))
            return false;
    return true;
}

/* Whether a fault of the guest's is told: it could fill a disk with them. */
static bool may_say(void)
{
    static unsigned said;

    return said < SAID && ++said;
}

/* The guest's argument; it may lie unaligned. */
static void *argument(struct hvt *hvt, hvt_gpa_t gpa, size_t len)
{
    void *at = HVT_CHECKED_GPA_P(hvt, gpa, len);

    if (!touchable(gpa, len, true))
        errx(1, "Invalid guest access: gpa=0x%" PRIx64 " is read-only", gpa);
    return at;
}

static struct nic *find_nic(uint64_t handle)
{
    for (unsigned i = 0; i < nnics; i++)
        if (nics[i].handle == handle)
            return &nics[i];
    return NULL;
}

/*
 * Taps.
 */

/* The MTU of the interface that `ifr` names. */
static int read_mtu(struct ifreq *ifr)
{
    int rc, sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (sock == -1)
        return -1;
    rc = ioctl(sock, SIOCGIFMTU, ifr);
    close(sock);
    return rc == -1 ? -1 : ifr->ifr_mtu;
}

/* Opens IFACE, or takes @FD over. */
static int open_tap(const char *spec, int *mtu, bool *vnet)
{
    struct ifreq ifr;
    int fd, size = sizeof(struct vnet_hdr);

    memset(&ifr, 0, sizeof ifr);
    errno = 0;
    if (spec[0] == '@') {
        fd = tap_attach(spec, mtu);
        if (fd == -1 || ioctl(fd, TUNGETIFF, &ifr) == -1)
            return -1;
    } else {
        if (strlen(spec) >= IFNAMSIZ || if_nametoindex(spec) == 0)
            return -1;
        fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (fd == -1)
            return -1;
        ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
        strncpy(ifr.ifr_name, spec, IFNAMSIZ - 1);
        if (ioctl(fd, TUNSETIFF, &ifr) == -1)
            return -1;
    }
    *vnet = ifr.ifr_flags & IFF_VNET_HDR;
    /* A tap keeps these from its last user. */
    if (*vnet && (ioctl(fd, TUNSETVNETHDRSZ, &size) == -1 ||
                  ioctl(fd, TUNSETOFFLOAD, 0UL) == -1))
        return -1;
    *mtu = read_mtu(&ifr);
    if (*mtu == -1)
        *mtu = 1500; /* a descriptor from another network namespace */
    return fd;
}

static void set_offloads(struct nic *nic, uint64_t features)
{
    unsigned long bits = 0;

    if (!nic->vnet)
        return;
    if (features & SHMRING_F_RX_CSUM)
        bits |= TUN_F_CSUM;
    if (features & SHMRING_F_RX_GSO)
        bits |= TUN_F_TSO4 | TUN_F_TSO6;
    if (ioctl(nic->fd, TUNSETOFFLOAD, bits) == -1)
        warn("TUNSETOFFLOAD failed, frames arrive one by one");
}

/* A tap that outlives the tender keeps its offloads: the next may not know them. */
static void restore_taps(void)
{
    for (unsigned i = 0; i < nnics; i++)
        if (nics[i].vnet)
            (void)ioctl(nics[i].fd, TUNSETOFFLOAD, 0UL);
}

/*
 * Sends `span[count]` behind `hdr`. One write() where the frame is one piece
 * and the tap has no header, or where vectors are allowed; else by a copy.
 */
static bool tap_send(struct hvt *hvt, struct nic *nic,
                     const struct vnet_hdr *hdr,
                     const struct shmring_span *span, unsigned count)
{
    size_t len = nic->vnet ? sizeof *hdr : 0;

    if (SHMRING_VECTORED) {
        struct iovec iov[1 + SHMRING_MAX_FRAGS];
        unsigned n = 0;

        bounce.hdr = *hdr;
        if (nic->vnet)
            iov[n++] = (struct iovec){&bounce.hdr, sizeof *hdr};
        for (unsigned i = 0; i < count; i++)
            iov[n++] =
                (struct iovec){hvt->mem + span[i].address, span[i].len};
        return writev(nic->fd, iov, n) != -1;
    }
    if (!nic->vnet && count == 1)
        return write(nic->fd, hvt->mem + span->address, span->len) != -1;
    bounce.hdr = *hdr;
    for (unsigned i = 0; i < count; i++) {
        memcpy(bounce.bytes + len, hvt->mem + span[i].address, span[i].len);
        len += span[i].len;
    }
    return write(nic->fd, bounce.bytes, len) != -1;
}

/* Reads a frame into `span[count]`; its length, 0 for none, or -1 for one
 * that does not fit. */
static ssize_t tap_receive(struct hvt *hvt, struct nic *nic,
                           struct vnet_hdr *hdr,
                           const struct shmring_span *span, unsigned count)
{
    size_t head = nic->vnet ? sizeof *hdr : 0;
    ssize_t got;

    memset(hdr, 0, sizeof *hdr);
    if (SHMRING_VECTORED) {
        struct iovec iov[1 + SHMRING_MAX_FRAGS];
        unsigned n = 0;

        if (nic->vnet)
            iov[n++] = (struct iovec){hdr, sizeof *hdr};
        for (unsigned i = 0; i < count; i++)
            iov[n++] =
                (struct iovec){hvt->mem + span[i].address, span[i].len};
        got = readv(nic->fd, iov, n);
        return got <= (ssize_t)head ? 0 : got - (ssize_t)head;
    }
    if (!nic->vnet) {
        got = read(nic->fd, hvt->mem + span->address, span->len);
        return got < 0 ? 0 : got;
    }
    got = read(nic->fd, bounce.bytes, sizeof bounce.bytes);
    if (got <= (ssize_t)head)
        return 0;
    *hdr = bounce.hdr;
    for (size_t at = head, i = 0; at < (size_t)got; i++) {
        size_t part = (size_t)got - at;

        if (i == count)
            return -1;
        if (part > span[i].len)
            part = span[i].len;
        memcpy(hvt->mem + span[i].address, bounce.bytes + at, part);
        at += part;
    }
    return got - (ssize_t)head;
}

/*
 * The service of rings.
 */

static void broken(struct nic *nic, enum shmring_violation violation)
{
    if (may_say())
        warnx("network device %u: the guest broke a ring (%s), it is closed",
              nic->handle, shmring_violation_name(violation));
    nic->attached = false;
    shmring_set_broken(&nic->rings, violation);
    set_offloads(nic, 0);
}

static unsigned serve_tx(struct hvt *hvt, struct nic *nic)
{
    struct shmring_tx *tx = &nic->rings.pair[0].tx;
    struct shmring_tx_frame frame;
    unsigned count = 0;
    uint32_t ready;

    if (shmring_tx_refresh(tx, &ready) == SHMRING_OK) {
        while (count < TX_BUDGET &&
               shmring_tx_next(tx, &frame) == SHMRING_OK && frame.count) {
            struct vnet_hdr hdr = {
                .flags = frame.csum ? VNET_NEEDS_CSUM : 0,
                .gso_type = frame.gso_type,
                .hdr_len = (uint16_t)(frame.gso_type ? frame.span[0].len : 0),
                .gso_size = frame.gso_size,
                .csum_start = frame.csum_start,
                .csum_offset = frame.csum_offset,
            };
            /* A full queue drops, as a wire would. */
            (void)tap_send(hvt, nic, &hdr, frame.span, frame.count);
            count++;
        }
        (void)shmring_tx_release(tx);
    }
    if (tx->broken != SHMRING_OK)
        broken(nic, tx->broken);
    return count;
}

static struct shmring_rx_info rx_info(const struct vnet_hdr *hdr)
{
    return (struct shmring_rx_info){
        .csum_valid = hdr->flags & (VNET_NEEDS_CSUM | VNET_DATA_VALID),
        .gso_type = hdr->gso_type,
        .gso_size = hdr->gso_size,
    };
}

static unsigned serve_rx(struct hvt *hvt, struct nic *nic)
{
    struct shmring_rx *rx = &nic->rings.pair[0].rx;
    const struct shmring_span *spans;
    unsigned count = 0, usable;

    nic->starved = false;
    while (count < RX_BUDGET &&
           shmring_rx_buffers(rx, &spans, &usable) == SHMRING_OK) {
        struct vnet_hdr hdr;
        ssize_t len;

        if (usable == 0) {
            nic->starved = true;
            break;
        }
        len = tap_receive(hvt, nic, &hdr, spans, usable);
        if (len == 0)
            break;
        if (len > 0)
            (void)shmring_rx_commit(rx, (uint32_t)len, rx_info(&hdr));
        count++;
    }
    if (rx->broken != SHMRING_OK) {
        broken(nic, rx->broken);
        return count;
    }
    (void)shmring_rx_publish(rx);
    return count;
}

/* The bit of a device that has frames for the guest. */
static uint64_t has_frames(struct nic *nic)
{
    struct shmring_rx *rx = &nic->rings.pair[0].rx;
    bool pending;

    if (shmring_rx_pending(rx, &pending) != SHMRING_OK) {
        broken(nic, rx->broken);
        return UINT64_C(1) << nic->handle;
    }
    return (uint64_t)pending << nic->handle;
}

/* What epoll has found; sets *expired when it is the timer. */
static uint64_t sleep_on_taps(bool block, bool *expired)
{
    struct epoll_event events[MFT_MAX_ENTRIES + 1];
    uint64_t ready = 0;
    int n;

    do {
        n = epoll_pwait(waitset, events, MFT_MAX_ENTRIES + 1, block ? -1 : 0,
                        NULL);
    } while (n == -1 && errno == EINTR);
    for (int i = 0; i < n; i++) {
        struct nic *nic;

        if (events[i].data.u64 == TIMER) {
            *expired = true;
            continue;
        }
        nic = find_nic(events[i].data.u64);
        /* Without rings or buffers it is the guest's turn. */
        if (nic && (!nic->attached || nic->starved))
            ready |= UINT64_C(1) << nic->handle;
    }
    return ready;
}

static uint64_t serve_and_wait(struct hvt *hvt, uint64_t timeout)
{
    struct itimerspec it = {
        .it_value = {.tv_sec = (time_t)(timeout / 1000000000),
                     .tv_nsec = (long)(timeout % 1000000000)}};
    bool expired = timeout == 0, slept = false;

    if (timeout && timerfd_settime(timer, 0, &it, NULL) == -1)
        err(1, "timerfd_settime() failed");
    for (;;) {
        unsigned sent = 0, received = 0;
        uint64_t ready = 0;

        for (unsigned i = 0; i < nnics; i++) {
            struct nic *nic = &nics[i];

            if (nic->attached)
                sent += serve_tx(hvt, nic);
            if (nic->attached)
                received += serve_rx(hvt, nic);
            if (nic->attached)
                ready |= has_frames(nic);
        }
        if (ready || sent >= TX_BUDGET)
            return ready;
        if (slept && (expired || received == 0))
            return 0;
        ready = sleep_on_taps(!expired, &expired);
        if (ready || timeout == 0)
            return ready;
        slept = true;
    }
}

/*
 * Ports.
 */

static int32_t attach(struct hvt *hvt, uint64_t handle, uint64_t gpa,
                      uint64_t size)
{
    struct nic *nic = find_nic(handle);
    enum shmring_attach_error error;

    if (nic == NULL || nic->attached)
        return SHMRING_E_HANDLE;
    if (size == 0 || gpa % 4096 != 0 || size % 4096 != 0 ||
        gpa > limits.memory || size > limits.memory - gpa ||
        !touchable(gpa, size, true))
        return SHMRING_E_REGION;
    error = shmring_attach(hvt->mem + gpa, size, &limits, &nic->rings);
    if (error != SHMRING_ATTACHED)
        return error;
    for (unsigned i = 0; i < nic->rings.classes.len; i++) {
        const struct shmring_class *class = &nic->rings.classes.row[i];

        if (!touchable(class->base, (uint64_t)class->stride * class->count,
                       !class->tx_only))
            return SHMRING_E_CLASS;
    }
    if (nic->rings.pairs == 0)
        return SHMRING_E_FEATURES;
    set_offloads(nic, nic->rings.features);
    shmring_accept(&nic->rings, ++nic->epoch);
    nic->attached = true;
    return SHMRING_ATTACHED;
}

static int32_t reset(uint64_t handle)
{
    struct nic *nic = find_nic(handle);

    if (nic == NULL || !nic->attached)
        return SOLO5_R_EINVAL;
    nic->attached = false;
    set_offloads(nic, 0);
    return SOLO5_R_OK;
}

struct port_attach {
    uint64_t handle, region, region_size;
    int32_t ret;
    uint32_t reserved;
};

struct port_wait {
    uint64_t timeout, ready_set;
    int32_t ret;
    uint32_t reserved;
};

struct port_reset {
    uint64_t handle;
    int32_t ret;
    uint32_t reserved;
};

static int vmexit(struct hvt *hvt)
{
    struct kvm_run *run = hvt->b->vcpurun;
    uint32_t gpa;

    if (run->exit_reason != KVM_EXIT_IO ||
        run->io.direction != KVM_EXIT_IO_OUT || run->io.size != 4 ||
        run->io.port < SHMRING_PORT ||
        run->io.port >= SHMRING_PORT + SHMRING_PORTS)
        return -1;
    memcpy(&gpa, (uint8_t *)run + run->io.data_offset, sizeof gpa);
    switch (run->io.port - SHMRING_PORT) {
    case SHMRING_PORT_ATTACH: {
        struct port_attach arg;
        void *at = argument(hvt, gpa, sizeof arg);

        memcpy(&arg, at, sizeof arg);
        arg.ret = attach(hvt, arg.handle, arg.region, arg.region_size);
        if (arg.ret != SHMRING_ATTACHED && may_say())
            warnx("rings refused: %d", arg.ret);
        memcpy(at, &arg, sizeof arg);
        return 0;
    }
    case SHMRING_PORT_WAIT: {
        struct port_wait arg;
        void *at = argument(hvt, gpa, sizeof arg);

        memcpy(&arg, at, sizeof arg);
        arg.ready_set = serve_and_wait(hvt, arg.timeout);
        arg.ret = SOLO5_R_OK;
        memcpy(at, &arg, sizeof arg);
        return 0;
    }
    case SHMRING_PORT_RESET: {
        struct port_reset arg;
        void *at = argument(hvt, gpa, sizeof arg);

        memcpy(&arg, at, sizeof arg);
        arg.ret = reset(arg.handle);
        memcpy(at, &arg, sizeof arg);
        return 0;
    }
    case SHMRING_PORT_KICK:
        /* Nobody sleeps while the guest runs: its next wait serves. */
        return 0;
    default:
        return -1;
    }
}

/*
 * The hypercalls of the net module, for taps with a header.
 */

static void hypercall_net_write(struct hvt *hvt, hvt_gpa_t gpa)
{
    struct hvt_hc_net_write *wr = argument(hvt, gpa, sizeof *wr);
    struct nic *nic = find_nic(wr->handle);
    struct vnet_hdr hdr = {0};
    struct shmring_span span = {wr->data, (uint32_t)wr->len};

    if (nic == NULL || wr->len == 0 || wr->len > SHMRING_MAX_FRAME) {
        wr->ret = SOLO5_R_EINVAL;
        return;
    }
    (void)HVT_CHECKED_GPA_P(hvt, span.address, span.len);
    if (!touchable(span.address, span.len, false))
        wr->ret = SOLO5_R_EINVAL;
    else
        wr->ret = tap_send(hvt, nic, &hdr, &span, 1) ? SOLO5_R_OK
                                                     : SOLO5_R_EUNSPEC;
}

static void hypercall_net_read(struct hvt *hvt, hvt_gpa_t gpa)
{
    struct hvt_hc_net_read *rd = argument(hvt, gpa, sizeof *rd);
    struct nic *nic = find_nic(rd->handle);
    struct shmring_span span = {rd->data, (uint32_t)rd->len};
    struct vnet_hdr hdr;
    ssize_t len;

    if (nic == NULL || rd->len == 0 || rd->len > UINT32_MAX) {
        rd->ret = SOLO5_R_EINVAL;
        return;
    }
    (void)HVT_CHECKED_GPA_P(hvt, span.address, span.len);
    if (!touchable(span.address, span.len, true)) {
        rd->ret = SOLO5_R_EINVAL;
        return;
    }
    len = tap_receive(hvt, nic, &hdr, &span, 1);
    if (len > 0)
        rd->len = (size_t)len;
    rd->ret = len > 0 ? SOLO5_R_OK : SOLO5_R_AGAIN;
}

/*
 * The module.
 */

static struct mft_entry *find_offer(struct mft *mft)
{
    for (unsigned i = 0; i != mft->entries; i++)
        if ((uint32_t)mft->e[i].type == SHMRING_OFFER_TYPE &&
            strcmp(mft->e[i].name, SHMRING_OFFER_NAME) == 0)
            return &mft->e[i];
    return NULL;
}

static int handle_cmdarg(char *cmdarg, struct mft *mft)
{
    const char *name, *iface;
    int mtu;
    bool vnet;

    if (find_offer(mft) == NULL || strncmp(cmdarg, "--net:", 6) != 0)
        return -1;
    name = cmdarg + 6;
    iface = strchr(name, '=');
    if (iface == NULL)
        return -1;
    for (unsigned i = 0; i != mft->entries; i++) {
        struct mft_entry *e = &mft->e[i];

        if (e->type != MFT_DEV_NET_BASIC ||
            strlen(e->name) != (size_t)(iface - name) ||
            strncmp(e->name, name, (size_t)(iface - name)) != 0)
            continue;
        e->b.hostfd = open_tap(iface + 1, &mtu, &vnet);
        if (e->b.hostfd == -1)
            err(1, "Could not attach interface: %s", iface + 1);
        e->u.net_basic.mtu = (uint16_t)(mtu > UINT16_MAX ? UINT16_MAX : mtu);
        e->attached = true;
        opened |= UINT64_C(1) << i;
        if (vnet)
            opened_vnet |= UINT64_C(1) << i;
        return 0;
    }
    return -1;
}

static void add_waiter(int fd, uint64_t data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = data};

    if (epoll_ctl(waitset, EPOLL_CTL_ADD, fd, &event) == -1)
        err(1, "epoll_ctl(EPOLL_CTL_ADD) failed");
}

static void add_nic(struct mft_entry *e, unsigned handle)
{
    static const uint8_t none[6];
    struct nic *nic = &nics[nnics++];

    nic->handle = handle;
    nic->fd = e->b.hostfd;
    nic->ours = opened & (UINT64_C(1) << handle);
    nic->vnet = opened_vnet & (UINT64_C(1) << handle);
    add_waiter(nic->fd, handle);
    if (!nic->ours)
        return;
    if (memcmp(e->u.net_basic.mac, none, sizeof none) == 0)
        tap_attach_genmac(e->u.net_basic.mac);
    if (hvt_core_register_pollfd(nic->fd, handle) == -1)
        errx(1, "Could not register a tap");
}

static int setup(struct hvt *hvt, struct mft *mft)
{
    struct mft_entry *offer = find_offer(mft);

    if (offer == NULL)
        return 0;
    if (find_holes(hvt) == -1) {
        warnx("Could not read /proc/self/maps, rings are not offered");
        limits.max_pairs = 0;
    } else {
        limits.max_pairs = 1;
    }
    nics = calloc(mft->entries, sizeof *nics);
    waitset = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (nics == NULL || waitset == -1 || timer == -1)
        err(1, "Could not set up rings");
    add_waiter(timer, TIMER);

    limits.memory = GUEST_MEMORY(hvt);
    limits.offered = SHMRING_F_RINGS | SHMRING_F_MEM_CLASS | OFFLOADS;
    for (unsigned i = 0; i != mft->entries; i++) {
        if (mft->e[i].type != MFT_DEV_NET_BASIC || !mft->e[i].attached)
            continue;
        add_nic(&mft->e[i], i);
        /* There is one offer for all devices. */
        if (!nics[nnics - 1].vnet)
            limits.offered &= ~OFFLOADS;
    }
    if (opened && (hvt_core_register_hypercall(HVT_HYPERCALL_NET_WRITE,
                                               hypercall_net_write) == -1 ||
                   hvt_core_register_hypercall(HVT_HYPERCALL_NET_READ,
                                               hypercall_net_read) == -1))
        return -1;
    if (limits.max_pairs == 0)
        return 0;
    if (atexit(restore_taps) != 0)
        return -1;
    if (hvt_core_register_vmexit(vmexit) == -1)
        return -1;
    shmring_offer((uint8_t *)&offer->u, &limits);
    offer->attached = true;
    return 0;
}

#else /* another host */

static int setup(struct hvt *hvt, struct mft *mft)
{
    (void)hvt;
    (void)mft;
    return 0;
}

static int handle_cmdarg(char *cmdarg, struct mft *mft)
{
    (void)cmdarg;
    (void)mft;
    return -1;
}

#endif

DECLARE_MODULE(shmring, .setup = setup, .handle_cmdarg = handle_cmdarg)
