/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of those who are known to the daemon, and what each may do. It is the text of the file
 * that access_file names, a line for each token, or for each name in a certificate that a CA of the
 * daemon's (tls_client_ca) has signed:
 *
 *     # who    role     jobs       until                 key
 *     alice    work     mnist      2027-01-31T00:00:00Z  sha256:9f86d081884c7d65...
 *     cron     observe  mnist,ab*  never                 sha256:60303ae22b998861...
 *     node7    work     *          never                 certificate:node7
 *
 * who is a name for the log; jobs are globs (base/glob.h) with commas between; `stepctl token
 * create` writes the line. A line that begins with # is a remark.
 */
#ifndef ACCESS_LIST_H
#define ACCESS_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/access/token.h"

#define ACCESS_TEXT_MAX_BYTES (1u << 20)
#define ACCESS_WHO_MAX_BYTES  64u
#define ACCESS_JOBS_MAX       64u /* globs of one line */
#define ACCESS_FOREVER        INT64_MAX

/* The form of a key that is a certificate's name. */
#define ACCESS_CERTIFICATE_PREFIX "certificate:"

/* X(NAME, name in the file): each may do what those before it may. */
#define ACCESS_ROLE_MAP(X)                                                                         \
    X(OBSERVE, observe) /* pull, and ask */                                                        \
    X(WORK, work)       /* be a member of a job: define it, push, leave */                         \
    X(ADMIN, admin)     /* change a job that runs, have checkpoints written */                     \
    X(PEER, peer)       /* be one of the daemons that serve jobs together */

enum access_role {

#define X(NAME, name) ACCESS_##NAME,
    ACCESS_ROLE_MAP(X)
#undef X
};

/* One line. */
struct access_grant {
    const char *who;
    enum access_role role;
    size_t jobs;
    const char *const *job;  /* globs */
    int64_t until_s;         /* seconds since 1970, from which on it is worth nothing */
    const char *certificate; /* the name in it; NULL: the key is a token's hash */
    uint8_t hash[TOKEN_HASH_BYTES];
    size_t line;
};

struct access_list;

/*
 * Reads the text (n bytes, borrowed until return). INVALID_ARGUMENT: a line is malformed, or has
 * the key of another one; the text begins with its number. RESOURCE_EXHAUSTED: no memory, or more
 * than ACCESS_TEXT_MAX_BYTES. *ret_list: caller frees with access_list_destroy. Any thread.
 */
enum stepd_status access_list_read(const char *text, size_t n, struct access_list **ret_list,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* NULL is fine. Returns NULL. */
struct access_list *access_list_destroy(struct access_list *list);

/* How many lines. */
size_t access_list_count(const struct access_list *list);

/* The line of the token of this hash, or NULL. Looks at all of them, so that the time says nothing
 * of where it stands or of what another one has in common with it. Borrowed as long as the list. */
const struct access_grant *access_list_find(const struct access_list *list,
                                            const uint8_t hash[TOKEN_HASH_BYTES]);

/* The line of this name of a certificate, or NULL. Likewise borrowed. */
const struct access_grant *access_list_find_name(const struct access_list *list, const char *name);

/* The line that has the key of that grant, of another list, or NULL. */
const struct access_grant *access_list_find_like(const struct access_list *list,
                                                 const struct access_grant *grant);

/* May it see this job? "": is not about any. Pure. */
bool access_grant_covers(const struct access_grant *grant, const char *job);

/* Is it worth anything at this time (seconds since 1970)? Pure. */
bool access_grant_is_over(const struct access_grant *grant, int64_t unix_s);

/* "work": a role's name; and the role of a name. False: there is none. Static; any thread. */
const char *access_role_name(enum access_role role);
bool access_role_find(const char *name, enum access_role *ret_role);

/* May this stand in a line as who, or as a job's glob? Both are texts without white space; a glob
 * has no comma either. */
bool access_who_is_fine(const char *who);
bool access_job_is_fine(const char *glob);

#endif
