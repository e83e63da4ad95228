/* SPDX-License-Identifier: Apache-2.0
 *
 * Observers: sessions that are no members. One lives as long as its control connection, and that
 * as long as something is heard on it within each lease; so nobody who has gone to sleep keeps
 * others from looking.
 */
#ifndef CONTROL_OBSERVERS_H
#define CONTROL_OBSERVERS_H

#include "server/control/sessions.h"

/* Of all jobs, and of none, at a time, where nobody says otherwise. */
#define CONTROL_OBSERVERS_MAX 256u

/* How many there are. */
size_t control_observers(const struct control *control);

/* Makes the session of an observer; job may be NULL. RESOURCE_EXHAUSTED: there are observers_max,
 * or no memory. */
enum stepd_status control_observer_create(struct control *control, struct control_job *job,
                                          const struct stepd_hello *hello,
                                          struct control_session **ret_session,
                                          struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Ends the session and, where there is one, its connection. */
void control_observer_drop(struct control *control, struct control_session *session);

/* Hangs up on those whose lease has run out. */
void control_observers_on_tick(struct control *control);

#endif
