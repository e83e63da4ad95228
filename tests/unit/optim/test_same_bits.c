/* SPDX-License-Identifier: Apache-2.0
 *
 * The promise that the whole server builds on: an update has the same bits in every instruction
 * set, at every alignment, and wherever a slice is cut. The numbers include denormals and values
 * that overflow on the way; one NaN is as good as another, since IEEE 754 leaves their bits open.
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

#define N_MOST 5000

/* One more, so that an array can start off every vector's alignment. */
#define ROOM (N_MOST + 1)

static const size_t lengths[] = {0, 1, 7, 4096, N_MOST};

#define LENGTHS (sizeof lengths / sizeof lengths[0])

struct arrays {
    float w[ROOM];
    float g[ROOM];
    float slot[OPTIMIZER_SLOTS_MAX][ROOM];
};

/* A way to take a step: in which instruction set, from which element of the arrays on. */
struct way {
    enum optim_isa isa;
    size_t offset; /* elements */
};

/* The numbers of one case, the same at every offset. Second moments are never negative. */
static void fill(struct arrays *arrays, uint64_t seed, size_t offset)
{
    numbers_fill(&seed, N_MOST, arrays->w + offset);
    numbers_fill(&seed, N_MOST, arrays->g + offset);
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
        numbers_fill(&seed, N_MOST, arrays->slot[k] + offset);
    for (size_t i = 0; i < N_MOST; i++)
        arrays->slot[1][offset + i] = fabsf(arrays->slot[1][offset + i]);
}

static void take(const struct optimizer *optimizer, const struct optim_step *step, struct way way,
                 size_t n, struct arrays *arrays)
{
    float *slot[OPTIMIZER_SLOTS_MAX];
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
        slot[k] = arrays->slot[k] + way.offset;
    optimizer->step[way.isa](step, n, arrays->w + way.offset, arrays->g + way.offset, slot);
}

static void assert_same(size_t n, const float *a, const float *b, const char *what)
{
    for (size_t i = 0; i < n; i++) {
        if (!numbers_same(a[i], b[i]))
            fail_msg("%s, element %zu: %a and %a", what, i, (double)a[i], (double)b[i]);
    }
}

static void assert_same_arrays(const struct optimizer *optimizer, const struct arrays *a,
                               size_t a_offset, const struct arrays *b, size_t b_offset)
{
    assert_same(N_MOST, a->w + a_offset, b->w + b_offset, optimizer->name);
    for (size_t k = 0; k < optimizer_slots(optimizer); k++)
        assert_same(N_MOST, a->slot[k] + a_offset, b->slot[k] + b_offset, optimizer->slot[k].name);
}

/* Settings that lead through every branch of the kernels: the defaults, and these. */
static void hyper_of(const struct optimizer *optimizer, bool branches, struct optim_hyper *hyper)
{
    optimizer_hyper_defaults(optimizer, hyper);
    if (!branches)
        return;
    hyper->weight_decay = 0.01;
    hyper->dampening = hyper->momentum > 0.0 ? 0.3 : 0.0;
    hyper->beta1 = hyper->beta1 > 0.0 ? 0.3 : 0.0;
}

/* All numbers that a test compares, too large for the stack. */
struct pair {
    struct arrays expected;
    struct arrays got;
};

typedef void check_fn(const struct optimizer *optimizer, const struct optim_step *step,
                      uint64_t seed, struct pair *pair);

/* Runs a check for every optimizer, setting and kind of step. */
static void for_each_case(check_fn *check, struct pair *pair)
{
    static const uint64_t ts[] = {1, 2, 100000};
    for (size_t o = 0; o < optimizer_count(); o++) {
        for (size_t k = 0; k < 6; k++) {
            struct optim_hyper hyper;
            hyper_of(optimizer_at(o), k % 2 == 1, &hyper);
            const struct optim_step step = {.hyper = &hyper, .lr = 0.01, .t = ts[k / 2]};
            check(optimizer_at(o), &step, 1 + 6 * o + k, pair);
        }
    }
}

static void check_isas(const struct optimizer *optimizer, const struct optim_step *step,
                       uint64_t seed, struct pair *pair)
{
    for (size_t l = 0; l < LENGTHS; l++) {
        fill(&pair->expected, seed, 0);
        take(optimizer, step, (struct way){.isa = OPTIM_ISA_base}, lengths[l], &pair->expected);
        for (unsigned int k = 0; k < 2 * OPTIM_ISA_COUNT; k++) {
            const struct way way = {.isa = (enum optim_isa)(k / 2), .offset = k % 2};
            if (!kernels_available(way.isa))
                continue;
            fill(&pair->got, seed, way.offset);
            take(optimizer, step, way, lengths[l], &pair->got);
            assert_same_arrays(optimizer, &pair->expected, 0, &pair->got, way.offset);
        }
    }
}

static void check_cuts(const struct optimizer *optimizer, const struct optim_step *step,
                       uint64_t seed, struct pair *pair)
{
    const enum optim_isa isa = kernels_choose();
    fill(&pair->expected, seed, 0);
    take(optimizer, step, (struct way){.isa = isa}, N_MOST, &pair->expected);
    fill(&pair->got, seed, 0);
    for (size_t start = 0, n = 0; start < N_MOST; start += n) {
        n = 1 + start % 97 < N_MOST - start ? 1 + start % 97 : N_MOST - start;
        take(optimizer, step, (struct way){.isa = isa, .offset = start}, n, &pair->got);
    }
    assert_same_arrays(optimizer, &pair->expected, 0, &pair->got, 0);
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
    (void)state;
    for (size_t o = 0; o < optimizer_count(); o++) {
        struct optim_hyper hyper;
        optimizer_hyper_defaults(optimizer_at(o), &hyper);
        const struct optim_step step = {.hyper = &hyper, .lr = 0.01, .t = 1};
        float *slot[OPTIMIZER_SLOTS_MAX] = {NULL};
        for (unsigned int isa = 0; isa < OPTIM_ISA_COUNT; isa++) {
            if (kernels_available((enum optim_isa)isa))
                optimizer_at(o)->step[isa](&step, 0, NULL, NULL, slot);
        }
    }
}

static int create_pair(void **state)
{
    *state = malloc(sizeof(struct pair));
    return *state == NULL;
}

static int destroy_pair(void **state)
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
    return cmocka_run_group_tests(tests, create_pair, destroy_pair);
}
