/* SPDX-License-Identifier: Apache-2.0
 *
 * What a service manager wants to hear from a daemon that it has started: that it serves now, that
 * it ends, and, while it runs, that it is alive. The protocol is systemd's (man sd_notify):
 * datagrams of lines NAME=VALUE to the socket that NOTIFY_SOCKET names. Without the variable
 * nothing is said.
 *
 * With WATCHDOG_USEC a daemon that has been silent for so long is killed and started again. A loop
 * that only says that it runs would hide that another one hangs. So each beat, every half of that
 * time, asks all shards, and only when the last of them has answered is the word given:
 *
 *     supervisor_beat --asks--> every shard --answers--> supervisor_answered (the last): WATCHDOG=1
 *
 * One thread.
 */
#ifndef NET_SUPERVISOR_H
#define NET_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <stepd/status.h>

struct supervisor {
    int fd; /* -1: nobody listens */
    struct sockaddr_un address;
    socklen_t address_bytes;
    uint64_t beat_ms; /* half of what it waits; 0: it does not */
    uint64_t next_ms; /* when the next beat is due */
    uint32_t awaited; /* shards that have not answered the last one */
};

/*
 * environment: NULL-terminated list of "NAME=value", borrowed until return; NULL: empty. A watchdog
 * that is meant for another process (WATCHDOG_PID) is none. FAILED_PRECONDITION: NOTIFY_SOCKET or
 * WATCHDOG_USEC is nothing that can be used; the text says which. RESOURCE_EXHAUSTED: no
 * descriptor. Ended with supervisor_close.
 */
enum stepd_status supervisor_open(char *const *environment, struct supervisor *ret_supervisor,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

void supervisor_close(struct supervisor *supervisor);

/* Lines are borrowed until return. False: the supervisor could not be told. */
bool supervisor_tell(const struct supervisor *supervisor, const char *lines);

/* "READY=1", and in words what the daemon does. */
bool supervisor_tell_ready(const struct supervisor *supervisor, const char *status);

/* "RELOADING=1"; READY follows when that is over. */
bool supervisor_tell_reloading(const struct supervisor *supervisor);

/* Time has passed. True: the caller asks so many shards now. */
bool supervisor_beat(struct supervisor *supervisor, uint32_t shards, uint64_t now_ms);

/* One of them has answered. False: it was the last, and the supervisor could not be told. */
bool supervisor_answered(struct supervisor *supervisor);

#endif
