/* SPDX-License-Identifier: Apache-2.0 */
#include "client/ctl/quote.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A single quote ends the quotes, stands for itself, and begins them anew. */
#define QUOTE "'\\''"

static bool is_plain(const char *word)
{
    for (const char *at = word; *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && strchr("@%_+:,./-", *at) == NULL)
            return false;
    return word[0] != '\0';
}

char *quote_word(const char *word)
{
    const size_t length = strlen(word);
    if (is_plain(word))
        return strdup(word);
    char *const quoted = malloc(length * (sizeof QUOTE - 1) + 3);
    char *at = quoted;
    if (quoted == NULL)
        return NULL;
    *at++ = '\'';
    for (size_t i = 0; i < length; i++) {
        if (word[i] == '\'') {
            memcpy(at, QUOTE, sizeof QUOTE - 1);
            at += sizeof QUOTE - 1;
        } else {
            *at++ = word[i];
        }
    }
    *at++ = '\'';
    *at = '\0';
    return quoted;
}
