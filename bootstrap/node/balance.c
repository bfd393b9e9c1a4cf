#include "bootstrap/node/balance.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "bootstrap/node/balance_priv.h"
#include "bootstrap/node/probe.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define CONFIG_MAX (1u << 20)

void bal_watch(struct balance *b, struct watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (w->fd < 0 || w->events == events)
		return;
	w->events = events;
	if (!events) { /* a hang-up is reported whatever the mask: do not spin on it */
		if (w->watched)
			epoll_ctl(b->epoll, EPOLL_CTL_DEL, w->fd, NULL);
		w->watched = false;
		return;
	}
	epoll_ctl(b->epoll, w->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &ev);
	w->watched = true;
}

void bal_close(struct balance *b, struct watch *w)
{
	if (w->fd < 0)
		return;
	if (w->watched)
		epoll_ctl(b->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	close(w->fd);
	w->fd = -1;
	w->watched = false;
	w->events = 0;
}

static struct backend *backend_of(struct balance *b, const char *text)
{
	for (struct backend *s = b->backends; s; s = s->next)
		if (streq(s->text, text))
			return s;
	return NULL;
}

static int add_backend(struct balance *b, const char *text, struct kc_err *err)
{
	struct backend *s = backend_of(b, text);
	struct sockaddr_storage sa;
	socklen_t len;
	int r = kc_node_sockaddr(text, &sa, &len, err);

	if (r < 0)
		return r;
	if (s) {
		s->keep = true;
		return 0;
	}
	s = xcalloc(1, sizeof(*s));
	s->text = xstrdup(text);
	s->addr = sa;
	s->len = len;
	s->keep = true;
	s->probe.kind = W_PROBE;
	s->probe.fd = -1;
	s->probe.owner = s;
	s->next = b->backends;
	b->backends = s;
	return 0;
}

static void drop_backends(struct balance *b)
{
	for (struct backend **p = &b->backends; *p;) {
		struct backend *s = *p;

		if (s->keep) {
			p = &s->next;
			continue;
		}
		*p = s->next;
		bal_conn_drop(b, s);
		bal_close(b, &s->probe);
		free(s->text);
		free(s);
	}
}

/* Without IPv6 there is no ::1; that is not an error as long as one address can be listened on. */
static int listen_on(struct balance *b, const char *text, struct kc_err *err)
{
	struct sockaddr_storage sa;
	struct listener *l;
	socklen_t len;
	int on = 1, fd, r = kc_node_sockaddr(text, &sa, &len, err);

	if (r < 0)
		return r;
	for (l = b->listeners; l; l = l->next)
		if (streq(l->text, text)) {
			l->keep = true;
			return 0;
		}
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 1024) < 0) {
		r = kc_fail_errno(err, errno, "listening on %s", text);
		kc_closep(&fd);
		return sa.ss_family == AF_INET6 ? 0 : r;
	}
	l = xcalloc(1, sizeof(*l));
	l->text = xstrdup(text);
	l->keep = true;
	l->watch = (struct watch){ .kind = W_LISTEN, .fd = fd, .owner = l };
	l->next = b->listeners;
	b->listeners = l;
	bal_watch(b, &l->watch, EPOLLIN);
	return 0;
}

static void drop_listeners(struct balance *b)
{
	for (struct listener **p = &b->listeners; *p;) {
		struct listener *l = *p;

		if (l->keep) {
			p = &l->next;
			continue;
		}
		*p = l->next;
		bal_close(b, &l->watch);
		free(l->text);
		free(l);
	}
}

static int each(struct balance *b, const json_t *list, const char *what,
		int (*fn)(struct balance *, const char *, struct kc_err *), struct kc_err *err)
{
	json_t *v;
	size_t i;

	json_array_foreach((json_t *)list, i, v) {
		int r = json_is_string(v) ? fn(b, json_string_value(v), err)
					  : kc_fail(err, KC_EINVAL, "%s: must be strings", what);

		if (r < 0)
			return kc_wrap(err, "%s: %s", b->config, what);
	}
	return 0;
}

