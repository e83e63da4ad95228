/* SPDX-License-Identifier: Apache-2.0
 *
 * The hosts of a launch, and which ranks each of them has.
 *
 *     --hosts a,me@b:4,[fd00::1]:2        a line of a hostfile: a, me@b:4, or b slots=4
 *
 * What stands behind a colon, or slots=, is how many workers a host takes; 1 where nothing does.
 * Ranks are dealt in the order of the hosts, each host's slots in a row.
 */
#ifndef CLIENT_CTL_HOSTS_H
#define CLIENT_CTL_HOSTS_H

#include <stddef.h>

#include <stepd/status.h>

struct host {
    char *name; /* owned; as ssh takes it: without brackets, with its user */
    unsigned slots;
    unsigned first; /* rank */
    unsigned workers;
};

struct hosts {
    struct host *host; /* owned */
    size_t count;
    unsigned slots; /* of all */
};

/* Adds those of a list with commas. INVALID_ARGUMENT: something in it is no host, or stands twice;
 * the text says what. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status hosts_add(struct hosts *hosts, const char *list,
                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Adds those of a file, a line for each; '#' begins a comment. As hosts_add, whose text has the
 * line's number then; NOT_FOUND: it cannot be read. */
enum stepd_status hosts_read(struct hosts *hosts, const char *path,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Deals so many ranks; 0: as many as there are slots. Hosts that get none are dropped.
 * *ret_workers: how many. INVALID_ARGUMENT: there are fewer slots, or no host, or more than may be.
 */
enum stepd_status hosts_deal(struct hosts *hosts, unsigned workers, unsigned *ret_workers,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* One that is zeroed is fine. */
void hosts_deinit(struct hosts *hosts);

#endif
