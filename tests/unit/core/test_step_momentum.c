/* SPDX-License-Identifier: Apache-2.0
 *
 * A schedule that cycles the momentum: which hyperparameter it reaches, and that the group's own
 * value is not read meanwhile. A cycle of one step up and one down has momentum 0.8 in its first
 * step and 0.2 in its second; the learning rate is 1 in both.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/core/local.h"
#include "tests/lib/shard.h"

#define NUMBER(name_, ...)                                                                         \
    {                                                                                              \
        .name = (name_), .values = 1, .value = (const double[])                                    \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

/* The weight, 0 at first, after two steps with these gradients. */
static float train(const char *optimizer, const struct stepd_settings *settings, const float *grad)
{
    const struct stepd_setting cycle[] = {
        NUMBER("base_lr", 1.0),       NUMBER("max_lr", 1.0),       NUMBER("step_size_up", 1.0),
        NUMBER("base_momentum", 0.2), NUMBER("max_momentum", 0.8),
    };
    const struct stepd_group group = {
        .name = "all",
        .match = "*",
        .optimizer = optimizer,
        .settings = *settings,
        .schedule = "cyclic",
        .schedule_settings = {.count = sizeof cycle / sizeof cycle[0], .at = cycle},
    };
    const uint64_t shape[] = {1};
    const struct stepd_tensor_def tensor = shard_tensor("w", shape, 1, 0.0);
    const struct stepd_define_job def = {.workers = 1, .groups = 1, .group = &group};
    const struct stepd_define_tensors page = {.tensors = 1, .tensor = &tensor, .last = true};
    struct local *local = NULL;
    float weight = NAN;
    float *const weights[] = {&weight};
    assert_int_equal(local_create(&def, &page, kernels_choose(), &local, NULL), STEPD_OK);
    for (size_t i = 0; i < 2; i++) {
        const float *const gradients[] = {&grad[i]};
        const struct local_push push = {.grad = gradients, .examples = 1};
        assert_int_equal(local_step(local, &push, weights, NULL), STEPD_OK);
    }
    (void)local_destroy(local);
    return weight;
}

/* PyTorch's momentum: b = 1 and then 0.2 + 1, each times the learning rate. */
static void step__with_cycled_momentum__takes_it_as_momentum(void **state)
{
    (void)state;
    const struct stepd_settings none = {.count = 0};
    const float grad[] = {1.0F, 1.0F};
    assert_float_equal(train("momentum", &none, grad), -2.2F, 1e-6F);
}

/* m = 0.2 g, and m / (1 - 0.8) = g; then m = 0.2 0.2, corrected by 1 - 0.2^2, against the root of
 * v = beta2 (1 - beta2), corrected by 1 - beta2^2. */
static void step__with_cycled_momentum__takes_it_as_beta1_of_adam(void **state)
{
    (void)state;
    const double beta2 = 0.5;
    const struct stepd_setting setting = NUMBER("beta2", beta2);
    const struct stepd_settings settings = {.count = 1, .at = &setting};
    const float grad[] = {1.0F, 0.0F};
    const double m = 0.2 * 0.2 / (1 - 0.2 * 0.2);
    const double v = beta2 * (1 - beta2) / (1 - beta2 * beta2);
    assert_float_equal(train("adam", &settings, grad), (float)(-1 - m / sqrt(v)), 1e-6F);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(step__with_cycled_momentum__takes_it_as_momentum),
        cmocka_unit_test(step__with_cycled_momentum__takes_it_as_beta1_of_adam),
    };
    return cmocka_run_group_tests_name("core/step", tests, NULL, NULL);
}
