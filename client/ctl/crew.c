/* SPDX-License-Identifier: Apache-2.0
 *
 * One libuv loop drives everything: a process and its pipes for each member, SIGINT and SIGTERM for
 * us, and the timer behind which patience ends. The loop ends by itself when the last handle is
 * closed; so each handle is closed by exactly the event that makes it useless:
 *
 *     process     when it has exited          pipe      at its end, or when patience has ended
 *     orders      with its process            signals, timer, letters   when all members are over
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

#define READ_BYTES 65536u

struct crew;
struct member;

/* One stream of one member, on its way to one of ours. */
struct stream {
    uv_pipe_t pipe; /* first */
    struct member *member;
    struct output *output;
    struct lines lines;
    bool open;
};

struct member {
    uv_process_t process; /* first */
    struct crew *crew;
    const struct crew_member *is;
    bool running;
    struct stream out, err;
    uv_pipe_t orders; /* to its stdin, where it has any */
    uv_write_t given; /* what stands there from the start */
    bool takes_orders;
};

struct crew {
    uv_loop_t loop;
    const struct crew_options *options;
    char path[4096]; /* of stepctl itself */
    struct output out, err;
    struct member *member; /* owned */
    unsigned running;      /* members that have not exited */
    unsigned streams;      /* of theirs that are open */
    uv_signal_t interrupt, terminate;
    uv_timer_t patience;
    uv_pipe_t letters; /* our stdin, where we are relayed */
    bool hears;        /* it is open */
    bool ending;       /* SIGTERM has been sent */
    bool finished;     /* signals and timer are closed */
    int exit_code;
    char read_buffer[READ_BYTES]; /* of whatever is being read */
};

/* ---- Ending ---------------------------------------------------------------------------------- */

static void stop_orders(struct member *member)
{
    if (member->takes_orders)
        uv_close((uv_handle_t *)&member->orders, NULL);
    member->takes_orders = false;
}

/* A letter that the pipe does not take now is not waited for: its end says the same. */
static void send_letter(struct member *member, char letter)
{
    const uv_buf_t text = uv_buf_init(&letter, 1);
    if (member->takes_orders && uv_try_write((uv_stream_t *)&member->orders, &text, 1) != 1)
        stop_orders(member);
}

static void signal_all(struct crew *crew, int signal_number)
{
    for (unsigned i = 0; i < crew->options->members; i++) {
        struct member *const member = &crew->member[i];
        if (member->running && member->is->orders != NULL && signal_number != SIGKILL)
            send_letter(member, signal_number == SIGINT ? CREW_INTERRUPT : CREW_TERMINATE);
        else if (member->running)
            (void)kill(-member->process.pid, signal_number);
    }
}

static void close_stream(struct stream *stream)
{
    if (!stream->open)
        return;
    stream->open = false;
    stream->member->crew->streams--;
    lines_finish(&stream->lines);
    uv_close((uv_handle_t *)&stream->pipe, NULL);
}

static void stop_hearing(struct crew *crew)
{
    if (crew->hears)
        uv_close((uv_handle_t *)&crew->letters, NULL);
    crew->hears = false;
}

static void finish_if_over(struct crew *crew)
{
    if (crew->running > 0 || crew->streams > 0 || crew->finished)
        return;
    crew->finished = true;
    uv_close((uv_handle_t *)&crew->interrupt, NULL);
    uv_close((uv_handle_t *)&crew->terminate, NULL);
    uv_close((uv_handle_t *)&crew->patience, NULL);
    stop_hearing(crew);
}

/* Patience has ended: the rest is killed. Pipes that some orphan still holds are let go. */
static void on_patience(uv_timer_t *timer)
{
    struct crew *const crew = timer->data;
    signal_all(crew, SIGKILL);
    for (unsigned i = 0; crew->running == 0 && i < crew->options->members; i++) {
        close_stream(&crew->member[i].out);
        close_stream(&crew->member[i].err);
    }
    finish_if_over(crew);
}

static void start_patience(struct crew *crew)
{
    const unsigned patience_ms = crew->options->patience_ms;
    (void)uv_timer_start(&crew->patience, on_patience, patience_ms, patience_ms);
}

/* Tells all members to end, once; the first reason is the one that counts. */
static void end(struct crew *crew, int exit_code, int signal_number)
{
    if (crew->ending)
        return;
    crew->ending = true;
    crew->exit_code = exit_code;
    signal_all(crew, signal_number);
    start_patience(crew);
}

