/* SPDX-License-Identifier: Apache-2.0
 *
 * Starting stepd: it writes its port to a file when it listens, and this looks for the file every
 * few milliseconds, as a script would. It logs warnings only. Should the benchmark die, the kernel
 * ends the daemon with it.
 */
#include "tests/bench/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/error.h"
#include "tests/bench/samples.h"

#define START_MAX_S   30.0
#define LOOK_EVERY_NS 2000000L
#define FLAGS_MAX     24u

static void path_in(const struct daemon *daemon, const char *name, char path[DAEMON_PATH_BYTES])
{
    (void)snprintf(path, DAEMON_PATH_BYTES, "%.*s/%s", 64, daemon->folder.path, name);
}

/* flags: after those that every daemon of the bench has; NULL is their end. */
static void run_daemon(const char *path, const char *port_file, const char *socket_path,
                       const char *const *flags)
{
    const char *argument[FLAGS_MAX] = {path,          "--listen",    "127.0.0.1:0",
                                       "--port-file", port_file,     "--unix",
                                       socket_path,   "--log-level", "warn"};
    for (size_t i = 9; i + 1 < FLAGS_MAX && flags != NULL && *flags != NULL; i++)
        argument[i] = *flags++;
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)setenv("STEPD_CHECKPOINT_ON_EXIT", "false", /* overwrite= */ 1); /* has no flag for off */
    execv(path, (char *const *)(uintptr_t)argument);
    (void)fprintf(stderr, "cannot run %s: %s\n", path, strerror(errno));
    _exit(127);
}

/* The port in the file, or 0 while there is none. */
static unsigned read_port(const char *port_file)
{
    unsigned port = 0;
    FILE *const in = fopen(port_file, "r");
    if (in == NULL)
        return 0;
    if (fscanf(in, "%u", &port) != 1)
        port = 0;
    (void)fclose(in);
    return port;
}

/* Waits for the port file. */
static enum stepd_status await_port(struct daemon *daemon, const char *port_file,
                                    unsigned *ret_port, struct stepd_error *reterr)
{
    const double until = samples_now() + START_MAX_S;
    while (samples_now() < until) {
        const unsigned port = read_port(port_file);
        if (port != 0) {
            *ret_port = port;
            return STEPD_OK;
        }
        if (waitpid(daemon->pid, NULL, WNOHANG) == daemon->pid) {
            daemon->pid = 0;
            return stepd_fail(reterr, STEPD_UNAVAILABLE, "stepd ended instead of listening");
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_NS}, NULL);
    }
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "stepd does not listen after %g s", START_MAX_S);
}

/* Ends the process if there is one. Returns what waitpid said of its end. */
static int end_process(struct daemon *daemon)
{
    int ended = 0;
    if (daemon->pid > 0) {
        (void)kill(daemon->pid, SIGTERM);
        (void)waitpid(daemon->pid, &ended, 0);
    }
    daemon->pid = 0;
    return ended;
}

enum stepd_status daemon_start(const char *path, struct daemon *ret_daemon,
                               struct stepd_error *reterr)
{
    return daemon_start_with(path, NULL, ret_daemon, reterr);
}

enum stepd_status daemon_start_with(const char *path, const char *const *flags,
                                    struct daemon *ret_daemon, struct stepd_error *reterr)
{
    struct daemon daemon = {.pid = 0};
    enum stepd_status status = disk_make_folder("/tmp", &daemon.folder, reterr);
    if (status != STEPD_OK)
        return status;
    char port_file[DAEMON_PATH_BYTES];
    char socket_path[DAEMON_PATH_BYTES];
    path_in(&daemon, "port", port_file);
    path_in(&daemon, "stepd.sock", socket_path);
    daemon.pid = fork();
    if (daemon.pid == 0)
        run_daemon(path, port_file, socket_path, flags);

    unsigned port = 0;
    status = daemon.pid > 0
                 ? await_port(&daemon, port_file, &port, reterr)
                 : stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot fork: %s", strerror(errno));
    if (status != STEPD_OK) {
        (void)end_process(&daemon);
        disk_remove_folder(&daemon.folder);
        return status;
    }
    (void)snprintf(daemon.tcp_address, sizeof daemon.tcp_address, "127.0.0.1:%u", port);
    (void)snprintf(daemon.unix_address, sizeof daemon.unix_address, "unix:%.100s", socket_path);
    *ret_daemon = daemon;
    return STEPD_OK;
}

enum stepd_status daemon_stop(struct daemon *daemon, struct stepd_error *reterr)
{
    const int ended = end_process(daemon);
    disk_remove_folder(&daemon->folder);
    if (!WIFEXITED(ended) || WEXITSTATUS(ended) != 0)
        return stepd_fail(reterr, STEPD_INTERNAL, "stepd did not end with exit code 0");
    return STEPD_OK;
}
