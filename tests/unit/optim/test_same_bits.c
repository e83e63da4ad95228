/* SPDX-License-Identifier: Apache-2.0
 *
 * The promise that the whole server builds on: an update has the same bits in every instruction
 * set, at every alignment, and wherever a slice is cut; and so has the point that workers look
 * ahead to. Held for every row of ELEMENT scope in every setting of settings.h. The numbers include
 * denormals, values that overflow on the way, infinities and NaN; one NaN is as good as another,
 * since IEEE 754 leaves their bits open.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/optim/kernels.h"
#include "server/optim/optimizer.h"
#include "tests/unit/optim/numbers.h"
#include "tests/unit/optim/settings.h"

/* Several times the widest vector, unrolled, and an odd rest. */
#define N_MOST 1037

/* One more, so that an array can start off every vector's alignment. */
#define ROOM (N_MOST + 1)

static const size_t lengths[] = {0, 1, 7, 67, N_MOST};

#define LENGTHS (sizeof lengths / sizeof lengths[0])

static const uint64_t ts[] = {1, 2, 100000};

#define TS (sizeof ts / sizeof ts[0])

struct arrays {
    float w[ROOM];
    float g[ROOM];
    float slot[OPTIMIZER_SLOTS_MAX][ROOM];
    float view[ROOM];
};

/* A step of an optimizer, and what it is given. */
struct step_case {
    const struct optimizer *optimizer;
    struct optim_hyper hyper;
    double scalar[OPTIMIZER_SCALARS_MAX];
    struct optim_step step;
    struct arrays given;
};

/* A way to take a step: in which instruction set, from which element of the arrays on. */
struct way {
    enum optim_isa isa;
    size_t offset; /* elements */
};

/* All numbers of a test, too large for the stack. */
struct bench {
    struct step_case given;
    struct arrays expected;
    struct arrays got;
};

/* State after some steps: every other element has no negative second moments, nor anything else. */
static void fill_slot(uint64_t *seed, float *slot)
{
    numbers_fill(seed, N_MOST, slot);
    numbers_add_special(seed, N_MOST, slot);
    for (size_t i = 0; i < N_MOST; i += 2)
        slot[i] = fabsf(slot[i]);
}

/* False: the row does not allow this setting. */
static bool case_make(const struct optimizer *optimizer, size_t setting, uint64_t t,
                      struct step_case *made)
{
    made->optimizer = optimizer;
    if (!settings_make(optimizer, setting, &made->hyper))
        return false;
    made->step =
        (struct optim_step){.hyper = &made->hyper, .lr = 0.01, .t = t, .scalar = made->scalar};
    for (size_t k = 0; k < OPTIMIZER_SCALARS_MAX; k++)
        made->scalar[k] = t == 1 ? 0.0 : 0.5;
    if (optimizer->prepare != NULL)
        optimizer->prepare(&made->step, made->scalar);
    uint64_t seed = 1 + setting + 1000 * t;
    made->given = (struct arrays){.w = {0.0f}};
    numbers_fill(&seed, N_MOST, made->given.w);
    numbers_fill(&seed, N_MOST, made->given.g);
    numbers_add_special(&seed, N_MOST, made->given.w);
    numbers_add_special(&seed, N_MOST, made->given.g);
    for (size_t k = 0; k < optimizer_slots(optimizer) && t > 1; k++)
        fill_slot(&seed, made->given.slot[k]);
    return true;
}

static void put(const struct step_case *given, size_t offset, struct arrays *arrays)
{
    memcpy(arrays->w + offset, given->given.w, N_MOST * sizeof(float));
    memcpy(arrays->g + offset, given->given.g, N_MOST * sizeof(float));
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
        memcpy(arrays->slot[k] + offset, given->given.slot[k], N_MOST * sizeof(float));
    memcpy(arrays->view + offset, given->given.view, N_MOST * sizeof(float));
}

/* A step, and then the point to look ahead to where the setting has one. */
static void take(const struct step_case *given, struct way way, size_t n, struct arrays *arrays)
{
    const struct optimizer *const optimizer = given->optimizer;
    float *slot[OPTIMIZER_SLOTS_MAX] = {NULL};
    for (size_t k = 0; k < optimizer_slots(optimizer); k++) {
        if (optimizer->slot[k].used == NULL || optimizer->slot[k].used(&given->hyper))
            slot[k] = arrays->slot[k] + way.offset;
    }
    optimizer->step[way.isa](&given->step, n, arrays->w + way.offset, arrays->g + way.offset, slot);
    if (optimizer->looks_ahead != NULL && optimizer->looks_ahead(&given->hyper))
        optimizer->lookahead[way.isa](&given->step, n, arrays->w + way.offset, slot,
                                      arrays->view + way.offset);
}

