#include "lib/crypto/pki.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "lib/base/addr.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

KC_DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
KC_DEFINE_CLEANUP(X509 *, X509_free)
KC_DEFINE_CLEANUP(X509_REQ *, X509_REQ_free)
KC_DEFINE_CLEANUP(X509_NAME *, X509_NAME_free)
KC_DEFINE_CLEANUP(BIO *, BIO_free_all)
KC_DEFINE_CLEANUP(GENERAL_NAMES *, GENERAL_NAMES_free)
#define _auto_(type) _cleanup_(type##_freep)

enum { BACKDATE = 300 };

/* A private BIO clean-up name, because BIO_free_all is not BIO_free. */
#define _auto_bio_ _cleanup_(BIO_free_allp)

/* Fail with OpenSSL's own reason appended. */
static int ssl_fail(struct kc_err *err, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	char reason[160] = "unknown reason";

	if (code)
		ERR_error_string_n(code, reason, sizeof(reason));
	ERR_clear_error();
	return kc_fail(err, KC_EFAIL, "%s: %s", what, reason);
}

static char *bio_text(BIO *bio)
{
	char *data;
	long n = BIO_get_mem_data(bio, &data);

	return xstrndup(data, (size_t)n);
}

static EVP_PKEY *key_parse(const char *pem)
{
	_auto_bio_ BIO *bio = BIO_new_mem_buf(pem, -1);

	return PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
}

static X509 *cert_parse(const char *pem)
{
	_auto_bio_ BIO *bio = BIO_new_mem_buf(pem, -1);

	return PEM_read_bio_X509(bio, NULL, NULL, NULL);
}

static int key_text(EVP_PKEY *key, char **ret, struct kc_err *err)
{
	_auto_bio_ BIO *bio = BIO_new(BIO_s_secmem());

	if (!bio || !PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL))
		return ssl_fail(err, "writing a private key");
	*ret = bio_text(bio);
	return 0;
}

int kc_key_new(char **ret_key_pem, struct kc_err *err)
{
	_auto_(EVP_PKEY) EVP_PKEY *key = EVP_EC_gen("P-256");

	if (!key)
		return ssl_fail(err, "making a P-256 key");
	return key_text(key, ret_key_pem, err);
}

int kc_key_public(const char *key_pem, char **ret_pub_pem, struct kc_err *err)
{
	_auto_(EVP_PKEY) EVP_PKEY *key = key_parse(key_pem);
	_auto_bio_ BIO *bio = BIO_new(BIO_s_mem());

	if (!key || !PEM_write_bio_PUBKEY(bio, key))
		return ssl_fail(err, "reading a private key");
	*ret_pub_pem = bio_text(bio);
	return 0;
}

static void public_id(EVP_PKEY *key, char out[65])
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(key, &der);

	if (n < 0)
		abort();
	kc_sha256(der, (size_t)n, out);
	OPENSSL_free(der);
}

int kc_key_id(const char *key_pem, char out[65], struct kc_err *err)
{
	_auto_(EVP_PKEY) EVP_PKEY *key = key_parse(key_pem);

	if (!key)
		return ssl_fail(err, "reading a private key");
	public_id(key, out);
	return 0;
}

/*
 * As it is: checked, a CN may have 64 characters (RFC 5280, upper bounds), but Kubernetes puts a
 * node's whole name behind "system:node:" there, and nobody who reads it minds.
 */
static bool name_add(X509_NAME *name, const char *field, const char *value)
{
	return X509_NAME_add_entry_by_txt(name, field, V_ASN1_UTF8STRING,
					  (const unsigned char *)value, -1, -1, 0) == 1;
}

static X509_NAME *name_of(const char *cn, const char *const *orgs)
{
	_auto_(X509_NAME) X509_NAME *name = X509_NAME_new();
	bool ok = name != NULL;

	for (; ok && orgs && *orgs; orgs++)
		ok = name_add(name, "O", *orgs);
	return ok && name_add(name, "CN", cn) ? TAKE(name) : NULL;
}

