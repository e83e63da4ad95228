/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys and certificates by OpenSSL. A key is written before its certificate, so that there is never
 * a certificate whose key is nowhere. What OpenSSL says of a failure is left aside: nothing here is
 * of others, and so only memory and files can fail.
 */
#include "client/ctl/authority.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/error.h"

#define PATH_BYTES   4096u
#define SERIAL_BITS  159 /* positive, and 20 bytes at most: RFC 5280, section 4.1.2.2 */
#define SKEW_S       300 /* clocks of machines differ */
#define DAY_S        86400L
#define FILE_MAY     0600
#define FOLDER_MAY   0700
#define VERSION_3    2
#define CA_NAME      "ca"
#define CA_SUBJECT   "stepd private CA"
#define ADDRESS_MOST (AUTHORITY_NAME_MAX_BYTES + sizeof "critical,DNS:")

struct authority {
    char *folder;      /* owned */
    EVP_PKEY *key;     /* owned */
    X509 *certificate; /* owned */
};

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    ERR_clear_error();
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for certificates");
}

/* ---- Files ----------------------------------------------------------------------------------- */

static bool path_of(const char *folder, const char *name, const char *suffix, char path[PATH_BYTES])
{
    const int n = snprintf(path, PATH_BYTES, "%s/%s%s", folder, name, suffix);
    return n > 0 && (size_t)n < PATH_BYTES;
}

static enum stepd_status fail_path(const char *path, int error, struct stepd_error *reterr)
{
    return stepd_fail(reterr, error == EEXIST ? STEPD_ALREADY_EXISTS : STEPD_INVALID_ARGUMENT,
                      "%s: %s", path, strerror(error));
}

/* A new file of its owner's. NULL: *reterr says why not. */
static FILE *create_file(const char *folder, const char *name, const char *suffix,
                         struct stepd_error *reterr)
{
    char path[PATH_BYTES];
    if (!path_of(folder, name, suffix, path)) {
        (void)fail_path(folder, ENAMETOOLONG, reterr);
        return NULL;
    }
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MAY);
    FILE *const file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL)
        (void)fail_path(path, errno, reterr);
    if (file == NULL && fd >= 0)
        (void)close(fd);
    return file;
}

static enum stepd_status close_file(FILE *file, bool written, const char *name,
                                    struct stepd_error *reterr)
{
    errno = 0;
    const bool closed = fclose(file) == 0;
    ERR_clear_error();
    if (written && closed)
        return STEPD_OK;
    return fail_path(name, errno == 0 ? EIO : errno, reterr);
}

static enum stepd_status write_pair(const char *folder, const char *name, EVP_PKEY *key,
                                    X509 *certificate, struct stepd_error *reterr)
{
    FILE *file = create_file(folder, name, ".key", reterr);
    if (file == NULL)
        return reterr->code;
    bool written = PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1;
    const enum stepd_status status = close_file(file, written, name, reterr);
    if (status != STEPD_OK)
        return status;
    file = create_file(folder, name, ".pem", reterr);
    if (file == NULL)
        return reterr->code;
    written = PEM_write_X509(file, certificate) == 1;
    return close_file(file, written, name, reterr);
}

static FILE *open_file(const char *folder, const char *suffix, int *ret_error)
{
    char path[PATH_BYTES];
    if (!path_of(folder, CA_NAME, suffix, path)) {
        *ret_error = ENAMETOOLONG;
        return NULL;
    }
    FILE *const file = fopen(path, "re");
    *ret_error = file == NULL ? errno : 0;
    return file;
}

/* ---- Certificates ---------------------------------------------------------------------------- */

