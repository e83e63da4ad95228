/* SPDX-License-Identifier: Apache-2.0
 *
 * Every optimizer against torch.optim, step by step, in every instruction set of this machine.
 * generate.py says how the vectors come about.
 *
 * What was found, and is held here:
 *
 *   sgd, momentum, nesterov        all weights and buffers have the same bits as torch's
 *   Adam's family, "root ieee"     likewise
 *   adam, adamw, "root torch"      the root of torch may be an ulp off, and so the change of a
 *                                  weight by about 2 ulp of the change. A change here is of the
 *                                  weight's size at most, so one step adds at most 2 ulp of the
 *                                  larger of weight and lr; the vectors are within 3 after 12
 *                                  steps
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/optim/kernels.h"
#include "server/optim/optimizer.h"
#include "tests/golden/reader.h"

#define ELEMENTS_MOST 128
#define STEPS_MOST    32

/* The part of the file that all cases share. */
struct shared {
    size_t elements;
    size_t steps;
    float w[ELEMENTS_MOST];
    float g[STEPS_MOST][ELEMENTS_MOST];
};

struct golden_case {
    char name[64];
    const struct optimizer *optimizer;
    bool exact; /* the same bits, or else the tolerance above */
    struct optim_hyper hyper;
    double lr[STEPS_MOST];
    float w[STEPS_MOST][ELEMENTS_MOST];
    size_t slots; /* at the end; torch keeps no buffer without momentum */
    float slot[OPTIMIZER_SLOTS_MAX][ELEMENTS_MOST];
};

static void read_shared(struct reader *reader, struct shared *shared)
{
    reader_expect(reader, "elements");
    shared->elements = reader_count(reader, ELEMENTS_MOST);
    reader_expect(reader, "steps");
    shared->steps = reader_count(reader, STEPS_MOST);
    reader_expect(reader, "weights");
    reader_floats(reader, shared->elements, shared->w);
    for (size_t t = 0; t < shared->steps; t++) {
        reader_expect(reader, "gradient");
        reader_floats(reader, shared->elements, shared->g[t]);
    }
}

static bool takes_word(const struct optimizer *optimizer, const char *name)
{
    for (size_t i = 0; i < optimizer->hypers; i++) {
        if (strcmp(optimizer->hyper[i].name, name) == 0)
            return optimizer->hyper[i].word != NULL;
    }
    return false;
}

static void read_settings(struct reader *reader, struct golden_case *golden)
{
    reader_expect(reader, "case");
    (void)snprintf(golden->name, sizeof golden->name, "%s", reader_word(reader));
    assert_int_equal(optimizer_find(reader_word(reader), &golden->optimizer, NULL), STEPD_OK);
    reader_expect(reader, "root");
    golden->exact = strcmp(reader_word(reader), "ieee") == 0;
    optimizer_hyper_defaults(golden->optimizer, &golden->hyper);
    reader_expect(reader, "hypers");
    const size_t hypers = reader_count(reader, golden->optimizer->hypers);
    for (size_t i = 0; i < hypers; i++) {
        const char *const name = reader_word(reader);
        if (takes_word(golden->optimizer, name))
            assert_int_equal(optimizer_hyper_set_word(golden->optimizer, name, reader_word(reader),
                                                      &golden->hyper, NULL),
                             STEPD_OK);
        else
            assert_int_equal(optimizer_hyper_set(golden->optimizer, name, reader_double(reader),
                                                 &golden->hyper, NULL),
                             STEPD_OK);
    }
}

static void read_case(struct reader *reader, const struct shared *shared,
                      struct golden_case *golden)
{
    read_settings(reader, golden);
    for (size_t t = 0; t < shared->steps; t++) {
        reader_expect(reader, "step");
        golden->lr[t] = reader_double(reader);
        reader_floats(reader, shared->elements, golden->w[t]);
    }
    reader_expect(reader, "slots");
    golden->slots = reader_count(reader, optimizer_slots(golden->optimizer));
    for (size_t k = 0; k < golden->slots; k++) {
        reader_expect(reader, golden->optimizer->slot[k].name);
        reader_floats(reader, shared->elements, golden->slot[k]);
    }
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void assert_same(const struct golden_case *golden, const char *what, size_t n,
                        const float *got, const float *right)
{
    for (size_t i = 0; i < n; i++) {
        if (bits_of(got[i]) != bits_of(right[i]))
            fail_msg("%s, %s, element %zu: %a, torch has %a", golden->name, what, i, (double)got[i],
                     (double)right[i]);
    }
}

/* Units in the last place of the larger of x and least. */
static double ulps(double difference, float x, double least)
{
    const float scale = fmaxf(fabsf(x), (float)least);
    return fabs(difference) / ((double)nextafterf(scale, INFINITY) - (double)scale);
}

/* The most ulps by which the weights after step t differ, having checked them. */
static double compare(const struct golden_case *golden, size_t t, size_t n, const float *w)
{
    if (golden->exact) {
        assert_same(golden, "weights", n, w, golden->w[t]);
        return 0.0;
    }
    double most = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double difference = (double)w[i] - (double)golden->w[t][i];
        const double ulp = ulps(difference, golden->w[t][i], golden->lr[t]);
        if (ulp > 2.0 * (double)(t + 1))
            fail_msg("%s, step %zu, element %zu: %a, torch has %a: %.1f ulp", golden->name, t + 1,
                     i, (double)w[i], (double)golden->w[t][i], ulp);
        most = fmax(most, ulp);
    }
    return most;
}

static double replay(const struct golden_case *golden, const struct shared *shared,
                     enum optim_isa isa)
{
    float w[ELEMENTS_MOST];
    memcpy(w, shared->w, sizeof w);
    float slots[OPTIMIZER_SLOTS_MAX][ELEMENTS_MOST] = {{0.0f}};
    float *const slot[OPTIMIZER_SLOTS_MAX] = {slots[0], slots[1], slots[2], slots[3]};
    double scalar[OPTIMIZER_SCALARS_MAX] = {0.0};
    double most = 0.0;
    for (size_t t = 0; t < shared->steps; t++) {
        const struct optim_step step = {
            .hyper = &golden->hyper, .lr = golden->lr[t], .t = t + 1, .scalar = scalar};
        if (golden->optimizer->prepare != NULL)
            golden->optimizer->prepare(&step, scalar);
        golden->optimizer->step[isa](&step, shared->elements, w, shared->g[t], slot);
        most = fmax(most, compare(golden, t, shared->elements, w));
    }
    for (size_t k = 0; k < golden->slots && golden->exact; k++)
        assert_same(golden, golden->optimizer->slot[k].name, shared->elements, slots[k],
                    golden->slot[k]);
    return most;
}

static void optimizers__each_case__are_those_of_torch(void **state)
{
    (void)state;
    static struct shared shared;
    static struct golden_case golden;
    struct reader reader;
    reader_init(&reader, GOLDEN_VECTORS "/optimizers.txt");
    read_shared(&reader, &shared);
    size_t cases = 0;
    for (; reader_more(&reader); cases++) {
        read_case(&reader, &shared, &golden);
        double most = 0.0;
        for (unsigned int isa = 0; isa < OPTIM_ISA_COUNT; isa++) {
            if (kernels_available((enum optim_isa)isa))
                most = fmax(most, replay(&golden, &shared, (enum optim_isa)isa));
        }
        print_message("%s, root of %s: at most %.1f ulp\n", golden.name,
                      golden.exact ? "IEEE" : "torch", most);
    }
    reader_deinit(&reader);
    assert_int_equal(cases, 33);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimizers__each_case__are_those_of_torch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
