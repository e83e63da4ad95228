/* SPDX-License-Identifier: Apache-2.0
 *
 * The request Barrier.
 */
#ifndef CONTROL_HANDLE_BARRIER_H
#define CONTROL_HANDLE_BARRIER_H

#include "server/control/dispatch.h"

control_handle_fn control_handle_barrier;

#endif
