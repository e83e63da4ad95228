/* SPDX-License-Identifier: Apache-2.0
 *
 * What stands for control in a member daemon: it joins control's daemon, again whenever the
 * connection breaks, passes control's orders to the shards here, and their notices to control.
 *
 *     RESTING --> DIALLING --> JOINING --Joined--> JOINED
 *        ^            |           |                   |
 *        +------------+-----------+-------------------+
 *              a while, and a little longer each time
 *
 * Another reign than the last one, or a link that was lost, means that what the shards have is of
 * no use: io.reset tells them so.
 */
#ifndef NET_DEPUTY_H
#define NET_DEPUTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include <stepd/status.h>

#include "proto/message.h"
#include "server/base/log.h"
#include "server/model/order.h"
#include "server/net/tls.h"
#include "server/peer/letter.h"

struct deputy;

/* Shards are counted over all daemons. */
struct deputy_reign {
    uint32_t first; /* of this daemon's */
    uint32_t total;
};

struct deputy_io {
    void *owner;

    /* All shards forget everything. reign: they are these from now on; NULL: of none. why:
     * borrowed until return. */
    void (*reset)(void *owner, const struct deputy_reign *reign, const struct stepd_error *why);

    /* Is nothing read any more of what the shards have? If not, it is to come to its end soon. */
    bool (*ready)(void *owner);

    /* For all shards here. Takes ownership. */
    void (*order)(void *owner, struct order *order);

    /* Of control. Borrowed until return. */
    void (*note)(void *owner, const struct peer_note *note);

    /* Does this daemon see the probe of this name in its folder of checkpoints? "": control keeps
     * none. FAILED_PRECONDITION: no; the text goes to control. */
    enum stepd_status (*sees)(void *owner, const char *probe, struct stepd_error *reterr);

    /* The definition of a job that is open here; NULL: there is none. */
    const struct job *(*job)(void *owner, const char *name);

    /* A connection or an attempt at one is gone. */
    void (*gone)(void *owner, bool known);
};

/* Texts are borrowed as long as the deputy. */
struct deputy_options {
    uv_loop_t *uv;
    const struct log *log; /* may be NULL */
    const char *version;
    const char *control; /* "host:port" of control's daemon */
    const char *address; /* that workers reach this one by */
    const char *token;   /* "": none is shown */
    uint32_t place;      /* in the list of daemons */
    uint32_t daemons;    /* in that list */
    uint64_t others;     /* roster_sum of it */
    uint32_t shards;
    uint8_t instance[16];         /* random */
    const struct tls_client *tls; /* NULL: none is spoken */
    const char *tcp_congestion;
    uint32_t lease_ms;
    uint32_t write_timeout_ms;
    uint32_t read_timeout_ms;
    size_t frame_max_bytes;
    struct deputy_io io;
};

/* It rests until the first tick. NULL: no memory. The caller frees with deputy_destroy. */
struct deputy *deputy_create(const struct deputy_options *options);

/* All must be gone. NULL is fine. Returns NULL. */
struct deputy *deputy_destroy(struct deputy *deputy);

/* Brings a notice of a shard here to control. sums: how many notice->sum has. share: NULL, or what
 * was packed of notice->state. Takes ownership of the notice. */
void deputy_notice(struct deputy *deputy, struct notice *notice, size_t sums,
                   const struct peer_opaque *share);

/* Tells control something. Borrowed until return. False: there is no link. */
bool deputy_tell(struct deputy *deputy, const struct peer_note *note);

bool deputy_has_joined(const struct deputy *deputy);

/* Has it not joined? What it does instead, in words. */
bool deputy_waits(const struct deputy *deputy, char *text, size_t size);

/* As io.daemons of control.h: control's daemon and this one, of which it knows. */
size_t deputy_list(const struct deputy *deputy, struct stepd_daemon_status *daemon, size_t room);

/* The token that the options point to is another one: joins again by it, and goes on where it was.
 */
void deputy_show(struct deputy *deputy);

void deputy_tick(struct deputy *deputy, uint64_t now_ms);

/* Hangs up, and joins no more. */
void deputy_cut(struct deputy *deputy);

/* Connections and attempts at one that are not gone. */
size_t deputy_connections(const struct deputy *deputy);

#endif