static int load(struct balance *b, struct kc_err *err)
{
	_cleanup_free_ char *text = NULL;
	json_auto_t *v = NULL;
	const json_t *listen_list, *backends;
	struct stat st;
	size_t len;
	int r = kc_file_read(b->config, CONFIG_MAX, &text, &len, err);

	if (r == 0)
		r = kc_json_parse(text ? text : "", len, b->config, &v, err);
	if (r == 0)
		r = kc_json_arr(v, b->config, "listen", &listen_list, err);
	if (r == 0)
		r = kc_json_arr(v, b->config, "backends", &backends, err);
	if (r < 0)
		return r;
	for (struct backend *s = b->backends; s; s = s->next)
		s->keep = false;
	for (struct listener *l = b->listeners; l; l = l->next)
		l->keep = false;
	r = each(b, backends, "backends", add_backend, err);
	if (r == 0)
		r = each(b, listen_list, "listen", listen_on, err);
	if (r < 0)
		return r;
	drop_backends(b);
	drop_listeners(b);
	if (!b->listeners)
		return kc_fail(err, KC_EFAIL, "%s: no address could be listened on", b->config);
	free(b->local);
	b->local = xstrdup(kc_json_get_str(v, "local", ""));
	b->config_mtime = stat(b->config, &st) == 0 ? st.st_mtim : b->config_mtime;
	b->config_ino = st.st_ino;
	return 0;
}

/* A broken new file leaves the old configuration in place. */
static void reload(struct balance *b)
{
	struct kc_err err = { 0 };

	b->reload = false;
	if (load(b, &err) < 0) {
		for (struct backend *s = b->backends; s; s = s->next)
			s->keep = true;
		for (struct listener *l = b->listeners; l; l = l->next)
			l->keep = true;
		fprintf(stderr, "kubecdn-node balance: kept the old configuration: %s\n", err.msg);
	}
	bal_probe_all(b);
}

static void look_at_file(struct balance *b)
{
	struct stat st;

	if (stat(b->config, &st) < 0 ||
	    (st.st_mtim.tv_sec == b->config_mtime.tv_sec &&
	     st.st_mtim.tv_nsec == b->config_mtime.tv_nsec && st.st_ino == b->config_ino))
		return;
	b->config_mtime = st.st_mtim;
	b->config_ino = st.st_ino;
	reload(b);
}

/* The local one, else the healthy one with the fewest connections; NULL: none is healthy. */
struct backend *bal_pick(struct balance *b)
{
	struct backend *best = NULL;

	for (struct backend *s = b->backends; s; s = s->next) {
		if (!s->healthy)
			continue;
		if (streq(s->text, b->local))
			return s;
		if (!best || s->conns < best->conns)
			best = s;
	}
	return best;
}

static void judge(struct balance *b, struct backend *s, bool healthy)
{
	if (healthy != s->healthy)
		fprintf(stderr, "kubecdn-node balance: %s is %s\n", s->text,
			healthy ? "up" : "down");
	s->healthy = healthy;
	bal_close(b, &s->probe);
	if (healthy)
		bal_conn_serve_waiting(b);
}

