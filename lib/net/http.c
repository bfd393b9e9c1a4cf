#include "lib/net/http.h"

#include <ctype.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

enum { POOL = 32, MAX_HEADERS = 200, MAX_HEADER = 16384 };

struct kc_http {
	char *ca_pem, *cert_pem, *key_pem, *user_agent;
	long connect_timeout_ms;
	bool direct;
	int (*dial)(void *cookie, int *ret_fd, struct sockaddr_in *ret_to, struct kc_err *err);
	void *dial_cookie;
	struct curl_slist *connect_to; /* or NULL */
	pthread_mutex_t lock;
	CURL *idle[POOL]; /* with their connections */
	int n_idle;
};

/* One exchange under way. */
struct exchange {
	const struct kc_http *http;
	const struct kc_http_req *req;
	struct kc_err dial_error, sink_error;
	CURL *curl;
	off_t sent;	/* of body_fd */
	uint64_t taken; /* by the sink */
	struct kc_buf body;
	char **headers;
	size_t n_headers;
	bool too_big, canceled;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		abort();
}

static char *dup_or_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

int kc_http_new(const struct kc_http_conf *conf, struct kc_http **ret, struct kc_err *err)
{
	struct kc_http *h;

	if (!conf->cert_pem != !conf->key_pem)
		return kc_fail(err, KC_EINVAL, "a client certificate needs its key, and only it");
	pthread_once(&once, init);
	h = xcalloc(1, sizeof(*h));
	h->ca_pem = dup_or_null(conf->ca_pem);
	h->cert_pem = dup_or_null(conf->cert_pem);
	h->key_pem = dup_or_null(conf->key_pem);
	h->user_agent = xstrdup(conf->user_agent ? conf->user_agent : "kubecdn/" KC_VERSION);
	h->connect_timeout_ms = conf->connect_timeout_ms ? conf->connect_timeout_ms : 10000;
	h->direct = conf->direct;
	h->dial = conf->dial;
	h->dial_cookie = conf->dial_cookie;
	if (conf->address) {
		bool v6 = strchr(conf->address, ':');
		_cleanup_free_ char *to = xasprintf(v6 ? "::[%s]:" : "::%s:", conf->address);

		h->connect_to = curl_slist_append(NULL, to);
	}
	pthread_mutex_init(&h->lock, NULL);
	*ret = h;
	return 0;
}

void kc_http_free(struct kc_http *h)
{
	if (!h)
		return;
	while (h->n_idle)
		curl_easy_cleanup(h->idle[--h->n_idle]);
	pthread_mutex_destroy(&h->lock);
	curl_slist_free_all(h->connect_to);
	free(h->ca_pem);
	free(h->cert_pem);
	kc_free_wiped(h->key_pem);
	free(h->user_agent);
	free(h);
}

static CURL *take(struct kc_http *h)
{
	CURL *c = NULL;

	pthread_mutex_lock(&h->lock);
	if (h->n_idle)
		c = h->idle[--h->n_idle];
	pthread_mutex_unlock(&h->lock);
	if (!c)
		c = curl_easy_init();
	if (!c)
		abort();
	return c;
}

/* reset forgets all options (and the borrowed key) but keeps the connections. */
static void give_back(struct kc_http *h, CURL *c)
{
	curl_easy_reset(c);
	pthread_mutex_lock(&h->lock);
	if (h->n_idle < POOL) {
		h->idle[h->n_idle++] = c;
		c = NULL;
	}
	pthread_mutex_unlock(&h->lock);
	if (c)
		curl_easy_cleanup(c);
}

/* What the sink takes counts towards the ceiling, too, if there is one. */
static size_t to_sink(struct exchange *x, long status, const char *data, size_t len)
{
	const struct kc_http_req *q = x->req;

	if (q->max && len > q->max - x->taken) {
		x->too_big = true;
		return 0;
	}
	x->taken += len;
	return q->sink(q->sink_cookie, status, data, len, &x->sink_error) < 0 ? 0 : len;
}

static size_t on_body(char *data, size_t size, size_t n, void *cookie)
{
	struct exchange *x = cookie;
	long status = 0;

	curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
	if (x->req->sink && (status == 200 || status == 206))
		return to_sink(x, status, data, size * n);
	if (kc_buf_add(&x->body, data, size * n, NULL) < 0) {
		x->too_big = true;
		return 0;
	}
	return size * n;
}

static void drop_headers(struct exchange *x)
{
	for (size_t i = 0; i < x->n_headers; i++)
		free(x->headers[i]);
	x->n_headers = 0;
}

