/* SPDX-License-Identifier: Apache-2.0
 *
 * One libuv loop drives everything: two pipes and a process for each worker, SIGINT and SIGTERM
 * for us, and the timer behind which patience ends. The loop ends by itself when the last handle
 * is closed; so each handle is closed by exactly the event that makes it useless:
 *
 *     process     when it has exited          pipe      at its end, or when patience has ended
 *     signals     when all workers are over   timer     likewise
 */
#include "client/ctl/crew.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "client/ctl/lines.h"
#include "client/ctl/output.h"
#include "client/ctl/worker_env.h"
#include "client/ctl/worker_exec.h"
#include "proto/error.h"

#define PATIENCE_MS 5000u
#define READ_BYTES  65536u

struct crew;
struct worker;

/* One stream of one worker, on its way to one of ours. */
struct stream {
    uv_pipe_t pipe; /* first */
    struct worker *worker;
    struct output *output;
    struct lines lines;
    bool open;
};

struct worker {
    uv_process_t process; /* first */
    struct crew *crew;
    unsigned rank;
    bool running;
    struct stream out, err;
};

struct crew {
    uv_loop_t loop;
    const struct crew_options *options;
    char path[4096]; /* of stepctl itself */
    struct output out, err;
    struct worker *worker; /* owned */
    unsigned running;      /* workers that have not exited */
    unsigned streams;      /* of theirs that are open */
    uv_signal_t interrupt, terminate;
    uv_timer_t patience;
    bool ending;   /* SIGTERM has been sent */
    bool finished; /* signals and timer are closed */
    int exit_code;
    char read_buffer[READ_BYTES]; /* of whatever is being read */
};

/* ---- Ending ---------------------------------------------------------------------------------- */

static void signal_all(struct crew *crew, int signal_number)
{
    for (unsigned i = 0; i < crew->options->workers; i++) {
        if (crew->worker[i].running)
            (void)kill(-crew->worker[i].process.pid, signal_number);
    }
}

static void close_stream(struct stream *stream)
{
    if (!stream->open)
        return;
    stream->open = false;
    stream->worker->crew->streams--;
    lines_finish(&stream->lines);
    uv_close((uv_handle_t *)&stream->pipe, NULL);
}

static void finish_if_over(struct crew *crew)
{
    if (crew->running > 0 || crew->streams > 0 || crew->finished)
        return;
    crew->finished = true;
    uv_close((uv_handle_t *)&crew->interrupt, NULL);
    uv_close((uv_handle_t *)&crew->terminate, NULL);
    uv_close((uv_handle_t *)&crew->patience, NULL);
}

/* Patience has ended: the rest is killed. Pipes that some orphan still holds are let go. */
static void on_patience(uv_timer_t *timer)
{
    struct crew *const crew = timer->data;
    signal_all(crew, SIGKILL);
    for (unsigned i = 0; crew->running == 0 && i < crew->options->workers; i++) {
        close_stream(&crew->worker[i].out);
        close_stream(&crew->worker[i].err);
    }
    finish_if_over(crew);
}

/* Tells all workers to end, once; the first reason is the one that counts. */
static void end(struct crew *crew, int exit_code, int signal_number)
{
    if (crew->ending)
        return;
    crew->ending = true;
    crew->exit_code = exit_code;
    signal_all(crew, signal_number);
    (void)uv_timer_start(&crew->patience, on_patience, PATIENCE_MS, PATIENCE_MS);
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
    struct crew *const crew = handle->data;
    if (crew->ending)
        signal_all(crew, signal_number); /* the user insists */
    else
        end(crew, 128 + signal_number, signal_number);
}

