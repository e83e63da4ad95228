/* SPDX-License-Identifier: Apache-2.0
 *
 * What does not go with the job that it is about is found before anybody acts on it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/peer/fits.h"
#include "server/sync/gate.h"
#include "tests/lib/settings.h"
#include "tests/unit/model/drafts.h"

static char name[] = "job";
static char worker[] = "host:7";
static const uint64_t shape[] = {3};
static struct job *job; /* of two workers and one tensor; its gradient is clipped by its norm */

static int set_up(void **state)
{
    (void)state;
    struct stepd_define_job def = draft_definition();
    const struct stepd_group group = settings_group("sgd", "lr=0.1 clip_norm=1");
    const struct stepd_tensor_def tensor = draft_tensor("w", shape, 1);
    def.workers = 2;
    def.groups = 1;
    def.group = &group;
    job = draft_job(&def, &tensor, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    job = job_unref(job);
    return 0;
}

/* text NULL: it fits. */
static void assert_order(const struct order *order, const struct job *about, const char *text)
{
    struct stepd_error error = {.code = STEPD_OK, .text = ""};
    const enum stepd_status status = peer_order_fits(order, about, &error);
    assert_int_equal(status, text == NULL ? STEPD_OK : STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text == NULL ? "" : text);
}

static void assert_notice(const struct notice *notice, size_t sums, const struct job *about,
                          const char *text)
{
    struct stepd_error error = {.code = STEPD_OK, .text = ""};
    const enum stepd_status status = peer_notice_fits(notice, sums, about, &error);
    assert_int_equal(status, text == NULL ? STEPD_OK : STEPD_INVALID_ARGUMENT);
    assert_string_equal(error.text, text == NULL ? "" : text);
}

static void order__of_a_rank_that_there_is_not__does_not_fit(void **state)
{
    (void)state;

    static const char text[] = "an order about job 'job': rank 2, but there are 2 workers";

    uint32_t ranks[] = {1, 2};
    struct order order = {.kind = ORDER_MEMBER, .job_name = name, .rank = 1};
    assert_order(&order, job, NULL);
    order.rank = 2;
    assert_order(&order, job, text);
    assert_order(&order, NULL, NULL);
    order.kind = ORDER_GIVE_UP;
    assert_order(&order, job, text);
    order.kind = ORDER_CHANGE;
    order.change = ORDER_CHANGE_MEMBER;
    assert_order(&order, job, text);
    order.kind = ORDER_WITHOUT;
    order.ranks = 1;
    order.rank_list = ranks;
    assert_order(&order, job, NULL);
    order.ranks = 2;
    assert_order(&order, job, text);
}

static void session__of_nobody_or_beyond_the_workers__does_not_fit(void **state)
{
    (void)state;
    struct order order = {.kind = ORDER_SESSION, .job_name = name, .rank = 2};
    assert_order(&order, job, "an order about job 'job': a session of nobody");
    order.worker = worker;
    assert_order(&order, job, "an order about job 'job': rank 2, but there are 2 workers");
    order.observer = true;
    assert_order(&order, job, NULL);
}

static void job_open__of_another_job_or_none__does_not_fit(void **state)
{
    (void)state;
    char other[] = "other";
    struct order order = {.kind = ORDER_JOB_OPEN, .job_name = other};
    assert_order(&order, NULL, "an order about job 'other': no job to open");
    order.job = job;
    assert_order(&order, NULL, "an order about job 'other': the job to open is called 'j'");
    order.job_name = job->name;
    assert_order(&order, NULL, NULL);
}

static void commit__with_factors_of_other_tensors__does_not_fit(void **state)
{
    (void)state;
    float factor[] = {1, 2};
    struct order order = {.kind = ORDER_COMMIT, .job_name = name, .factors = 2, .factor = factor};
    assert_order(&order, job, "an order about job 'job': 2 factors, but there are 1 tensors");
    order.factors = 1;
    assert_order(&order, job, NULL);
    order.factors = 0;
    assert_order(&order, job, NULL);
}

/* One group of this optimizer in the place of the index-th. */
static struct group_changes *change_to(const char *optimizer, uint32_t index)
{
    const struct stepd_group def = settings_group(optimizer, "lr=0.1 clip_norm=1");
    struct group_changes *const changes = group_changes_create(1);
    struct shared_group *const shared = calloc(1, sizeof *shared);
    assert_true(changes != NULL && shared != NULL);
    assert_int_equal(group_init_changed(&def, 0, &shared->group, NULL), STEPD_OK);
    shared->refs = 1;
    changes->change[0] = (struct group_change){.index = index, .fresh = true, .group = shared};
    return changes;
}

static void change__of_groups_that_there_are_not_or_that_want_more__does_not_fit(void **state)
{
    (void)state;
    struct order order = {.kind = ORDER_CHANGE, .change = ORDER_CHANGE_GROUPS, .job_name = name};
    struct stepd_error error;
    assert_order(&order, job, NULL); /* called off */
    order.groups = change_to("sgd", 0);
    assert_order(&order, job, NULL);
    order.groups = group_changes_destroy(order.groups);
    order.groups = change_to("sgd", 1);
    assert_order(&order, job, "an order about job 'job': group 1, but there are 1");
    order.groups = group_changes_destroy(order.groups);
    order.groups = change_to("adam", 0);
    assert_int_equal(peer_order_fits(&order, job, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "adam"));
    order.groups = group_changes_destroy(order.groups);
}

static void ready__with_sums_of_other_blocks__does_not_fit(void **state)
{
    (void)state;
    double sum[2] = {1, 2};
    struct notice notice = {.kind = NOTICE_READY, .job_name = name, .sum = sum};
    assert_int_equal(gate_blocks(job, 0), 1);
    assert_notice(&notice, 1, job, NULL);
    assert_notice(&notice, 2, job, "a notice about job 'job': 2 sums, but the shard has 1 blocks");
    assert_notice(&notice, 0, job, "a notice about job 'job': 0 sums, but the shard has 1 blocks");
    assert_notice(&notice, 2, NULL, NULL);
}

static void notice__of_ranks_slices_or_shards_that_there_are_not__does_not_fit(void **state)
{
    (void)state;
    uint32_t rank[] = {0, 2};
    uint32_t later[] = {0, 9};
    uint64_t clock[] = {3, 4};
    struct notice notice = {.kind = NOTICE_HEARD, .job_name = name, .ranks = 1, .rank = rank};
    assert_notice(&notice, 0, job, "a notice about job 'job': ranks without clocks");
    notice.clock = clock;
    assert_notice(&notice, 0, job, NULL);
    notice.ranks = 2;
    assert_notice(&notice, 0, job, "a notice about job 'job': rank 2, but there are 2 workers");
    notice.kind = NOTICE_GIVEN_UP;
    rank[1] = 1;
    assert_notice(&notice, 0, job, "a notice about job 'job': 2 ranks, but one is given up");
    notice.ranks = 1;
    notice.later = 2;
    notice.later_slice = later;
    assert_notice(&notice, 0, job, "a notice about job 'job': slice 9, but there are 1");
    notice.later = 1;
    assert_notice(&notice, 0, job, NULL);
    notice.shard = 1;
    assert_notice(&notice, 0, job, "a notice about job 'job': shard 2, but there are 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order__of_a_rank_that_there_is_not__does_not_fit),
        cmocka_unit_test(session__of_nobody_or_beyond_the_workers__does_not_fit),
        cmocka_unit_test(job_open__of_another_job_or_none__does_not_fit),
        cmocka_unit_test(commit__with_factors_of_other_tensors__does_not_fit),
        cmocka_unit_test(change__of_groups_that_there_are_not_or_that_want_more__does_not_fit),
        cmocka_unit_test(ready__with_sums_of_other_blocks__does_not_fit),
        cmocka_unit_test(notice__of_ranks_slices_or_shards_that_there_are_not__does_not_fit),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
