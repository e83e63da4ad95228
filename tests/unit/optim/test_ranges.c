/* SPDX-License-Identifier: Apache-2.0
 *
 * Each end of each range that a row states, taken alone: weights stay finite, also of an element
 * whose gradient is always 0, and where all are. So no value that a job may have divides by 0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/optim/blas.h"
#include "server/optim/kernels.h"
#include "tests/unit/optim/whole.h"

#define ROWS    3u
#define COLUMNS 4u
#define STEPS   3

static const uint64_t matrix_dims[] = {ROWS, COLUMNS};
static const struct optim_shape matrix = {
    .dims = 2, .dim = matrix_dims, .elements = (uint64_t)ROWS * COLUMNS};

/* Not a word, nor a coefficient of a polynomial that is iterated: large ones overflow, as they
 * must.
 */
static bool has_ends(const struct optim_hyper_spec *spec)
{
    return spec->word == NULL && strncmp(spec->name, "ns_", 3) != 0;
}

/* The range's end, or its neighbour within where the end is not of the range. */
static double end_of(const struct optim_hyper_spec *spec, bool upper)
{
    if (upper)
        return spec->most_open ? nextafter(spec->most, spec->least) : spec->most;
    return spec->least_open ? nextafter(spec->least, spec->most) : spec->least;
}

static void set_gradient(struct whole *whole, int t, bool zero)
{
    for (size_t i = 0; i < whole->n; i++)
        whole->g[i] = zero || i == 0 ? 0.0f : (float)((int)(i * 5) % 7 - 3 + t) / 8.0f;
    for (size_t i = 0; whole->extra != NULL && i < whole->n; i++)
        whole->extra[i * whole->n + i] = 1.0f;
    whole->loss = 1.0 / t;
}

static void take_kernel_step(struct whole *whole)
{
    if (whole->t == 0)
        whole_make_state(whole);
    whole->t++;
    const struct optimizer *const optimizer = whole->optimizer;
    const struct optim_step step = {
        .hyper = &whole->hyper, .lr = whole->hyper.lr, .t = whole->t, .scalar = whole->scalar};
    if (optimizer->prepare != NULL)
        optimizer->prepare(&step, whole->scalar);
    optimizer->step[kernels_choose()](&step, whole->n, whole->w, whole->g, whole->slot);
}

static void take_step(struct whole *whole)
{
    if (whole->optimizer->scope == OPTIM_SCOPE_ELEMENT)
        take_kernel_step(whole);
    else
        assert_true(whole_step(whole, whole->hyper.lr));
}

/* True: a job may have it, and it was tried. */
static bool try_end(const char *name, const struct optim_hyper_spec *spec, bool upper, bool zero)
{
    struct whole whole;
    whole_init(&whole, name, 1, &matrix);
    for (size_t i = 0; i < whole.n; i++)
        whole.w[i] = (float)i / 4.0f - 1.0f;
    const double value = end_of(spec, upper);
    assert_int_equal(optimizer_hyper_set(whole.optimizer, spec->name, value, &whole.hyper, NULL),
                     STEPD_OK);
    const bool taken = optimizer_hyper_check(whole.optimizer, &whole.hyper, NULL) == STEPD_OK;
    for (int t = 1; taken && t <= STEPS; t++) {
        set_gradient(&whole, t, zero);
        take_step(&whole);
        for (size_t i = 0; i < whole.n; i++) {
            if (!isfinite(whole.w[i]))
                fail_msg("%s with %s = %a, step %d, element %zu: %g", name, spec->name, value, t, i,
                         (double)whole.w[i]);
        }
    }
    whole_deinit(&whole);
    return taken;
}

static void range__each_end__keeps_weights_finite(void **state)
{
    (void)state;
    size_t tried = 0;
    for (size_t o = 0; o < optimizer_count(); o++) {
        const struct optimizer *const optimizer = optimizer_at(o);
        for (size_t k = 0; k < 4 * optimizer->hypers; k++) {
            const struct optim_hyper_spec *const spec = &optimizer->hyper[k / 4];
            if (has_ends(spec))
                tried += try_end(optimizer->name, spec, k % 2 == 1, k / 2 % 2 == 1);
        }
    }
    print_message("%zu ends\n", tried);
    assert_true(tried > 400);
}

static int use_one_thread(void **state)
{
    (void)state;
    blas_use_one_thread();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range__each_end__keeps_weights_finite),
    };
    return cmocka_run_group_tests(tests, use_one_thread, NULL);
}