static bool random_serial(X509 *cert)
{
	unsigned char bytes[16];
	BIGNUM *bn;
	bool ok;

	kc_random(bytes, sizeof(bytes));
	bytes[0] &= 0x7f;
	bn = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert));
	BN_free(bn);
	return ok;
}

static bool extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;
	bool ok;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, (char *)value);
	ok = ext && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static GENERAL_NAMES *general_names(const char *const *sans)
{
	_auto_(GENERAL_NAMES) GENERAL_NAMES *names = GENERAL_NAMES_new();

	for (; names && *sans; sans++) {
		GENERAL_NAME *gn = GENERAL_NAME_new();
		struct kc_addr addr;

		if (!gn || !sk_GENERAL_NAME_push(names, gn))
			return NULL;
		if (kc_addr_parse(*sans, &addr)) {
			ASN1_OCTET_STRING *ip = ASN1_OCTET_STRING_new();

			ASN1_OCTET_STRING_set(ip, addr.bytes, addr.family == AF_INET ? 4 : 16);
			GENERAL_NAME_set0_value(gn, GEN_IPADD, ip);
		} else {
			ASN1_IA5STRING *dns = ASN1_IA5STRING_new();

			ASN1_STRING_set(dns, *sans, -1);
			GENERAL_NAME_set0_value(gn, GEN_DNS, dns);
		}
	}
	return TAKE(names);
}

/* An unsigned certificate with everything but its extensions. */
static X509 *blank(EVP_PKEY *key, X509_NAME *subject, X509_NAME *issuer, long seconds)
{
	_auto_(X509) X509 *cert = X509_new();

	if (!cert || X509_set_version(cert, X509_VERSION_3) != 1 || !random_serial(cert) ||
	    X509_set_subject_name(cert, subject) != 1 || X509_set_issuer_name(cert, issuer) != 1 ||
	    !X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATE) ||
	    !X509_gmtime_adj(X509_getm_notAfter(cert), seconds) || X509_set_pubkey(cert, key) != 1)
		return NULL;
	return TAKE(cert);
}

static int cert_text(X509 *cert, char **ret, struct kc_err *err)
{
	_auto_bio_ BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || !PEM_write_bio_X509(bio, cert))
		return ssl_fail(err, "writing a certificate");
	*ret = bio_text(bio);
	return 0;
}

int kc_ca_new(const char *cn, long seconds, char **ret_cert_pem, char **ret_key_pem,
	      struct kc_err *err)
{
	_auto_(EVP_PKEY) EVP_PKEY *key = EVP_EC_gen("P-256");
	_auto_(X509_NAME) X509_NAME *name = name_of(cn, NULL);
	_auto_(X509) X509 *cert = key && name ? blank(key, name, name, seconds) : NULL;
	_cleanup_wiped_ char *key_pem = NULL;
	int r;

	if (!cert || !extend(cert, cert, NID_basic_constraints, "critical,CA:TRUE") ||
	    !extend(cert, cert, NID_key_usage, "critical,digitalSignature,keyCertSign,cRLSign") ||
	    !extend(cert, cert, NID_subject_key_identifier, "hash") ||
	    !X509_sign(cert, key, EVP_sha256()))
		return ssl_fail(err, "making a certificate authority");
	r = key_text(key, &key_pem, err);
	if (r < 0)
		return r;
	r = cert_text(cert, ret_cert_pem, err);
	if (r == 0)
		*ret_key_pem = TAKE(key_pem);
	return r;
}

int kc_csr_new(const char *key_pem, const struct kc_cert_spec *spec, char **ret_csr_pem,
	       struct kc_err *err)
{
	_auto_(EVP_PKEY) EVP_PKEY *key = key_parse(key_pem);
	_auto_(X509_NAME) X509_NAME *name = name_of(spec->cn, spec->orgs);
	_auto_(X509_REQ) X509_REQ *req = X509_REQ_new();
	_auto_bio_ BIO *bio = BIO_new(BIO_s_mem());

