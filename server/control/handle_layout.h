/* SPDX-License-Identifier: Apache-2.0
 *
 * GetLayout: waits until the job is open, and is answered with its tensors, slices and parts.
 */
#ifndef CONTROL_HANDLE_LAYOUT_H
#define CONTROL_HANDLE_LAYOUT_H

#include "server/control/dispatch.h"
#include "server/model/job.h"

control_handle_fn control_handle_get_layout;

/* Layout frames of wait->job, which is open. RESOURCE_EXHAUSTED: no memory. */
control_pages_fn control_layout_pages;

#endif
