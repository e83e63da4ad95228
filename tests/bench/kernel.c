/* SPDX-License-Identifier: Apache-2.0
 *
 * How far is a kernel from what memory allows? For each instruction set that this machine can run
 * and each size, the optimizer's step and a bare loop with the same streams take turns on the same
 * arrays, so that what else the machine does falls on both. A sample is as many calls as make a
 * mebi-element, which takes long enough for the clock. The median sample divided by the calls is
 * reported, and the ratio of the medians: 1 would be a kernel that costs nothing but its memory.
 * The sizes are a slice, which caches may hold, and two that they do not.
 */
#include "tests/bench/kernel.h"

#include <stdlib.h>

#include "proto/error.h"
#include "tests/bench/bare_kernel.h"

#define ELEMENTS_PER_SAMPLE (1u << 20)
#define STREAMS             7u /* floats moved per element: 4 read, 3 written */
#define SLOTS               2u

static optim_step_fn *const bare_streams[OPTIM_ISA_COUNT] = OPTIM_EACH(bare_streams);

struct arrays {
    size_t n;
    float *memory; /* owned: w, g and two slots, n floats each */
    float *w;
    float *g;
    float *slot[OPTIMIZER_SLOTS_MAX]; /* NULL: not used */
};

static enum stepd_status make_arrays(size_t n, struct arrays *ret_arrays,
                                     struct stepd_error *reterr)
{
    struct arrays arrays = {.n = n, .memory = aligned_alloc(64, 4 * n * sizeof(float))};
    if (arrays.memory == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for arrays of %zu floats",
                          n);
    arrays.w = arrays.memory;
    arrays.g = arrays.memory + n;
    arrays.slot[0] = arrays.memory + 2 * n;
    arrays.slot[1] = arrays.memory + 3 * n;
    for (size_t i = 0; i < n; i++) {
        arrays.w[i] = 1.0f;
        arrays.g[i] = 1e-3f * (float)(i % 7);
        arrays.slot[0][i] = 0.0f;
        arrays.slot[1][i] = 0.0f;
    }
    *ret_arrays = arrays;
    return STEPD_OK;
}

static void take_sample(optim_step_fn *step, struct optim_step *how, const struct arrays *arrays,
                        struct samples *samples)
{
    const size_t calls =
        arrays->n < ELEMENTS_PER_SAMPLE ? ELEMENTS_PER_SAMPLE / arrays->n : (size_t)1;
    const double began = samples_now();
    for (size_t i = 0; i < calls; i++) {
        how->t++;
        step(how, arrays->n, arrays->w, arrays->g, arrays->slot);
    }
    samples_add(samples, (samples_now() - began) / (double)calls);
}

static void measure(const struct optimizer *optimizer, enum optim_isa isa,
                    const struct arrays *arrays, size_t rounds, struct report *report)
{
    static struct samples stepd;
    static struct samples bare;
    stepd.count = 0;
    bare.count = 0;
    struct optim_hyper hyper;
    optimizer_hyper_defaults(optimizer, &hyper);
    double scalar[OPTIMIZER_SCALARS_MAX] = {0.0};
    struct optim_step how = {.hyper = &hyper, .lr = hyper.lr, .t = 1, .scalar = scalar};
    if (optimizer->prepare != NULL)
        optimizer->prepare(&how, scalar);
    for (size_t round = 0; round < rounds; round++) {
        take_sample(optimizer->step[isa], &how, arrays, &stepd);
        take_sample(bare_streams[isa], &how, arrays, &bare);
    }
    report_row(report,
               &(struct report_row){
                   .optimizer = optimizer->name,
                   .kind_name = "isa",
                   .kind = kernels_isa_name(isa),
                   .size_name = "elements",
                   .size = arrays->n,
                   .bytes = STREAMS * arrays->n * sizeof(float),
               },
               &stepd, &bare);
}

/* Does an optimizer, with its defaults, move what the bare loop moves? */
static bool has_streams(const struct optimizer *optimizer)
{
    static const uint64_t dim[] = {1};
    const struct optim_shape shape = {.dims = 1, .dim = dim, .elements = 1};
    struct optim_hyper hyper;
    optimizer_hyper_defaults(optimizer, &hyper);
    bool has = optimizer->scope == OPTIM_SCOPE_ELEMENT && optimizer_slots(optimizer) >= SLOTS;
    for (size_t k = 0; has && k < optimizer_slots(optimizer); k++)
        has = (optimizer_slot_floats(optimizer, k, &hyper, 1, &shape) > 0) == (k < SLOTS);
    return has;
}

enum stepd_status kernel_measure(const char *optimizer_name, bool quick, struct report *report,
                                 struct stepd_error *reterr)
{
    static const size_t sizes[] = {(size_t)1 << 18, (size_t)1 << 22, (size_t)1 << 24};
    static const size_t quick_sizes[] = {(size_t)1 << 12, (size_t)1 << 16};
    const size_t *const size = quick ? quick_sizes : sizes;
    const size_t count = quick ? sizeof quick_sizes / sizeof *size : sizeof sizes / sizeof *size;

    const struct optimizer *optimizer;
    enum stepd_status status = optimizer_find(optimizer_name, &optimizer, reterr);
    if (status != STEPD_OK)
        return status;
    if (!has_streams(optimizer))
        return stepd_fail(
            reterr, STEPD_NOT_FOUND,
            "the bare loop goes through %u slots element by element, and %s does not: "
            "try adamw",
            SLOTS, optimizer_name);
    report_section(report, "kernel", "One step of an optimizer in memory, size in elements");
    for (size_t i = 0; i < count; i++) {
        struct arrays arrays;
        status = make_arrays(size[i], &arrays, reterr);
        if (status != STEPD_OK)
            return status;
        for (int isa = 0; isa < OPTIM_ISA_COUNT; isa++)
            if (kernels_available((enum optim_isa)isa))
                measure(optimizer, (enum optim_isa)isa, &arrays, quick ? 3 : 51, report);
        free(arrays.memory);
    }
    return STEPD_OK;
}
