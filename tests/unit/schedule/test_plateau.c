/* SPDX-License-Identifier: Apache-2.0
 *
 * plateau, round by round: what counts as better, when the learning rate drops and by how much.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/schedule/make.h"

static const struct schedule_value base = {.lr = 1.0};

static struct schedule plateau(double patience)
{
    struct schedule schedule = make("plateau");
    give(&schedule, "factor", 0.5);
    give(&schedule, "patience", patience);
    return schedule;
}

/* Feeds losses up to the first NaN and returns the learning rate after them. */
static double after(const struct schedule *schedule, struct schedule_state *state,
                    const double *losses)
{
    assert_int_equal(schedule_check(schedule, NULL), STEPD_OK);
    for (; !isnan(*losses); losses++)
        schedule_observe(schedule, state, *losses);
    return schedule_at(schedule, base, 77, state).lr;
}

static void at__no_state__is_the_base_rate(void **state)
{
    (void)state;
    struct schedule schedule = plateau(0.0);
    assert_true(schedule_wants_loss(&schedule));
    assert_true(schedule_at(&schedule, base, 1000, NULL).lr == 1.0);
    schedule_deinit(&schedule);
}

static void observe__patience_over__drops_once(void **state)
{
    (void)state;
    struct schedule schedule = plateau(2.0);
    struct schedule_state seen = {.seen = false};
    assert_true(after(&schedule, &seen, LIST_OF(5.0, 5.0, 5.0)) == 1.0);
    assert_true(after(&schedule, &seen, LIST_OF(5.0)) == 0.5);
    assert_true(after(&schedule, &seen, LIST_OF(5.0, 5.0)) == 0.5);
    assert_true(after(&schedule, &seen, LIST_OF(5.0)) == 0.25);
    schedule_deinit(&schedule);
}

static void observe__improvement__starts_the_count_again(void **state)
{
    (void)state;
    struct schedule schedule = plateau(1.0);
    struct schedule_state seen = {.seen = false};
    assert_true(after(&schedule, &seen, LIST_OF(5.0, 6.0, 4.0, 6.0, 3.0, 6.0)) == 1.0);
    assert_true(seen.best == 3.0 && seen.bad == 1);
    schedule_deinit(&schedule);
}

static void observe__below_the_threshold__is_no_improvement(void **state)
{
    (void)state;
    struct schedule schedule = plateau(0.0);
    give(&schedule, "threshold", 0.25);
    struct schedule_state seen = {.seen = false};
    assert_true(after(&schedule, &seen, LIST_OF(4.0, 2.9)) == 1.0); /* below 3 */
    assert_true(after(&schedule, &seen, LIST_OF(2.2)) == 0.5);      /* not below 2.175 */
    give_word(&schedule, "threshold_mode", "abs");
    assert_true(after(&schedule, &seen, LIST_OF(2.64)) == 0.5); /* below 2.65: no new drop */
    assert_true(seen.best == 2.64);
    schedule_deinit(&schedule);
}

static void observe__mode_max__wants_more(void **state)
{
    (void)state;
    struct schedule schedule = plateau(0.0);
    give_word(&schedule, "mode", "max");
    struct schedule_state seen = {.seen = false};
    assert_true(after(&schedule, &seen, LIST_OF(1.0, 2.0, 3.0)) == 1.0);
    assert_true(after(&schedule, &seen, LIST_OF(2.9)) == 0.5);
    schedule_deinit(&schedule);
}

/* The best is 10, and a tenth is the threshold: what is just enough, and what is just not. */
static void observe__threshold__is_of_the_best_or_absolute(void **state)
{
    (void)state;

    static const struct {
        const char *mode;
        const char *threshold_mode;
        double enough;
        double short_of_it;
    } cases[] = {
        {"min", "rel", 8.99, 9.01},
        {"min", "abs", 9.89, 9.91},
        {"max", "rel", 11.01, 10.99},
        {"max", "abs", 10.11, 10.09},
    };

    for (size_t k = 0; k < 8; k++) {
        struct schedule schedule = plateau(0.0);
        struct schedule_state seen = {.seen = false};
        give(&schedule, "threshold", 0.1);
        give_word(&schedule, "mode", cases[k / 2].mode);
        give_word(&schedule, "threshold_mode", cases[k / 2].threshold_mode);
        const double metric = k % 2 == 0 ? cases[k / 2].enough : cases[k / 2].short_of_it;
        assert_true(after(&schedule, &seen, LIST_OF(10.0, metric)) == (k % 2 == 0 ? 1.0 : 0.5));
        schedule_deinit(&schedule);
    }
}

