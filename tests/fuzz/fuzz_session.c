/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole sessions against the daemon's brains: intruders (intruder.h) on several connections, orders
 * and notices that are late, replies that nobody reads, connections that end, time that passes; and
 * beside them a job that has nothing to do with theirs (victim.h). The input is a program
 * of acts (acts.h), of which the first says which job that is, and whether memory is shared. Each
 * other one does one thing:
 *
 *     0 peer fill trim message   a frame of these fields, with the payload that belongs to it
 *     1 peer bytes               any bytes
 *     2 peer n                   n bytes of what it has sent arrive
 *     3 host n                   a host is given its next n orders or notices
 *     4 n                        n times 16 ms pass
 *     5 peer                     a connection ends
 *     6 peer n                   n replies are read
 *     7 n                        the job beside them goes on
 *     8 shard                    a shard has nothing else to do
 *     9 well                     what control has asked its body for is done, well or not
 *    10 lines                    the list of those who are let in is another one
 *    11 job                      somebody wants a snapshot
 *    12 peer fill                gradients are written into shared memory
 *
 * Behind each of them all that is on its way arrives, unless its first byte says otherwise. What
 * must hold: the job beside them ends with the bits that it ends with alone, and is never told of
 * an error; nobody hears of a job that is not theirs; every reply is well-formed and its weights do
 * not change under a reader; a log line can be printed; nothing is left behind.
 */
#include <string.h>

#include "tests/fuzz/acts.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/intruder.h"
#include "tests/fuzz/victim.h"

#define LATE 0x80u /* orders and notices stay where they are */
#define SLOW 0x40u /* and what is sent */
#define DEAF 0x20u /* and replies */

#define TIME_UNIT_MS 16u
#define TIME_MOST_MS 600000u /* of all of a program */

struct stage {
    struct brains brains;
    struct intruders intruders;
    struct victim victim;
};

/* ---- Acts ------------------------------------------------------------------------------------ */

/* Only between two steps of the victim's: it does not wait for longer than it may. */
static void pass_time(struct stage *stage, uint64_t ms)
{
    if (stage->brains.now_ms + ms > TIME_MOST_MS)
        return;
    victim_rest(&stage->victim);
    while (ms > 0) {
        const uint64_t part = ms < BRAINS_TICK_MOST_MS ? ms : BRAINS_TICK_MOST_MS;
        victim_beat(&stage->victim);
        brains_tick(&stage->brains, part);
        ms -= part;
    }
}

static void snapshot(struct stage *stage, struct taker *taker)
{
    static const char *const jobs[] = {"h0", "h1", "f0", VICTIM_JOB};
    struct stepd_error error = {.text = ""};
    if (stage->brains.tasks + sizeof jobs / sizeof jobs[0] >= BRAINS_TASKS_MAX)
        return;
    const enum stepd_status status = control_snapshot(
        stage->brains.control, jobs[take_byte(taker) % 4], stage->brains.now_ms, &error);
    FUZZ_CHECK(status == STEPD_OK || (status == error.code && error.text[0] != '\0'));
}

static void do_act(struct stage *stage, uint8_t what, struct taker *taker)
{
    struct intruders *const intruders = &stage->intruders;
    struct brains *const brains = &stage->brains;
    switch (what % 13) {
    case 0: intruders_send(intruders, taker); return;
    case 1: intruders_send_bytes(intruders, taker); return;
    case 2: {
        struct peer *const peer = intruders_peer(intruders, taker);
        peer_carry(peer, (size_t)take_wide(taker, 2));
        return;
    }
    case 3: {
        const uint32_t host = take_byte(taker) % BRAINS_HOSTS;
        for (unsigned n = 1u + take_byte(taker); n > 0 && brains_deliver(brains, host); n--)
            continue;
        return;
    }
    case 4: pass_time(stage, take_wide(taker, 2) * TIME_UNIT_MS); return;
    case 5: peer_close(intruders_peer(intruders, taker)); return;
    case 6: {
        struct peer *const peer = intruders_peer(intruders, taker);
        peer_read(peer, 1u + take_byte(taker));
        return;
    }
    case 7:
        for (unsigned n = 1u + take_byte(taker); n > 0 && victim_act(&stage->victim); n--)
            continue;
        return;
    case 8: (void)core_on_idle(brains->core[take_byte(taker) % BRAINS_SHARDS]); return;
    case 9: (void)brains_do_task(brains, take_byte(taker) % 2 == 0); return;
    case 10: intruders_admit(intruders, (uint8_t)~take_byte(taker)); return;
    case 11: snapshot(stage, taker); return;
    default: intruders_write(intruders, taker); return;
    }
}

static void run_act(struct stage *stage, const struct act *act)
{
    struct taker taker = {.at = act->at, .left = act->bytes};
    const uint8_t first = take_byte(&taker);
    do_act(stage, first & 0x1f, &taker);
    if ((first & SLOW) == 0)
        intruders_carry(&stage->intruders);
    if ((first & LATE) == 0)
        brains_settle(&stage->brains);
    if ((first & DEAF) == 0)
        intruders_read(&stage->intruders);
}

/* ---- A run ----------------------------------------------------------------------------------- */

/* Not to be guessed by what a program has learned of another one's sessions, and always the same.
 */
static uint64_t seed_of(const uint8_t *bytes, size_t n)
{
    uint64_t seed = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < n; i++)
        seed = (seed ^ bytes[i]) * UINT64_C(1099511628211);
    return seed;
}

/* Runs the acts; the weights that the victim ends with. */
static void run(const struct act *act, size_t acts, uint64_t seed,
                float ret_weights[VICTIM_WEIGHTS])
{
    struct stage *const stage = calloc(1, sizeof *stage);
    FUZZ_CHECK(stage != NULL);
    struct taker options = {.left = 0};
    if (acts > 0)
        options = (struct taker){.at = act[0].at, .left = act[0].bytes};
    const unsigned course = take_byte(&options);
    const uint8_t flags = take_byte(&options);
    brains_init(&stage->brains, seed, (flags & 1) != 0);
    intruders_init(&stage->intruders, &stage->brains);
    victim_init(&stage->victim, &stage->brains, course);
    for (size_t i = 1; i < acts; i++)
        run_act(stage, &act[i]);
    victim_end(&stage->victim);
    if ((flags & 2) != 0)
        control_checkpoint_all(stage->brains.control, stage->brains.now_ms);
    intruders_deinit(&stage->intruders);
    victim_deinit(&stage->victim);
    memcpy(ret_weights, stage->victim.weights, sizeof stage->victim.weights);
    brains_deinit(&stage->brains);
    free(stage);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static float alone[VICTIM_COURSES][VICTIM_WEIGHTS];
    static bool known[VICTIM_COURSES];
    struct act act[ACTS_MAX];
    float weights[VICTIM_WEIGHTS];
    const size_t acts = acts_read(bytes, n, act);
    const uint8_t course = acts > 0 && act[0].bytes > 0 ? act[0].at[0] % VICTIM_COURSES : 0;
    if (!known[course]) {
        const struct act only = {.at = &course, .bytes = 1};
        run(&only, 1, 0, alone[course]);
        known[course] = true;
    }
    run(act, acts, seed_of(bytes, n), weights);
    FUZZ_CHECK(memcmp(weights, alone[course], sizeof weights) == 0);
    return 0;
}
