/* A guest that breaks every rule: it lays out a proper region, then writes garbage over indices,
 * descriptors and configuration, lies about lengths and addresses, and never stops. The command
 * line is a seed, and behind a `-` one of the acts below. Made with a C compiler alone: see
 * kvm_hostile.rs. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

/* Notes: ABI hvt version 2; a manifest of a network, a block device and rings. */
struct entry {
    char name[68];
    u32 type;
    u8 u[16];
    u64 b;
    u8 attached;
    u8 pad[7];
} __attribute__((packed));

__attribute__((used, section(".note.solo5.abi"), aligned(4))) static const struct {
    u32 namesz, descsz, type;
    char name[8];
    u32 desc[4];
} abi = {6, 16, 0x31494241, "Solo5\0\0", {1, 2, 0, 0}};

__attribute__((used, section(".note.solo5.manifest"), aligned(4))) static const struct {
    u32 namesz, descsz, type;
    char name[8];
    u32 pad, version, entries;
    struct entry entry[4];
} __attribute__((packed)) manifest = {
    6, 12 + 4 * 104, 0x3154464d, "Solo5\0\0", 0, 1, 4,
    {{.name = "", .type = 1u << 30},
     {.name = "service", .type = 2},
     {.name = "disk", .type = 1},
     {.name = "shmring", .type = 1u << 30 | 0x5a52}}};

struct boot_info {
    u64 mem_size, kernel_end, hz;
    const char *cmdline;
};

#define NIC 1
#define DISK 2
#define PORT 0x610

static u64 state;

static u64 rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static u64 below(u64 n) { return rnd() % n; }

/* A number at which somebody's arithmetic may go wrong. */
static u64 edge(u64 mem)
{
    static const u64 fixed[] = {0,          1,          0xfff,       0x1000,      0xffff,
                                0x10000,    0x7fffffff, 0x80000000,  0xffffffff,  0x100000000,
                                ~0ul,       ~0ul - 7,   ~0ul - 4095, 1ul << 63,   0x7ffffffffffffffful};
    switch (below(4)) {
    case 0:
        return fixed[below(sizeof fixed / sizeof *fixed)];
    case 1:
        return mem - below(64);
    case 2:
        return below(mem);
    default:
        return rnd();
    }
}

static void out(u16 port, const volatile void *at)
{
    __asm__ volatile("outl %0, %1" : : "a"((u32)(u64)at), "Nd"(port) : "memory");
}

struct io {
    volatile u64 a, b, c, d;
    volatile int ret;
    int pad;
};

static struct io arg;
static u8 sector[4096];

static void puts_bytes(const char *text, u64 len)
{
    arg.a = (u64)text;
    arg.b = len;
    out(0x502, &arg);
}

static u64 length(const char *s)
{
    u64 n = 0;
    while (s[n])
        n++;
    return n;
}

static void say(const char *text) { puts_bytes(text, length(text)); }

static void halt(int status)
{
    static volatile struct {
        u64 cookie;
        int status;
    } end;
    end.cookie = 0;
    end.status = status;
    out(0x508, &end);
    for (;;)
        ;
}

/* The region, and buffers behind it. */
static u8 region[0x8000] __attribute__((aligned(4096)));
static u8 buffers[64 * 2048] __attribute__((aligned(4096)));
static u8 large[4 * 65536] __attribute__((aligned(4096)));

#define FILL_LARGE 0x200ul

static volatile u64 *word(u64 at) { return (volatile u64 *)(region + at); }

static void lay_out(u64 offered)
{
    for (u64 at = 0; at < sizeof region; at += 8)
        *word(at) = 0;
    *word(0x000) = 0x31474e49524d4853ul;
    *word(0x008) = 1 | 0xb00ul << 32;
    *word(0x010) = sizeof region;
    *word(0x018) = offered;
    u64 accepted = below(4) ? (offered & ~0x142ul) : 1;
    if (below(4) == 0)
        accepted &= ~FILL_LARGE;
    u64 queues = accepted & FILL_LARGE ? 4 : 3;
    *word(0x020) = queues | 2 << 16;
    *word(0x080) = accepted;
    *word(0x200) = (u64)buffers;
    *word(0x208) = 2048 | 64ul << 32;
    *word(0x220) = (u64)large;
    *word(0x228) = 65536 | 4ul << 32;
    *word(0x230) = 64;
    for (u64 i = 0; i < queues; i++) {
        u64 ctrl = 0x1000 + i * 512;
        *word(0x300 + i * 64) = i + 1;
        *word(0x308 + i * 64) = ctrl;
        *word(0x310 + i * 64) = 0x2000 + i * 0x1000;
        *word(0x318 + i * 64) = 6 | 4 << 8;
        *word(ctrl + 0x100) = 0xffffffff;
        *word(ctrl + 0x180) = 0xffffffff;
    }
}

