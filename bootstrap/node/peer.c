#include "bootstrap/node/peer.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bootstrap/node/probe.h"
#include "bootstrap/node/protocol.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

#define HEADER_MAX 4096
#define BLOB_MAX   (4ll << 30)

enum {
	SERVED_MAX = 256, /* blobs */
	CLIENTS_MAX = 8,
	TOKEN = 32, /* hex digits */
	SILENCE_MS = 3000,
	STACK = 256 << 10,
	FETCH_MAX = 600000
};

/* One line of a frame's header; a byte at a time would be slow, so read() is buffered by stdio. */
static int read_header(FILE *in, json_t **ret, struct kc_err *err)
{
	char line[HEADER_MAX];

	if (!fgets(line, sizeof(line), in)) {
		*ret = NULL;
		return ferror(in) ? kc_fail_errno(err, errno, "reading blobs") : 0;
	}
	return kc_json_parse(line, strlen(line), "blob header", ret, err);
}

static int copy_hashed(FILE *in, int fd, int64_t size, const char *sha, struct kc_err *err)
{
	struct kc_sha256_stream *s = kc_sha256_new();
	_cleanup_free_ char *chunk = xmalloc(1 << 18);
	char hex[KC_SHA256_HEX];
	int r = 0;

	while (size > 0 && r == 0) {
		size_t n = fread(chunk, 1, size < (1 << 18) ? (size_t)size : 1 << 18, in);

		if (n == 0)
			r = kc_fail(err, KC_EFAIL,
				    "blob %.12s: the connection ended %" PRId64 " bytes early", sha,
				    size);
		kc_sha256_update(s, chunk, n);
		if (r == 0)
			r = kc_write_all(fd, chunk, n, err);
		size -= (int64_t)n;
	}
	kc_sha256_finish(s, hex);
	if (r == 0 && !streq(hex, sha))
		r = kc_fail(err, KC_EINVAL, "blob %.12s: changed on the way (%.12s)", sha, hex);
	return r;
}

static int take(FILE *in, const char *dir, const char *only, const json_t *header,
		struct kc_err *err)
{
	_cleanup_free_ char *tmp = NULL, *path = NULL;
	_cleanup_close_ int fd = -1;
	const char *sha;
	int64_t size;
	int r;

	r = kc_json_str(header, "blob header", "sha256", &sha, err);
	if (r == 0)
		r = kc_json_int(header, "blob header", "size", &size, err);
	if (r < 0)
		return r;
	if (!kc_is_sha256(sha) || size < 0 || size > BLOB_MAX)
		return kc_fail(err, KC_EINVAL, "blob header: bad sha256 or size");
	if (only && !streq(sha, only))
		return kc_fail(err, KC_EINVAL, "blob header: not what was asked for");
	path = xasprintf("%s/%s", dir, sha);
	tmp = xasprintf("%s.%d.tmp", path, (int)getpid());
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", tmp);
	r = copy_hashed(in, fd, size, sha, err);
	if (r == 0 && rename(tmp, path) < 0)
		r = kc_fail_errno(err, errno, "%s", path);
	if (r < 0)
		unlink(tmp);
	return r;
}

int kc_blob_take(FILE *in, const char *dir, const char *only, struct kc_err *err)
{
	json_auto_t *header = NULL;
	int r = read_header(in, &header, err);

	if (r == 0 && header)
		r = take(in, dir, only, header, err);
	return r < 0 ? r : header != NULL;
}

/* ---- giving ---- */

struct blob {
	char sha[KC_SHA256_HEX];
	int fd; /* what it was stays readable when apply has removed it */
	off_t size;
};

struct server {
	char token[TOKEN + 1];
	struct blob blobs[SERVED_MAX];
	size_t n;
	int fd;
	pthread_mutex_t lock;
	int clients;
};

struct client {
	struct server *server;
	int fd;
};

