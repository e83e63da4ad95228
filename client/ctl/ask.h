/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking a server something, and having the answer as JSON. The answer may come in several
 * frames; they are joined here, so that printing sees one list.
 */
#ifndef CLIENT_CTL_ASK_H
#define CLIENT_CTL_ASK_H

#include <jansson.h>

#include <stepd/client.h>

/*
 * {"server_version", "uptime_ms", "daemons": [{"place", "address", "state", "first_shard",
 * "shards", "silent_ms", "clock_ahead_ms"}], "jobs": [{"name", "state", "mode", ..., "waited_for":
 * [rank], "members": [{"rank", "worker", "state", ...}], "checkpoint": {"name", "step", "bytes",
 * "age_ms"} or null, "checkpoint_failure"}]}. job NULL: all. *ret_status: caller frees with
 * json_decref. Fails as stepd_call does.
 */
enum stepd_status ask_status(struct stepd_client *client, const char *job, json_t **ret_status,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* {"changes": [{"number", "group", "by", "age_ms", "version", "version_last", "differences":
 * [{"name", "from", "to"}]}], "forgotten"}: all that are kept, the oldest first. The same. */
enum stepd_status ask_changes(struct stepd_client *client, const char *job, json_t **ret_changes,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Changes a job, and says what came of it in the same form. */
enum stepd_status ask_change(struct stepd_client *client,
                             const struct stepd_change_options *options, json_t **ret_changes,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* {"tensors": [{"tensor", "shape", "group", "optimizer", "schedule", "lr", ...}]}; the same. */
enum stepd_status ask_groups(struct stepd_client *client, const char *job, json_t **ret_groups,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
