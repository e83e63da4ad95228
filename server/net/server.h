/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon, put together: door, control and shards.
 *
 *     server_create()     checks the options; nothing is opened
 *     server_define()     jobs of the config file
 *     server_run()        listens, serves, and returns when it has been stopped
 *     server_destroy()
 *
 * SIGTERM and SIGINT stop it while it runs: the first has the last checkpoints written, where any
 * are kept, and lets it drain (no more callers, replies flushed for a few seconds); each further
 * one passes over what the one before has begun. SIGHUP asks whoever made it to reread what can
 * change while it runs. A service manager is told of all this (supervisor.h).
 */
#ifndef NET_SERVER_H
#define NET_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <stepd/status.h>

#include "proto/message.h"
#include "server/base/log.h"
#include "server/control/control.h"
#include "server/optim/kernels.h"

struct access_list;
struct first_weights;
struct job;
struct job_state;
struct portion_answer;
struct portion_request;
struct server;
struct server_written;

/* Strings, the log and the environment are borrowed until server_destroy. */
struct server_options {
    const char *listen;    /* "host:port" or "[v6]:port"; port 0 picks one */
    const char *unix_path; /* "": no Unix socket */
    const char *port_file; /* "": none */
    uint32_t shards;
    const char *tls_cert; /* "": the TCP port speaks no TLS; see tls.h for the files */
    const char *tls_key;
    const char *tls_client_ca; /* "": clients need no certificate */
    bool login;                /* server_admit_by will be told a list of who may come in */
    bool insecure;             /* a non-loopback address without TLS and login is wanted */
    enum optim_isa isa;
    uint64_t memory_max_bytes;
    uint64_t job_memory_max_bytes; /* 0: as much as all jobs */
    uint64_t shared_max_bytes;     /* for gradients of workers on this host */
    uint64_t definitions_max_bytes;
    uint64_t old_versions_max_bytes; /* of weights that clients have not taken */
    uint32_t frame_max_bytes;
    uint32_t connections_max;
    uint32_t unauthenticated_max; /* of them; 0: a quarter */
    uint32_t hello_timeout_ms;
    uint32_t hello_max_bytes;
    uint32_t handshake_max_bytes;
    uint32_t lease_ms;
    uint32_t wait_max_ms;
    uint32_t write_timeout_ms;
    uint32_t read_timeout_ms;
    uint32_t idle_timeout_ms; /* 0: none; at least wait_max_ms otherwise */
    uint64_t unsent_max_bytes;
    uint32_t refusals_max_per_s; /* 0: any number */
    uint32_t requests_max;
    uint32_t observers_max;
    uint32_t tensors_max;
    uint32_t busy_poll_us;      /* see busy_poll.h */
    const char *tcp_congestion; /* see socket.h */
    uint32_t slice_elements;
    uint32_t jobs_max;
    const char *version;
    const struct log *log;    /* may be NULL */
    char *const *environment; /* see supervisor.h; NULL: nobody asks */

    uint64_t checkpoint_every_steps; /* see control.h */
    uint64_t checkpoint_every_ms;
    bool checkpoint_on_exit;

    void *owner;

    /* Writes a snapshot down as the checkpoint of this step, on another thread. Takes ownership of
     * written, which goes back to server_note_written with what came of it. On server_run's thread.
     * NULL: no checkpoints are kept. */
    void (*checkpoint)(void *owner, struct server_written *written, uint64_t step);

    /* Are the first weights of a job of this name to come from elsewhere than its definition? On
     * server_run's thread. NULL: those of no job are. */
    bool (*is_initialized)(void *owner, const char *job);
    /* Brings them, on another thread; gives up when stop is set. *reterr is of a failure, whose
     * text goes to clients. *ret_first: a reference for the server. */
    enum stepd_status (*fetch)(void *owner, const struct job *job, const atomic_bool *stop,
                               struct first_weights **ret_first, struct stepd_error *reterr);

    /* The daemons that serve jobs together, "host:port" each, this one among them; the first runs
     * control. 0 or 1: this one does alone. */
    size_t peers;
    const char *const *peer;
    uint32_t place;        /* of this one */
    const char *advertise; /* that workers reach it by */
    uint32_t peer_lease_ms;
    const char *peer_token; /* "": none is shown */
    const char *peer_ca;    /* PEM file; "": tls_client_ca */
    const char *probe;      /* see daemons.h */