static void probe(struct balance *b, struct backend *s)
{
	bal_close(b, &s->probe);
	s->probe.fd = socket(s->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	s->probed_ms = kc_now_ms();
	if (s->probe.fd < 0)
		return;
	if (connect(s->probe.fd, (struct sockaddr *)&s->addr, s->len) == 0)
		judge(b, s, true);
	else if (errno == EINPROGRESS)
		bal_watch(b, &s->probe, EPOLLOUT);
	else
		judge(b, s, false);
}

void bal_probe_all(struct balance *b)
{
	for (struct backend *s = b->backends; s; s = s->next)
		s->probed_ms = 0;
}

/* Probe what is due; how long until the next one is. */
static int probe_due(struct balance *b)
{
	int64_t now = kc_now_ms(), next = PROBE_MS;
	bool any = bal_pick(b) != NULL;

	for (struct backend *s = b->backends; s; s = s->next) {
		int64_t every = any ? PROBE_MS : PROBE_FAST_MS, wait;

		if (s->probe.fd >= 0 && now - s->probed_ms >= PROBE_MS)
			judge(b, s, false); /* no answer to the last one */
		if (s->probe.fd < 0 && now - s->probed_ms >= every)
			probe(b, s);
		wait = s->probed_ms + (s->probe.fd >= 0 ? PROBE_MS : every) - now;
		next = wait < next ? wait : next;
	}
	return (int)(next < 1 ? 1 : next);
}

static void probe_answered(struct balance *b, struct backend *s)
{
	socklen_t n = sizeof(int);
	int e = 0;

	getsockopt(s->probe.fd, SOL_SOCKET, SO_ERROR, &e, &n);
	judge(b, s, e == 0);
}

static void dispatch(struct balance *b, struct watch *w, uint32_t events)
{
	struct signalfd_siginfo si;

	switch (w->kind) {
	case W_SIGNAL:
		while (read(w->fd, &si, sizeof(si)) == sizeof(si)) {
			if (si.ssi_signo == SIGHUP)
				b->reload = true;
			else
				b->stop = true;
		}
		break;
	case W_LISTEN:
		bal_conn_accept(b, w->fd);
		break;
	case W_PROBE:
		if (w->fd >= 0)
			probe_answered(b, w->owner);
		break;
	case W_CLIENT:
	case W_SERVER:
		bal_conn_event(b, w, events);
		break;
	}
}

/* sd_notify(3): one datagram. */
static void notify_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	size_t n = path ? strlen(path) : 0;

	if (!n || n >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, n);
	if (sa.sun_path[0] == '@')
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&sa,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

static int open_signals(struct balance *b, struct kc_err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	b->signals = (struct watch){ .kind = W_SIGNAL,
				     .fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC) };
	if (b->signals.fd < 0)
		return kc_fail_errno(err, errno, "signalfd");
	bal_watch(b, &b->signals, EPOLLIN);
	return 0;
}

static void loop(struct balance *b)
{
	struct epoll_event events[64];
	int64_t looked = 0;

	while (!b->stop) {
		int wait = probe_due(b), n = epoll_wait(b->epoll, events, 64, wait);

		/* Freeing waits for the end of the round: later events may point there. */
		for (int i = 0; i < n; i++)
			dispatch(b, events[i].data.ptr, events[i].events);
		if (b->reload)
			reload(b);
		if (kc_now_ms() - looked >= 1000) {
			looked = kc_now_ms();
			look_at_file(b);
			bal_conn_expire(b);
		}
		bal_conn_reap(b);
	}
}

static void done(struct balance *b)
{
	for (struct backend *s = b->backends; s; s = s->next)
		s->keep = false;
	for (struct listener *l = b->listeners; l; l = l->next)
		l->keep = false;
	drop_backends(b);
	drop_listeners(b);
	bal_conn_drop(b, NULL);
	bal_conn_reap(b);
	bal_close(b, &b->signals);
	kc_closep(&b->epoll);
	free(b->local);
}

int kc_balance_run(const char *config, struct kc_err *err)
{
	struct balance b = { .config = config, .epoll = epoll_create1(EPOLL_CLOEXEC) };
	int r;

	b.signals.fd = -1;
	signal(SIGPIPE, SIG_IGN);
	if (b.epoll < 0)
		return kc_fail_errno(err, errno, "epoll_create1");
	r = load(&b, err);
	if (r == 0)
		r = open_signals(&b, err);
	if (r == 0) {
		notify_ready();
		loop(&b);
	}
	done(&b);
	return r;
}
