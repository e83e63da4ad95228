/* SPDX-License-Identifier: Apache-2.0
 *
 * What shards say.
 */
#ifndef CONTROL_NOTICES_H
#define CONTROL_NOTICES_H

#include "server/control/brain.h"

/* notice is borrowed until return. */
void control_notice(struct control *control, const struct notice *notice);

#endif
