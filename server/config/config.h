/* SPDX-License-Identifier: Apache-2.0
 *
 * How the daemon is told what to do: defaults < file < environment (STEPD_*) < flags. All of it is
 * read once, here, and is a value from then on. The path:
 *
 *     config_load()      argv, environment and file -> struct config, or the one sentence to print
 *     config.action      run; or print, check, help, version, and exit
 *     config_deinit()
 *
 * Every key that is one value stands in one table (schema.c), which serves the file, the
 * environment, the flags, --help and --print-config. Jobs stand in the file alone.
 *
 * Config knows no optimizers and no schedules: it carries the names and numbers of a job as a
 * client would send them, with their lines, and whoever knows them checks them.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <stepd/status.h>

#include "proto/arena.h"
#include "proto/message.h"
#include "server/base/log.h"
#include "server/base/naming.h"

#define CONFIG_KEYS     48u  /* rows of the table in schema.c */
#define CONFIG_JOBS_MAX 256u /* jobs of one file */

/* The longest path of a Unix socket, without its NUL: sun_path of Linux. */
#define CONFIG_UNIX_PATH_MAX_BYTES 107u

/* The longest name of a congestion control, without its NUL: TCP_CA_NAME_MAX of Linux. */
#define CONFIG_CONGESTION_MAX_BYTES 15u

/* Daemons of one list, and its text. */
#define CONFIG_PEERS_MAX       64u
#define CONFIG_PEERS_MAX_BYTES 16384u

/* `peer: auto`. */
#define CONFIG_PEER_AUTO UINT32_MAX

#define CONFIG_SLICE_ELEMENTS_LEAST 256u
#define CONFIG_SLICE_ELEMENTS_MOST  (8u << 20)

enum config_action {
    CONFIG_RUN,
    CONFIG_PRINT,   /* --print-config: config_print() and exit 0 */
    CONFIG_CHECK,   /* --check-config: all checks, no daemon */
    CONFIG_HELP,    /* --help: config_print_usage(); nothing but the flags was read */
    CONFIG_VERSION, /* --version; nothing but the flags was read */
};

/* Which layer a value comes from. */
enum config_source {
    CONFIG_DEFAULT,
    CONFIG_FILE,
    CONFIG_ENVIRONMENT,
    CONFIG_FLAG,
};

struct config_origin {
    enum config_source source;
    size_t line; /* FILE: 1 first */
};

/* A safetensors file that a job begins with the weights of. Where nothing says which tensors are
 * taken, it is all of the job's, and all of the file's. */
struct config_init_from {
    const char *file; /* "": none */
    struct naming naming;
    size_t line;
};

/* Where a setting stands that the reader did not have to know. */
struct config_setting_line {
    struct config_setting_line *next;
    const char *name;
    size_t part; /* line of the job, defaults or group that it is in */
    size_t line;
};

/* A job of the file. */
struct config_job {
    const char *name;
    struct stepd_define_job definition; /* names, lengths and ranges that need no optimizer hold */
    size_t line;
    size_t defaults_line;     /* 0: none stand there */
    uint32_t workers_min;     /* of `workers: 2..8`; 0: a number stands there */
    const size_t *group_line; /* definition.groups of them */
    struct config_init_from init_from;
};

/* Everything that is configured. Strings and arrays live in the arena until config_deinit(). */
struct config {
    enum config_action action;
    const char *file; /* as given; "" where there is none */