static void observe__without_threshold__the_same_again_is_no_better(void **state)
{
    (void)state;
    static const char *const modes[] = {"min", "max"};
    for (size_t k = 0; k < 2; k++) {
        struct schedule schedule = plateau(0.0);
        struct schedule_state seen = {.seen = false};
        give(&schedule, "threshold", 0.0);
        give_word(&schedule, "threshold_mode", "abs");
        give_word(&schedule, "mode", modes[k]);
        assert_true(after(&schedule, &seen, LIST_OF(10.0, 10.0)) == 0.5);
        schedule_deinit(&schedule);
    }
}

static void observe__cooldown__forgives(void **state)
{
    (void)state;
    struct schedule schedule = plateau(0.0);
    give(&schedule, "cooldown", 2.0);
    struct schedule_state seen = {.seen = false};
    assert_true(after(&schedule, &seen, LIST_OF(1.0, 1.0)) == 0.5);
    assert_true(after(&schedule, &seen, LIST_OF(1.0, 1.0)) == 0.5);
    assert_true(after(&schedule, &seen, LIST_OF(1.0)) == 0.25);
    schedule_deinit(&schedule);
}

static void observe__window__is_one_metric(void **state)
{
    (void)state;
    struct schedule schedule = plateau(0.0);
    give(&schedule, "window", 3.0);
    struct schedule_state seen = {.seen = false};
    assert_true(after(&schedule, &seen, LIST_OF(1.0, 2.0, 6.0)) == 1.0); /* 3 on average */
    assert_true(seen.best == 3.0);
    assert_true(after(&schedule, &seen, LIST_OF(0.0, 0.0)) == 1.0);
    assert_true(after(&schedule, &seen, LIST_OF(9.5)) == 0.5);
    schedule_deinit(&schedule);
}

/* As in PyTorch: a NaN is not better than anything, and forgotten. */
static void observe__loss_that_is_no_number__counts_as_bad(void **state)
{
    (void)state;
    struct schedule schedule = plateau(1.0);
    struct schedule_state seen = {.seen = false};
    schedule_observe(&schedule, &seen, NAN);
    schedule_observe(&schedule, &seen, INFINITY);
    assert_true(!seen.seen && seen.drops == 1);
    assert_true(after(&schedule, &seen, LIST_OF(3.0)) == 0.5);
    assert_true(seen.seen && seen.best == 3.0);
    schedule_deinit(&schedule);
}

static void at__min_lr__is_the_bottom(void **state)
{
    (void)state;
    struct schedule schedule = plateau(0.0);
    give(&schedule, "min_lr", 0.3);
    const struct schedule_state once = {.drops = 1};
    const struct schedule_state often = {.drops = UINT64_MAX};
    assert_true(schedule_at(&schedule, base, 0, &once).lr == 0.5);
    assert_true(schedule_at(&schedule, base, 0, &often).lr == 0.3);
    schedule_deinit(&schedule);
}

static void at__drop_of_at_most_eps__is_not_made(void **state)
{
    (void)state;
    struct schedule schedule = plateau(0.0);
    give(&schedule, "eps", 0.25);
    const struct schedule_state often = {.drops = 100};
    assert_true(schedule_at(&schedule, base, 0, &often).lr == 0.5);
    schedule_deinit(&schedule);
}

static void check__threshold_that_nothing_passes__is_refused(void **state)
{
    (void)state;
    struct schedule schedule = plateau(0.0);
    give(&schedule, "threshold", 1.0);
    refuse_check(&schedule, "schedule plateau can see no improvement by a threshold of 1 of the "
                            "best loss; it must be below 1, or threshold_mode abs");
    give_word(&schedule, "threshold_mode", "abs");
    assert_int_equal(schedule_check(&schedule, NULL), STEPD_OK);
    schedule_deinit(&schedule);
}

static void observe__other_kinds__remember_nothing(void **state)
{
    (void)state;
    struct schedule schedule = make("constant");
    struct schedule_state seen = {.seen = false};
    schedule_observe(&schedule, &seen, 1.0);
    assert_true(!schedule_wants_loss(&schedule) && !seen.seen && seen.rounds == 0);
    schedule_deinit(&schedule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at__no_state__is_the_base_rate),
        cmocka_unit_test(observe__patience_over__drops_once),
        cmocka_unit_test(observe__improvement__starts_the_count_again),
        cmocka_unit_test(observe__below_the_threshold__is_no_improvement),
        cmocka_unit_test(observe__mode_max__wants_more),
        cmocka_unit_test(observe__threshold__is_of_the_best_or_absolute),
        cmocka_unit_test(observe__without_threshold__the_same_again_is_no_better),
        cmocka_unit_test(observe__cooldown__forgives),
        cmocka_unit_test(observe__window__is_one_metric),
        cmocka_unit_test(observe__loss_that_is_no_number__counts_as_bad),
        cmocka_unit_test(at__min_lr__is_the_bottom),
        cmocka_unit_test(at__drop_of_at_most_eps__is_not_made),
        cmocka_unit_test(check__threshold_that_nothing_passes__is_refused),
        cmocka_unit_test(observe__other_kinds__remember_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