/* "SEGV"; "?" for signals that end few programs. */
static const char *signal_name(int signal_number)
{
    static const char *const names[] = {
        [SIGHUP] = "HUP",   [SIGINT] = "INT",   [SIGQUIT] = "QUIT", [SIGILL] = "ILL",
        [SIGTRAP] = "TRAP", [SIGABRT] = "ABRT", [SIGBUS] = "BUS",   [SIGFPE] = "FPE",
        [SIGKILL] = "KILL", [SIGSEGV] = "SEGV", [SIGPIPE] = "PIPE", [SIGALRM] = "ALRM",
        [SIGTERM] = "TERM", [SIGXCPU] = "XCPU", [SIGSYS] = "SYS",
    };
    const size_t n = sizeof names / sizeof names[0];
    const char *const name = (size_t)signal_number < n ? names[signal_number] : NULL;
    return name == NULL ? "?" : name;
}

static void report_exit(const struct worker *worker, int64_t status, int signal_number)
{
    if (signal_number != 0)
        (void)fprintf(stderr, "launch: rank %u (pid %d) was killed by signal %d (SIG%s)\n",
                      worker->rank, worker->process.pid, signal_number, signal_name(signal_number));
    else
        (void)fprintf(stderr, "launch: rank %u (pid %d) exited with status %d\n", worker->rank,
                      worker->process.pid, (int)status);
}

/* What else is in a worker's group ends with it. */
static void on_exit_of(uv_process_t *process, int64_t status, int signal_number)
{
    struct worker *const worker = (struct worker *)process;
    struct crew *const crew = worker->crew;
    worker->running = false;
    crew->running--;
    (void)kill(-process->pid, SIGTERM);
    if ((status != 0 || signal_number != 0) && !crew->ending) {
        report_exit(worker, status, signal_number);
        end(crew, signal_number != 0 ? 128 + signal_number : (int)status, SIGTERM);
    }
    if (crew->running == 0)
        (void)uv_timer_start(&crew->patience, on_patience, PATIENCE_MS, PATIENCE_MS);
    uv_close((uv_handle_t *)process, NULL);
    finish_if_over(crew);
}

/* ---- Output ---------------------------------------------------------------------------------- */

static void take_line(void *user, const char *line, size_t bytes, bool live)
{
    const struct stream *const stream = user;
    output_line(stream->output, stream->worker->rank, line, bytes, live);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct crew *const crew = ((struct stream *)handle)->worker->crew;
    (void)suggested;
    *ret_buf = uv_buf_init(crew->read_buffer, sizeof crew->read_buffer);
}

static void on_read(uv_stream_t *pipe, ssize_t n, const uv_buf_t *buf)
{
    struct stream *const stream = (struct stream *)pipe;
    struct crew *const crew = stream->worker->crew;
    if (n > 0)
        lines_feed(&stream->lines, buf->base, (size_t)n);
    if (n < 0)
        close_stream(stream);
    finish_if_over(crew);
}

/* Makes the pipe of a stream and begins to read it. *ret_fd: the worker's end, for the caller to
 * close. Real pipes, because programs may open /dev/stdout, which fails on libuv's socketpairs. */
static int open_stream(struct stream *stream, struct worker *worker, struct output *output,
                       int *ret_fd)
{
    int fds[2];
    stream->worker = worker;
    stream->output = output;
    if (!lines_init(&stream->lines, stream, take_line))
        return UV_ENOMEM;
    int result = uv_pipe(fds, UV_NONBLOCK_PIPE, 0);
    if (result != 0)
        return result;
    (void)uv_pipe_init(&worker->crew->loop, &stream->pipe, /* ipc= */ 0); /* cannot fail */
    stream->open = true;
    worker->crew->streams++;
    *ret_fd = fds[1];
    result = uv_pipe_open(&stream->pipe, fds[0]);
    if (result != 0)
        (void)close(fds[0]);
    return result == 0 ? uv_read_start((uv_stream_t *)&stream->pipe, on_alloc, on_read) : result;
}

/* ---- Starting -------------------------------------------------------------------------------- */

