/* SPDX-License-Identifier: Apache-2.0
 *
 * A private certificate authority (CA) in a folder, for a small cluster: ca.pem and ca.key, and for
 * each name a certificate that it has signed, NAME.pem and NAME.key. Keys are of P-256 and are not
 * encrypted; every file is its owner's alone, and none is ever overwritten.
 */
#ifndef CLIENT_CTL_AUTHORITY_H
#define CLIENT_CTL_AUTHORITY_H

#include <stdbool.h>
#include <stdint.h>

#include <stepd/status.h>

#define AUTHORITY_NAME_MAX_BYTES 64u

struct authority;

/*
 * Opens the CA of a folder, which is made where there is none, and the CA where there is none in
 * it, good for so many days. INVALID_ARGUMENT: the folder cannot be made or read, or what is there
 * is no CA; the text names the file. RESOURCE_EXHAUSTED: no memory. *ret_made: the CA is new.
 * *ret_authority: caller frees with authority_destroy.
 */
enum stepd_status authority_open(const char *folder, uint32_t days,
                                 struct authority **ret_authority, bool *ret_made,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/* NULL is fine. Returns NULL. */
struct authority *authority_destroy(struct authority *authority);

/* Could authority_certify make a file of this name? Whoever makes several asks of each before the
 * first. ALREADY_EXISTS: one of its files is there. INVALID_ARGUMENT: the name cannot be one. */
enum stepd_status authority_check(const char *folder, const char *name,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Makes a certificate, good for so many days but for no longer than the CA's. server: name is a
 * host's or an address, by which it is dialled; otherwise it is a client's. ALREADY_EXISTS: one of
 * its files is there. INVALID_ARGUMENT: a file cannot be written, or the name cannot be one.
 * RESOURCE_EXHAUSTED: no memory.
 */
enum stepd_status authority_certify(const struct authority *authority, const char *name,
                                    bool server, uint32_t days,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
