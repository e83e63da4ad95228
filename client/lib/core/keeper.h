/* SPDX-License-Identifier: Apache-2.0
 *
 * The keeper of the links: which are to stand, which stand, when the next attempt at one is due,
 * and what becomes of the session. Link 0 leads to control, link n to shard n.
 *
 *     CLOSED --open--> DUE --its time--> TRYING --opened--> OPEN
 *                       ^                  |                  |
 *                       +---- failed ------+------ lost ------+
 *
 * A lost link is made again: after a random time below a bound that doubles with every attempt
 * ("full jitter": M. Brooker 2015, "Exponential backoff and jitter"), so that workers that lost a
 * server at once do not come back at once. A shard's link says Hello with the session and that is
 * all. Where control's is lost, the session is resumed there first; that closes the shards' links
 * at the server, so they are made again behind it.
 *
 * Attempts count, and the time without the link adds up, until the link has carried an answer to
 * something that was asked (or has stood for a while with nothing to ask): a server that lets
 * everybody in and hangs up on the first request is not tried for ever. When the sum reaches
 * budget_ms, or the server says a word that no repetition changes, the keeper gives up: everything
 * fails, now and from then on.
 *
 * NOT_FOUND in answer to a session means that the server has forgotten the worker. It joins again,
 * and what was under way is void: the client's state is rolled back, and the owner asks for the
 * layout before the shards' links are made again. The same happens where the job has another
 * incarnation than before.
 *
 * No socket, clock, thread or source of randomness: time and chance come as arguments. All calls
 * come from the loop's thread.
 */
#ifndef CLIENT_LIB_CORE_KEEPER_H
#define CLIENT_LIB_CORE_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/client.h>

#define STEPD_KEEPER_FIRST_MS        50u    /* the bound of the first wait */
#define STEPD_KEEPER_LAST_MS         5000u  /* ... of all waits */
#define STEPD_KEEPER_LAST_OPENING_MS 1000u  /* ... for a link that has never stood */
#define STEPD_KEEPER_ATTEMPT_MS      10000u /* an attempt that takes longer has failed */
#define STEPD_KEEPER_STABLE_MS       5000u  /* a link that is idle for so long is well */
#define STEPD_KEEPER_BEATS           3u     /* heartbeats without an answer: control is lost ... */
#define STEPD_KEEPER_SILENCE_MS      2000u  /* ... unless they went out in less than this */

/* What a Hello says. */
enum stepd_greeting {
    STEPD_GREET_NEW,    /* control: no session */
    STEPD_GREET_RESUME, /* the session */
    STEPD_GREET_REJOIN, /* control: no session, but it was in the job before */
};

enum stepd_kept_state {
    STEPD_KEPT_CLOSED, /* nobody wants it (any more) */
    STEPD_KEPT_DUE,
    STEPD_KEPT_TRYING,
    STEPD_KEPT_OPEN,
};

struct stepd_kept_link {
    enum stepd_kept_state state;
    bool lost;         /* it has stood before, so the budget bounds how long it may be gone */
    bool sleeps;       /* CLOSED because it was lost when nobody needed it any more */
    uint32_t attempts; /* since it was well */
    uint64_t next_ms;  /* DUE: of the next attempt; TRYING: when it has failed */
    uint64_t since_ms; /* OPEN: that it stands; otherwise: that it does not */
    uint64_t down_ms;  /* without it, since it was well, before since_ms */
    struct stepd_error cause; /* why it was lost */
    struct stepd_error last;  /* why the last attempt failed; code OK: none has */
};

/* Toward the owner. No function calls the keeper, but for roll_back, which may end at once. */
struct stepd_keeper_io {
    void *owner;
    /* Begins to make a link; ends in stepd_keeper_opened or stepd_keeper_failed, unless dropped. */
    void (*attempt)(void *owner, uint32_t shard, enum stepd_greeting how);
    /* Closes the link or ends the attempt, if there is either; what was not answered is held. */
    void (*drop)(void *owner, uint32_t shard, const struct stepd_error *why);
    /* The link stands: sends what is held for it. */
    void (*resume)(void *owner, uint32_t shard);
    /* The link is gone for good: fails what is under way on it and held for it, and closes it. */
    void (*fail)(void *owner, uint32_t shard, const struct stepd_error *error);
    /* Fails all operations, forgets clocks and versions, and asks for the layout, which ends in
     * stepd_keeper_laid_out. */
    void (*roll_back)(void *owner, const struct stepd_error *error);
    /* Is anything under way on this link, or held for it? */
    bool (*busy)(void *owner, uint32_t shard);
    /* A number from 0 to most. */
    uint32_t (*random)(void *owner, uint32_t most);
    void (*tell)(void *owner, const struct stepd_event *event);
};

