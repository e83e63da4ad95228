/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows. Defaults are written as the file would write them and go through the same readers, so a
 * default cannot break its own rule.
 */
#include "server/config/schema.h"

#include <ctype.h>
#include <string.h>

#include "server/config/value.h"

#define GIB    (UINT64_C(1) << 30)
#define DAY_MS (UINT64_C(24) * 60 * 60 * 1000)

#define FIELD(name) offsetof(struct config, name)

static const char *const levels[] = {
#define X(NAME, name) #name,
    LOG_LEVEL_MAP(X)
#undef X
        NULL,
};

static const char *const isas[] = {"auto", "base", "v3", "v4", NULL};

static const char *const resumes[] = {"auto", "never", NULL};

static const struct schema_row rows[] = {
    {
        .key = "listen",
        .flag = "listen",
        .type = &value_address,
        .fallback = "127.0.0.1:7070",
        .most = 300, /* a host name's 253 bytes, brackets, a zone and the port */
        .doc = "address of the TCP port; port 0 picks a free one",
        .offset = FIELD(listen),
    },
    {
        .key = "unix_path",
        .flag = "unix",
        .type = &value_path,
        .fallback = "",
        .most = CONFIG_UNIX_PATH_MAX_BYTES,
        .doc = "path of a Unix socket to listen on as well; empty for none",
        .offset = FIELD(unix_path),
    },
    {
        .key = "port_file",
        .flag = "port-file",
        .type = &value_path,
        .fallback = "",
        .most = VALUE_PATH_MAX_BYTES,
        .doc = "file to write the TCP port's number to; empty for none",
        .offset = FIELD(port_file),
    },
    {
        .key = "shards",
        .flag = "shards",
        .type = &value_whole,
        .fallback = "1",
        .least = 1,
        .most = 64,
        .doc = "threads that own weights",
        .offset = FIELD(shards),
    },
    {
        .key = "insecure",
        .flag = "insecure",
        .type = &value_switch,
        .fallback = "false",
        .doc = "allow a non-loopback address without TLS and login",
        .offset = FIELD(insecure),
    },
    {
        .key = "tls_cert",
        .flag = "tls-cert",
        .type = &value_path,
        .fallback = "",
        .most = VALUE_PATH_MAX_BYTES,
        .doc = "PEM file of the TCP port's certificate, and those up to its CA; empty: no TLS",
        .offset = FIELD(tls_cert),
    },
    {
        .key = "tls_key",
        .flag = "tls-key",
        .type = &value_path,
        .fallback = "",
        .most = VALUE_PATH_MAX_BYTES,
        .doc = "PEM file of that certificate's key",
        .offset = FIELD(tls_key),
    },
    {
        .key = "tls_client_ca",
        .flag = "tls-client-ca",
        .type = &value_path,
        .fallback = "",
        .most = VALUE_PATH_MAX_BYTES,
        .doc = "PEM file of the CA that signs clients' certificates; empty: they need none",
        .offset = FIELD(tls_client_ca),
    },
    {
        .key = "access_file",
        .flag = "access-file",
        .type = &value_path,
        .fallback = "",
        .most = VALUE_PATH_MAX_BYTES,
        .doc = "file of those who may come in, by their tokens; empty: everybody may",
        .offset = FIELD(access_file),
    },
    {
        .key = "log_level",
        .flag = "log-level",
        .type = &value_level,
        .fallback = "info",
        .choice = levels,
        .doc = "least urgent events to log: debug, info, warn or error",
        .reloadable = true,
        .offset = FIELD(log_level),
    },
    {
        .key = "isa",
        .flag = "isa",
        .type = &value_choice,
        .fallback = "auto",
        .choice = isas,
        .doc = "instruction set of the kernels: auto, base, v3 or v4; all give the same bits",
        .offset = FIELD(isa),
    },
    {
        .key = "memory_max_bytes",
        .flag = "memory-max-bytes",
        .type = &value_bytes,
        .fallback = "0",
        .least = 0,
        .most = GIB << 20,
        .doc = "memory that jobs may take; 0 for 80 % of the machine's",
        .offset = FIELD(memory_max_bytes),
    },
    {
        .key = "job_memory_max_bytes",
        .flag = "job-memory-max-bytes",
        .type = &value_bytes,
        .fallback = "0",
        .least = 0,
        .most = GIB << 20,
        .doc = "memory that one job may take; 0 for as much as all",
        .offset = FIELD(job_memory_max_bytes),
    },
    {
        .key = "shared_max_bytes",
        .flag = "shared-max-bytes",
        .type = &value_bytes,
        .fallback = "0",
        .least = 0,
        .most = GIB << 20,
        .doc = "memory that workers may share for gradients; 0 for 10 % of the machine's",
        .offset = FIELD(shared_max_bytes),
    },
    {
        .key = "definitions_max_bytes",
        .flag = "definitions-max-bytes",
        .type = &value_bytes,
        .fallback = "256MiB",
        .least = 1u << 20,
        .most = GIB << 4,
        .doc = "memory that the definitions of all jobs may take",
        .offset = FIELD(definitions_max_bytes),
    },
    {
        .key = "frame_max_bytes",
        .flag = "frame-max-bytes",
        .type = &value_bytes,
        .fallback = "64MiB",
        .least = STEPD_FRAME_LEAST_BYTES,
        .most = GIB,
        .doc = "largest frame that is read",
        .offset = FIELD(frame_max_bytes),
    },
    {
        .key = "connections_max",
        .flag = "connections-max",
        .type = &value_whole,
        .fallback = "1024",
        .least = 1,
        .most = 1u << 20,
        .doc = "connections at once; more wait to be accepted",
        .offset = FIELD(connections_max),
    },
    {
        .key = "unauthenticated_max",
        .flag = "unauthenticated-max",
        .type = &value_whole,
        .fallback = "0",
        .least = 0,
        .most = 1u << 20,
        .doc = "connections of these that were not let in yet; 0 for a quarter",
        .offset = FIELD(unauthenticated_max),
    },
    {
        .key = "hello_timeout_ms",
        .flag = "hello-timeout-ms",
        .type = &value_whole,
        .fallback = "10000",
        .least = 10,
        .most = DAY_MS,
        .doc = "milliseconds that a new connection has to say Hello",
        .offset = FIELD(hello_timeout_ms),
    },
    {
        .key = "hello_max_bytes",
        .flag = "hello-max-bytes",
        .type = &value_bytes,
        .fallback = "4KiB",
        .least = 1024,
        .most = STEPD_HEADER_MAX_BYTES,
        .doc = "largest first frame of a connection, its Hello",
        .offset = FIELD(hello_max_bytes),
    },
    {
        .key = "handshake_max_bytes",
        .flag = "handshake-max-bytes",
        .type = &value_bytes,
        .fallback = "64KiB",
        .least = 16384,
        .most = GIB,
        .doc = "bytes that a new connection of TLS may send until its Hello is whole",
        .offset = FIELD(handshake_max_bytes),
    },
    {
        .key = "lease_ms",
        .flag = "lease-ms",
        .type = &value_whole,
        .fallback = "60000",
        .least = 10,
        .most = DAY_MS,
        .doc = "milliseconds of silence before a worker is missed, unless its Hello asks otherwise",
        .offset = FIELD(lease_ms),
    },
    {
        .key = "wait_max_ms",
        .flag = "wait-max-ms",
        .type = &value_whole,
        .fallback = "300000",
        .least = 10,
        .most = DAY_MS,
        .doc = "longest deadline, in milliseconds, of a request that waits",
        .offset = FIELD(wait_max_ms),
    },
    {
        .key = "write_timeout_ms",
        .flag = "write-timeout-ms",
        .type = &value_whole,
        .fallback = "30000",
        .least = 10,
        .most = DAY_MS,
        .doc = "milliseconds that a peer may take for a reply, besides one second for each MiB",
        .offset = FIELD(write_timeout_ms),
    },
    {
        .key = "read_timeout_ms",
        .flag = "read-timeout-ms",
        .type = &value_whole,
        .fallback = "30000",
        .least = 10,
        .most = DAY_MS,
        .doc =
            "milliseconds that a frame may pause, or take in all besides one second for each MiB",
        .offset = FIELD(read_timeout_ms),
    },
    {
        .key = "idle_timeout_ms",
        .flag = "idle-timeout-ms",
        .type = &value_whole,
        .fallback = "3600000",
        .least = 0,
        .most = DAY_MS,
        .doc = "milliseconds of silence that end a connection, at least wait_max_ms; 0: none",
        .offset = FIELD(idle_timeout_ms),
    },
    {
        .key = "unsent_max_bytes",
        .flag = "unsent-max-bytes",
        .type = &value_bytes,
        .fallback = "16MiB",
        .least = 1u << 20,
        .most = GIB,
        .doc = "replies that may wait for a peer before it is not read from; on control a 32nd",
        .offset = FIELD(unsent_max_bytes),
    },
    {
        .key = "refusals_max_per_s",
        .flag = "refusals-max-per-s",
        .type = &value_whole,
        .fallback = "1000",
        .least = 0,
        .most = 1000000,
        .doc = "requests of a connection that may be refused in a second; 0 for any number",
        .offset = FIELD(refusals_max_per_s),
    },
    {
        .key = "requests_max",
        .flag = "requests-max",
        .type = &value_whole,
        .fallback = "16384",
        .least = 1,
        .most = 1u << 20,
        .doc = "requests that may wait on one connection to a shard",
        .offset = FIELD(requests_max),
    },
    {
        .key = "observers_max",
        .flag = "observers-max",
        .type = &value_whole,
        .fallback = "256",
        .least = 1,
        .most = 1u << 20,
        .doc = "sessions of observers at once",
        .offset = FIELD(observers_max),
    },
    {
        .key = "jobs_max",
        .flag = "jobs-max",
        .type = &value_whole,
        .fallback = "1024",
        .least = 1,
        .most = 1u << 20,
        .doc = "jobs at once; a finished one makes room for another",
        .offset = FIELD(jobs_max),
    },
    {
        .key = "tensors_max",
        .flag = "tensors-max",
        .type = &value_whole,
        .fallback = "1048576",
        .least = 1,
        .most = STEPD_TENSORS_MAX,
        .doc = "tensors of one job",
        .offset = FIELD(tensors_max),
    },
    {
        .key = "busy_poll_us",
        .flag = "busy-poll-us",
        .type = &value_whole,
        .fallback = "0",
        .least = 0,
        .most = 100000,
        .doc = "microseconds that a shard looks for work before it sleeps; for cores of its own",
        .offset = FIELD(busy_poll_us),
    },
    {
        .key = "tcp_congestion",
        .flag = "tcp-congestion",
        .type = &value_word,
        .fallback = "auto",
        .most = CONFIG_CONGESTION_MAX_BYTES,
        .doc =
            "congestion control of TCP; auto: the system's, but reno to loopback where that is bbr",
        .offset = FIELD(tcp_congestion),
    },
    {
        .key = "slice_elements",
        .flag = "slice-elements",
        .type = &value_whole,
        .fallback = "262144",
        .least = CONFIG_SLICE_ELEMENTS_LEAST,
        .most = CONFIG_SLICE_ELEMENTS_MOST,
        .doc = "elements of the largest slice; 4 bytes each must fit a frame",
        .offset = FIELD(slice_elements),
    },
    {
        .key = "checkpoint_dir",
        .flag = "checkpoint-dir",
        .type = &value_path,
        .fallback = "",
        .most = VALUE_PATH_MAX_BYTES,
        .doc = "folder to keep checkpoints in, of this daemon alone; empty for none",
        .offset = FIELD(checkpoint_dir),
    },
    {
        .key = "checkpoint_every_steps",
        .flag = "checkpoint-every-steps",
        .type = &value_whole,
        .fallback = "0",
        .least = 0,
        .most = 1000000000,
        .doc = "a checkpoint of each job at every multiple of so many steps; 0 for none",
        .offset = FIELD(checkpoint_every_steps),
    },
    {
        .key = "checkpoint_every_s",
        .flag = "checkpoint-every-s",
        .type = &value_whole,
        .fallback = "600",
        .least = 0,
        .most = 30 * DAY_MS / 1000,
        .doc = "a checkpoint of each job so many seconds after its last one; 0 for none",
        .offset = FIELD(checkpoint_every_s),
    },
    {
        .key = "checkpoint_keep",
        .flag = "checkpoint-keep",
        .type = &value_whole,
        .fallback = "3",
        .least = 1,
        .most = 1000000,
        .doc = "checkpoints of a job that are kept; older ones are removed",
        .offset = FIELD(checkpoint_keep),
    },
    {
        .key = "checkpoint_on_exit",
        .flag = "checkpoint-on-exit",
        .type = &value_switch,
        .fallback = "true",
        .doc = "a last checkpoint of each job when it has finished, and when the daemon ends",
        .offset = FIELD(checkpoint_on_exit),
    },
    {
        .key = "resume",
        .flag = "resume",
        .type = &value_choice,
        .fallback = "auto",
        .choice = resumes,
        .doc = "jobs at the start: auto brings each back from its newest good checkpoint; or never",
        .offset = FIELD(resume),
    },
};

