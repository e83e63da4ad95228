/* SPDX-License-Identifier: Apache-2.0
 *
 * See the header.
 */
#include "tests/unit/disk/training.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/disk/save.h"
#include "server/disk/shelf.h"

void training_setup(struct training *training, const struct scratch *scratch)
{
    static const uint64_t shape[] = {2, 3};
    const struct stepd_tensor_def tensor = draft_tensor("w", shape, 2);
    const struct stepd_define_job def = draft_definition();
    struct stepd_error error = {.code = STEPD_OK};
    *training = (struct training){.scratch = scratch};
    shares_setup_tensors(&training->shares, &def, &tensor, 1);
    shares_take(&training->shares);
    for (size_t i = 0; i < SHARES; i++)
        training->share[i] = training->shares.share[i];
    if (store_open(scratch_path(scratch, "store"), &training->store, &error) != STEPD_OK)
        fail_msg("%s", error.text);
}

void training_teardown(struct training *training)
{
    (void)store_close(training->store);
    shares_teardown(&training->shares);
}

struct job_snapshot training_snapshot(struct training *training, uint64_t incarnation)
{
    return (struct job_snapshot){
        .job = training->shares.job,
        .version = JOB_STATE_AS_IT_STANDS,
        .incarnation = incarnation,
        .share = training->share,
        .shares = SHARES,
    };
}

void training_save(struct training *training, uint64_t incarnation, uint64_t step)
{
    const struct job_snapshot snapshot = training_snapshot(training, incarnation);
    const struct store_shelf_name name = store_shelf_name("j");
    const atomic_bool stop = false;
    struct shelf shelf;
    struct stepd_error error = {.code = STEPD_OK};
    uint64_t bytes = 0;
    assert_int_equal(shelf_open_to_write(training->store, &name, &shelf, &error), STEPD_OK);
    const struct save save = {
        .shelf = &shelf, .snapshot = &snapshot, .step = step, .stepd = "test", .stop = &stop};
    if (save_checkpoint(&save, &bytes, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    shelf_close(&shelf);
}

const char *training_path(uint64_t step, const char *file)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "store/j/%s/%s", shelf_checkpoint_of(step).name, file);
    return path;
}
