/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections of this host with both ends in hand, and the congestion control of connections.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <stdbool.h>
#include <sys/types.h>

#include <stepd/status.h>

#define WIRE_CONTROL_BYTES 16u /* of a name and a NUL: TCP_CA_NAME_MAX of Linux */
#define WIRE_SOCKETS_MAX   256u

/* The bench's end, and that of the process that serves it; 0: none, or given away. */
struct wire {
    int near;
    int far;
};

/* Over TCP of loopback, both ends under `control` (NULL: the system's choice), or over a Unix
 * socket. Closed with wire_close. UNAVAILABLE: no socket, or no such control. */
enum stepd_status wire_open(bool tcp, const char *control, struct wire *ret_wire,
                            struct stepd_error *reterr) STEPD_MUST_CHECK;

void wire_close(struct wire *wire);

/* What a connection of TCP is under; "?": it is none. */
void wire_control(int fd, char ret_control[WIRE_CONTROL_BYTES]);

/* What a new one is under: the system's choice. */
void wire_default_control(char ret_control[WIRE_CONTROL_BYTES]);

/* Which descriptors of this process are open, to tell later ones from. */
void wire_note_sockets(bool ret_open[WIRE_SOCKETS_MAX]);

/*
 * Puts the connections of TCP that have been opened since `before` under `control`, on this side
 * and in the process `server`, a child. ret_control: what they are really under, on both sides,
 * such as "reno", or "bbr/?" where the server does not let itself be looked into.
 */
void wire_set_control(const bool before[WIRE_SOCKETS_MAX], pid_t server, const char *control,
                      char ret_control[2 * WIRE_CONTROL_BYTES]);

#endif