/* What is known of the job. */
enum stepd_kept_job {
    STEPD_KEPT_JOB_UNKNOWN, /* no layout, or none any more */
    STEPD_KEPT_JOB_KNOWN,
    STEPD_KEPT_JOB_ASKED, /* rolled back; the layout is asked for */
};

struct stepd_keeper {
    struct stepd_keeper_io io;
    bool observer;
    uint32_t budget_ms;           /* 0: a link that is lost stays lost */
    struct stepd_kept_link *link; /* owned */
    size_t links, room;
    enum stepd_greeting how; /* of the next Hello on control */
    enum stepd_kept_job job;
    uint64_t incarnation; /* of the job that is KNOWN or was */
    bool stale;           /* a shard has said ROLLED_BACK */
    bool leaving;         /* Leave was sent */
    bool left;            /* ... and acknowledged */
    bool over;            /* given up, with `end` */
    struct stepd_error end;
    bool troubled; /* a loss was told of, and not yet that all is well */
    uint64_t troubled_ms;
    uint32_t tries; /* attempts since */
    uint32_t beats; /* heartbeats in a row without an answer */
    uint64_t beats_ms;
};

/* Whether the worker is an observer, and the budget, are set by the owner before the first call. */
void stepd_keeper_init(struct stepd_keeper *keeper, const struct stepd_keeper_io *io);
void stepd_keeper_deinit(struct stepd_keeper *keeper);

/* A link is wanted from now on, and tried at once. RESOURCE_EXHAUSTED: no memory. Others: it was
 * given up. */
enum stepd_status stepd_keeper_open(struct stepd_keeper *keeper, uint32_t shard, uint64_t now_ms,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A link that has never stood is not wanted any more. */
void stepd_keeper_forget(struct stepd_keeper *keeper, uint32_t shard);

/* The Hello was answered with a Welcome, which names this incarnation. */
void stepd_keeper_opened(struct stepd_keeper *keeper, uint32_t shard, uint64_t incarnation,
                         uint64_t now_ms);

/* The attempt has failed: with UNAVAILABLE, or as the server says. */
void stepd_keeper_failed(struct stepd_keeper *keeper, uint32_t shard,
                         const struct stepd_error *error, uint64_t now_ms);

/* A link that stood is gone. */
void stepd_keeper_lost(struct stepd_keeper *keeper, uint32_t shard, const struct stepd_error *error,
                       uint64_t now_ms);

/* Something that was asked on this link was answered. */
void stepd_keeper_answered(struct stepd_keeper *keeper, uint32_t shard);

/* It is time for a heartbeat; heard: bytes have come from control since the last one. True: send
 * it. */
bool stepd_keeper_beat(struct stepd_keeper *keeper, bool heard, uint64_t now_ms);

/* The client works in this incarnation from now on, with a layout of its own finding: the shards'
 * links of an older one are closed. */
void stepd_keeper_know(struct stepd_keeper *keeper, uint64_t incarnation);

/* The client knows no job (any more): the shards' links are closed. */
void stepd_keeper_know_nothing(struct stepd_keeper *keeper);

/* The layout that was asked for: as before but for the incarnation (error NULL), or not. */
void stepd_keeper_laid_out(struct stepd_keeper *keeper, uint64_t incarnation,
                           const struct stepd_error *error, uint64_t now_ms);

/* A shard said ROLLED_BACK. It is acted upon at the next tick. */
void stepd_keeper_rolled_back(struct stepd_keeper *keeper);

/* Leave is sent; Leave was acknowledged. */
void stepd_keeper_leaving(struct stepd_keeper *keeper);
void stepd_keeper_left(struct stepd_keeper *keeper);

/* Does what is due. */
void stepd_keeper_tick(struct stepd_keeper *keeper, uint64_t now_ms);

/* When the next tick is due at the latest; UINT64_MAX: never. */
uint64_t stepd_keeper_next_ms(const struct stepd_keeper *keeper);

/* Why a link is no longer being made (borrowed until the next call); NULL: it is, or it stands. */
const struct stepd_error *stepd_keeper_refusal(const struct stepd_keeper *keeper, uint32_t shard);

/* How the last attempt at it has failed; NULL: none has since it stood. */
const struct stepd_error *stepd_keeper_last(const struct stepd_keeper *keeper, uint32_t shard);

bool stepd_keeper_is_open(const struct stepd_keeper *keeper, uint32_t shard);

/* Is it being made, so that what is for it waits? */
bool stepd_keeper_holds(const struct stepd_keeper *keeper, uint32_t shard);

/* Was it lost when the worker had left, and nothing was asked of it? Then it is made again when it
 * is opened. */
bool stepd_keeper_sleeps(const struct stepd_keeper *keeper, uint32_t shard);

/* Why a link does not stand, since when, and what has been tried: a DEADLINE_EXCEEDED for who
 * waited for it. */
void stepd_keeper_explain(const struct stepd_keeper *keeper, uint32_t shard, uint64_t now_ms,
                          struct stepd_error *ret_error);

#endif
