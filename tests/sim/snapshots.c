/* SPDX-License-Identifier: Apache-2.0
 *
 * A snapshot that is whole is kept at a later event only: the shards go on meanwhile.
 */
#include "tests/sim/snapshots.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "server/control/control.h"
#include "tests/lib/manifests.h"

void snapshots_init(struct snapshots *snapshots, const struct plan *plan)
{
    *snapshots = (struct snapshots){.plan = plan};
}

static void forget(struct snapshots_kept *kept)
{
    job_snapshot_deinit(&kept->control);
    kept->state = job_state_unref(kept->state);
}

void snapshots_deinit(struct snapshots *snapshots)
{
    for (size_t i = 0; i < snapshots->count; i++)
        forget(&snapshots->kept[i]);
    snapshots->count = 0;
}

void snapshots_serve(struct snapshots *snapshots, struct control *control)
{
    snapshots->control = control;
    snapshots->asked = false;
    snapshots->whole = NULL;
}

void snapshots_whole(struct snapshots *snapshots, const struct job_snapshot *whole)
{
    if (snapshots == NULL)
        return;
    snapshots->whole = whole;
    snapshots->asked = whole != NULL;
}

static void keep(struct snapshots *snapshots, uint64_t now_ms)
{
    struct snapshots_kept kept = {.state = NULL};
    struct stepd_error error = {.code = STEPD_OK};
    if (job_state_gather(snapshots->whole->share, snapshots->whole->shares, &kept.state, &error) !=
        STEPD_OK)
        plan_fail(snapshots->plan, "a snapshot cannot be gathered: %s", error.text);
    assert_int_equal(job_snapshot_copy(snapshots->whole, &kept.control), STEPD_OK);
    kept.taken_in = kept.control.incarnation;
    control_snapshot_end(snapshots->control, snapshots->whole, now_ms);
    snapshots->whole = NULL;
    snapshots->asked = false;
    if (snapshots->count == SNAPSHOTS_KEPT)
        forget(&snapshots->kept[--snapshots->count]);
    for (size_t i = snapshots->count; i > 0; i--)
        snapshots->kept[i] = snapshots->kept[i - 1];
    snapshots->kept[0] = kept;
    snapshots->count++;
    plan_trace(snapshots->plan, "a snapshot is kept, of incarnation %llu and version %lld",
               (unsigned long long)kept.control.incarnation, (long long)kept.control.version);
}

void snapshots_go_on(struct snapshots *snapshots, uint64_t now_ms)
{
    struct stepd_error error = {.code = STEPD_OK};
    if (snapshots->whole != NULL)
        keep(snapshots, now_ms);
    else if (!snapshots->asked)
        snapshots->asked = control_snapshot(snapshots->control, snapshots->plan->job->name, now_ms,
                                            &error) == STEPD_OK;
}

/* What was kept becomes what somebody finds who reads a checkpoint of it, which must be the same.
 */
static void write_down(struct snapshots_kept *kept)
{
    struct manifest manifest = manifests_go_round(&kept->control, kept->state);
    const struct job_snapshot snapshot = manifest.snapshot;
    struct job_state *const state = manifest.state;
    manifest.snapshot = kept->control;
    manifest.state = kept->state;
    manifest_deinit(&manifest);
    kept->control = snapshot;
    kept->state = state;
}

const struct snapshots_kept *snapshots_restore(struct snapshots *snapshots, size_t index,
                                               uint64_t now_ms)
{
    struct stepd_error error = {.code = STEPD_OK};
    struct snapshots_kept *kept = &snapshots->kept[index];
    assert_true(index < snapshots->count);
    for (size_t i = 0; i < snapshots->count; i++) {
        const uint64_t other = snapshots->kept[i].control.incarnation;
        if (other > kept->control.incarnation)
            kept->control.incarnation = other;
    }
    write_down(kept);
    if (control_restore(snapshots->control, &kept->control, kept->state, now_ms, &error) !=
        STEPD_OK)
        plan_fail(snapshots->plan, "the job cannot be restored: %s", error.text);
    return kept;
}