	if (!key || !name || !req || X509_REQ_set_subject_name(req, name) != 1 ||
	    X509_REQ_set_pubkey(req, key) != 1 || !X509_REQ_sign(req, key, EVP_sha256()) ||
	    !PEM_write_bio_X509_REQ(bio, req))
		return ssl_fail(err, "making a certificate request");
	*ret_csr_pem = bio_text(bio);
	return 0;
}

static bool leaf_extensions(X509 *cert, X509 *ca, const struct kc_cert_spec *spec)
{
	static const char *const uses[] = { "", "clientAuth", "serverAuth",
					    "clientAuth,serverAuth" };
	GENERAL_NAMES *names;
	bool ok;

	if (!extend(cert, ca, NID_basic_constraints, "critical,CA:FALSE") ||
	    !extend(cert, ca, NID_key_usage, "critical,digitalSignature") ||
	    !extend(cert, ca, NID_ext_key_usage, uses[spec->uses & 3]) ||
	    !extend(cert, ca, NID_subject_key_identifier, "hash") ||
	    !extend(cert, ca, NID_authority_key_identifier, "keyid:always"))
		return false;
	if (!spec->sans || !*spec->sans)
		return true;
	names = general_names(spec->sans);
	ok = names && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

/* No leaf outlives its CA: the later end is cut to the CA's. */
static bool cap_life(X509 *cert, X509 *ca)
{
	if (ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(ca)) <= 0)
		return true;
	return X509_set1_notAfter(cert, X509_get0_notAfter(ca)) == 1;
}

int kc_cert_issue(const char *ca_cert_pem, const char *ca_key_pem, const char *csr_pem,
		  const struct kc_cert_spec *spec, char **ret_cert_pem, struct kc_err *err)
{
	_auto_(X509) X509 *ca = cert_parse(ca_cert_pem);
	_auto_(EVP_PKEY) EVP_PKEY *ca_key = key_parse(ca_key_pem);
	_auto_bio_ BIO *bio = BIO_new_mem_buf(csr_pem, -1);
	_auto_(X509_REQ) X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
	_auto_(X509_NAME) X509_NAME *name = name_of(spec->cn, spec->orgs);
	_auto_(X509) X509 *cert = NULL;
	EVP_PKEY *key = req ? X509_REQ_get0_pubkey(req) : NULL;

	if (!ca || !ca_key || !name)
		return ssl_fail(err, "reading the certificate authority");
	if (!key || X509_REQ_verify(req, key) != 1) {
		ERR_clear_error();
		return kc_fail(err, KC_EINVAL,
			       "the certificate request for %s is not signed by its own key",
			       spec->cn);
	}
	cert = blank(key, name, X509_get_subject_name(ca), spec->seconds);
	if (!cert || !cap_life(cert, ca) || !leaf_extensions(cert, ca, spec) ||
	    !X509_sign(cert, ca_key, EVP_sha256()))
		return ssl_fail(err, "issuing a certificate");
	return cert_text(cert, ret_cert_pem, err);
}

int kc_cert_new(const char *ca_cert_pem, const char *ca_key_pem, const struct kc_cert_spec *spec,
		char **ret_cert_pem, char **ret_key_pem, struct kc_err *err)
{
	_cleanup_wiped_ char *key = NULL;
	_cleanup_free_ char *csr = NULL;
	int r;

	r = kc_key_new(&key, err);
	if (r == 0)
		r = kc_csr_new(key, spec, &csr, err);
	if (r == 0)
		r = kc_cert_issue(ca_cert_pem, ca_key_pem, csr, spec, ret_cert_pem, err);
	if (r == 0)
		*ret_key_pem = TAKE(key);
	return r;
}

static time_t time_of(const ASN1_TIME *t)
{
	struct tm tm = { 0 };

	return ASN1_TIME_to_tm(t, &tm) == 1 ? timegm(&tm) : 0;
}

/* The first CN; "" if there is none. Owned. */
static char *common_name(X509_NAME *name)
{
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1), len;
	unsigned char *text = NULL;
	char *cn;

	if (at < 0)
		return xstrdup("");
	len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	cn = xstrndup(len > 0 ? (char *)text : "", len > 0 ? (size_t)len : 0);
	OPENSSL_free(text);
	return cn;
}