static int spawn(struct worker *worker, int out, int err)
{
    struct crew *const crew = worker->crew;
    char launcher[32];
    uv_stdio_container_t stdio[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = out},
        {.flags = UV_INHERIT_FD, .data.fd = err},
    };
    (void)snprintf(launcher, sizeof launcher, "%ld", (long)getpid());
    char **const arguments = worker_arguments(crew->path, launcher, crew->options->command);
    char **const environment = worker_environment(worker->rank, crew->options);
    const uv_process_options_t options = {
        .exit_cb = on_exit_of,
        .file = crew->path,
        .args = arguments,
        .env = environment,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = 3,
        .stdio = stdio,
    };
    int result = UV_ENOMEM;
    if (arguments != NULL && environment != NULL) {
        result = uv_spawn(&crew->loop, &worker->process, &options);
        if (result != 0) /* the handle is the loop's nevertheless */
            uv_close((uv_handle_t *)&worker->process, NULL);
    }
    free((void *)arguments);
    worker_environment_free(environment);
    return result;
}

static int start_worker(struct worker *worker)
{
    struct crew *const crew = worker->crew;
    int out = -1, err = -1;
    int result = open_stream(&worker->out, worker, &crew->out, &out);
    if (result == 0)
        result = open_stream(&worker->err, worker, &crew->err, &err);
    if (result == 0)
        result = spawn(worker, out, err);
    if (out >= 0)
        (void)close(out);
    if (err >= 0)
        (void)close(err);
    if (result == 0) {
        worker->running = true;
        crew->running++;
    }
    return result;
}

static int start_signals(struct crew *crew)
{
    (void)uv_signal_init(&crew->loop, &crew->interrupt);
    (void)uv_signal_init(&crew->loop, &crew->terminate);
    (void)uv_timer_init(&crew->loop, &crew->patience);
    crew->interrupt.data = crew;
    crew->terminate.data = crew;
    crew->patience.data = crew;
    const int result = uv_signal_start(&crew->interrupt, on_signal, SIGINT);
    return result == 0 ? uv_signal_start(&crew->terminate, on_signal, SIGTERM) : result;
}

static int start_all(struct crew *crew)
{
    size_t bytes = sizeof crew->path;
    int result = uv_exepath(crew->path, &bytes);
    for (unsigned i = 0; i < crew->options->workers && result == 0; i++) {
        crew->worker[i].crew = crew;
        crew->worker[i].rank = i;
        result = start_worker(&crew->worker[i]);
    }
    return result;
}

static void destroy(struct crew *crew)
{
    for (unsigned i = 0; crew->worker != NULL && i < crew->options->workers; i++) {
        lines_deinit(&crew->worker[i].out.lines);
        lines_deinit(&crew->worker[i].err.lines);
    }
    free(crew->worker);
    free(crew);
}

enum stepd_status crew_run(const struct crew_options *options, int *ret_exit,
                           struct stepd_error *reterr)
{
    struct crew *const crew = calloc(1, sizeof *crew);
    if (crew != NULL)
        crew->worker = calloc(options->workers, sizeof *crew->worker);
    if (crew == NULL || crew->worker == NULL || uv_loop_init(&crew->loop) != 0) {
        if (crew != NULL)
            free(crew->worker);
        free(crew);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %u workers",
                          options->workers);
    }
    crew->options = options;
    output_init(&crew->out, STDOUT_FILENO);
    output_init(&crew->err, STDERR_FILENO);
    int result = start_signals(crew);
    if (result == 0)
        result = start_all(crew);
    if (result != 0)
        end(crew, /* exit_code= */ 1, SIGKILL);
    for (unsigned i = 0; result != 0 && i < options->workers; i++) {
        close_stream(&crew->worker[i].out);
        close_stream(&crew->worker[i].err);
    }
    finish_if_over(crew);
    (void)uv_run(&crew->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&crew->loop);
    *ret_exit = crew->exit_code;
    destroy(crew);
    if (result == 0)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INTERNAL, "cannot start the workers: %s", uv_strerror(result));
}