static void obey(struct crew *crew, int signal_number)
{
    if (crew->ending)
        signal_all(crew, signal_number); /* the user insists */
    else
        end(crew, 128 + signal_number, signal_number);
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
    obey(handle->data, signal_number);
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

/* On stderr, in one piece. */
static void report_exit(const struct member *member, int64_t status, int signal_number)
{
    char text[512];
    int n;
    if (signal_number != 0)
        n = snprintf(text, sizeof text, "launch: %.200s (pid %d) was killed by signal %d (SIG%s)",
                     member->is->name, member->process.pid, signal_number,
                     signal_name(signal_number));
    else
        n = snprintf(text, sizeof text, "launch: %.200s (pid %d) exited with status %d",
                     member->is->name, member->process.pid, (int)status);
    output_line(&member->crew->err, "", text, (size_t)n, /* live= */ false);
}

/* What else is in a worker's group ends with it. */
static void on_exit_of(uv_process_t *process, int64_t status, int signal_number)
{
    struct member *const member = (struct member *)process;
    struct crew *const crew = member->crew;
    member->running = false;
    crew->running--;
    stop_orders(member);
    (void)kill(-process->pid, SIGTERM);
    if ((status != 0 || signal_number != 0) && !crew->ending) {
        report_exit(member, status, signal_number);
        end(crew, signal_number != 0 ? 128 + signal_number : (int)status, SIGTERM);
    }
    if (crew->running == 0)
        start_patience(crew);
    uv_close((uv_handle_t *)process, NULL);
    finish_if_over(crew);
}

/* ---- Output ---------------------------------------------------------------------------------- */

static void take_line(void *user, const char *line, size_t bytes, bool live)
{
    const struct stream *const stream = user;
    const bool marked = bytes > 0 && line[0] == CREW_MARK;
    if (marked)
        output_line(stream->output, "", line + 1, bytes - 1, live);
    else
        output_line(stream->output, stream->member->is->prefix, line, bytes, live);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct crew *const crew = ((struct stream *)handle)->member->crew;
    (void)suggested;
    *ret_buf = uv_buf_init(crew->read_buffer, sizeof crew->read_buffer);
}

static void on_read(uv_stream_t *pipe, ssize_t n, const uv_buf_t *buf)
{
    struct stream *const stream = (struct stream *)pipe;
    struct crew *const crew = stream->member->crew;
    if (n > 0)
        lines_feed(&stream->lines, buf->base, (size_t)n);
    if (n < 0)
        close_stream(stream);
    finish_if_over(crew);
}

/* Makes the pipe of a stream and begins to read it. *ret_fd: the member's end, for the caller to
 * close. Real pipes, because programs may open /dev/stdout, which fails on libuv's socketpairs. */
static int open_stream(struct stream *stream, struct member *member, struct output *output,
                       int *ret_fd)
{
    int fds[2];
    stream->member = member;
    stream->output = output;
    if (!lines_init(&stream->lines, stream, take_line))
        return UV_ENOMEM;
    int result = uv_pipe(fds, UV_NONBLOCK_PIPE, 0);
    if (result != 0)
        return result;
    (void)uv_pipe_init(&member->crew->loop, &stream->pipe, /* ipc= */ 0); /* cannot fail */
    stream->open = true;
    member->crew->streams++;
    *ret_fd = fds[1];
    result = uv_pipe_open(&stream->pipe, fds[0]);
    if (result != 0)
        (void)close(fds[0]);
    return result == 0 ? uv_read_start((uv_stream_t *)&stream->pipe, on_alloc, on_read) : result;
}

/* ---- Orders ---------------------------------------------------------------------------------- */

/* Letters of the launcher that relays us. Without it nobody would see what our members say. */
static void on_letters(uv_stream_t *pipe, ssize_t n, const uv_buf_t *buf)
{
    struct crew *const crew = pipe->data;
    for (ssize_t i = 0; i < n; i++)
        obey(crew, buf->base[i] == CREW_INTERRUPT ? SIGINT : SIGTERM);
    if (n >= 0)
        return;
    stop_hearing(crew);
    end(crew, 128 + SIGTERM, SIGTERM);
}

static void on_alloc_letters(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct crew *const crew = handle->data;
    (void)suggested;
    *ret_buf = uv_buf_init(crew->read_buffer, sizeof crew->read_buffer);
}

static int start_hearing(struct crew *crew)
{
    if (!crew->options->relayed)
        return 0;
    (void)uv_pipe_init(&crew->loop, &crew->letters, /* ipc= */ 0);
    crew->letters.data = crew;
    crew->hears = true;
    const int result = uv_pipe_open(&crew->letters, STDIN_FILENO);
    return result == 0 ? uv_read_start((uv_stream_t *)&crew->letters, on_alloc_letters, on_letters)
                       : result;
}

/* Makes the pipe to a member's stdin and writes its orders. *ret_fd: the member's end, for the
 * caller to close. */
static int give_orders(struct member *member, int *ret_fd)
{
    union {
        const char *in;
        char *out; /* uv_buf_t is not const, but what is written is only read */
    } orders = {.in = member->is->orders};

    int fds[2];

    if (orders.in == NULL)
        return 0;
    int result = uv_pipe(fds, 0, UV_NONBLOCK_PIPE);
    if (result != 0)
        return result;
    (void)uv_pipe_init(&member->crew->loop, &member->orders, /* ipc= */ 0);
    member->takes_orders = true;
    *ret_fd = fds[0];
    result = uv_pipe_open(&member->orders, fds[1]);
    if (result != 0) {
        (void)close(fds[1]);
        return result;
    }
    const uv_buf_t text = uv_buf_init(orders.out, (unsigned)member->is->orders_bytes);
    return uv_write(&member->given, (uv_stream_t *)&member->orders, &text, 1, NULL);
}

/* ---- Starting -------------------------------------------------------------------------------- */

static int spawn(struct member *member, int in, int out, int err)
{
    struct crew *const crew = member->crew;
    char launcher[32];
    uv_stdio_container_t stdio[] = {
        {.flags = in < 0 ? UV_IGNORE : UV_INHERIT_FD, .data.fd = in},
        {.flags = UV_INHERIT_FD, .data.fd = out},
        {.flags = UV_INHERIT_FD, .data.fd = err},
    };
    (void)snprintf(launcher, sizeof launcher, "%ld", (long)getpid());
    char **const arguments = worker_arguments(crew->path, launcher, member->is->command);
    const uv_process_options_t options = {
        .exit_cb = on_exit_of,
        .file = crew->path,
        .args = arguments,
        .env = member->is->environment,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = 3,
        .stdio = stdio,
    };
    int result = UV_ENOMEM;
    if (arguments != NULL) {
        result = uv_spawn(&crew->loop, &member->process, &options);
        if (result != 0) /* the handle is the loop's nevertheless */
            uv_close((uv_handle_t *)&member->process, NULL);
    }
    free((void *)arguments);
    return result;
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

static int start_member(struct member *member)
{
    struct crew *const crew = member->crew;
    int in = -1, out = -1, err = -1;
    int result = open_stream(&member->out, member, &crew->out, &out);
    if (result == 0)
        result = open_stream(&member->err, member, &crew->err, &err);
    if (result == 0)
        result = give_orders(member, &in);
    if (result == 0)
        result = spawn(member, in, out, err);
    close_if_open(in);
    close_if_open(out);
    close_if_open(err);
    if (result == 0) {
        member->running = true;
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
    if (result == 0)
        result = start_hearing(crew);
    for (unsigned i = 0; i < crew->options->members && result == 0; i++) {
        crew->member[i].crew = crew;
        crew->member[i].is = &crew->options->member[i];
        result = start_member(&crew->member[i]);
    }
    return result;
}

/* After a start that has failed half way. */
static void let_go(struct crew *crew)
{
    end(crew, /* exit_code= */ 1, SIGKILL);
    for (unsigned i = 0; i < crew->options->members; i++) {
        close_stream(&crew->member[i].out);
        close_stream(&crew->member[i].err);
        stop_orders(&crew->member[i]);
    }
}

static void destroy(struct crew *crew)
{
    for (unsigned i = 0; crew->member != NULL && i < crew->options->members; i++) {
        lines_deinit(&crew->member[i].out.lines);
        lines_deinit(&crew->member[i].err.lines);
    }
    free(crew->member);
    free(crew);
}

enum stepd_status crew_run(const struct crew_options *options, int *ret_exit,
                           struct stepd_error *reterr)
{
    struct crew *const crew = calloc(1, sizeof *crew);
    if (crew != NULL)
        crew->member = calloc(options->members, sizeof *crew->member);
    if (crew == NULL || crew->member == NULL || uv_loop_init(&crew->loop) != 0) {
        if (crew != NULL)
            free(crew->member);
        free(crew);
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %u processes",
                          options->members);
    }
    crew->options = options;
    output_init(&crew->out, STDOUT_FILENO, options->relayed);
    output_init(&crew->err, STDERR_FILENO, options->relayed);
    int result = start_signals(crew);
    if (result == 0)
        result = start_all(crew);
    if (result != 0)
        let_go(crew);
    finish_if_over(crew);
    (void)uv_run(&crew->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&crew->loop);
    *ret_exit = crew->exit_code;
    destroy(crew);
    if (result == 0)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INTERNAL, "cannot start the processes: %s",
                      uv_strerror(result));
}
