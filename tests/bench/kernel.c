/* SPDX-License-Identifier: Apache-2.0
 *
 * How far is a kernel from what memory allows? For each optimizer, each instruction set that this
 * machine can run and each size, four lanes take turns on the same arrays, so that what else the
 * machine does falls on all of them:
 *
 *     stepd   the optimizer's step
 *     bare    a loop with the same streams and no arithmetic to speak of
 *     memcpy  moves as many bytes, from one array to another
 *     plain   the loop that one would write oneself, compiled for this machine alone; of adamw,
 *             adam, momentum and sgd
 *
 * A sample is as many calls as make a mebi-element, which takes long enough for the clock; it is
 * divided by the calls. The sizes are a slice, which caches may hold, a million parameters, which
 * they may, too, and two that they do not; the largest with few rounds, and only where there is
 * memory for it. whole.c has the optimizers that see a tensor or a group at once.
 */
#include "tests/bench/kernel.h"

#include <string.h>

#include "tests/bench/arrays.h"
#include "tests/bench/bare_kernel.h"
#include "tests/bench/plain_kernel.h"
#include "tests/bench/whole.h"

#define ELEMENTS_PER_SAMPLE (1u << 20)

static optim_step_fn *const bare_streams[OPTIM_ISA_COUNT] = OPTIM_EACH(bare_streams);

struct size {
    size_t elements;
    size_t rounds;
};

static const struct size sizes[] = {
    {(size_t)1 << 18, 51},
    {1000000, 51},
    {10000000, 21},
    {100000000, 5},
};
static const struct size quick_sizes[] = {{(size_t)1 << 12, 3}, {(size_t)1 << 16, 3}};

enum lane { LANE_STEPD, LANE_BARE, LANE_MEMCPY, LANE_PLAIN, LANE_COUNT };

/* One optimizer on one size in one instruction set. */
struct course {
    const struct optimizer *optimizer;
    enum optim_isa isa;
    struct arrays *arrays;
    struct optim_hyper hyper;
    float *slot[OPTIMIZER_SLOTS_MAX]; /* of the arrays; NULL: not used */
    size_t slots;                     /* that are used */
    double scalar[OPTIMIZER_SCALARS_MAX];
    struct optim_step step;
    struct samples *samples; /* LANE_COUNT */
};

/* The slots that an optimizer uses with its defaults, by place. Returns their number. */
static size_t used_slots(const struct optimizer *optimizer, const struct optim_hyper *hyper,
                         bool ret_used[OPTIMIZER_SLOTS_MAX])
{
    static const uint64_t dim[] = {1};
    const struct optim_shape shape = {.dims = 1, .dim = dim, .elements = 1};
    size_t count = 0;
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++) {
        ret_used[k] = k < optimizer_slots(optimizer) &&
                      optimizer_slot_floats(optimizer, k, hyper, 1, &shape) > 0;
        count += ret_used[k] ? 1 : 0;
    }
    return count;
}

static void begin_course(struct course *course)
{
    bool used[OPTIMIZER_SLOTS_MAX];
    optimizer_hyper_defaults(course->optimizer, &course->hyper);
    course->slots = 0;
    (void)used_slots(course->optimizer, &course->hyper, used);
    for (size_t k = 0; k < OPTIMIZER_SLOTS_MAX; k++)
        course->slot[k] = used[k] ? course->arrays->slots[course->slots++] : NULL;
    for (size_t i = 0; i < OPTIMIZER_SCALARS_MAX; i++)
        course->scalar[i] = 0.0;
    for (int i = 0; i < LANE_COUNT; i++)
        course->samples[i].count = 0;
    course->step = (struct optim_step){
        .hyper = &course->hyper,
        .lr = course->hyper.lr,
        .scalar = course->scalar,
    };
    arrays_reset(course->arrays);
}

static void call_step(struct course *course, optim_step_fn *step)
{
    const struct arrays *const arrays = course->arrays;
    course->step.t++;
    if (course->optimizer->prepare != NULL)
        course->optimizer->prepare(&course->step, course->scalar);
    step(&course->step, arrays->n, arrays->w, arrays->g, course->slot);
}