static size_t on_header(char *data, size_t size, size_t n, void *cookie)
{
	struct exchange *x = cookie;
	size_t len = size * n;
	char *colon, *line, *value;

	if (len >= 5 && memcmp(data, "HTTP/", 5) == 0)
		drop_headers(x); /* of an interim 100 Continue */
	colon = memchr(data, ':', len);
	if (!colon)
		return len;
	if (x->n_headers == MAX_HEADERS || len > MAX_HEADER) {
		x->too_big = true;
		return 0;
	}
	line = xstrndup(data, len);
	line[strcspn(line, "\r\n")] = 0;
	value = line + (colon - data);
	for (char *p = line; p < value; p++)
		*p = (char)tolower((unsigned char)*p);
	*value++ = 0;
	value += strspn(value, " \t");
	x->headers = xrealloc(x->headers, (x->n_headers + 1) * sizeof(*x->headers));
	x->headers[x->n_headers++] = xasprintf("%s: %s", line, value);
	free(line);
	return len;
}

static size_t on_read(char *data, size_t size, size_t n, void *cookie)
{
	struct exchange *x = cookie;
	off_t left = (off_t)x->req->body_len - x->sent;
	size_t len = size * n;
	ssize_t got;

	if (left < (off_t)len)
		len = (size_t)left;
	got = len ? pread(x->req->body_fd, data, len, x->req->body_offset + x->sent) : 0;
	if (got < 0 || (len && got == 0)) /* shorter than it was */
		return CURL_READFUNC_ABORT;
	x->sent += got;
	return (size_t)got;
}

/* A kept connection was lost: from the start on another one. */
static int on_seek(void *cookie, curl_off_t offset, int origin)
{
	struct exchange *x = cookie;

	if (origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	x->sent = offset;
	return CURL_SEEKFUNC_OK;
}

static int on_progress(void *cookie, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	struct exchange *x = cookie;

	x->canceled = x->req->canceled && x->req->canceled(x->req->cookie);
	return x->canceled;
}

static curl_socket_t on_socket(void *cookie, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct exchange *x = cookie;
	struct sockaddr_in to;
	int fd;

	if (x->http->dial(x->http->dial_cookie, &fd, &to, &x->dial_error) < 0)
		return CURL_SOCKET_BAD;
	/* It is here to be changed: struct curl_sockaddr has room for any address. */
	address->family = AF_INET;
	address->addrlen = sizeof(to);
	memcpy(&address->addr, &to, sizeof(to));
	return fd;
}

static void set_dial(CURL *c, struct exchange *x)
{
	if (x->http->direct || x->http->dial)
		curl_easy_setopt(c, CURLOPT_PROXY, ""); /* not even from the environment */
	if (!x->http->dial)
		return;
	curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, x);
}

static void set_blob(CURL *c, CURLoption option, const char *pem)
{
	struct curl_blob blob = { .data = (void *)pem, .len = pem ? strlen(pem) : 0 };

	if (pem)
		curl_easy_setopt(c, option, &blob);
}

static void set_tls(CURL *c, const struct kc_http *h)
{
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	set_blob(c, CURLOPT_CAINFO_BLOB, h->ca_pem);
	if (h->ca_pem)
		curl_easy_setopt(c, CURLOPT_CAPATH, NULL); /* these and no other */
	set_blob(c, CURLOPT_SSLCERT_BLOB, h->cert_pem);
	set_blob(c, CURLOPT_SSLKEY_BLOB, h->key_pem);
}

static void set_body(CURL *c, struct exchange *x)
{
	const struct kc_http_req *q = x->req;

	if (q->body_fd) {
		curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->body_len);
		curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
		curl_easy_setopt(c, CURLOPT_READDATA, x);
		curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(c, CURLOPT_SEEKDATA, x);
	} else if (q->body) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_len);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, q->body);
	}
}

static void set_times(CURL *c, const struct kc_http *h, const struct kc_http_req *q)
{
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, h->connect_timeout_ms);
	if (q->idle_ms) {
		curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1000L);
		curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (q->idle_ms + 999) / 1000);
	} else {
		curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, q->timeout_ms ? q->timeout_ms : 30000);
	}
}

static void set_request(CURL *c, const struct kc_http *h, struct exchange *x,
			struct curl_slist *headers)
{
	const struct kc_http_req *q = x->req;

	curl_easy_setopt(c, CURLOPT_URL, q->url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, h->user_agent);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	set_times(c, h, q);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, q->once ? 1L : 0L);
	curl_easy_setopt(c, CURLOPT_CONNECT_TO, h->connect_to);
	if (q->canceled) {
		curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
		curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
		curl_easy_setopt(c, CURLOPT_XFERINFODATA, x);
	}
	set_body(c, x);
	if (q->method && streq(q->method, "HEAD"))
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	else if (q->method)
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
}

