/* SPDX-License-Identifier: Apache-2.0
 *
 * bind and listen, and the sentences for what can go wrong there: they are the first thing that an
 * operator may read of the daemon.
 *
 * A Unix socket's file outlives a daemon that was killed, and bind() then fails as if somebody
 * listened. Whether somebody does is found out by connecting: only a refusal proves that the file
 * is stale, and only a socket is ever removed. Who may connect is decided by the directory, since
 * the socket exists for a moment before its own mode could be set.
 */
#include "server/net/listener.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/error.h"
#include "server/net/address.h"

#define BACKLOG 511

#define MODE_OTHERS 077u /* group and others: any right */

/* ---- TCP ------------------------------------------------------------------------------------- */

static enum stepd_status refuse_tcp(const struct sockaddr *address, int failure,
                                    struct stepd_error *reterr)
{
    char text[ADDRESS_TEXT_BYTES];
    address_write(address, text, sizeof text);
    const char *const remedy =
        failure == UV_EADDRINUSE
            ? "stop the process that uses it, or give another port with --listen (0 picks one)"
            : "give another address with --listen";
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot listen on %s: %s; %s", text,
                      uv_strerror(failure), remedy);
}

enum stepd_status listener_open_tcp(struct listener *listener, uv_loop_t *uv,
                                    const struct sockaddr *address, uv_connection_cb on_connection,
                                    struct stepd_error *reterr)
{
    int failure = uv_tcp_init(uv, &listener->uv.tcp);
    if (failure != 0)
        return refuse_tcp(address, failure, reterr);
    listener->uv.handle.data = listener;
    listener->is_tcp = true;
    listener->open = true;
    failure = uv_tcp_bind(&listener->uv.tcp, address, 0);
    if (failure == 0)
        failure = uv_listen(&listener->uv.stream, BACKLOG, on_connection);
    if (failure == 0)
        return STEPD_OK;
    listener_close(listener);
    return refuse_tcp(address, failure, reterr);
}

/* ---- Unix ------------------------------------------------------------------------------------ */

/* Is there a socket's file at the path that nobody listens on any more? */
static bool is_stale(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat file;
    if (lstat(path, &file) != 0 || !S_ISSOCK(file.st_mode))
        return false;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    const int result = connect(fd, (const struct sockaddr *)&address, sizeof address);
    const bool stale = result != 0 && errno == ECONNREFUSED;
    (void)close(fd);
    return stale;
}

struct directory {
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
};

static struct directory directory_of(const char *path)
{
    struct directory directory;
    (void)snprintf(directory.path, sizeof directory.path, "%s", path);
    char *const slash = strrchr(directory.path, '/');
    if (slash == NULL)
        (void)snprintf(directory.path, sizeof directory.path, ".");
    else
        slash[slash == directory.path ? 1 : 0] = '\0';
    return directory;
}

/* Warns when others may enter the directory of the socket. */
static void check_directory(const char *path, const struct log *log)
{
    const struct directory directory = directory_of(path);
    struct stat found;
    if (stat(directory.path, &found) == 0 && (found.st_mode & MODE_OTHERS) != 0)
        log_event(log, LOG_WARN, "unix_directory_open", "directory=%s remedy=%s", directory.path,
                  "give the socket a directory of its own with mode 0700");
}

/* libuv says EACCES of a directory that does not exist, too. */
static bool lacks_directory(const char *path)
{
    const struct directory directory = directory_of(path);
    struct stat found;
    return stat(directory.path, &found) != 0 && errno == ENOENT;
}

static enum stepd_status refuse_unix(const char *path, int failure, struct stepd_error *reterr)
{
    const char *remedy = "give another path with --unix";
    if (failure == UV_EACCES && lacks_directory(path))
        return stepd_fail(reterr, STEPD_UNAVAILABLE,
                          "cannot listen on unix:%s: there is no folder %s; make it, or give "
                          "another path with --unix",
                          path, directory_of(path).path);
    if (failure == UV_EADDRINUSE)
        remedy = "stop the process that listens there, remove what stands there if none does, or "
                 "give another path with --unix";
    else if (failure == UV_EACCES)
        remedy = "its folder must be writable; or give another path with --unix";
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot listen on unix:%s: %s; %s", path,
                      uv_strerror(failure), remedy);
}

enum stepd_status listener_open_unix(struct listener *listener, uv_loop_t *uv, const char *path,
                                     uv_connection_cb on_connection, const struct log *log,
                                     struct stepd_error *reterr)
{
    int failure = uv_pipe_init(uv, &listener->uv.pipe, 0);
    if (failure != 0)
        return refuse_unix(path, failure, reterr);
    listener->uv.handle.data = listener;
    listener->open = true;
    failure = uv_pipe_bind(&listener->uv.pipe, path);
    if (failure == UV_EADDRINUSE && is_stale(path) && unlink(path) == 0) {
        log_event(log, LOG_INFO, "stale_socket_removed", "path=%s", path);
        failure = uv_pipe_bind(&listener->uv.pipe, path);
    }
    if (failure == 0)
        failure = uv_listen(&listener->uv.stream, BACKLOG, on_connection);
    if (failure != 0) {
        listener_close(listener);
        return refuse_unix(path, failure, reterr);
    }
    check_directory(path, log);
    return STEPD_OK;
}

void listener_close(struct listener *listener)
{
    if (!listener->open)
        return;
    listener->open = false;
    listener->waiting = false;
    uv_close(&listener->uv.handle, NULL);
}
