/* SPDX-License-Identifier: Apache-2.0
 *
 * The sections about one worker. The largest size has few rounds, because of its time.
 */
#include "tests/bench/step.h"

#include "tests/bench/course.h"

#define SIZES                                                                                      \
    .sizes = {4096, 262144, (size_t)4 << 20, (size_t)64 << 20, 400000000},                         \
    .quick_sizes = {4096, (size_t)3 << 20}

enum stepd_status push_measure(const struct step_settings *settings, struct report *report,
                               struct stepd_error *reterr)
{
    static const struct section section = {
        .name = "push",
        .title = "A push of one tensor; bare: socket and AdamW's memory streams; raw: socket alone",
        .exchange = stepd_push,
        .start = stepd_push_start,
        .pulls_first = true,
        .work = {BARE_PUSH, BARE_RAW_PUSH},
        .works = 2,
        .directions = 1,
        SIZES,
    };
    return course_measure(settings, &section, report, reterr);
}

/* Where several pushes make a step, the first of them is received, checked and kept. */
enum stepd_status receive_measure(const struct step_settings *settings, struct report *report,
                                  struct stepd_error *reterr)
{
    static const struct section section = {
        .name = "receive",
        .title = "A push that is kept for a step to come; bare: into memory of its own; raw: "
                 "through a window of it",
        .exchange = stepd_push,
        .start = stepd_push_start,
        .pulls_first = true,
        .pushes_a_step = 2,
        .work = {BARE_KEEP, BARE_RAW_PUSH},
        .works = 2,
        .directions = 1,
        SIZES,
    };
    return course_measure(settings, &section, report, reterr);
}

enum stepd_status pull_measure(const struct step_settings *settings, struct report *report,
                               struct stepd_error *reterr)
{
    static const struct section section = {
        .name = "pull",
        .title = "A pull of one tensor; bare: the same bytes over a socket",
        .exchange = stepd_pull,
        .work = {BARE_PULL},
        .works = 1,
        .directions = 1,
        SIZES,
    };
    return course_measure(settings, &section, report, reterr);
}

enum stepd_status step_measure(const struct step_settings *settings, struct report *report,
                               struct stepd_error *reterr)
{
    static const struct section section = {
        .name = "step",
        .title = "A step of one tensor, GB/s both ways; bare: socket and AdamW's memory streams, "
                 "pipelined; raw: socket alone",
        .exchange = stepd_step,
        .start = stepd_step_start,
        .work = {BARE_STEP, BARE_RAW_STEP},
        .works = 2,
        .directions = 2,
        SIZES,
    };
    return course_measure(settings, &section, report, reterr);
}

enum stepd_status latency_measure(const struct step_settings *settings, struct report *report,
                                  struct stepd_error *reterr)
{
    static const struct section section = {
        .name = "latency",
        .title = "A step of 64 bytes, both sides sleeping; bare: an echo of them through libuv",
        .exchange = stepd_step,
        .start = stepd_step_start,
        .directions = 2,
        .sizes = {64},
        .quick_sizes = {64},
    };
    return course_measure(settings, &section, report, reterr);
}

enum stepd_status polling_measure(const struct step_settings *settings, struct report *report,
                                  struct stepd_error *reterr)
{
    static const struct section section = {
        .name = "polling",
        .title = "A step of 64 bytes, client and server polling (busy_poll_us " COURSE_POLL_FLAG
                 " in both: needs two free cores); bare: an echo through libuv, both sides polling",
        .exchange = stepd_step,
        .start = stepd_step_start,
        .directions = 2,
        .polls = true,
        .sizes = {64},
        .quick_sizes = {64},
    };
    return course_measure(settings, &section, report, reterr);
}
