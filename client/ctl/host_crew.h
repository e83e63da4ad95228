/* SPDX-License-Identifier: Apache-2.0
 *
 * Workers on several hosts as a crew: an ssh to each of them, whose other end is a stepctl that
 * runs the host's part (worker_crew.h) and is told by its stdin which (orders.h).
 *
 *     stepctl launch --hosts a:2,b --> ssh a stepctl launch-part --> workers 0 and 1
 *                                 `--> ssh b stepctl launch-part --> worker 2
 *
 * Nothing is left behind: a part ends when it is told, or when the end of its stdin says that the
 * ssh is gone, whatever became of it.
 */
#ifndef CLIENT_CTL_HOST_CREW_H
#define CLIENT_CTL_HOST_CREW_H

#include "client/ctl/hosts.h"
#include "client/ctl/worker_env.h"

#define HOST_CREW_SSH     "ssh -T -o BatchMode=yes"
#define HOST_CREW_STEPCTL "stepctl"

/* Everything is borrowed. */
struct host_crew {
    const struct hosts *hosts; /* whose ranks are dealt */
    unsigned world;
    const char *ssh;     /* words for a shell; the host and a command for its shell follow them */
    const char *stepctl; /* the program's name there */
    const char *folder;  /* to run in; NULL: wherever ssh leads to */
    char **command;      /* NULL-terminated */
    struct worker_settings settings;
};

/* As crew_run; of the exit codes, 255 is ssh's for a host that it does not come to. */
enum stepd_status host_crew_run(const struct host_crew *hosts, int *ret_exit,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Prints the ssh of each host, and the commands of its workers. RESOURCE_EXHAUSTED. */
enum stepd_status host_crew_print(const struct host_crew *hosts,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
