/* SPDX-License-Identifier: Apache-2.0
 *
 * stepctl verify: reads checkpoints as the daemon does that goes on from them, every byte.
 */
#include <stdio.h>
#include <unistd.h>

#include <jansson.h>

#include "client/ctl/ctl.h"
#include "client/ctl/shelves.h"
#include "proto/error.h"
#include "server/disk/load.h"

static const char help[] =
    "usage: stepctl verify DIR|CHECKPOINT [--json]\n"
    "\n"
    "Reads a checkpoint, or all in a folder, as the daemon does when it goes on from one: each\n"
    "byte is held to the checksums in the manifest, the arrays to what the job needs. It takes\n"
    "as much memory as the arrays of the largest one. Exit code 1: one of them is bad.\n"
    "\n"
    "options:\n"
    "  --json            one JSON object, for programs\n"
    "  --help            this text\n";

struct verdicts {
    json_t *rows;
    bool as_json;
    size_t bad;
};

static void print(const struct shelves_checkpoint *found, const char *problem)
{
    (void)printf("%s  %s%s%s%s%s\n", problem[0] == '\0' ? "good" : "BAD ", found->job,
                 found->job[0] == '\0' ? "" : "/", found->name, problem[0] == '\0' ? "" : ": ",
                 problem);
    (void)fflush(stdout); /* the next one may take long */
}

static void verify(void *owner, const struct shelves_checkpoint *found)
{
    struct verdicts *const verdicts = owner;
    struct stepd_error error = found->error;
    struct manifest manifest;
    enum stepd_status status = found->folder < 0 ? error.code : STEPD_OK;
    if (status == STEPD_OK)
        status =
            load_checkpoint(found->folder, shelves_bytes_max(found->folder), &manifest, &error);
    if (status == STEPD_OK)
        manifest_deinit(&manifest);
    const char *const problem = status == STEPD_OK ? "" : error.text;
    verdicts->bad += status != STEPD_OK;
    if (!verdicts->as_json)
        print(found, problem);
    (void)json_array_append_new(verdicts->rows, json_pack("{s:s, s:s, s:b, s:s}", "folder",
                                                          found->job, "name", found->name, "good",
                                                          status == STEPD_OK, "problem", problem));
}

int verify_run(const struct ctl_options *ctl, int argc, char **argv)
{
    (void)ctl;
    const struct ctl_words words = {
        .command = "verify", .help = help, .first = "DIR or CHECKPOINT", .least = 1, .most = 1};
    struct verdicts verdicts = {.bad = 0};
    const int exit_code = ctl_read_words(&words, argc, argv, &verdicts.as_json);
    if (exit_code >= 0)
        return exit_code;
    struct stepd_error error;
    json_t *const list = json_pack("{s:[]}", "checkpoints");
    verdicts.rows = json_object_get(list, "checkpoints");
    const struct shelves shelves = {.path = argv[optind], .visit = verify, .owner = &verdicts};
    const enum stepd_status status = shelves_visit(&shelves, &error);
    if (status == STEPD_OK && verdicts.as_json) {
        (void)json_object_set_new(list, "bad", json_integer((json_int_t)verdicts.bad));
        (void)json_dumpf(list, stdout, JSON_INDENT(2));
        (void)printf("\n");
    }
    json_decref(list);
    if (status != STEPD_OK)
        return ctl_fail("verify", &error);
    return verdicts.bad == 0 ? CTL_OK : CTL_FAILURE;
}