static void take_sample(struct course *course, enum lane lane)
{
    optim_step_fn *const steps[LANE_COUNT] = {
        [LANE_STEPD] = course->optimizer->step[course->isa],
        [LANE_BARE] = bare_streams[course->isa],
        [LANE_PLAIN] = plain_kernel(course->optimizer->name),
    };
    const size_t n = course->arrays->n;
    const size_t calls = n < ELEMENTS_PER_SAMPLE ? ELEMENTS_PER_SAMPLE / n : (size_t)1;
    if (lane != LANE_MEMCPY && steps[lane] == NULL)
        return;
    const double began = samples_now();
    for (size_t i = 0; i < calls; i++) {
        if (lane == LANE_MEMCPY)
            arrays_memcpy(course->arrays, arrays_step_bytes(course->arrays, course->slots));
        else
            call_step(course, steps[lane]);
    }
    samples_add(&course->samples[lane], (samples_now() - began) / (double)calls);
}

static void measure(struct course *course, size_t rounds, struct report *report)
{
    begin_course(course);
    const struct report_subject subject = {
        .optimizer = course->optimizer->name,
        .kind_name = "isa",
        .kind = kernels_isa_name(course->isa),
        .size_name = "elements",
        .size = course->arrays->n,
        .bytes = arrays_step_bytes(course->arrays, course->slots),
    };
    report_progress(report, &subject);
    for (size_t round = 0; round < rounds; round++)
        for (int lane = 0; lane < LANE_COUNT; lane++)
            take_sample(course, (enum lane)lane);
    struct samples *const samples = course->samples;
    const bool plain = samples[LANE_PLAIN].count > 0;
    const struct report_lane lanes[LANE_COUNT] = {
        [LANE_STEPD] = {"stepd", &samples[LANE_STEPD]},
        [LANE_BARE] = {"bare", &samples[LANE_BARE]},
        [LANE_MEMCPY] = {"memcpy", &samples[LANE_MEMCPY]},
        [LANE_PLAIN] = {"plain", plain ? &samples[LANE_PLAIN] : NULL},
    };
    report_comparison(report, &subject, lanes, LANE_COUNT);
}

/* One optimizer's kernels in all instruction sets, on arrays that are there. */
static void measure_kernels(const struct optimizer *optimizer, struct arrays *arrays, size_t rounds,
                            struct report *report)
{
    static struct samples samples[LANE_COUNT];
    for (int isa = 0; isa < OPTIM_ISA_COUNT; isa++) {
        struct course course = {
            .optimizer = optimizer,
            .isa = (enum optim_isa)isa,
            .arrays = arrays,
            .samples = samples,
        };
        if (kernels_available(course.isa))
            measure(&course, rounds, report);
    }
}

/* All optimizers that go element by element, or `one`, on arrays of one size. */
static enum stepd_status measure_elements(const struct optimizer *one, const struct size *size,
                                          struct report *report, struct stepd_error *reterr)
{
    struct arrays arrays;
    const enum stepd_status status = arrays_init(size->elements, &arrays, reterr);
    if (status != STEPD_OK)
        return status;
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        if ((one == NULL || optimizer == one) && optimizer->scope == OPTIM_SCOPE_ELEMENT)
            measure_kernels(optimizer, &arrays, size->rounds, report);
    }
    arrays_deinit(&arrays);
    return STEPD_OK;
}

/* All others, or `one`. */
static enum stepd_status measure_whole(const struct optimizer *one, const struct size *size,
                                       bool first, struct report *report,
                                       struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < optimizer_count() && status == STEPD_OK; i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        if ((one == NULL || optimizer == one) && optimizer->scope != OPTIM_SCOPE_ELEMENT &&
            whole_takes(optimizer, size->elements, first))
            status = whole_measure(optimizer, size->elements, size->rounds, report, reterr);
    }
    return status;
}

enum stepd_status kernel_measure(const char *optimizer_name, bool quick, struct report *report,
                                 struct stepd_error *reterr)
{
    const struct size *const size = quick ? quick_sizes : sizes;
    const size_t count = quick ? sizeof quick_sizes / sizeof *size : sizeof sizes / sizeof *size;
    const struct optimizer *one = NULL;
    enum stepd_status status = STEPD_OK;
    if (strcmp(optimizer_name, KERNEL_ALL) != 0)
        status = optimizer_find(optimizer_name, &one, reterr);
    if (status != STEPD_OK)
        return status;
    report_section(report, "kernel",
                   "One step of an optimizer in memory, size in elements; GB/s: read and written");
    for (size_t i = 0; i < count && status == STEPD_OK; i++) {
        if (arrays_fit(size[i].elements)) {
            status = measure_elements(one, &size[i], report, reterr);
            if (status == STEPD_OK)
                status = measure_whole(one, &size[i], i == 0, report, reterr);
            continue;
        }
        report_left_out(report, size[i].elements,
                        "elements are left out: not enough memory is available");
    }
    return status;
}
