/* SPDX-License-Identifier: Apache-2.0
 *
 * delay_line FIRST SECOND DELAY_US QUEUE_BYTES
 *
 * A line of some length between two interfaces of the network namespace that it runs in: what comes
 * in at one goes out at the other DELAY_US later, in the order in which it came, both ways. It is
 * there for kernels without netem.
 *
 *     say "ready" -> recv -> a queue, with the time when it is due -> send -> end of stdin ->
 * counts
 *
 * A way holds QUEUE_BYTES at most, and drops what comes while it is full. What the kernel had no
 * room for before it was read is missed; what the other interface does not take, since it is cut,
 * is lost. All are counted, and said when stdin ends.
 *
 * Packets are passed on as the sender's kernel has them, large ones that no device has cut yet, and
 * without checksums that no device has made yet (PACKET_VNET_HDR): so both ends see what they would
 * see of a veth between them. A packet is never early; it is late where the processor is busy.
 * There is no rate here: that is tc's affair.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef PACKET_VNET_HDR /* of linux/packet.h, which does not go together with netpacket/packet.h   \
                         */
#define PACKET_VNET_HDR 15
#endif
#ifndef PACKET_STATISTICS
#define PACKET_STATISTICS 6
#endif
#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

#define FRAME_BYTES_MAX (256u << 10) /* 64 KiB and headers are the most that veth has by itself */
#define RECEIVE_BYTES   (64 << 20)   /* until this process gets a processor */
#define FRAMES_AT_ONCE  64u          /* before it is looked who is due */
#define NS_PER_S        1000000000u
#define NS_PER_US       1000u
#define DELAY_US_MAX    10000000u
#define QUEUE_BYTES_MAX (1u << 30)

/* One that is on its way, behind a struct virtio_net_hdr. */
struct frame {
    struct frame *next; /* owned */
    uint64_t due_ns;
    size_t bytes;
    uint8_t data[];
};

struct way {
    const char *name; /* of the interface that it comes from */
    int from;
    int to;
    struct frame *first; /* owned */
    struct frame *last;
    size_t bytes;
    unsigned long passed;
    unsigned long dropped;
    unsigned long lost;
};

struct line {
    struct way way[2];
    uint64_t delay_ns;
    size_t queue_bytes;
    uint8_t frame[FRAME_BYTES_MAX];
};

static void fail(const char *what, const char *name)
{
    (void)fprintf(stderr, "delay_line: %s %s: %s\n", what, name, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* A socket that has all of an interface's packets that come from outside. */
static int open_interface(const char *name)
{
    const int on = 1, room = RECEIVE_BYTES;
    const struct sockaddr_ll all = {.sll_family = AF_PACKET,
                                    .sll_protocol = htons(ETH_P_ALL),
                                    .sll_ifindex = (int)if_nametoindex(name)};
    if (all.sll_ifindex == 0)
        fail("no interface", name);
    const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("no packet socket for", name);
    if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0)
        fail("the kernel is too old for", name);
    /* Without privileges there is less room, and more may be missed. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (bind(fd, (const struct sockaddr *)&all, sizeof all) != 0)
        fail("cannot listen on", name);
    return fd;
}

static void append(struct way *way, struct frame *frame)
{
    if (way->first == NULL)
        way->first = frame;
    else
        way->last->next = frame;
    way->last = frame;
    way->bytes += frame->bytes;
}

/* One packet. False: there is none. */
static bool take(struct line *line, struct way *way)
{
    const ssize_t n = recv(way->from, line->frame, sizeof line->frame, MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ENETDOWN)
            fail("cannot receive from", way->name);
        return false;
    }
    const size_t bytes = (size_t)n;
    struct frame *const frame = bytes > sizeof line->frame || bytes > line->queue_bytes - way->bytes
                                    ? NULL
                                    : malloc(sizeof *frame + bytes);
    if (frame == NULL) {
        way->dropped++;
        return true;
    }
    *frame = (struct frame){.due_ns = now_ns() + line->delay_ns, .bytes = bytes};
    memcpy(frame->data, line->frame, bytes);
    append(way, frame);
    return true;
}

static void send_due(struct way *way)
{
    while (way->first != NULL && way->first->due_ns <= now_ns()) {
        struct frame *const frame = way->first;
        const ssize_t sent = send(way->to, frame->data, frame->bytes, 0);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != ENOBUFS && errno != ENETDOWN && errno != ENXIO)
            fail("cannot pass on what came from", way->name);
        if (sent < 0)
            way->lost++;
        else
            way->passed++;
        way->first = frame->next;
        way->bytes -= frame->bytes;
        free(frame);
    }
}

/* Until the next one is due, or something comes. False: stdin has ended. */
static bool await(struct line *line)
{
    struct pollfd at[] = {{.fd = line->way[0].from, .events = POLLIN},
                          {.fd = line->way[1].from, .events = POLLIN},
                          {.fd = STDIN_FILENO, .events = POLLIN}};
    uint64_t due_ns = UINT64_MAX;
    for (unsigned i = 0; i < 2; i++) {
        if (line->way[i].first != NULL && line->way[i].first->due_ns < due_ns)
            due_ns = line->way[i].first->due_ns;
    }
    const uint64_t now = now_ns();
    const uint64_t left_ns = due_ns > now ? due_ns - now : 0;
    const struct timespec left = {.tv_sec = (time_t)(left_ns / NS_PER_S),
                                  .tv_nsec = (long)(left_ns % NS_PER_S)};
    if (ppoll(at, 3, due_ns == UINT64_MAX ? NULL : &left, NULL) < 0 && errno != EINTR)
        fail("cannot wait for", "packets");
    return at[2].revents == 0;
}

static void say_counts(const struct way *way)
{
    struct {
        unsigned packets, drops; /* struct tpacket_stats */
    } kernel = {0};

    socklen_t size = sizeof kernel;
    (void)getsockopt(way->from, SOL_PACKET, PACKET_STATISTICS, &kernel, &size);
    (void)printf("from=%s passed=%lu dropped=%lu missed=%u lost=%lu\n", way->name, way->passed,
                 way->dropped, kernel.drops, way->lost);
}

static uint64_t number(const char *text, uint64_t most)
{
    char *end = NULL;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value > most) {
        (void)fprintf(stderr, "delay_line: '%s' is no number up to %llu\n", text,
                      (unsigned long long)most);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    static struct line line;
    if (argc != 5) {
        (void)fprintf(stderr, "usage: delay_line FIRST SECOND DELAY_US QUEUE_BYTES\n");
        return 2;
    }
    line.delay_ns = number(argv[3], DELAY_US_MAX) * NS_PER_US;
    line.queue_bytes = (size_t)number(argv[4], QUEUE_BYTES_MAX);
    const int end[] = {open_interface(argv[1]), open_interface(argv[2])};
    for (unsigned i = 0; i < 2; i++)
        line.way[i] = (struct way){.name = argv[1 + i], .from = end[i], .to = end[1 - i]};
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* else each wait is 50 us longer */
    (void)printf("ready\n");
    (void)fflush(stdout);
    while (await(&line)) {
        for (unsigned i = 0; i < 2; i++) {
            for (unsigned n = 0; n < FRAMES_AT_ONCE && take(&line, &line.way[i]); n++)
                ;
            send_due(&line.way[i]);
        }
    }
    for (unsigned i = 0; i < 2; i++)
        say_counts(&line.way[i]);
    return 0;
}
