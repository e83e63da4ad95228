/* SPDX-License-Identifier: Apache-2.0
 *
 * Status codes and error texts, shared by the client library, the wire and the daemon.
 *
 * A function that can fail returns enum stepd_status and is marked STEPD_MUST_CHECK. Results go
 * through parameters named ret_*, which a failure leaves untouched. Where a person will read about
 * the failure, the last parameter is `struct stepd_error *reterr`: it may be NULL, and it is
 * written only on failure, with the same code that is returned.
 *
 * The codes are the canonical ones of gRPC with the same numbers, so a client in any language
 * finds its usual names; ROLLED_BACK is ours. They travel in Error.code of the wire protocol.
 */
#ifndef STEPD_STATUS_H
#define STEPD_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, text for people) */
#define STEPD_STATUS_MAP(X)                                                                        \
    X(OK, 0, "ok")                                                                                 \
    X(CANCELLED, 1, "cancelled")                                                                   \
    X(UNKNOWN, 2, "unknown error")                                                                 \
    X(INVALID_ARGUMENT, 3, "invalid argument")                                                     \
    X(DEADLINE_EXCEEDED, 4, "deadline exceeded")                                                   \
    X(NOT_FOUND, 5, "not found")                                                                   \
    X(ALREADY_EXISTS, 6, "already exists")                                                         \
    X(PERMISSION_DENIED, 7, "permission denied")                                                   \
    X(RESOURCE_EXHAUSTED, 8, "resource exhausted")                                                 \
    X(FAILED_PRECONDITION, 9, "failed precondition")                                               \
    X(ABORTED, 10, "aborted")                                                                      \
    X(OUT_OF_RANGE, 11, "out of range")                                                            \
    X(UNIMPLEMENTED, 12, "unimplemented")                                                          \
    X(INTERNAL, 13, "internal error")                                                              \
    X(UNAVAILABLE, 14, "unavailable")                                                              \
    X(DATA_LOSS, 15, "data loss")                                                                  \
    X(UNAUTHENTICATED, 16, "unauthenticated")                                                      \
    X(ROLLED_BACK, 17, "rolled back")

enum stepd_status {

#define X(name, number, text) STEPD_##name = number,
    STEPD_STATUS_MAP(X)
#undef X
};

/* Room for two names of the longest and a sentence around them. */
#define STEPD_ERROR_TEXT_BYTES 640

/* What went wrong, for a program (code) and for a person (text, NUL-terminated). */
struct stepd_error {
    enum stepd_status code;
    char text[STEPD_ERROR_TEXT_BYTES];
};

#if defined(__GNUC__)
#define STEPD_MUST_CHECK      __attribute__((warn_unused_result))
#define STEPD_PRINTF(fmt, va) __attribute__((format(printf, fmt, va)))
#define STEPD_EXPORT          __attribute__((visibility("default")))
#else
#define STEPD_MUST_CHECK
#define STEPD_PRINTF(fmt, va)
#define STEPD_EXPORT
#endif

/*
 * The name of a status as it stands in this file ("INVALID_ARGUMENT"), and its text for people.
 * Static strings; "UNKNOWN" for a number that is no status. Any thread.
 */
STEPD_EXPORT const char *stepd_status_name(enum stepd_status status);
STEPD_EXPORT const char *stepd_status_text(enum stepd_status status);

#ifdef __cplusplus
}
#endif

#endif