    /* Control's daemon: all others have joined, so that there are so many shards, the first `own`
     * of them here. Brings back what jobs there are, and defines those of the config file, while
     * nobody is let in; server_reign then says that this is done, or why it cannot be. On
     * server_run's thread. */
    void *peers_owner; /* of what follows */
    void (*begin)(void *owner, uint32_t shards);
    /* Likewise: one of the jobs that have come back could not be opened so. It comes back from an
     * older checkpoint; server_reign then says that this is done, or that there is none. failed:
     * borrowed until return. */
    void (*older)(void *owner, const struct control_returning *failed);
    /* A reign has ended: what is being brought back or written is of no use, and is to come to an
     * end soon; server_note_written is called for each as ever, and server_reign. Likewise. */
    void (*end)(void *owner);
    /* A member daemon: is this the folder of checkpoints that control means? Likewise. */
    enum stepd_status (*sees)(void *owner, const char *probe, struct stepd_error *reterr);

    /* Control's daemon: another one has answered to what server_ask has asked it. Takes ownership
     * of what the answer owns. Likewise. */
    void (*answered)(void *owner, struct portion_answer *answer);
    /* A member daemon: writes its portion of what its shards have lent, until server_answer. All is
     * borrowed until return. Likewise. */
    void (*write_portion)(void *owner, const struct portion_request *request,
                          const struct job_state *const *share, size_t shares, void *token);
    /* A member daemon: reads what its shards, count of them from `first` on, need of a checkpoint
     * of a job; then comes server_loaded. Likewise. */
    void (*load)(void *owner, struct job *job, const char *checkpoint, uint32_t first,
                 uint32_t count, void *token);

    void (*reload)(void *owner); /* SIGHUP came; on server_run's thread. NULL: nothing is done */
};

/*
 * Checks the options and makes everything that needs no socket. FAILED_PRECONDITION: an option
 * cannot be, or does not go with another; the text says which. RESOURCE_EXHAUSTED: no memory.
 * *ret_server: caller frees with server_destroy. One thread.
 */
enum stepd_status server_create(const struct server_options *options, struct server **ret_server,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* What the option peer_token points to has changed: the first of peers is shown it. From within
 * `reload`. */
void server_show_token(struct server *server);

/* Who may come in from now on; as control_admit. Before server_run, or from within `reload`. */
void server_admit_by(struct server *server, struct access_list *list);

/* Reads certificates and key again, for who comes from now on; as tls_server_reload. From within
 * `reload` only. OK without TLS. */
enum stepd_status server_reload_tls(struct server *server,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Defines a job before server_run; as control_define. */
enum stepd_status server_define(struct server *server, const char *name,
                                const struct stepd_define_job *def,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* One of these jobs stands otherwise in the config file now, which was reread: changes what can be
 * changed (control_redefine). From within `reload` only. */
enum stepd_status server_redefine(struct server *server, const char *name,
                                  const struct stepd_define_job *def,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Brings a job back before server_run; as control_restore. */
enum stepd_status server_restore(struct server *server, struct job_snapshot *snapshot,
                                 struct job_state *state,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/* What `begin` or `older` has come to; error's code OK: jobs are there, and when the shards have
 * opened them workers are let in. Otherwise the server stops with it. On server_run's thread. */
void server_reign(struct server *server, const struct stepd_error *error);

/* Control's daemon: asks the daemon of this place in the list, request->index, for its portion. On
 * server_run's thread. */
void server_ask(struct server *server, const char *job_name, const struct portion_request *request);

/* A member daemon: what came of `write_portion`, and of `load` (state NULL: see error). The
 * answer's sums and the reference to the state pass to the server. Likewise. */
void server_answer(struct server *server, void *token, struct portion_answer *answer);
void server_loaded(struct server *server, void *token, struct job_state *state,
                   const struct stepd_error *error);

/* Has take(owner, what) called on server_run's thread; or drop(what) on any, where that has ended.
 * Any thread, until server_destroy. */
void server_post(struct server *server, void (*take)(void *owner, void *what),
                 void (*drop)(void *what), void *owner, void *what);

/* A snapshot that is being written, and what comes of it. */
struct server_written {
    const struct job_snapshot *snapshot; /* borrowed until it goes back */
    struct control_written written;
};

/* Takes ownership of written. Any thread, between `checkpoint` and server_destroy. */
void server_note_written(struct server *server, struct server_written *written);

/*
 * Serves until it is stopped; once. The calling thread is control's meanwhile. SIGPIPE is ignored
 * in the whole process from now on. UNAVAILABLE: an address or the port file cannot be had.
 * FAILED_PRECONDITION: too few descriptors. RESOURCE_EXHAUSTED: no threads, or no memory to go on.
 */
enum stepd_status server_run(struct server *server, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Stops it as SIGTERM does. Any thread, between server_create and server_destroy. */
void server_stop(struct server *server);

/* NULL is fine. Returns NULL. */
struct server *server_destroy(struct server *server);

#endif
