/* SPDX-License-Identifier: Apache-2.0
 *
 * The limits that control holds to: each refuses in words that name its key, counts it, and costs
 * nobody else anything; and status shows all of them to who may see all jobs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"
#include "server/access/list.h"
#include "server/base/limit.h"

#define NOBODY UINT32_MAX

enum {
    OBSERVERS = 2,
    TENSORS = 3,
};

static struct limits limits;

static int setup(void **state)
{
    struct control_options options = brain_options();
    limits = (struct limits){.max = {[LIMIT_OBSERVERS] = OBSERVERS, [LIMIT_JOBS] = 3}};
    options.observers_max = OBSERVERS;
    options.tensors_max = TENSORS;
    options.job_memory_max_bytes = 1u << 20;
    options.limits = &limits;
    *state = brain_create(&options);
    return 0;
}

/* The limit as the last answer shows it; NULL: it shows none. */
static const struct stepd_limit_status *shown(const struct peer *peer, enum limit limit)
{
    const struct stepd_server_status *const status =
        &peer_answer(peer, STEPD_MESSAGE_STATUS)->body.status;
    for (size_t i = 0; i < status->limits; i++) {
        if (strcmp(status->limit[i].name, limit_key(limit)) == 0)
            return &status->limit[i];
    }
    return NULL;
}

static void observers__one_too_many__is_refused_and_counted(void **state)
{
    struct brain *brain = *state;
    for (size_t i = 0; i < OBSERVERS; i++)
        (void)peer_join(brain, hello_observer(""));
    brain_assert_refused(brain, hello_observer(""), STEPD_RESOURCE_EXHAUSTED, "observers_max");
    assert_int_equal(limits.refused[LIMIT_OBSERVERS], 1);
}

static void jobs__one_too_many__is_refused_and_counted(void **state)
{
    struct brain *brain = *state;
    (void)peer_join(brain, hello_worker("a", 0));
    (void)peer_join(brain, hello_worker("b", 0));
    (void)peer_join(brain, hello_worker("c", 0));
    brain_assert_refused(brain, hello_worker("d", 0), STEPD_RESOURCE_EXHAUSTED, "jobs_max");
    assert_int_equal(limits.refused[LIMIT_JOBS], 1);
}

static void tensors__one_too_many__are_refused_and_counted(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, define_job(STEPD_SYNC, 1));
    struct stepd_message page = define_tensor(8);
    struct stepd_tensor_def many[TENSORS + 1];
    for (size_t i = 0; i < TENSORS + 1; i++)
        many[i] = page.body.define_tensors.tensor[0];
    page.body.define_tensors.tensor = many;
    page.body.define_tensors.tensors = TENSORS + 1;
    peer_request(peer, page);
    peer_assert_error(peer, STEPD_RESOURCE_EXHAUSTED, "tensors_max");
    assert_int_equal(limits.refused[LIMIT_TENSORS], 1);
    peer_request(peer, define_tensor(8)); /* the job is none the worse for it */
    assert_int_equal(limits.refused[LIMIT_TENSORS], 1);
}

static void job_memory__too_much__is_refused_and_counted(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_request(peer, define_job(STEPD_SYNC, 1));
    peer_request(peer, define_tensor(1u << 20)); /* 4 MiB of weights, and more */
    peer_assert_error(peer, STEPD_RESOURCE_EXHAUSTED, "job_memory_max_bytes");
    assert_int_equal(limits.refused[LIMIT_JOB_MEMORY], 1);
    assert_int_equal(limits.refused[LIMIT_MEMORY], 0);
}

static void status__with_counters__shows_every_limit(void **state)
{
    struct brain *brain = *state;
    limit_refused(&limits, LIMIT_FRAME_BYTES);
    struct peer *peer = peer_join(brain, hello_observer(""));
    peer_request(peer, get_status(""));
    for (size_t i = 0; i < LIMITS; i++)
        assert_non_null(shown(peer, (enum limit)i));
    assert_int_equal(shown(peer, LIMIT_OBSERVERS)->used, 1);
    assert_int_equal(shown(peer, LIMIT_OBSERVERS)->max, OBSERVERS);
    assert_int_equal(shown(peer, LIMIT_FRAME_BYTES)->refused, 1);
}

static void status__open_job__counts_its_memory_and_definition(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    peer_define(peer, "j", STEPD_SYNC, 1);
    peer_request(peer, get_status("j"));
    brain_answer(brain, 0, 0, 0, NOBODY);
    brain_answer(brain, 1, 0, 0, NOBODY);
    const struct stepd_server_status *const status =
        &peer_answer(peer, STEPD_MESSAGE_STATUS)->body.status;
    assert_int_equal(shown(peer, LIMIT_JOBS)->used, 1);
    assert_int_equal(shown(peer, LIMIT_MEMORY)->used, status->job[0].memory_bytes);
    assert_true(shown(peer, LIMIT_DEFINITIONS)->used > 0);
}

/* Lets in two observers, one of all jobs and one of some. */
static void admit(struct brain *brain)
{
    static const char text[] = "all observe * never certificate:all\n"
                               "some observe j,k* never certificate:some\n";
    struct access_list *list = NULL;
    assert_int_equal(access_list_read(text, sizeof text - 1, &list, NULL), STEPD_OK);
    control_admit(brain->control, list);
}

static void status__of_who_sees_some_jobs__shows_no_limits(void **state)
{
    struct brain *brain = *state;
    admit(brain);
    brain->certificate = "all";
    struct peer *all = peer_join(brain, hello_observer(""));
    brain->certificate = "some";
    struct peer *some = peer_join(brain, hello_observer(""));
    peer_request(all, get_status(""));
    assert_non_null(shown(all, LIMIT_JOBS));
    peer_request(some, get_status(""));
    assert_null(shown(some, LIMIT_JOBS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, brain_teardown)
        TEST(observers__one_too_many__is_refused_and_counted),
        TEST(jobs__one_too_many__is_refused_and_counted),
        TEST(tensors__one_too_many__are_refused_and_counted),
        TEST(job_memory__too_much__is_refused_and_counted),
        TEST(status__with_counters__shows_every_limit),
        TEST(status__open_job__counts_its_memory_and_definition),
        TEST(status__of_who_sees_some_jobs__shows_no_limits),
    };
    return cmocka_run_group_tests_name("control_limits", tests, NULL, NULL);
}
