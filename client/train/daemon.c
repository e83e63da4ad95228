/* SPDX-License-Identifier: Apache-2.0
 *
 * stepd writes the port that it was given into a file, whole, once it listens. It does so in a
 * folder of its own below the system's temporary one, which is removed as soon as the port is
 * known.
 */
#include "client/train/daemon.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/error.h"

#define POLL_MS     5
#define READY_MS    10000
#define END_MS      10000
#define CANNOT_EXEC 127
#define PATH_BYTES  ((size_t)PATH_MAX)

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* Where our own binary lies, there is a stepd in a build folder and in an installation. False:
 * there is none, and the PATH decides. */
static bool find_beside(char path[PATH_BYTES])
{
    static const char name[] = "/stepd";
    const ssize_t length = readlink("/proc/self/exe", path, PATH_BYTES - sizeof name);
    if (length <= 0)
        return false;
    path[length] = '\0';
    char *const slash = strrchr(path, '/');
    if (slash == NULL)
        return false;
    memcpy(slash, name, sizeof name);
    return access(path, X_OK) == 0;
}

/* In the child: becomes stepd. Only what is safe behind a fork. */
static void become_stepd(const char *path, const char *port_file, pid_t parent)
{
    const char *const arguments[] = {"stepd",   "--listen",    "127.0.0.1:0", "--port-file",
                                     port_file, "--log-level", "warn",        NULL};
    char *const *const argv = (char *const *)(uintptr_t)arguments;
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent) {
        if (path != NULL)
            (void)execv(path, argv);
        else
            (void)execvp("stepd", argv);
    }
    _exit(CANNOT_EXEC);
}

/* The port in a file that is written whole; 0: it is not there yet. */
static unsigned read_port(const char *port_file)
{
    char line[16] = "";
    FILE *const in = fopen(port_file, "r");
    if (in == NULL)
        return 0;
    if (fgets(line, sizeof line, in) == NULL)
        line[0] = '\0';
    (void)fclose(in);
    const unsigned long port = strtoul(line, NULL, 10);
    return port <= 65535 ? (unsigned)port : 0;
}

static enum stepd_status fail_ended(int status, struct stepd_error *reterr)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_EXEC)
        return stepd_fail(reterr, STEPD_NOT_FOUND,
                          "there is no stepd beside stepd-train, nor on the PATH; name a running "
                          "one with --server, or do without by --local");
    return stepd_fail(reterr, STEPD_UNAVAILABLE,
                      "stepd ended at once (%s %d); what it said stands above",
                      WIFEXITED(status) ? "exit status" : "signal",
                      WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

/* Waits for the port. */
static enum stepd_status wait_ready(struct daemon *daemon, const char *port_file,
                                    struct stepd_error *reterr)
{
    for (long waited = 0; waited < READY_MS; waited += POLL_MS) {
        const unsigned port = read_port(port_file);
        if (port != 0) {
            (void)snprintf(daemon->address, sizeof daemon->address, "127.0.0.1:%u", port);
            return STEPD_OK;
        }
        int status = 0;
        if (waitpid(daemon->pid, &status, WNOHANG) == daemon->pid) {
            daemon->pid = 0;
            return fail_ended(status, reterr);
        }
        pause_ms(POLL_MS);
    }
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "stepd was not ready within %d s",
                      READY_MS / 1000);
}

enum stepd_status daemon_start(struct daemon *ret_daemon, struct stepd_error *reterr)
{
    const char *const temporary = getenv("TMPDIR");
    char folder[PATH_BYTES / 2];
    char port_file[PATH_BYTES];
    char path[PATH_BYTES];
    (void)snprintf(folder, sizeof folder, "%s/stepd-train-XXXXXX",
                   temporary == NULL || *temporary == '\0' ? "/tmp" : temporary);
    if (mkdtemp(folder) == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "cannot make the folder %s: %s",
                          folder, strerror(errno));
    (void)snprintf(port_file, sizeof port_file, "%s/port", folder);
    const bool beside = find_beside(path);
    struct daemon daemon = {.pid = 0};
    const pid_t parent = getpid();
    daemon.pid = fork();
    if (daemon.pid == 0)
        become_stepd(beside ? path : NULL, port_file, parent);
    enum stepd_status status = STEPD_OK;
    if (daemon.pid < 0) {
        daemon.pid = 0;
        status =
            stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "cannot start stepd: %s", strerror(errno));
    }
    if (status == STEPD_OK)
        status = wait_ready(&daemon, port_file, reterr);
    if (status != STEPD_OK)
        daemon_stop(&daemon);
    (void)unlink(port_file);
    (void)rmdir(folder);
    if (status == STEPD_OK)
        *ret_daemon = daemon;
    return status;
}

void daemon_stop(struct daemon *daemon)
{
    if (daemon->pid == 0)
        return;
    (void)kill(daemon->pid, SIGTERM);
    for (long waited = 0; waited < END_MS; waited += POLL_MS) {
        if (waitpid(daemon->pid, NULL, WNOHANG) != 0) {
            daemon->pid = 0;
            return;
        }
        pause_ms(POLL_MS);
    }
    (void)kill(daemon->pid, SIGKILL);
    (void)waitpid(daemon->pid, NULL, 0);
    daemon->pid = 0;
}