    const char *listen;    /* "host:port" or "[v6]:port"; port 0 picks one */
    const char *unix_path; /* "": no Unix socket */
    const char *port_file; /* "": none */
    uint32_t shards;
    bool insecure;
    enum log_level log_level;
    const char *isa;               /* "auto", "base", "v3" or "v4" */
    uint64_t memory_max_bytes;     /* 0: 80 % of the machine's, which the caller works out */
    uint64_t job_memory_max_bytes; /* 0: as much as all jobs */
    uint64_t shared_max_bytes;     /* 0: 10 % of it, likewise */
    uint64_t definitions_max_bytes;
    uint64_t old_versions_max_bytes;
    uint64_t frame_max_bytes;
    uint32_t connections_max;
    uint32_t unauthenticated_max; /* 0: a quarter of these */
    uint32_t hello_timeout_ms;
    uint64_t hello_max_bytes;
    uint64_t handshake_max_bytes;
    uint32_t lease_ms;
    uint32_t wait_max_ms;
    uint32_t write_timeout_ms;
    uint32_t read_timeout_ms;
    uint32_t idle_timeout_ms; /* 0: none */
    uint64_t unsent_max_bytes;
    uint32_t refusals_max_per_s; /* 0: any number */
    uint32_t requests_max;
    uint32_t observers_max;
    uint32_t jobs_max;
    uint32_t tensors_max;
    uint32_t busy_poll_us;
    const char *tcp_congestion; /* "auto", or a name of the kernel's */
    uint32_t slice_elements;
    const char *tls_cert; /* "": no TLS */
    const char *tls_key;
    const char *tls_client_ca;
    const char *access_file;         /* "": everybody may come in */
    const char *checkpoint_dir;      /* "": no checkpoints are kept */
    uint32_t checkpoint_every_steps; /* 0: none for how far a job is */
    uint32_t checkpoint_every_s;     /* 0: none for the time */
    uint32_t checkpoint_keep;
    bool checkpoint_on_exit;
    const char *resume; /* "auto" or "never" */
    const char *peers;  /* entries with commas between, each host, host:port or [v6]:port; "": this
                         * daemon is alone */
    const char *advertise;       /* "": see peers */
    const char *peer_token_file; /* "": none is shown */
    const char *peer_ca;         /* "": tls_client_ca */
    uint32_t peer;               /* own place among them, or CONFIG_PEER_AUTO */
    uint32_t peer_lease_ms;

    size_t jobs;
    const struct config_job *job;
    struct config_setting_line *settings; /* of all jobs */

    struct config_origin origin[CONFIG_KEYS]; /* in the table's order */
    struct stepd_arena arena;                 /* owned */
};

/*
 * Reads the flags, the file that they (or STEPD_CONFIG) name, and the environment. argv[0] is
 * skipped; argv and envp (NULL-terminated) are borrowed until return. The caller frees *ret_config
 * with config_deinit(); it is untouched on failure, and *reterr (may be NULL) says what to print:
 *   INVALID_ARGUMENT     a flag is wrong: exit 2
 *   FAILED_PRECONDITION  the file or a variable is wrong, named with its line: exit 78
 *   RESOURCE_EXHAUSTED   no memory: exit 1
 * One thread.
 */
enum stepd_status config_load(int argc, char *const argv[], char *const envp[],
                              struct config *ret_config,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Releases all that the config points to. config may be NULL or zeroed. */
void config_deinit(struct config *config);

/* Writes the config as YAML that loads to the same values, each with where it comes from. */
void config_print(const struct config *config, FILE *stream);

/* Writes what --help says: every flag with its meaning and default. */
void config_print_usage(FILE *stream);

/*
 * Calls differs() for each key whose values differ, "jobs" among them (the key is static), and says
 * whether it may change while the daemon runs. False: no memory to tell.
 */
bool config_compare(const struct config *before, const struct config *after,
                    void (*differs)(void *owner, const char *key, bool reloadable), void *owner);

/* The job of this name, or NULL. */
const struct config_job *config_find_job(const struct config *config, const char *name);

/* Do both say the same of a job? False as well where one of them has none of that name, or without
 * memory to tell. */
bool config_same_job(const struct config *a, const struct config *b, const char *name);

/* Do both begin a job with the same, or with nothing? */
bool config_same_init_from(const struct config_init_from *a, const struct config_init_from *b);

/*
 * Puts the place, `file:line: job "x": `, in front of an error that only the caller could find;
 * line is one of the job's. Where the error is about a setting there, its own line is said. Returns
 * code, which *reterr has then.
 */
enum stepd_status config_fail_in_job(const struct config *config, const struct config_job *job,
                                     size_t line, enum stepd_status code,
                                     struct stepd_error *reterr);

#endif
