/* SPDX-License-Identifier: Apache-2.0
 *
 * Words as a shell must see them to take each for one word: the same for every shell that ssh may
 * find at the other end.
 */
#ifndef CLIENT_CTL_QUOTE_H
#define CLIENT_CTL_QUOTE_H

/* Within single quotes, unless nothing in it needs them. NULL: no memory. Caller frees. */
char *quote_word(const char *word);

#endif
