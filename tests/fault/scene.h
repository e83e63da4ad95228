/* SPDX-License-Identifier: Apache-2.0
 *
 * What strangers, broken clients and hostile ones send, over all layers. Each row says what is
 * sent, which code and words come back, and whether the sender may go on. Meanwhile a good worker
 * trains a job of its own on the same shard, and must notice nothing: it steps before, and with the
 * same connections after. The sender, where it may go on, then does it right, and that must count
 * as if nothing had been. At last the daemon must end as it should.
 */
#ifndef TESTS_FAULT_SCENE_H
#define TESTS_FAULT_SCENE_H

#include "peer.h"
#include "tests/lib/daemon.h"

struct scene {
    struct daemon daemon;
    struct peer good;
    struct peer bad;
    struct wire *stranger; /* has not said Hello */
};

/* Who sends, and what it has done before. */
enum sender {
    STRANGER,  /* nothing */
    JOINED,    /* joined a job that nobody has defined; sends to control */
    MEMBER,    /* a worker that is ready to push; sends to its shard */
    DEFINER,   /* the same, sends to control */
    UNDEFINED, /* joined, opened the shard, the job is not defined; sends to its shard */
    WATCHER,   /* an observer of the good worker's job; sends to its shard */
};

struct row {
    const char *name;
    enum sender sender;
    void (*send)(struct scene *scene);
    enum stepd_status code;
    const char *text; /* a part of the error's */
    bool closes;      /* the connection ends with the error */
    bool spoils;      /* the sender's job stays as it was defined: there is nothing to do right */

    /* Instead of all that: a test that begins with scene_start. */
    void (*play)(void **state);
};

/* Sends a literal with its NULs and without its end. */
#define SEND_LITERAL(wire, literal) (void)wire_write(wire, literal, sizeof(literal) - 1)

/* Starts a daemon with the good worker on it; *state becomes the scene. */
struct scene *scene_start(void **state);

/* The same with flags for the daemon (NULL-terminated). */
struct scene *scene_start_with(void **state, const char *const flags[]);

/* Plays the rows as tests. Returns what main returns. */
int scene_run(const char *name, const struct row *rows, size_t count);

#endif
