/* SPDX-License-Identifier: Apache-2.0
 *
 * See the header.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/disk/portions.h"

#include "server/disk/shelf.h"
#include "tests/lib/settings.h"
#include "tests/unit/persist/deal.h"

const atomic_bool portions_go_on = false;

void portions_setup(struct portions *f, void *scratch, uint64_t rows)
{
    const uint64_t big[] = {rows, 50};
    const uint64_t shape[] = {2, 3};
    const struct stepd_tensor_def tensor[] = {draft_tensor("w", big, 2),
                                              draft_tensor("b", shape, 2)};
    const struct stepd_group group = settings_group("adam", "lr=0.001");
    const struct store_shelf_name name = store_shelf_name("job");
    struct stepd_define_job def = draft_definition();
    struct stepd_error error = {.code = STEPD_OK};
    *f = (struct portions){.scratch = scratch};
    def.group = &group;
    def.slice_elements = LAYOUT_SLICE_ELEMENTS_LEAST;
    shares_setup_tensors(&f->shares, &def, tensor, 2);
    shares_take(&f->shares);
    const struct job_state *const share[SHARES] = {f->shares.share[0], f->shares.share[1]};
    for (uint32_t i = 0; i < PORTIONS_DAEMONS; i++) {
        f->own[i] = deal(share, SHARES, deal_in_turns, i, PORTIONS_DAEMONS);
        f->share[i] = f->own[i];
    }
    f->snapshot = (struct job_snapshot){.job = f->shares.job,
                                        .version = JOB_STATE_AS_IT_STANDS,
                                        .incarnation = 3,
                                        .share = f->share,
                                        .shares = PORTIONS_DAEMONS};
    assert_int_equal(store_open(scratch_path(scratch, "store"), &f->store, &error), STEPD_OK);
    assert_int_equal(store_open_to_read(scratch_path(scratch, "store"), &f->guest, &error),
                     STEPD_OK);
    assert_int_equal(shelf_open_to_write(f->store, &name, &f->shelf, &error), STEPD_OK);
    assert_int_equal(shelf_write_incarnation(&f->shelf, 3, &error), STEPD_OK);
}

void portions_forget_sums(struct portions *f)
{
    for (size_t i = 0; i < PORTIONS_DAEMONS; i++)
        manifest_sums_deinit(&f->sums[i]);
}

void portions_end(struct portions *f)
{
    portions_forget_sums(f);
    for (size_t i = 0; i < PORTIONS_DAEMONS; i++)
        (void)deal_end(f->own[i]);
    shelf_close(&f->shelf);
    (void)store_close(f->guest);
    (void)store_close(f->store);
    shares_teardown(&f->shares);
}

/* ---- What the daemons do --------------------------------------------------------------------- */

void portions_begin(struct portions *f)
{
    struct stepd_error error = {.code = STEPD_OK};
    if (save_begin(&f->shelf, PORTIONS_STEP, &f->place, &error) != STEPD_OK)
        fail_msg("%s", error.text);
}

struct portion_request portions_request(const struct portions *f, uint32_t index)
{
    return (struct portion_request){.number = 1,
                                    .step = PORTIONS_STEP,
                                    .index = index,
                                    .portions = PORTIONS_DAEMONS,
                                    .place = f->place};
}

enum stepd_status portions_write_as(struct portions *f, const struct portion_request *request,
                                    struct manifest_sums *ret_sums, struct stepd_error *error)
{
    const struct save_portion portion = {.store = f->guest,
                                         .request = request,
                                         .share = &f->share[request->index],
                                         .shares = 1,
                                         .stop = &portions_go_on};
    return save_portion(&portion, ret_sums, error);
}

void portions_write(struct portions *f, uint32_t index)
{
    const struct portion_request request = portions_request(f, index);
    struct stepd_error error = {.code = STEPD_OK};
    if (portions_write_as(f, &request, &f->sums[index], &error) != STEPD_OK)
        fail_msg("%s", error.text);
}

enum stepd_status portions_commit(struct portions *f, struct stepd_error *error)
{
    const struct save save = {.shelf = &f->shelf,
                              .snapshot = &f->snapshot,
                              .step = PORTIONS_STEP,
                              .stepd = "test",
                              .stop = &portions_go_on};
    uint64_t bytes = 0;
    const enum stepd_status status =
        save_commit(&save, &f->place, f->sums, PORTIONS_DAEMONS, &bytes, error);
    assert_true(status != STEPD_OK || bytes > 1000);
    return status;
}

void portions_save(struct portions *f)
{
    struct stepd_error error = {.code = STEPD_OK};
    portions_begin(f);
    for (uint32_t i = PORTIONS_DAEMONS; i > 0; i--)
        portions_write(f, i - 1);
    if (portions_commit(f, &error) != STEPD_OK)
        fail_msg("%s", error.text);
}

int portions_open(const struct portions *f)
{
    struct stepd_error error;
    const int folder = shelf_open_checkpoint(&f->shelf, "step-00000007", &error);
    assert_true(folder >= 0);
    return folder;
}
