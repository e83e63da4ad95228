/* SPDX-License-Identifier: Apache-2.0
 *
 * Hello: who may come in, with which rank.
 */
#ifndef CONTROL_HANDLE_HELLO_H
#define CONTROL_HANDLE_HELLO_H

#include "server/control/dispatch.h"

control_handle_fn control_handle_hello;

/* The Welcome of a session; what it points to is borrowed from it and from control. */
struct stepd_message control_welcome(const struct control *control,
                                     const struct control_session *session);

#endif
