/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs that cannot do what they were told: which exit code, and which words. A daemon with a
 * good worker runs beside them and must notice nothing.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "scene.h"

enum { TEXTS = 3 };

/* Strings in which %D stands for the row's own folder and %P for the daemon's port. */
struct start {
    const char *name;
    const char *file; /* in the folder; NULL: none */
    const char *contents;
    size_t bytes;
    const char *program;
    const char *flags[8];
    int code;
    const char *texts[TEXTS]; /* that its stderr holds */
};

static const char yaml[] = "listen: 127.0.0.1:0\nshrads: 2\n";

/* The head of an IDX file of 60000 pictures of 28 x 28, and one byte of the first. */
static const char cut_images[] = "\0\0\x08\x03\0\0\xEA\x60\0\0\0\x1C\0\0\0\x1C\x01";

static const struct start starts[] = {
    {.name = "unknown_key_in_the_config",
     .file = "stepd.yaml",
     .contents = yaml,
     .bytes = sizeof yaml - 1,
     .program = STEPD_DAEMON,
     .flags = {"--config", "%D/stepd.yaml"},
     .code = 78,
     .texts = {"stepd.yaml:2", "shrads", "'shards'"}},
    {.name = "port_in_use",
     .program = STEPD_DAEMON,
     .flags = {"--listen", "127.0.0.1:%P"},
     .code = 1,
     .texts = {"127.0.0.1:%P", "address already in use", "--listen"}},
    {.name = "data_folder_without_data",
     .program = STEPD_TRAIN,
     .flags = {"--server", "127.0.0.1:%P", "--job", "other", "--data", "%D"},
     .code = 1,
     .texts = {"%D", "train-images"}},
    {.name = "data_file_cut_short",
     .file = "train-images-idx3-ubyte",
     .contents = cut_images,
     .bytes = sizeof cut_images - 1,
     .program = STEPD_TRAIN,
     .flags = {"--server", "127.0.0.1:%P", "--job", "other", "--data", "%D"},
     .code = 1,
     .texts = {"%D/train-images-idx3-ubyte", "cut short"}},
};

/* Writes text with %D and %P filled in. */
static void fill_in(const char *text, const char *folder, uint16_t port, char *filled, size_t size)
{
    size_t at = 0;
    while (*text != '\0' && at + 1 < size) {
        int written = 1;
        if (strncmp(text, "%D", 2) == 0)
            written = snprintf(filled + at, size - at, "%s", folder);
        else if (strncmp(text, "%P", 2) == 0)
            written = snprintf(filled + at, size - at, "%u", (unsigned)port);
        else
            filled[at] = *text;
        text += *text == '%' ? 2 : 1;
        at += (size_t)written;
    }
    assert_true(at < size);
    filled[at] = '\0';
}

static void write_file(const char *folder, const struct start *start)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, start->file);
    FILE *const file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(start->contents, 1, start->bytes, file), start->bytes);
    assert_int_equal(fclose(file), 0);
}

static void remove_folder(const char *folder, const struct start *start)
{
    char path[128];
    if (start->file != NULL) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, start->file);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(folder), 0);
}

/* Runs the program and compares what it said. */
static void run_and_compare(const struct start *start, const char *folder, uint16_t port)
{
    enum { FLAGS = sizeof start->flags / sizeof start->flags[0] };
    static struct daemon program;
    char filled[FLAGS][128];
    const char *flags[FLAGS + 1] = {NULL};
    char text[128];
    for (size_t i = 0; i < FLAGS && start->flags[i] != NULL; i++) {
        fill_in(start->flags[i], folder, port, filled[i], sizeof filled[i]);
        flags[i] = filled[i];
    }
    const int code = daemon_run_program(&program, start->program, flags);
    if (code != start->code)
        fail_msg("exit code %d instead of %d: %s", code, start->code, program.log);
    for (size_t i = 0; i < TEXTS && start->texts[i] != NULL; i++) {
        fill_in(start->texts[i], folder, port, text, sizeof text);
        if (strstr(program.log, text) == NULL)
            fail_msg("\"%s\" is missing in: %s", text, program.log);
    }
}

static void play_start(void **state)
{
    const struct row *const row = *state;
    const struct start *start = starts;
    while (strcmp(start->name, row->name) != 0)
        start++;
    char folder[] = "/tmp/stepd-test-XXXXXX";
    struct scene *const scene = scene_start(state);
    assert_non_null(mkdtemp(folder));
    if (start->file != NULL)
        write_file(folder, start);
    run_and_compare(start, folder, scene->daemon.port);
    remove_folder(folder, start);
    peer_step(&scene->good);
}

int main(void)
{
    enum { STARTS = sizeof starts / sizeof starts[0] };
    struct row rows[STARTS];
    for (size_t i = 0; i < STARTS; i++)
        rows[i] = (struct row){.name = starts[i].name, .play = play_start};
    (void)signal(SIGPIPE, SIG_IGN);
    return scene_run("bad_start", rows, STARTS);
}
