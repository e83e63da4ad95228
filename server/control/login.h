/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may come in, and what they may ask for, where the daemon has a list of those it knows
 * (server/access/list.h). Where it has none, everybody may do everything.
 *
 * Who is refused is told the same whatever the reason is, so that a stranger learns nothing from
 * it: UNAUTHENTICATED, whether a token is missing, wrong, too old or was taken off the list;
 * PERMISSION_DENIED, whether a job is not theirs or their role not enough, and whether there is
 * such a job or not. The operator reads the reason in the log.
 */
#ifndef CONTROL_LOGIN_H
#define CONTROL_LOGIN_H

#include "server/access/list.h"
#include "server/control/brain.h"

/* Is a Hello from somebody who is known, and may do what it asks for? *ret_grant: what they may,
 * for their session; NULL: everything. UNAUTHENTICATED, PERMISSION_DENIED. */
enum stepd_status control_login(const struct control_conn *conn, const struct stepd_hello *hello,
                                const struct access_grant **ret_grant,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* May this session send a request for which one needs this role? UNAUTHENTICATED: not any more, for
 * its time is over. PERMISSION_DENIED. */
enum stepd_status control_login_check(const struct control_conn *conn, enum access_role needs,
                                      const struct stepd_message *request,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

/* May it ask for this job, whether there is one or not? PERMISSION_DENIED. */
enum stepd_status control_login_check_job(const struct control_conn *conn, const char *job,
                                          struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Is it to see this job in a list? */
bool control_login_shows(const struct control_conn *conn, const char *job);

/* Is it to see how much of the daemon's limits is used? They are of all jobs: so is its line. */
bool control_login_shows_limits(const struct control_conn *conn);

/* Puts another list in the place of control's, which is freed; every session and every daemon keeps
 * what the new one still has for its key. */
void control_login_take_list(struct control *control, struct access_list *list);

/* Ends the sessions, on the shards too, that would not be let in any more: their token was taken
 * off the list or given less, or its time is over. A worker's rank stays its own for a lease. */
void control_login_on_tick(struct control *control);

#endif
