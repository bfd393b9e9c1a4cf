#include "dns/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/addr.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/http.h"

/* SLICE_MS: between two looks at the cancel flag. */
enum { THREADS = 32, SLICE_MS = 100, BODY_MAX = 1 << 20 };

struct look {
	const char *address;
	bool done, up;
	struct kc_err why;
};

struct work {
	const struct kc_probe *p;
	struct look *looks;
	size_t n;
	atomic_size_t next;
};

static bool canceled(void *cookie)
{
	const struct kc_probe *p = cookie;

	return p->cancel && atomic_load(p->cancel);
}

static socklen_t sockaddr_of(const struct kc_addr *a, int port, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (a->family == AF_INET) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		memcpy(&v4->sin_addr, a->bytes, 4);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	memcpy(&v6->sin6_addr, a->bytes, 16);
	return sizeof(*v6);
}

static int wait_connected(const struct kc_probe *p, int fd, struct kc_err *err)
{
	int64_t deadline = kc_now_ms() + p->timeout_ms;
	struct pollfd f = { .fd = fd, .events = POLLOUT };
	int failure = 0;
	socklen_t len = sizeof(failure);

	while (poll(&f, 1, SLICE_MS) <= 0) {
		if (canceled((void *)p))
			return kc_fail(err, KC_ECANCELED, "canceled");
		if (kc_now_ms() >= deadline)
			return kc_fail(err, KC_ETIMEOUT, "no connection within %ld ms",
				       p->timeout_ms);
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len) < 0)
		failure = errno;
	return failure ? kc_fail_errno(err, failure, "connecting") : 0;
}

static int try_tcp(const struct kc_probe *p, const char *address, int port, struct kc_err *err)
{
	struct sockaddr_storage to;
	_cleanup_close_ int fd = -1;
	struct kc_addr a;
	socklen_t len;

	if (!kc_addr_parse(address, &a))
		return kc_fail(err, KC_EINVAL, "not an address");
	len = sockaddr_of(&a, port, &to);
	fd = socket(a.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return kc_fail_errno(err, errno, "socket");
	if (connect(fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS)
		return kc_fail_errno(err, errno, "connecting");
	return wait_connected(p, fd, err);
}

static int try_http(const struct kc_probe *p, const char *address, int port, struct kc_err *err)
{
	const struct kc_http_conf conf = { .ca_pem = p->ca_pem,
					   .direct = true,
					   .address = address,
					   .connect_timeout_ms = p->timeout_ms };
	_cleanup_free_ char *url =
		xasprintf("%s://%s:%d%s", kc_json_get_str(p->health, "protocol", "https"),
			  kc_json_get_str(p->health, "host", ""), port,
			  kc_json_get_str(p->health, "path", "/"));
	const struct kc_http_req req = { .url = url,
					 .timeout_ms = p->timeout_ms,
					 .max = BODY_MAX,
					 .canceled = canceled,
					 .cookie = (void *)p };
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	_cleanup_http_ struct kc_http *http = NULL;
	int r = kc_http_new(&conf, &http, err);

	if (r == 0)
		r = kc_http_do(http, &req, &reply, err);
	if (r == 0 && (reply.status < 200 || reply.status > 299))
		r = kc_fail(err, KC_EFAIL, "status %ld", reply.status);
	return r;
}

static void look(const struct kc_probe *p, struct look *l)
{
	int port = (int)kc_json_get_int(p->health, "port", 443), r;

	if (streq(kc_json_get_str(p->health, "protocol", ""), "tcp"))
		r = try_tcp(p, l->address, port, &l->why);
	else
		r = try_http(p, l->address, port, &l->why);
	l->up = r == 0;
	l->done = r != KC_ECANCELED && !canceled((void *)p);
}

static void *run(void *cookie)
{
	struct work *w = cookie;
	size_t i;

	while ((i = atomic_fetch_add(&w->next, 1)) < w->n && !canceled((void *)w->p))
		look(w->p, &w->looks[i]);
	return NULL;
}

json_t *kc_probe(const struct kc_probe *p, const json_t *addresses, json_t *why)
{
	size_t n = json_array_size(addresses), threads = 0;
	_cleanup_free_ struct look *looks = xcalloc(n + 1, sizeof(*looks));
	struct work w = { .p = p, .looks = looks, .n = n };
	pthread_t thread[THREADS];
	json_t *out = json_object();

	for (size_t i = 0; i < n; i++)
		looks[i].address = json_string_value(json_array_get(addresses, i));
	while (threads < THREADS && threads + 1 < n &&
	       pthread_create(&thread[threads], NULL, run, &w) == 0)
		threads++;
	run(&w);
	while (threads)
		pthread_join(thread[--threads], NULL);
	for (size_t i = 0; i < n; i++) {
		if (!looks[i].done)
			continue;
		json_object_set_new(out, looks[i].address, json_boolean(looks[i].up));
		if (!looks[i].up)
			json_object_set_new(why, looks[i].address, json_string(looks[i].why.msg));
	}
	return out;
}
