/* SPDX-License-Identifier: Apache-2.0
 *
 * A peer whose machine died, or whose cable was cut, sends nothing, not even an end. Keepalive
 * probes find that out for a silent connection within KEEPALIVE_IDLE_S + KEEPALIVE_COUNT *
 * KEEPALIVE_INTERVAL_S, and TCP_USER_TIMEOUT for one that has unacknowledged bytes on their way.
 */
#include "server/net/socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "server/net/address.h"

#define KEEPALIVE_IDLE_S     30
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_COUNT      6
#define USER_TIMEOUT_MS      30000

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

void socket_tune(int fd)
{
    static const char loopback_congestion[] = "reno";
    struct sockaddr_storage peer;
    set_number(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
    set_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
    /* Where bbr is the system's default it paces even loopback, which then moves less than half of
     * what it can. Nothing is ever lost there, so reno never slows down. */
    if (peer_of(fd, &peer) == 0 && address_is_loopback((const struct sockaddr *)&peer))
        (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, loopback_congestion,
                         sizeof loopback_congestion - 1);
}

void socket_peer(int fd, char *text, size_t size)
{
    struct sockaddr_storage peer;
    if (peer_of(fd, &peer) == 0)
        address_write((const struct sockaddr *)&peer, text, size);
    else
        (void)snprintf(text, size, "?");
}