static int attach(u64 handle, u64 at, u64 size)
{
    arg.a = handle;
    arg.b = at;
    arg.c = size;
    *(volatile int *)&arg.d = -1;
    out(PORT, &arg);
    return *(volatile int *)&arg.d;
}

static void reset(void)
{
    arg.a = NIC;
    out(PORT + 2, &arg);
}

static u64 wait(u64 nanos)
{
    arg.a = nanos;
    out(PORT + 1, &arg);
    return arg.b;
}

/* Descriptors that are nearly right: most fields good, one not. */
static void descriptor(u64 ring, u64 at)
{
    u64 id = below(64), offset = below(200), len = 14 + below(1500), w1 = 0;
    if (ring == 3) {
        id = 64 + below(4);
        offset = 0;
        len = 65535;
    }
    switch (below(10)) {
    case 0:
        id = rnd();
        break;
    case 1:
        offset = rnd();
        break;
    case 2:
        len = rnd();
        break;
    case 3:
        w1 = rnd();
        break;
    case 4:
        w1 = 1;
        break;
    case 5:
        w1 = 2 | below(1600) << 16 | below(100) << 32 | below(64) << 48 | below(6) << 56;
        break;
    }
    *word(at) = (id & 0xffffff) | (offset & 0xffff) << 32 | len << 48;
    *word(at + 8) = w1;
}

static void touch_rings(u64 mem)
{
    u64 ring = below(4), ctrl = 0x1000 + ring * 512;
    volatile u32 *prod = (volatile u32 *)(region + ctrl);
    switch (below(8)) {
    case 0: /* any word of the region */
        *word(below(sizeof region / 8) * 8) = edge(mem);
        break;
    case 1: /* any index */
        *(volatile u32 *)(region + ctrl + below(4) * 0x80) = (u32)edge(mem);
        break;
    case 2: /* after latching */
        *word(0x200 + below(0x100)  / 8 * 8) = edge(mem);
        break;
    default: { /* a batch */
        u32 n = (u32)below(40);
        for (u32 i = 0; i < n; i++)
            descriptor(ring, 0x2000 + ring * 0x1000 + (*prod + i) % 64 * 16);
        __sync_synchronize();
        *prod += n;
    }
    }
}

static void hypercall(u64 mem)
{
    u64 inside = below(mem - 8192);
    switch (below(9)) {
    case 0:
        out(0x501, &arg);
        break;
    case 1: /* a console flood, from anywhere */
        puts_bytes((const char *)inside, below(4096));
        break;
    case 2:
        arg.a = below(200000);
        out(0x503, &arg);
        break;
    case 3:
    case 4:
        arg.a = below(2) ? DISK : edge(mem);
        arg.b = below(2) ? below(16) * 512 : edge(mem);
        arg.c = (u64)sector;
        arg.d = below(2) ? 512 : below(4096);
        out(0x504 + below(2), &arg);
        break;
    case 5: /* sent from anywhere */
        arg.a = below(2) ? NIC : edge(mem);
        arg.b = inside;
        arg.c = below(4) ? below(2000) : below(8192);
        out(0x506, &arg);
        break;
    case 6:
        arg.a = below(2) ? NIC : edge(mem);
        arg.b = (u64)buffers;
        arg.c = below(4) ? below(2000) : below(8192);
        out(0x507, &arg);
        break;
    case 7: /* regions that are none */
        attach(below(2) ? NIC : edge(mem), below(2) ? (u64)region : edge(mem) & ~0xffful,
               below(2) ? sizeof region : edge(mem));
        break;
    case 8:
        for (u64 n = below(2000); n > 0; n--)
            out(PORT + 4, (void *)rnd());
        break;
    }
}

/* What ends a guest: calls with addresses outside its memory, and worse. */
static void last_act(u64 mem)
{
    static struct io *const far = (struct io *)0xfffffff0ul;
    switch (below(10)) {
    case 0:
        out(0x501 + below(8), (void *)edge(mem));
        break;
    case 1:
        puts_bytes((const char *)edge(mem), edge(mem));
        break;
    case 2:
        arg.a = DISK, arg.b = 0, arg.c = edge(mem), arg.d = 512;
        out(0x505, &arg);
        break;
    case 3:
        arg.a = NIC, arg.b = edge(mem), arg.c = edge(mem);
        out(0x506 + below(2), &arg);
        break;
    case 4:
        out(PORT + below(8), far);
        break;
    case 5:
        out(0x500 + below(0x11f), (void *)edge(mem));
        break;
    case 6:
        *(volatile u64 *)edge(mem) = 1;
        break;
    case 7: {
        register u64 at __asm__("rax") = edge(mem);
        __asm__ volatile("jmp *%0" : : "r"(at));
        break;
    }
    case 8: {
        u64 rsp = edge(mem);
        __asm__ volatile("mov %0, %%rsp; ud2" : : "r"(rsp));
        break;
    }
    default:
        __asm__ volatile("inb $0x64, %%al" : : : "rax");
    }
    halt((int)below(256));
}