/* NULL: the issuer signs itself. */
static bool add_extension(X509 *certificate, X509 *issuer, int kind, const char *value)
{
    X509V3_CTX about;
    X509V3_set_ctx_nodb(&about);
    X509V3_set_ctx(&about, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *const extension = X509V3_EXT_conf_nid(NULL, &about, kind, value);
    const bool added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool set_serial(X509 *certificate)
{
    BIGNUM *const number = BN_new();
    const bool set = number != NULL &&
                     BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
                     BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return set;
}

/* No longer than its issuer, if that is another one. */
static bool set_life(X509 *certificate, const X509 *issuer, uint32_t days)
{
    ASN1_TIME *const end = X509_getm_notAfter(certificate);
    if (X509_gmtime_adj(X509_getm_notBefore(certificate), -SKEW_S) == NULL ||
        X509_gmtime_adj(end, (long)days * DAY_S) == NULL)
        return false;
    const ASN1_TIME *const last = issuer == certificate ? NULL : X509_get0_notAfter(issuer);
    return last == NULL || ASN1_TIME_compare(end, last) <= 0 ||
           X509_set1_notAfter(certificate, last) == 1;
}

static bool set_names(X509 *certificate, const X509 *issuer, const char *name)
{
    X509_NAME *const subject = X509_get_subject_name(certificate);
    return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1,
                                      -1, 0) == 1 &&
           X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1;
}

/* All that certificates have in common. issuer NULL: it is its own. NULL: no memory. */
static X509 *begin(EVP_PKEY *key, X509 *issuer, const char *name, uint32_t days)
{
    X509 *const certificate = X509_new();
    X509 *const signer = issuer == NULL ? certificate : issuer;
    if (certificate != NULL && X509_set_version(certificate, VERSION_3) == 1 &&
        set_serial(certificate) && set_names(certificate, signer, name) &&
        set_life(certificate, signer, days) && X509_set_pubkey(certificate, key) == 1 &&
        add_extension(certificate, signer, NID_subject_key_identifier, "hash") &&
        add_extension(certificate, signer, NID_authority_key_identifier, "keyid"))
        return certificate;
    X509_free(certificate);
    return NULL;
}

static bool sign(X509 *certificate, EVP_PKEY *key)
{
    return X509_sign(certificate, key, EVP_sha256()) > 0;
}

/* ---- The CA ---------------------------------------------------------------------------------- */

static enum stepd_status make_ca(struct authority *authority, uint32_t days,
                                 struct stepd_error *reterr)
{
    authority->key = EVP_EC_gen("P-256");
    if (authority->key == NULL)
        return no_memory(reterr);
    X509 *const ca = begin(authority->key, NULL, CA_SUBJECT, days);
    authority->certificate = ca;
    if (ca == NULL || !add_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_extension(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !sign(ca, authority->key))
        return no_memory(reterr);
    return write_pair(authority->folder, CA_NAME, authority->key, ca, reterr);
}

/* What it signs nobody could trust, if it is none that may sign, or is none any more. */
static enum stepd_status check_ca(const struct authority *authority, struct stepd_error *reterr)
{
    const X509 *const certificate = authority->certificate;
    const uint32_t usage = X509_get_key_usage(authority->certificate);
    const char *wrong = NULL;
    if (X509_check_ca(authority->certificate) != 1 || (usage & KU_KEY_CERT_SIGN) == 0)
        wrong = "is no CA's: it may sign no certificates";
    else if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0)
        wrong = "has expired";
    else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) >= 0)
        wrong = "is not good yet";
    ERR_clear_error();
    if (wrong == NULL)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "%s/ca.pem %s; give another folder, in which a new CA is made",
                      authority->folder, wrong);
}

static enum stepd_status read_ca(struct authority *authority, FILE *certificate, FILE *key,
                                 struct stepd_error *reterr)
{
    authority->certificate = PEM_read_X509(certificate, NULL, NULL, NULL);
    authority->key = PEM_read_PrivateKey(key, NULL, NULL, NULL);
    const bool fits = authority->certificate != NULL && authority->key != NULL &&
                      X509_check_private_key(authority->certificate, authority->key) == 1;
    ERR_clear_error();
    if (fits)
        return check_ca(authority, reterr);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "%s: ca.pem and ca.key are no certificate and its key", authority->folder);
}

static enum stepd_status find_ca(struct authority *authority, uint32_t days, bool *ret_made,
                                 struct stepd_error *reterr)
{
    int of_certificate = 0, of_key = 0;
    FILE *const certificate = open_file(authority->folder, ".pem", &of_certificate);
    FILE *const key = open_file(authority->folder, ".key", &of_key);
    enum stepd_status status = STEPD_OK;
    *ret_made = of_certificate == ENOENT && of_key == ENOENT;
    if (*ret_made)
        status = make_ca(authority, days, reterr);
    else if (certificate == NULL || key == NULL)
        status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s/ca.%s: %s", authority->folder,
                            certificate == NULL ? "pem" : "key",
                            strerror(certificate == NULL ? of_certificate : of_key));
    else
        status = read_ca(authority, certificate, key, reterr);
    if (certificate != NULL)
        (void)fclose(certificate);
    if (key != NULL)
        (void)fclose(key);
    return status;
}

