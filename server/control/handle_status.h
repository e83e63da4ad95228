/* SPDX-License-Identifier: Apache-2.0
 *
 * GetStatus and GetGroups: what people ask. The shards know the versions, so they are asked first.
 */
#ifndef CONTROL_HANDLE_STATUS_H
#define CONTROL_HANDLE_STATUS_H

#include "server/control/dispatch.h"

control_handle_fn control_handle_get_status;
control_handle_fn control_handle_get_groups;

/* Status frames of wait->job, or of all jobs if that is NULL, in the order of their names. A job
 * whose members do not fit into one frame is repeated in the next with the rest of them.
 * RESOURCE_EXHAUSTED: no memory. */
control_pages_fn control_status_pages;

/* Groups frames of wait->job. RESOURCE_EXHAUSTED: no memory. */
control_pages_fn control_groups_pages;

#endif
