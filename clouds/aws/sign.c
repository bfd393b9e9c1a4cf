#include "clouds/aws/sign.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "clouds/aws/canonical.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/crypto/hash.h"

struct signing {
	const struct kc_aws_signer *s;
	char stamp[17], scope[256]; /* "20150830T123600Z"; "20150830/us-east-1/iam/aws4_request" */
	char *host, *path, *query;  /* as in the URL; the query without "?" */
	struct kc_aws_pair headers[KC_AWS_PAIRS];
	size_t n_headers;
	struct kc_buf names; /* "host;x-amz-date" */
};

static void signing_done(struct signing *g)
{
	free(g->host);
	free(g->path);
	free(g->query);
	kc_aws_pairs_done(g->headers, g->n_headers);
	kc_buf_done(&g->names);
}

/* In lower case, with white space as single spaces. */
static int add_header(struct signing *g, const char *line, struct kc_err *err)
{
	/* What proxies and libraries add or change on the way. */
	static const char *const unsigned_names[] = {
		"authorization",
		"baggage",
		"connection",
		"expect",
		"keep-alive",
		"proxy-authenticate",
		"proxy-authorization",
		"te",
		"traceparent",
		"tracestate",
		"trailer",
		"transfer-encoding",
		"upgrade",
		"user-agent",
		"x-amzn-trace-id",
	};
	const char *v = strchr(line, ':');
	struct kc_aws_pair *h = &g->headers[g->n_headers];
	char *out;

	if (!v || g->n_headers == KC_AWS_PAIRS)
		return kc_fail(err, KC_EINVAL, "a header without a colon, or too many of them");
	for (size_t i = 0; i < ARRAY_SIZE(unsigned_names); i++)
		if (strlen(unsigned_names[i]) == (size_t)(v - line) &&
		    strncasecmp(line, unsigned_names[i], (size_t)(v - line)) == 0)
			return 0;
	h->name = xstrndup(line, (size_t)(v - line));
	for (char *p = h->name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	h->order = (int)g->n_headers++;
	h->value = out = xcalloc(1, strlen(v));
	while (*++v)
		if (!isspace((unsigned char)*v))
			*out++ = *v;
		else if (out > h->value && out[-1] != ' ')
			*out++ = ' ';
	if (out > h->value && out[-1] == ' ')
		out[-1] = '\0';
	return 0;
}

static int start(struct signing *g, const struct kc_aws_signer *s, const struct kc_aws_request *q,
		 struct kc_err *err)
{
	const char *host = strstr(q->url, "://"), *path, *at;
	_cleanup_free_ char *line = NULL;
	const char *port;
	struct tm tm;
	int r;

	if (!host || !strcspn(host + 3, "/?#"))
		return kc_fail(err, KC_EINVAL, "\"%s\" is no URL with a host", q->url);
	host += 3;
	path = host + strcspn(host, "/?#");
	at = memrchr(host, '@', (size_t)(path - host));
	host = at ? at + 1 : host;
	g->host = xstrndup(host, (size_t)(path - host));
	for (char *p = g->host; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	port = kc_startswith(q->url, "https:") ? ":443" : ":80";
	if (kc_endswith(g->host, port))
		g->host[strlen(g->host) - strlen(port)] = '\0';
	g->path = xstrndup(path, strcspn(path, "?#"));
	path += strcspn(path, "?#");
	g->query = *path == '?' ? xstrndup(path + 1, strcspn(path + 1, "#")) : xstrdup("");

	g->s = s;
	gmtime_r(&s->now, &tm);
	strftime(g->stamp, sizeof(g->stamp), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(g->scope, sizeof(g->scope), "%.8s/%s/%s/aws4_request", g->stamp, s->region,
		 s->service);
	line = xasprintf("host:%s", g->host);
	r = add_header(g, line, err);
	for (const char *const *h = q->headers; r == 0 && h && *h; h++)
		r = add_header(g, *h, err);
	return r;
}

static void sort_headers(struct signing *g)
{
	kc_aws_pairs_sort(g->headers, g->n_headers);
	for (size_t i = 0; i < g->n_headers; i++)
		if (i == 0 || !streq(g->headers[i].name, g->headers[i - 1].name))
			kc_buf_printf(&g->names, "%s%s", i ? ";" : "", g->headers[i].name);
}

/* The canonical request's hash, with the credential scope, signed by a key derived from it. */
static int signature(struct signing *g, const char *method, const char *query, const char *payload,
		     char out[KC_SHA256_HEX], struct kc_err *err)
{
	_cleanup_wiped_ char *secret = xasprintf("AWS4%s", g->s->secret);
	_cleanup_buf_ struct kc_buf b = { 0 };
	_cleanup_free_ char *text = NULL;
	char hash[KC_SHA256_HEX];
	unsigned char key[32];
	int r;

	kc_buf_printf(&b, "%s\n", method);
	if (g->s->s3)
		kc_buf_puts(&b, *g->path ? g->path : "/");
	else
		kc_aws_put_path(&b, g->path);
	kc_buf_puts(&b, "\n");
	r = kc_aws_put_query(&b, query, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < g->n_headers; i++) {
		bool same = i && streq(g->headers[i].name, g->headers[i - 1].name);

		kc_buf_printf(&b, "%s%s%s", same ? "," : "\n", same ? "" : g->headers[i].name,
			      same ? "" : ":");
		kc_buf_puts(&b, g->headers[i].value);
	}
	kc_buf_printf(&b, "\n\n%s\n%s", kc_buf_get(&g->names), payload);
	kc_sha256(b.data, b.len, hash);
	kc_wipe(b.data, b.len); /* it has the session token */

	text = xasprintf("AWS4-HMAC-SHA256\n%s\n%s\n%s", g->stamp, g->scope, hash);
	kc_hmac_sha256_raw(secret, strlen(secret), g->stamp, 8, key);
	kc_hmac_sha256_raw(key, 32, g->s->region, strlen(g->s->region), key);
	kc_hmac_sha256_raw(key, 32, g->s->service, strlen(g->s->service), key);
	kc_hmac_sha256_raw(key, 32, "aws4_request", 12, key);
	kc_hmac_sha256(key, 32, text, strlen(text), out);
	kc_wipe(key, sizeof(key));
	return 0;
}

void kc_aws_signed_done(char *headers[KC_AWS_SIGNED + 1])
{
	for (size_t i = 0; i < KC_AWS_SIGNED; i++) {
		kc_free_wiped(headers[i]);
		headers[i] = NULL;
	}
}

int kc_aws_sign(const struct kc_aws_signer *s, const struct kc_aws_request *q,
		char *ret_headers[KC_AWS_SIGNED + 1], struct kc_err *err)
{
	_cleanup_(signing_done) struct signing g = { 0 };
	char payload[KC_SHA256_HEX], hex[KC_SHA256_HEX];
	char *headers[KC_AWS_SIGNED + 1] = { 0 };
	size_t n = 0;
	int r;

	kc_sha256(q->body ? q->body : "", q->body ? q->body_len : 0, payload);
	r = start(&g, s, q, err);
	if (r < 0)
		return r;
	headers[n++] = xasprintf("x-amz-date: %s", g.stamp);
	if (s->token)
		headers[n++] = xasprintf("x-amz-security-token: %s", s->token);
	if (s->s3)
		headers[n++] = xasprintf("x-amz-content-sha256: %s", payload);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_header(&g, headers[i], err);
	sort_headers(&g);
	if (r == 0)
		r = signature(&g, q->method, g.query, payload, hex, err);
	if (r < 0) {
		kc_aws_signed_done(headers);
		return r;
	}
	headers[n] = xasprintf("authorization: AWS4-HMAC-SHA256 Credential=%s/%s, "
			       "SignedHeaders=%s, Signature=%s",
			       s->id, g.scope, kc_buf_get(&g.names), hex);
	memcpy(ret_headers, headers, sizeof(headers));
	return 0;
}

int kc_aws_presign(const struct kc_aws_signer *s, const struct kc_aws_request *q, long expires,
		   char **ret_url, struct kc_err *err)
{
	_cleanup_(signing_done) struct signing g = { 0 };
	char payload[KC_SHA256_HEX], hex[KC_SHA256_HEX];
	_cleanup_free_ char *credential = NULL;
	_cleanup_buf_ struct kc_buf query = { 0 };
	int r;

	kc_sha256(q->body ? q->body : "", q->body ? q->body_len : 0, payload);
	r = start(&g, s, q, err);
	if (r < 0)
		return r;
	sort_headers(&g);
	credential = xasprintf("%s/%s", s->id, g.scope);
	kc_buf_printf(&query, "%s%sX-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=", g.query,
		      *g.query ? "&" : "");
	kc_aws_put_encoded(&query, credential, "");
	kc_buf_printf(&query, "&X-Amz-Date=%s&X-Amz-Expires=%ld&X-Amz-SignedHeaders=", g.stamp,
		      expires);
	kc_aws_put_encoded(&query, kc_buf_get(&g.names), "");
	if (s->token) {
		kc_buf_puts(&query, "&X-Amz-Security-Token=");
		kc_aws_put_encoded(&query, s->token, "");
	}
	r = signature(&g, q->method, query.data, s->s3 ? "UNSIGNED-PAYLOAD" : payload, hex, err);
	if (r < 0)
		return r;
	*ret_url = xasprintf("%.*s?%s&X-Amz-Signature=%s", (int)strcspn(q->url, "?#"), q->url,
			     query.data, hex);
	return 0;
}
