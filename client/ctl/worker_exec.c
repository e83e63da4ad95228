/* SPDX-License-Identifier: Apache-2.0
 *
 * libuv has no hook between fork and exec, and the death signal must be asked for there: hence this
 * intermediate step. A launcher that died before it was asked for is noticed by our parent's pid.
 */
#include "client/ctl/worker_exec.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "client/ctl/ctl.h"

int worker_exec(int argc, char **argv)
{
    if (argc < 3)
        return CTL_USAGE;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != (pid_t)strtol(argv[1], NULL, 10))
        return CTL_FAILURE;
    (void)execvp(argv[2], argv + 2);
    (void)fprintf(stderr, "launch: cannot run '%s': %s\n", argv[2], strerror(errno));
    return CTL_CANNOT_RUN;
}
