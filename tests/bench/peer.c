/* SPDX-License-Identifier: Apache-2.0
 *
 * Should the benchmark die, the kernel ends its peers with it.
 */
#include "tests/bench/peer.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/error.h"

/* Takes one end out of each wire. */
static void close_ends(struct wire *wire, size_t wires, bool near)
{
    for (size_t i = 0; i < wires; i++) {
        int *const end = near ? &wire[i].near : &wire[i].far;
        if (*end > 0)
            (void)close(*end);
        *end = 0;
    }
}

enum stepd_status peer_start(struct wire *wire, size_t wires, peer_serve_fn *serve,
                             const void *plan, struct peer *ret_peer, struct stepd_error *reterr)
{
    const struct peer peer = {.pid = fork()};
    if (peer.pid < 0)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot fork: %s", strerror(errno));
    if (peer.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        close_ends(wire, wires, /* near= */ true);
        serve(wire, wires, plan);
        _exit(0);
    }
    close_ends(wire, wires, /* near= */ false);
    *ret_peer = peer;
    return STEPD_OK;
}

void peer_stop(struct peer *peer, struct wire *wire, size_t wires)
{
    for (size_t i = 0; i < wires; i++) {
        /* Peers forked later hold copies of this socket, which closing it would not end. */
        if (wire[i].near > 0)
            (void)shutdown(wire[i].near, SHUT_RDWR);
        wire_close(&wire[i]);
    }
    if (peer->pid > 0)
        (void)waitpid(peer->pid, NULL, 0);
    *peer = (struct peer){.pid = 0};
}
