/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker says while it trains: Report, Heartbeat, Leave.
 */
#ifndef CONTROL_HANDLE_WORKER_H
#define CONTROL_HANDLE_WORKER_H

#include "server/control/dispatch.h"

control_handle_fn control_handle_report;
control_handle_fn control_handle_heartbeat;
control_handle_fn control_handle_leave;

#endif