static void read_orgs(X509_NAME *name, struct kc_cert_info *info)
{
	info->orgs = json_array();
	for (int i = -1; (i = X509_NAME_get_index_by_NID(name, NID_organizationName, i)) >= 0;) {
		ASN1_STRING *s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i));

		json_array_append_new(info->orgs,
				      json_stringn((const char *)ASN1_STRING_get0_data(s),
						   (size_t)ASN1_STRING_length(s)));
	}
	kc_json_sort(info->orgs);
}

static json_t *san_text(const GENERAL_NAME *gn)
{
	const ASN1_STRING *s;
	char text[INET6_ADDRSTRLEN];
	int type, n;

	s = GENERAL_NAME_get0_value(gn, &type);
	if (type == GEN_DNS)
		return json_stringn((const char *)ASN1_STRING_get0_data(s),
				    (size_t)ASN1_STRING_length(s));
	if (type != GEN_IPADD)
		return NULL;
	n = ASN1_STRING_length(s);
	if ((n != 4 && n != 16) ||
	    !inet_ntop(n == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(s), text, sizeof(text)))
		return NULL;
	return json_string(text);
}

static void read_sans(X509 *cert, struct kc_cert_info *info)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	info->sans = json_array();
	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		json_t *san = san_text(sk_GENERAL_NAME_value(names, i));

		if (san)
			json_array_append_new(info->sans, san);
	}
	GENERAL_NAMES_free(names);
	kc_json_sort(info->sans);
}

static void hex_of(const ASN1_OCTET_STRING *s, char out[65])
{
	int n = s ? ASN1_STRING_length(s) : 0;

	out[0] = '\0';
	if (n > 0 && n <= 32)
		kc_hex(ASN1_STRING_get0_data(s), (size_t)n, out);
}

int kc_cert_read(const char *pem, struct kc_cert_info *ret, struct kc_err *err)
{
	_auto_(X509) X509 *cert = cert_parse(pem);
	struct kc_cert_info info = { 0 };
	X509_NAME *name;
	uint32_t eku;

	if (!cert) {
		ERR_clear_error();
		return kc_fail(err, KC_EINVAL, "not a PEM certificate");
	}
	name = X509_get_subject_name(cert);
	info.cn = common_name(name);
	read_orgs(name, &info);
	read_sans(cert, &info);
	info.not_before = time_of(X509_get0_notBefore(cert));
	info.not_after = time_of(X509_get0_notAfter(cert));
	info.ca = X509_check_ca(cert) == 1;
	eku = X509_get_extended_key_usage(cert);
	if (eku != UINT32_MAX)
		info.uses = (eku & XKU_SSL_CLIENT ? KC_USE_CLIENT : 0) |
			    (eku & XKU_SSL_SERVER ? KC_USE_SERVER : 0);
	public_id(X509_get0_pubkey(cert), info.key_id);
	hex_of(X509_get0_authority_key_id(cert), info.issuer_id);
	hex_of(X509_get0_subject_key_id(cert), info.own_id);
	*ret = info;
	return 0;
}

void kc_cert_info_done(struct kc_cert_info *i)
{
	free(i->cn);
	json_decref(i->orgs);
	json_decref(i->sans);
	memset(i, 0, sizeof(*i));
}

int kc_cert_verify(const char *leaf_pem, const char *ca_pem, time_t at, struct kc_err *err)
{
	_auto_(X509) X509 *leaf = cert_parse(leaf_pem);
	_auto_(X509) X509 *ca = cert_parse(ca_pem);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int r = 0;

	if (!leaf || !ca || !store || !ctx || X509_STORE_add_cert(store, ca) != 1 ||
	    X509_STORE_CTX_init(ctx, store, leaf, NULL) != 1) {
		r = ssl_fail(err, "reading certificates");
	} else {
		X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), at);
		if (X509_verify_cert(ctx) != 1)
			r = kc_fail(err, KC_EAUTH, "the certificate does not verify: %s",
				    X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	ERR_clear_error();
	return r;
}
