/* SPDX-License-Identifier: Apache-2.0
 *
 * What a group's learning rate will be: from flags, from a file, step by step.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/ctl/plan.h"

static struct plan_flags flags;
static struct stepd_error error;

static int setup(void **state)
{
    (void)state;
    flags = (struct plan_flags){.optimizer = "momentum", .kind = "constant"};
    error = (struct stepd_error){.code = STEPD_OK};
    return 0;
}

static void give(struct stepd_arguments *arguments, const char *pair)
{
    assert_int_equal(stepd_arguments_set_pair(arguments, pair, &error), STEPD_OK);
}

static struct plan_values follow(size_t group, struct plan *plan, size_t steps,
                                 const double *losses, size_t count)
{
    struct plan_values values;
    assert_int_equal(plan_follow(&plan->group[group], steps, losses, count, &values), STEPD_OK);
    return values;
}

static void plan__of_flags__follows_the_schedule(void **state)
{
    (void)state;
    struct plan plan;
    flags.kind = "step";
    give(&flags.params, "step_size=2");
    give(&flags.params, "gamma=0.5");
    give(&flags.hyper, "lr=8");
    assert_int_equal(plan_from_flags(&flags, &plan, &error), STEPD_OK);
    struct plan_values values = follow(0, &plan, 5, NULL, 0);
    const double right[] = {8, 8, 4, 4, 2};
    assert_memory_equal(values.lr, right, sizeof right);
    assert_false(values.cycled);
    plan_values_deinit(&values);
    plan_deinit(&plan);
}

static void plan__of_a_cycle__has_the_momentum_too(void **state)
{
    (void)state;
    struct plan plan;
    flags.kind = "one_cycle";
    give(&flags.params, "max_lr=1");
    give(&flags.params, "total_steps=10");
    assert_int_equal(plan_from_flags(&flags, &plan, &error), STEPD_OK);
    struct plan_values values = follow(0, &plan, 10, NULL, 0);
    assert_true(values.cycled);
    assert_true(fabs(values.momentum[0] - 0.95) < 1e-12);
    assert_true(fabs(values.momentum[2] - 0.85) < 1e-12);
    plan_values_deinit(&values);
    plan_deinit(&plan);
}

static void plan__of_parts__is_made_of_them(void **state)
{
    (void)state;
    struct plan plan;
    flags.kind = "sequential";
    give(&flags.params, "milestones=2");
    give(&flags.hyper, "lr=4");
    assert_int_equal(plan_add_part(&flags, "constant factor=0.25 total_iters=9", &error), STEPD_OK);
    assert_int_equal(plan_add_part(&flags, "constant", &error), STEPD_OK);
    assert_int_equal(plan_from_flags(&flags, &plan, &error), STEPD_OK);
    struct plan_values values = follow(0, &plan, 3, NULL, 0);
    const double right[] = {1, 1, 4};
    assert_memory_equal(values.lr, right, sizeof right);
    plan_values_deinit(&values);
    plan_deinit(&plan);
    assert_int_equal(plan_add_part(&flags, "lr=1", &error), STEPD_INVALID_ARGUMENT);
}

static void plan__of_plateau__hears_the_losses(void **state)
{
    (void)state;
    struct plan plan;
    const double losses[] = {3, 3, 3, 3};
    flags.kind = "plateau";
    give(&flags.params, "patience=1");
    give(&flags.params, "factor=0.5");
    give(&flags.hyper, "lr=4");
    assert_int_equal(plan_from_flags(&flags, &plan, &error), STEPD_OK);
    struct plan_values values = follow(0, &plan, 5, losses, 4);
    const double right[] = {4, 4, 4, 2, 2};
    assert_memory_equal(values.lr, right, sizeof right);
    plan_values_deinit(&values);
    plan_deinit(&plan);
}

static void plan__of_a_file__merges_groups_and_phases(void **state)
{
    (void)state;
    static const char yaml[] = "jobs:\n"
                               "- name: j\n"
                               "  workers: 1\n"
                               "  defaults: {optimizer: adam, lr: 8}\n"
                               "  groups:\n"
                               "  - {name: head, lr_mult: 0.25}\n"
                               "  - {name: cold, frozen: true}\n"
                               "  - {name: rest, phases: [{from: 2, optimizer: sgd, lr: 1}]}\n";
    char path[] = "/tmp/stepd_unit_plan_XXXXXX";
    const int fd = mkstemp(path);
    struct plan plan;
    assert_true(fd >= 0 && write(fd, yaml, sizeof yaml - 1) == (ssize_t)(sizeof yaml - 1));
    (void)close(fd);
    assert_int_equal(plan_from_file(path, NULL, NULL, &plan, &error), STEPD_OK);
    assert_int_equal(plan.groups, 3);
    const double right[3][3] = {{2, 2, 2}, {0, 0, 0}, {8, 8, 1}};
    for (size_t i = 0; i < 3; i++) {
        struct plan_values values = follow(i, &plan, 3, NULL, 0);
        assert_memory_equal(values.lr, right[i], sizeof right[i]);
        plan_values_deinit(&values);
    }
    plan_deinit(&plan);
    assert_int_equal(plan_from_file(path, "k", NULL, &plan, &error), STEPD_NOT_FOUND);
    assert_non_null(strstr(error.text, "the file defines no job 'k'"));
    assert_int_equal(plan_from_file(path, "j", "hed", &plan, &error), STEPD_NOT_FOUND);
    assert_string_equal(error.text, "job 'j' has no group 'hed': did you mean 'head'?");
    (void)unlink(path);
    assert_int_not_equal(plan_from_file(path, NULL, NULL, &plan, &error), STEPD_OK);
}

static void plan__of_wrong_flags__says_what_the_daemon_would(void **state)
{
    (void)state;
    struct plan plan;
    flags.kind = "cosin";
    assert_int_equal(plan_from_flags(&flags, &plan, &error), STEPD_NOT_FOUND);
    assert_non_null(strstr(error.text, "unknown schedule 'cosin': did you mean 'cosine'?"));
    flags.kind = "cosine";
    assert_int_equal(plan_from_flags(&flags, &plan, &error), STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "schedule cosine needs its parameter 't_max'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(plan__of_flags__follows_the_schedule, setup),
        cmocka_unit_test_setup(plan__of_a_cycle__has_the_momentum_too, setup),
        cmocka_unit_test_setup(plan__of_parts__is_made_of_them, setup),
        cmocka_unit_test_setup(plan__of_plateau__hears_the_losses, setup),
        cmocka_unit_test_setup(plan__of_a_file__merges_groups_and_phases, setup),
        cmocka_unit_test_setup(plan__of_wrong_flags__says_what_the_daemon_would, setup),
    };
    return cmocka_run_group_tests_name("ctl/plan", tests, NULL, NULL);
}