static void assert_same(const float *a, const float *b, const char *optimizer, const char *what)
{
    for (size_t i = 0; i < N_MOST; i++) {
        if (!numbers_same(a[i], b[i]))
            fail_msg("%s, %s, element %zu: %a and %a", optimizer, what, i, (double)a[i],
                     (double)b[i]);
    }
}

static void assert_same_arrays(const struct optimizer *optimizer, const struct arrays *a,
                               const struct arrays *b, size_t b_offset)
{
    assert_same(a->w, b->w + b_offset, optimizer->name, "weights");
    assert_same(a->view, b->view + b_offset, optimizer->name, "point to look ahead to");
    for (size_t k = 0; k < optimizer_slots(optimizer); k++)
        assert_same(a->slot[k], b->slot[k] + b_offset, optimizer->name, optimizer->slot[k].name);
}

typedef void check_fn(struct bench *bench);

static size_t check_row(const struct optimizer *optimizer, check_fn *check, struct bench *bench)
{
    size_t checked = 0;
    for (size_t k = 0; k < TS * settings_count(optimizer); k++) {
        if (!case_make(optimizer, k / TS, ts[k % TS], &bench->given))
            continue;
        check(bench);
        checked++;
    }
    return checked;
}

/* Runs a check for every row, setting and kind of step, and says how many those were. */
static void for_each_case(check_fn *check, struct bench *bench)
{
    size_t checked = 0;
    for (size_t o = 0; o < optimizer_count(); o++) {
        if (optimizer_at(o)->scope != OPTIM_SCOPE_ELEMENT)
            continue;
        const size_t of_row = check_row(optimizer_at(o), check, bench);
        assert_true(of_row >= TS);
        checked += of_row;
    }
    print_message("%zu cases\n", checked);
}

static void check_isas(struct bench *bench)
{
    for (size_t l = 0; l < LENGTHS; l++) {
        put(&bench->given, 0, &bench->expected);
        take(&bench->given, (struct way){.isa = OPTIM_ISA_base}, lengths[l], &bench->expected);
        for (unsigned int k = 0; k < 2 * OPTIM_ISA_COUNT; k++) {
            const struct way way = {.isa = (enum optim_isa)(k / 2), .offset = k % 2};
            if (!kernels_available(way.isa))
                continue;
            put(&bench->given, way.offset, &bench->got);
            take(&bench->given, way, lengths[l], &bench->got);
            assert_same_arrays(bench->given.optimizer, &bench->expected, &bench->got, way.offset);
        }
    }
}

static void check_cuts(struct bench *bench)
{
    const enum optim_isa isa = kernels_choose();
    put(&bench->given, 0, &bench->expected);
    take(&bench->given, (struct way){.isa = isa}, N_MOST, &bench->expected);
    put(&bench->given, 0, &bench->got);
    for (size_t start = 0, n = 0; start < N_MOST; start += n) {
        n = 1 + start % 97 < N_MOST - start ? 1 + start % 97 : N_MOST - start;
        take(&bench->given, (struct way){.isa = isa, .offset = start}, n, &bench->got);
    }
    assert_same_arrays(bench->given.optimizer, &bench->expected, &bench->got, 0);
}

static void check_no_elements(struct bench *bench)
{
    const struct step_case *const given = &bench->given;
    const struct optimizer *const optimizer = given->optimizer;
    float *const slot[OPTIMIZER_SLOTS_MAX] = {NULL};
    for (unsigned int isa = 0; isa < OPTIM_ISA_COUNT; isa++) {
        if (!kernels_available((enum optim_isa)isa))
            continue;
        optimizer->step[isa](&given->step, 0, NULL, NULL, slot);
        if (optimizer->looks_ahead != NULL)
            optimizer->lookahead[isa](&given->step, 0, NULL, slot, NULL);
    }
}

static void step__every_instruction_set_and_alignment__gives_the_same_bits(void **state)
{
    for_each_case(check_isas, *state);
}

static void step__slice_cut_anywhere__gives_the_same_bits(void **state)
{
    for_each_case(check_cuts, *state);
}

static void step__no_elements__touches_nothing(void **state)
{
    for_each_case(check_no_elements, *state);
}

static int create_bench(void **state)
{
    *state = calloc(1, sizeof(struct bench));
    return *state == NULL;
}

static int destroy_bench(void **state)
{
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(step__every_instruction_set_and_alignment__gives_the_same_bits),
        cmocka_unit_test(step__slice_cut_anywhere__gives_the_same_bits),
        cmocka_unit_test(step__no_elements__touches_nothing),
    };
    return cmocka_run_group_tests(tests, create_bench, destroy_bench);
}