static int hypercall_of(u16 n, u64 handle, u64 b, u64 c, u64 d)
{
    arg.a = handle, arg.b = b, arg.c = c, arg.d = d, arg.ret = -1;
    out(0x500 + n, &arg);
    return n < 6 ? arg.ret : *(volatile int *)&arg.d;
}

/* Breaks the rings, then sleeps: it must be told, and of frames that come by no ring too. */
static void act_broken(u64 mem)
{
    (void)mem;
    *(volatile u32 *)(region + 0x1000) = 0x80000000;
    if (wait(60000000000ul) == 1ul << NIC && *(volatile u32 *)(region + 0x100) >> 8 == 1)
        say("told\n");
    for (u64 frames = 0; frames < 3; frames++) {
        if (wait(60000000000ul) != 1ul << NIC)
            break;
        if (hypercall_of(7, NIC, (u64)buffers, 2048, 0) == 0 && frames == 2)
            say("read\n");
    }
    halt(0);
}

/* Buffers for received frames where the guest may not write: its tables, its text. */
static void act_fill(u64 mem)
{
    static const u64 bases[] = {0x2000, 0x10000, 0x100000};
    (void)mem;
    reset();
    for (int i = 0; i < 3; i++) {
        *word(0x200) = bases[i];
        *word(0x208) = 2048 | 2ul << 32;
        if (attach(NIC, (u64)region, sizeof region) != 5)
            halt(7);
    }
    say("refused\n");
    for (;;)
        wait(~0ul);
}

/* Answers of hypercalls where the guest may not write. Each ends it. */
static void act_read_text(u64 mem)
{
    (void)mem;
    hypercall_of(7, NIC, 0x100000, 2048, 0);
}
static void act_read_tables(u64 mem)
{
    (void)mem;
    hypercall_of(5, DISK, 0, 0x2000, 512);
}
static void act_time_text(u64 mem)
{
    (void)mem;
    out(0x501, (void *)0x100000);
}

/* Its own text, which no page table may let it write. */
static void act_own_text(u64 mem)
{
    (void)mem;
    *(volatile u8 *)0x100000 = 0x90;
    say("written\n");
}

/* Frames of nearly all memory. */
static void act_long(u64 mem)
{
    for (int i = 0; i < 200; i++)
        if (hypercall_of(6, NIC, 0, mem - 1, 0) != 2)
            halt(7);
    say("refused\n");
    for (;;)
        wait(~0ul);
}

/* More text than anybody reads. */
static void act_flood(u64 mem)
{
    for (;;)
        puts_bytes((const char *)0x100000, mem / 2);
}

static const struct {
    const char *name;
    void (*run)(u64 mem);
} acts[] = {
    {"broken", act_broken},
    {"fill", act_fill},
    {"read-text", act_read_text},
    {"read-tables", act_read_tables},
    {"time-text", act_time_text},
    {"own-text", act_own_text},
    {"long", act_long},
    {"flood", act_flood},
};

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

__attribute__((used)) void begin(const struct boot_info *info)
{
    const char *at = info->cmdline;
    u64 mem = info->mem_size, rounds = 0, until = 0;
    const u8 *offer = (const u8 *)info + 40 + 8 + 3 * 104 + 72;
    u64 offered = *(const u64 *)(offer + 8);

    while (*at >= '0' && *at <= '9')
        state = state * 10 + (u64)(*at++ - '0');
    state = state * 0x9e3779b97f4a7c15ul | 1;
    int forever = *at == '-';
    until = 200 + below(2000);
    say("hostile\n");
    lay_out(offered);
    attach(NIC, (u64)region, sizeof region);
    for (u64 i = 0; forever && i < sizeof acts / sizeof *acts; i++)
        if (same(at + 1, acts[i].name)) {
            acts[i].run(mem);
            halt(9);
        }
    for (;; rounds++) {
        u64 what = below(100);
        if (what < 70)
            touch_rings(mem);
        else if (what < 85)
            wait(below(4) ? 0 : below(200000));
        else if (what < 95)
            hypercall(mem);
        if (what == 99 || below(40) == 0) {
            reset();
            lay_out(offered);
            attach(NIC, (u64)region, sizeof region);
        }
        if (!forever && rounds == until)
            last_act(mem);
    }
}

__asm__(".globl _start\n_start:\n    and $-16, %rsp\n    call begin\n");