/* scheme://host/path without user, query and fragment. Owned. */
static char *shown(const char *url)
{
	const char *start = strstr(url, "://"), *at;
	size_t host;

	if (!start)
		return xstrndup(url, strcspn(url, "?#"));
	start += 3;
	host = strcspn(start, "/?#");
	at = memrchr(start, '@', host);
	return xasprintf("%.*s%.*s", (int)(start - url), url,
			 (int)strcspn(at ? at + 1 : start, "?#"), at ? at + 1 : start);
}

static int failed(const struct exchange *x, CURLcode rc, const char *url, const char *text,
		  struct kc_err *err)
{
	int code = KC_EAGAIN;

	if (x->canceled)
		return kc_fail(err, KC_ECANCELED, "%s: canceled", url);
	if (x->dial_error.code)
		return kc_fail(err, x->dial_error.code, "%s: %s", url, x->dial_error.msg);
	if (x->sink_error.code)
		return kc_fail(err, x->sink_error.code, "%s: %s", url, x->sink_error.msg);
	if (x->too_big)
		return kc_fail(err, KC_EINVAL, "%s: the reply is larger than %zu bytes", url,
			       x->req->max ? x->req->max : (size_t)KC_BUF_MAX);
	switch (rc) {
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_SSL_CACERT_BADFILE:
		code = KC_EINVAL;
		break;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
		code = KC_EAUTH;
		break;
	case CURLE_OPERATION_TIMEDOUT:
		code = KC_ETIMEOUT;
		break;
	default:
		/* A server that wants another client certificate says so in a TLS alert. */
		if (strstr(text, "alert") && strstr(text, "certificate"))
			code = KC_EAUTH;
		break;
	}
	return kc_fail(err, code, "%s: %s", url, *text ? text : curl_easy_strerror(rc));
}

static struct curl_slist *header_list(const struct kc_http_req *q)
{
	struct curl_slist *list = NULL;

	for (const char *const *h = q->headers; h && *h; h++)
		list = curl_slist_append(list, *h);
	if (q->body || q->body_fd) /* no extra round trip for large bodies */
		list = curl_slist_append(list, "Expect:");
	return list;
}

int kc_http_do(struct kc_http *h, const struct kc_http_req *q, struct kc_http_reply *ret,
	       struct kc_err *err)
{
	struct exchange x = { .http = h, .req = q, .body.max = q->max };
	_cleanup_free_ char *url = shown(q->url);
	struct curl_slist *headers = header_list(q);
	char text[CURL_ERROR_SIZE] = "";
	int64_t start = kc_now_ms();
	CURL *c = take(h);
	long status = 0, sent = 0;
	CURLcode rc;
	int r = 0;

	x.curl = c;
	if (q->sink) /* what is not for it says what went wrong */
		x.body.max = 1 << 20;
	set_tls(c, h);
	set_request(c, h, &x, headers);
	set_dial(c, &x);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, text);
	rc = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(c, CURLINFO_REQUEST_SIZE, &sent);
	if (q->ret_sent)
		*q->ret_sent = sent > 0;
	kc_debug("http", "%s %s: %ld %s, %zu bytes, %lld ms",
		 q->method ? q->method
		 : q->body ? "POST"
			   : "GET",
		 url, status, rc ? curl_easy_strerror(rc) : "ok", x.body.len,
		 (long long)(kc_now_ms() - start));
	give_back(h, c);
	curl_slist_free_all(headers);
	if (rc != CURLE_OK) {
		r = failed(&x, rc, url, text, err);
		drop_headers(&x);
		free(x.headers);
		kc_buf_done(&x.body);
		return r;
	}
	ret->status = status;
	ret->len = x.body.len;
	ret->body = x.body.data ? kc_buf_steal(&x.body) : xstrdup("");
	ret->headers = x.headers;
	ret->n_headers = x.n_headers;
	return 0;
}

void kc_http_reply_done(struct kc_http_reply *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_headers; i++)
		free(r->headers[i]);
	free(r->headers);
	free(r->body);
	*r = (struct kc_http_reply){ 0 };
}

const char *kc_http_header(const struct kc_http_reply *r, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < r->n_headers; i++)
		if (strncmp(r->headers[i], name, n) == 0 && r->headers[i][n] == ':')
			return r->headers[i] + n + 2;
	return NULL;
}

char *kc_http_escape(const char *s)
{
	_cleanup_buf_ struct kc_buf b = { 0 };

	for (; *s; s++) {
		if (isalnum((unsigned char)*s) || strchr("-._~", *s))
			kc_buf_putn(&b, s, 1);
		else
			kc_buf_printf(&b, "%%%02X", (unsigned char)*s);
	}
	return b.data ? kc_buf_steal(&b) : xstrdup("");
}
