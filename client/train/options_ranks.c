/* SPDX-License-Identifier: Apache-2.0
 *
 * What each rank is given: its batch size, and how slow it acts. Lists on the command line have one
 * number or one for each rank, which is known only when all flags have been read.
 */
#include "client/train/options.h"
#include "proto/error.h"

static enum stepd_status settle_batch(struct train_options *options, struct stepd_error *reterr)
{
    if (options->batch_sizes == 1)
        for (uint32_t rank = 1; rank < options->world; rank++)
            options->batch[rank] = options->batch[0];
    else if (options->batch_sizes != options->world)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "--batch has %zu sizes for %u workers: give one for all, or one each",
                          options->batch_sizes, options->world);
    uint64_t sum = 0;
    for (uint32_t rank = 0; rank < options->world; rank++)
        sum += options->batch[rank];
    if (sum == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "--batch gives no worker any example");
    return STEPD_OK;
}

static enum stepd_status settle_slow(struct train_options *options, struct stepd_error *reterr)
{
    if (options->slow_factors > 1 && options->slow_factors != options->world)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "--slow has %zu numbers for %u workers: give one for the last, or one "
                          "each",
                          options->slow_factors, options->world);
    const uint32_t of_last = options->slow[0];
    if (options->slow_factors > 1)
        return STEPD_OK;
    for (uint32_t rank = 0; rank < options->world; rank++)
        options->slow[rank] = 1;
    if (options->slow_factors == 1)
        options->slow[options->world - 1] = of_last;
    return STEPD_OK;
}

/* A step without examples is counted like any other, and takes no time. */
static enum stepd_status check_share(const struct train_options *options,
                                     struct stepd_error *reterr)
{
    for (uint32_t rank = 0; options->share && rank < options->world; rank++)
        if (options->batch[rank] == 0)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "--share: rank %u has no examples and would use up the steps of the "
                              "others; --batch should give it some",
                              rank);
    return STEPD_OK;
}

enum stepd_status options_settle_ranks(struct train_options *options, struct stepd_error *reterr)
{
    enum stepd_status status = settle_batch(options, reterr);
    if (status == STEPD_OK)
        status = settle_slow(options, reterr);
    return status == STEPD_OK ? check_share(options, reterr) : status;
}