static void open_blobs(struct server *s, const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	struct stat st;

	while (d && s->n < SERVED_MAX && (e = readdir(d))) {
		struct blob *b = &s->blobs[s->n];

		if (!kc_is_sha256(e->d_name))
			continue;
		b->fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (b->fd < 0 || fstat(b->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
			kc_closep(&b->fd);
			continue;
		}
		strcpy(b->sha, e->d_name);
		b->size = st.st_size;
		s->n++;
	}
	if (d)
		closedir(d);
}

/* The blob that a line asks for, if it has the token; or NULL. */
static const struct blob *asked(const struct server *s, const char *line)
{
	unsigned char odd = 0;

	if (strlen(line) != TOKEN + 1 + KC_SHA256_HEX - 1 + 1)
		return NULL;
	for (size_t i = 0; i < TOKEN; i++) /* how much of it is right takes no shorter or longer */
		odd |= (unsigned char)(line[i] ^ s->token[i]);
	for (size_t i = 0; !odd && i < s->n; i++)
		if (strncmp(line + TOKEN + 1, s->blobs[i].sha, KC_SHA256_HEX - 1) == 0)
			return &s->blobs[i];
	return NULL;
}

static bool give(int fd, const struct blob *b)
{
	_cleanup_free_ char *header =
		xasprintf("{\"sha256\":\"%s\",\"size\":%" PRId64 "}\n", b->sha, (int64_t)b->size);
	off_t at = 0;

	if (send(fd, header, strlen(header), MSG_NOSIGNAL) != (ssize_t)strlen(header))
		return false;
	while (at < b->size) {
		ssize_t n = sendfile(fd, b->fd, &at, (size_t)(b->size - at));

		if (n <= 0 && !(n < 0 && errno == EINTR))
			return false;
	}
	return true;
}

static void *attend(void *cookie)
{
	struct client *c = cookie;
	struct server *s = c->server;
	FILE *in = fdopen(c->fd, "r");
	char line[TOKEN + KC_SHA256_HEX + 3];
	const struct blob *b;

	while (in && fgets(line, sizeof(line), in) && (b = asked(s, line)) && give(c->fd, b))
		;
	if (in)
		fclose(in);
	else
		close(c->fd);
	free(c);
	pthread_mutex_lock(&s->lock);
	s->clients--;
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void set_patience(int fd)
{
	const struct timeval t = { SILENCE_MS / 1000, SILENCE_MS % 1000 * 1000L };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

static void welcome(struct server *s, const pthread_attr_t *attr)
{
	struct client *c;
	pthread_t thread;
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
	bool room;

	if (fd < 0)
		return;
	pthread_mutex_lock(&s->lock);
	room = s->clients < CLIENTS_MAX;
	s->clients += room;
	pthread_mutex_unlock(&s->lock);
	if (!room) {
		close(fd);
		return;
	}
	set_patience(fd);
	c = xcalloc(1, sizeof(*c));
	*c = (struct client){ s, fd };
	if (pthread_create(&thread, attr, attend, c) == 0)
		return;
	close(fd);
	free(c);
	pthread_mutex_lock(&s->lock);
	s->clients--;
	pthread_mutex_unlock(&s->lock);
}

static int listen_on(const char *address, int *ret_fd, int *ret_port, struct kc_err *err)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	socklen_t len = sizeof(sa);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (inet_pton(AF_INET, address, &sa.sin_addr) != 1)
		return kc_fail(err, KC_EINVAL, "serve: \"%s\" is no IPv4 address", address);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(fd, CLIENTS_MAX) < 0 || getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return kc_fail_errno(err, errno, "listening on %s", address);
	*ret_port = ntohs(sa.sin_port);
	*ret_fd = fd;
	fd = -1;
	return 0;
}

static void serve(struct server *s, int in)
{
	struct pollfd p[] = { { .fd = in, .events = POLLIN }, { .fd = s->fd, .events = POLLIN } };
	pthread_attr_t attr;
	char drop[256];

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (;;) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			break;
		if (p[0].revents && read(in, drop, sizeof(drop)) <= 0)
			break;
		if (p[1].revents)
			welcome(s, &attr);
	}
	pthread_attr_destroy(&attr);
}

int kc_peer_serve(const char *dir, const char *mark, const char *address, int in, FILE *out,
		  struct kc_err *err)
{
	static struct server one; /* of the process, which ends with it: its threads may be at it */
	struct server *s = &one;
	unsigned char bytes[TOKEN / 2];
	int port, r = listen_on(address, &s->fd, &port, err);

	if (r < 0) { /* said in the answer, too: nobody waits for more */
		fprintf(out, "%s 0 -\n", mark);
		fflush(out);
		return r;
	}
	pthread_mutex_init(&s->lock, NULL);
	open_blobs(s, dir);
	kc_random(bytes, sizeof(bytes));
	kc_hex(bytes, sizeof(bytes), s->token);
	fprintf(out, "%s %d %s\n", mark, port, s->token);
	fflush(out);
	serve(s, in);
	close(s->fd);
	return 0;
}

/* ---- taking ---- */

static int fetch_one(FILE *in, int fd, const char *dir, const char *token, const char *sha,
		     struct kc_err *err)
{
	_cleanup_free_ char *line = xasprintf("%s %s\n", token, sha);
	int r;

	if (!sha || !kc_is_sha256(sha))
		return kc_fail(err, KC_EINVAL, "fetch: \"%.80s\" is not a SHA-256", sha ? sha : "");
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line))
		return kc_fail_errno(err, errno, "asking for blob %.12s", sha);
	r = kc_blob_take(in, dir, sha, err);
	return r ? r : kc_fail(err, KC_ENOTFOUND, "blob %.12s: the peer has it not", sha);
}

/* A peer that is slow, not silent, ends here, too: a signal without a handler. */
static void limit_time(int64_t ms)
{
	alarm((unsigned)((ms < 1000 ? 1000 : ms > FETCH_MAX ? FETCH_MAX : ms) / 1000));
}

int kc_peer_fetch(const char *dir, const json_t *question, json_t **ret, struct kc_err *err)
{
	const json_t *blobs, *sha;
	_cleanup_free_ char *at = NULL;
	const char *address, *token;
	int64_t port, ms;
	int fd = -1, r;
	size_t i;
	FILE *in;

	r = kc_json_str(question, "fetch", "address", &address, err);
	if (r == 0)
		r = kc_json_str(question, "fetch", "token", &token, err);
	if (r == 0)
		r = kc_json_int(question, "fetch", "port", &port, err);
	if (r == 0)
		r = kc_json_int(question, "fetch", "ms", &ms, err);
	if (r == 0)
		r = kc_json_arr(question, "fetch", "blobs", &blobs, err);
	if (r < 0)
		return r;
	if (port < 1 || port > 65535)
		return kc_fail(err, KC_EINVAL, "fetch: no such port");
	limit_time(ms);
	at = xasprintf("%s:%d", address, (int)port);
	r = kc_node_dial(at, &fd, err);
	if (r < 0)
		return r;
	fcntl(fd, F_SETFL, 0);
	set_patience(fd);
	in = fdopen(fd, "r");
	json_array_foreach((json_t *)blobs, i, sha)
		if (r == 0) {
			r = fetch_one(in, fd, dir, token, json_string_value(sha), err);
			r = r > 0 ? 0 : r;
		}
	fclose(in);
	alarm(0);
	if (r == 0)
		*ret = kc_pack("{s:i, s:i}", "format", KC_NODE_FORMAT, "fetched", (int)i);
	return r;
}
