/*
 * X.509 as kubecdn uses it: ECDSA P-256 keys, our own CAs, leaves from CSRs.
 *
 * Everything is PEM text in and out. notBefore is five minutes in the past
 * against clocks that differ. Serial numbers are 128 random bits.
 * Sources: RFC 5280; Kubernetes' "PKI certificates and requirements".
 */
#ifndef KC_CRYPTO_PKI_H
#define KC_CRYPTO_PKI_H

#include <jansson.h>
#include <stdbool.h>
#include <time.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

enum { KC_USE_CLIENT = 1, KC_USE_SERVER = 2 };

struct kc_cert_spec {
	const char *cn;
	const char *const *orgs; /* NULL-terminated, or NULL */
	const char *const *sans; /* names and addresses mixed, NULL-terminated, or NULL */
	int uses;		 /* KC_USE_* */
	long seconds;		 /* life */
};

struct kc_cert_info {
	char *cn;
	json_t *orgs, *sans; /* sorted arrays of strings; addresses in canonical text */
	time_t not_before, not_after;
	bool ca;
	int uses;
	char key_id[65];    /* SHA-256 of the SubjectPublicKeyInfo, hex */
	char issuer_id[65]; /* authorityKeyIdentifier, hex; "" if absent */
	char own_id[65];    /* subjectKeyIdentifier, hex; "" if absent */
};
void kc_cert_info_done(struct kc_cert_info *i);
#define _cleanup_cert_info_ _cleanup_(kc_cert_info_done)

/* A fresh P-256 private key, PKCS#8 PEM. */
int kc_key_new(char **ret_key_pem, struct kc_err *err);
/* Its public half, SubjectPublicKeyInfo PEM. */
int kc_key_public(const char *key_pem, char **ret_pub_pem, struct kc_err *err);
/* SHA-256 of the public half's DER, hex. */
int kc_key_id(const char *key_pem, char out[65], struct kc_err *err);

int kc_ca_new(const char *cn, long seconds, char **ret_cert_pem, char **ret_key_pem,
	      struct kc_err *err);
int kc_csr_new(const char *key_pem, const struct kc_cert_spec *spec, char **ret_csr_pem,
	       struct kc_err *err);
/*
 * Issue a leaf for the CSR's public key. The CSR must be signed by its own key; its subject and
 * SANs are ignored: what the certificate says comes from spec alone.
 */
int kc_cert_issue(const char *ca_cert_pem, const char *ca_key_pem, const char *csr_pem,
		  const struct kc_cert_spec *spec, char **ret_cert_pem, struct kc_err *err);
/* Key and leaf in one go, for certificates that the CLI itself uses. */
int kc_cert_new(const char *ca_cert_pem, const char *ca_key_pem, const struct kc_cert_spec *spec,
		char **ret_cert_pem, char **ret_key_pem, struct kc_err *err);
/* Read the first certificate of a PEM text. */
int kc_cert_read(const char *pem, struct kc_cert_info *ret, struct kc_err *err);
/* 0 if leaf chains to ca, now or (when in the past or future) at the given time. */
int kc_cert_verify(const char *leaf_pem, const char *ca_pem, time_t at, struct kc_err *err);

#endif
