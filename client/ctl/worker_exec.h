/* SPDX-License-Identifier: Apache-2.0
 *
 * How a worker that was launched dies with its launcher: between fork and exec stands this command,
 * which stepctl runs itself with. It is not meant for people.
 *
 *     stepctl launch-exec LAUNCHER_PID COMMAND [ARGUMENTS]
 */
#ifndef CLIENT_CTL_WORKER_EXEC_H
#define CLIENT_CTL_WORKER_EXEC_H

#define WORKER_EXEC_COMMAND "launch-exec"

/* Asks the kernel to kill this process when its parent dies, and becomes COMMAND. Returns an exit
 * code where that fails. */
int worker_exec(int argc, char **argv);

#endif
