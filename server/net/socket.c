/* SPDX-License-Identifier: Apache-2.0
 *
 * A peer whose machine died, or whose cable was cut, sends nothing, not even an end. Keepalive
 * probes find that out for a silent connection within KEEPALIVE_IDLE_S + KEEPALIVE_COUNT *
 * KEEPALIVE_INTERVAL_S, and TCP_USER_TIMEOUT for one that has unacknowledged bytes on their way.
 */
#include "server/net/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/error.h"
#include "server/net/address.h"

#define KEEPALIVE_IDLE_S     30
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_COUNT      6
#define USER_TIMEOUT_MS      30000

/* What a Unix socket takes in before its reader must come. By itself it is 208 KiB, and then writer
 * and reader sleep and wake for every 200 KB. A step of 64 MiB, median of 15 in turns with others,
 * both ends having this: 43.8 ms with what is so by itself, 40.4 with 416 KiB, 41.6 with 832; a
 * push 15.6, 13.2 and 12.7; a pull 20.3, 18.0 and 17.3, and 20.0 with 1664. TCP, whose buffers grow
 * by themselves, is left alone. More than net.core.wmem_max the kernel does not give. */
#define LOCAL_SEND_BYTES (512 << 10)

#define NAME_BYTES 16u  /* of a congestion control and a NUL: TCP_CA_NAME_MAX of Linux */
#define LIST_BYTES 256u /* of those that are available: TCP_CA_BUF_MAX is 2048, and few are */

static void set_number(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

static int peer_of(int fd, struct sockaddr_storage *ret_peer)
{
    socklen_t size = sizeof *ret_peer;
    *ret_peer = (struct sockaddr_storage){.ss_family = AF_UNSPEC};
    return getpeername(fd, (struct sockaddr *)ret_peer, &size);
}

/* ---- Congestion control ---------------------------------------------------------------------- */

static int set_congestion(int fd, const char *name)
{
    return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) == 0 ? 0
                                                                                           : errno;
}

/* Where the system's choice for a new connection is bbr, it paces even loopback, which then moves
 * less than half of what it can. Nothing is ever lost there, so reno never slows down. */
static void choose_congestion(int fd)
{
    struct sockaddr_storage peer;
    char name[NAME_BYTES] = "";
    socklen_t bytes = sizeof name - 1;
    if (peer_of(fd, &peer) != 0 || !address_is_loopback((const struct sockaddr *)&peer))
        return;
    if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &bytes) == 0 && strcmp(name, "bbr") == 0)
        (void)set_congestion(fd, "reno");
}

/* The names that the kernel has loaded, in one line. */
static void list_available(char *text, size_t size)
{
    FILE *const file = fopen("/proc/sys/net/ipv4/tcp_available_congestion_control", "re");
    if (file == NULL || fgets(text, (int)size, file) == NULL)
        (void)snprintf(text, size, "?");
    if (file != NULL)
        (void)fclose(file);
    text[strcspn(text, "\n")] = '\0';
}

enum stepd_status socket_check_congestion(const char *congestion, struct stepd_error *reterr)
{
    char available[LIST_BYTES];
    if (strcmp(congestion, SOCKET_CONGESTION_AUTO) == 0)
        return STEPD_OK;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int failure = fd < 0 ? errno : set_congestion(fd, congestion);
    if (fd >= 0)
        (void)close(fd);
    if (failure == 0)
        return STEPD_OK;
    list_available(available, sizeof available);
    return stepd_fail(
        reterr, STEPD_FAILED_PRECONDITION,
        "tcp_congestion: '%s' cannot be used: %s; available here are %s, and auto", congestion,
        failure == ENOENT ? "the kernel does not know it" : strerror(failure), available);
}

/* ---- A connection ---------------------------------------------------------------------------- */

void socket_tune(int fd, const char *congestion)
{
    set_number(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
    set_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
    if (strcmp(congestion, SOCKET_CONGESTION_AUTO) == 0)
        choose_congestion(fd);
    else
        (void)set_congestion(fd, congestion);
}

/* Never lowers what the system gives by itself. The kernel doubles what it is asked for. */
void socket_tune_local(int fd)
{
    int bytes = 0;
    socklen_t size = sizeof bytes;
    if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &size) == 0 && bytes < 2 * LOCAL_SEND_BYTES)
        set_number(fd, SOL_SOCKET, SO_SNDBUF, LOCAL_SEND_BYTES);
}

void socket_peer(int fd, char *text, size_t size)
{
    struct sockaddr_storage peer;
    if (peer_of(fd, &peer) == 0)
        address_write((const struct sockaddr *)&peer, text, size);
    else
        (void)snprintf(text, size, "?");
}
