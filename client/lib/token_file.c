/* SPDX-License-Identifier: Apache-2.0
 *
 * White space around the token is an editor's, and is none of it.
 */
#include "client/lib/token_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

/* What the file may have around its token. */
#define AROUND_BYTES 64u

static const char space[] = " \t\r\n";

/* The token that stands in a text, NUL-terminated in place; NULL: it is no single word. */
static char *find_token(char *text)
{
    char *const token = text + strspn(text, space);
    const size_t n = strcspn(token, space);
    for (size_t i = 0; i < n; i++) {
        if (token[i] < '!' || token[i] > '~')
            return NULL;
    }
    if (n == 0 || n > STEPD_TOKEN_MAX_BYTES || token[n + strspn(token + n, space)] != '\0')
        return NULL;
    token[n] = '\0';
    return token;
}

enum stepd_status stepd_token_file_read(const char *path, char **ret_token,
                                        struct stepd_error *reterr)
{
    char text[STEPD_TOKEN_MAX_BYTES + AROUND_BYTES + 1];
    FILE *const file = fopen(path, "re");
    if (file == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the token file %s: %s", path,
                          strerror(errno));
    errno = 0;
    const size_t n = fread(text, 1, sizeof text - 1, file);
    const int failure = ferror(file) != 0 ? errno : 0;
    (void)fclose(file);
    text[n] = '\0';
    if (failure != 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "the token file %s: %s", path,
                          strerror(failure));
    const char *const token = strlen(text) == n ? find_token(text) : NULL;
    if (token == NULL)
        return stepd_fail(
            reterr, STEPD_INVALID_ARGUMENT,
            "the token file %s must hold a token, which `stepctl token create` makes, "
            "and nothing else",
            path);
    char *const copy = strdup(token);
    if (copy == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a token");
    *ret_token = copy;
    return STEPD_OK;
}
