/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/authority.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#define LIFE_S 86400L

X509 *authority_issue(EVP_PKEY *key, int type, const uint8_t *name, size_t n,
                      const struct authority *issuer)
{
    X509 *const certificate = X509_new();
    FUZZ_CHECK(certificate != NULL);
    X509_NAME *const subject = X509_get_subject_name(certificate);
    const X509_NAME *const by =
        issuer == NULL ? subject : X509_get_subject_name(issuer->certificate);
    FUZZ_CHECK(X509_gmtime_adj(X509_getm_notBefore(certificate), -LIFE_S) != NULL);
    FUZZ_CHECK(X509_gmtime_adj(X509_getm_notAfter(certificate), LIFE_S) != NULL);
    FUZZ_CHECK(X509_set_pubkey(certificate, key) == 1);
    if (X509_NAME_add_entry_by_NID(subject, NID_commonName, type, name, (int)n, -1, 0) == 1 &&
        X509_set_issuer_name(certificate, by) == 1 &&
        X509_sign(certificate, issuer == NULL ? key : issuer->key, EVP_sha256()) > 0)
        return certificate;
    X509_free(certificate);
    return NULL;
}

static struct tls_server *make_server(EVP_PKEY *key, X509 *certificate)
{
    char path[] = "/tmp/stepd-fuzz-XXXXXX";
    const int fd = mkstemp(path);
    FILE *const file = fd < 0 ? NULL : fdopen(fd, "w");
    FUZZ_CHECK(file != NULL);
    FUZZ_CHECK(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    FUZZ_CHECK(PEM_write_X509(file, certificate) == 1);
    FUZZ_CHECK(fclose(file) == 0);
    const struct tls_files files = {.certificate = path, .key = path, .client_ca = path};
    struct tls_server *server = NULL;
    FUZZ_CHECK(tls_server_create(&files, &server, NULL) == STEPD_OK);
    (void)unlink(path);
    return server;
}

const struct authority *authority_get(void)
{
    static const uint8_t name[] = {'s', 'e', 'r', 'v', 'e', 'r'};
    static struct authority authority;
    if (authority.server != NULL)
        return &authority;
    authority.key = EVP_EC_gen("P-256");
    FUZZ_CHECK(authority.key != NULL);
    authority.certificate =
        authority_issue(authority.key, V_ASN1_UTF8STRING, name, sizeof name, NULL);
    FUZZ_CHECK(authority.certificate != NULL);
    authority.server = make_server(authority.key, authority.certificate);
    return &authority;
}