enum stepd_status authority_open(const char *folder, uint32_t days,
                                 struct authority **ret_authority, bool *ret_made,
                                 struct stepd_error *reterr)
{
    if (mkdir(folder, FOLDER_MAY) != 0 && errno != EEXIST)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s: %s", folder, strerror(errno));
    struct authority *const authority = calloc(1, sizeof *authority);
    if (authority == NULL)
        return no_memory(reterr);
    authority->folder = strdup(folder);
    const enum stepd_status status =
        authority->folder == NULL ? no_memory(reterr) : find_ca(authority, days, ret_made, reterr);
    if (status == STEPD_OK)
        *ret_authority = authority;
    else
        (void)authority_destroy(authority);
    return status;
}

struct authority *authority_destroy(struct authority *authority)
{
    if (authority == NULL)
        return NULL;
    EVP_PKEY_free(authority->key);
    X509_free(authority->certificate);
    free(authority->folder);
    free(authority);
    return NULL;
}

/* ---- Others ---------------------------------------------------------------------------------- */

static bool is_name(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  ".:_-";
    const size_t n = strlen(name);
    return n > 0 && n <= AUTHORITY_NAME_MAX_BYTES && strspn(name, letters) == n && name[0] != '.' &&
           name[0] != '-' && strcmp(name, CA_NAME) != 0;
}

static bool is_address(const char *name)
{
    ASN1_OCTET_STRING *const address = a2i_IPADDRESS(name);
    const bool is = address != NULL;
    ASN1_OCTET_STRING_free(address);
    ERR_clear_error();
    return is;
}

static bool extend(X509 *certificate, X509 *ca, const char *name, bool server)
{
    char address[ADDRESS_MOST];
    (void)snprintf(address, sizeof address, "%s:%s", is_address(name) ? "IP" : "DNS", name);
    return add_extension(certificate, ca, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(certificate, ca, NID_key_usage, "critical,digitalSignature") &&
           add_extension(certificate, ca, NID_ext_key_usage,
                         server ? "serverAuth,clientAuth" : "clientAuth") &&
           (!server || add_extension(certificate, ca, NID_subject_alt_name, address));
}

static enum stepd_status check_name(const char *name, struct stepd_error *reterr)
{
    if (is_name(name))
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "'%s' cannot be a certificate's name here: up to %u letters, digits and "
                      ". : _ -, not 'ca', and neither . nor - in front",
                      name, AUTHORITY_NAME_MAX_BYTES);
}

enum stepd_status authority_check(const char *folder, const char *name, struct stepd_error *reterr)
{
    static const char *const suffixes[] = {".key", ".pem"};
    char path[PATH_BYTES];
    const enum stepd_status status = check_name(name, reterr);
    if (status != STEPD_OK)
        return status;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        if (!path_of(folder, name, suffixes[i], path))
            return fail_path(folder, ENAMETOOLONG, reterr);
        if (access(path, F_OK) == 0)
            return stepd_fail(reterr, STEPD_ALREADY_EXISTS,
                              "%s exists, and nothing was written: leave '%s' out, or move its two "
                              "files away",
                              path, name);
    }
    return STEPD_OK;
}

enum stepd_status authority_certify(const struct authority *authority, const char *name,
                                    bool server, uint32_t days, struct stepd_error *reterr)
{
    const enum stepd_status named = check_name(name, reterr);
    if (named != STEPD_OK)
        return named;
    EVP_PKEY *const key = EVP_EC_gen("P-256");
    X509 *const certificate = key == NULL ? NULL : begin(key, authority->certificate, name, days);
    enum stepd_status status = STEPD_OK;
    if (certificate == NULL || !extend(certificate, authority->certificate, name, server) ||
        !sign(certificate, authority->key))
        status = no_memory(reterr);
    else
        status = write_pair(authority->folder, name, key, certificate, reterr);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return status;
}