_Static_assert(sizeof rows / sizeof rows[0] == CONFIG_KEYS, "CONFIG_KEYS counts the rows");

const struct schema_row *schema_row_at(size_t index)
{
    return &rows[index];
}

size_t schema_find_key(const char *key)
{
    size_t index = 0;
    while (index < CONFIG_KEYS && strcmp(rows[index].key, key) != 0)
        index++;
    return index;
}

void schema_environment_name(const char *key, char ret_name[SCHEMA_ENVIRONMENT_MAX_BYTES])
{
    const size_t prefix = sizeof SCHEMA_ENVIRONMENT_PREFIX - 1;
    (void)snprintf(ret_name, SCHEMA_ENVIRONMENT_MAX_BYTES, SCHEMA_ENVIRONMENT_PREFIX "%s", key);
    for (char *at = ret_name + prefix; *at != '\0'; at++)
        *at = (char)toupper((unsigned char)*at);
}

enum stepd_status schema_set(const struct schema_row *row, const char *text, struct config *config,
                             struct stepd_error *reterr)
{
    return row->type->read(row, text, &config->arena, (char *)config + row->offset, reterr);
}

void schema_write(const struct schema_row *row, const struct config *config, FILE *stream)
{
    row->type->write(row, (const char *)config + row->offset, stream);
}
