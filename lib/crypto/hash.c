#include "lib/crypto/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

struct kc_sha256_stream {
	EVP_MD_CTX *ctx;
};

struct kc_sha256_stream *kc_sha256_new(void)
{
	struct kc_sha256_stream *s = xcalloc(1, sizeof(*s));

	s->ctx = EVP_MD_CTX_new();
	if (!s->ctx || EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) != 1)
		abort();
	return s;
}

void kc_sha256_update(struct kc_sha256_stream *s, const void *data, size_t len)
{
	if (EVP_DigestUpdate(s->ctx, data, len) != 1)
		abort();
}

void kc_sha256_finish(struct kc_sha256_stream *s, char out[KC_SHA256_HEX])
{
	unsigned char md[32];

	if (!s)
		return;
	if (out) {
		if (EVP_DigestFinal_ex(s->ctx, md, NULL) != 1)
			abort();
		kc_hex(md, sizeof(md), out);
	}
	EVP_MD_CTX_free(s->ctx);
	free(s);
}

void kc_sha256(const void *data, size_t len, char out[KC_SHA256_HEX])
{
	struct kc_sha256_stream *s = kc_sha256_new();

	kc_sha256_update(s, data, len);
	kc_sha256_finish(s, out);
}

int kc_sha256_file(const char *path, char out[KC_SHA256_HEX], uint64_t *ret_size,
		   struct kc_err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *chunk = xmalloc(1 << 18);
	struct kc_sha256_stream *s;
	uint64_t size = 0;

	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", path);
	s = kc_sha256_new();
	for (;;) {
		ssize_t n = read(fd, chunk, 1 << 18);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			kc_sha256_finish(s, NULL);
			return kc_fail_errno(err, errno, "%s", path);
		}
		if (n == 0)
			break;
		kc_sha256_update(s, chunk, (size_t)n);
		size += (uint64_t)n;
	}
	kc_sha256_finish(s, out);
	if (ret_size)
		*ret_size = size;
	return 0;
}

static int update(const char *text, size_t len, void *stream)
{
	kc_sha256_update(stream, text, len);
	return 0;
}

/* The canonical text of kc_json_text(), which is never in memory as a whole. */
void kc_sha256_json(const json_t *value, char out[KC_SHA256_HEX])
{
	struct kc_sha256_stream *s = kc_sha256_new();

	if (json_dump_callback(value, update, s, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) <
	    0)
		abort();
	kc_sha256_finish(s, out);
}

void kc_hmac_sha256_raw(const void *key, size_t key_len, const void *data, size_t len,
			unsigned char out[32])
{
	unsigned int n = 32;

	if (!HMAC(EVP_sha256(), key, (int)key_len, data, len, out, &n))
		abort();
}

void kc_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
		    char out[KC_SHA256_HEX])
{
	unsigned char md[32];

	kc_hmac_sha256_raw(key, key_len, data, len, md);
	kc_hex(md, sizeof(md), out);
}

void kc_random(void *out, size_t len)
{
	unsigned char *p = out;

	while (len) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			abort();
		p += n;
		len -= (size_t)n;
	}
}

bool kc_is_sha256(const char *s)
{
	return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

char *kc_base64_encode(const void *data, size_t len)
{
	char *out = xmalloc(4 * ((len + 2) / 3) + 1);

	EVP_EncodeBlock((unsigned char *)out, data, (int)len);
	return out;
}

int kc_base64_decode(const char *s, unsigned char **ret, size_t *ret_len, struct kc_err *err)
{
	size_t len = strlen(s), pad = 0;
	_cleanup_free_ unsigned char *out = xmalloc(len / 4 * 3 + 1);

	while (pad < 2 && pad < len && s[len - 1 - pad] == '=')
		pad++;
	if (len % 4 != 0 || strcspn(s, "= \t\r\n") != len - pad ||
	    EVP_DecodeBlock(out, (const unsigned char *)s, (int)len) < 0)
		return kc_fail(err, KC_EINVAL, "not base64");
	*ret_len = len / 4 * 3 - pad;
	out[*ret_len] = '\0';
	*ret = TAKE(out);
	return 0;
}
