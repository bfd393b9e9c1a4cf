/* Commands: one non-blocking loop moves three streams. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/net/ssh_impl.h"

enum { CHUNK = 256 << 10, KEEP_ERRORS = 64 << 10, MAX_TEXT = 16 << 20 };

/* libssh2 has room for one packet that the socket did not take: its call must be finished first. */
enum pending { NONE, WRITE, READ_OUT, READ_ERR };

struct stream {
	struct kc_ssh *s;
	const struct kc_ssh_exec *x;
	LIBSSH2_CHANNEL *ch;
	enum pending pending;
	char *in; /* what goes to standard input next: in[at..len) */
	size_t at, len;
	bool in_end, eof_sent, moved;
	char *buf;
	int64_t last, deadline;
};

static bool outbound(const struct stream *st)
{
	return libssh2_session_block_directions(st->s->session) & LIBSSH2_SESSION_BLOCK_OUTBOUND;
}

static int broken(struct stream *st, const char *what, struct kc_err *err)
{
	return kc_fail(err, KC_EAGAIN, "%s: connection lost while %s: %s", st->s->name, what,
		       ssh_last(st->s));
}

/* More standard input, if there is any. */
static int refill(struct stream *st, struct kc_err *err)
{
	const struct kc_ssh_exec *x = st->x;
	ssize_t n;

	st->at = st->len = 0;
	if (!x->feed) {
		st->in_end = true;
		return 0;
	}
	n = x->feed(x->cookie, st->in, CHUNK, err);
	if (n < 0)
		return (int)n;
	st->len = (size_t)n;
	st->in_end = n == 0;
	st->last = kc_now_ms(); /* a slow source is not a silent host */
	return 0;
}

static int push_eof(struct stream *st, struct kc_err *err)
{
	int rc = libssh2_channel_send_eof(st->ch);

	st->pending = rc == LIBSSH2_ERROR_EAGAIN && outbound(st) ? WRITE : NONE;
	if (rc == LIBSSH2_ERROR_EAGAIN)
		return 0;
	if (rc < 0)
		return broken(st, "ending its input", err);
	st->eof_sent = st->moved = true;
	return 0;
}

/* Write until the socket or the channel's window is full. */
static int push(struct stream *st, struct kc_err *err)
{
	/* Bounded: standard output must get its turn when input flows without end. */
	for (int i = 0; i < 64 && !st->eof_sent; i++) {
		const char *data = st->x->feed ? st->in : st->x->input;
		ssize_t n;
		int r;

		if (st->at == st->len && !st->in_end) {
			r = refill(st, err);
			if (r < 0)
				return r;
		}
		if (st->at == st->len)
			return push_eof(st, err);
		n = libssh2_channel_write(st->ch, data + st->at, st->len - st->at);
		st->pending = n == LIBSSH2_ERROR_EAGAIN && outbound(st) ? WRITE : NONE;
		if (n == LIBSSH2_ERROR_EAGAIN || n == 0)
			return 0;
		if (n < 0)
			return broken(st, "sending", err);
		st->at += (size_t)n;
		st->moved = true;
	}
	return 0;
}

/* The last 64K of standard error. */
static void keep_errors(struct kc_buf *b, const char *data, size_t n)
{
	if (b->len + n > KEEP_ERRORS) {
		size_t drop = b->len + n - KEEP_ERRORS;

		drop = drop < b->len ? drop : b->len;
		memmove(b->data, b->data + drop, b->len - drop);
		b->len -= drop;
	}
	kc_buf_putn(b, data, n);
}

static int pull(struct stream *st, bool errors, struct kc_err *err)
{
	for (int i = 0; i < 64; i++) {
		ssize_t n = libssh2_channel_read_ex(st->ch, errors ? SSH_EXTENDED_DATA_STDERR : 0,
						    st->buf, errors ? KEEP_ERRORS / 2 : CHUNK);
		int r = 0;

		st->pending = NONE;
		if (n == LIBSSH2_ERROR_EAGAIN) {
			if (outbound(st))
				st->pending = errors ? READ_ERR : READ_OUT;
			return 0;
		}
		if (n < 0)
			return broken(st, "reading", err);
		if (n == 0)
			return 0;
		st->moved = true;
		if (errors)
			keep_errors(&st->s->errs, st->buf, (size_t)n);
		else if (st->x->out)
			r = st->x->out(st->x->cookie, st->buf, (size_t)n, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* One round over the streams that may be touched now. */
static int turn(struct stream *st, struct kc_err *err)
{
	int r = 0;

	st->moved = false;
	if (st->pending == NONE || st->pending == WRITE)
		r = push(st, err);
	if (r == 0 && (st->pending == NONE || st->pending == READ_OUT))
		r = pull(st, false, err);
	if (r == 0 && (st->pending == NONE || st->pending == READ_ERR))
		r = pull(st, true, err);
	return r;
}

/* The command ended: its output is all here and the host closed the channel. */
static bool closed(struct stream *st)
{
	return st->pending == NONE && libssh2_channel_eof(st->ch) == 1 &&
	       libssh2_channel_wait_closed(st->ch) == 0;
}

static int64_t until(const struct stream *st)
{
	int64_t idle = st->last + (st->x->idle_ms ? st->x->idle_ms : 120000);

	return idle < st->deadline ? idle : st->deadline;
}

static int converse(struct stream *st, struct kc_err *err)
{
	int r, next;

	st->last = kc_now_ms();
	for (;;) {
		r = turn(st, err);
		if (r < 0)
			return r;
		if (closed(st))
			return 0;
		if (st->moved) {
			st->last = kc_now_ms();
			if (st->x->canceled && st->x->canceled(st->x->cookie))
				return kc_fail(err, KC_ECANCELED, "%s: canceled", st->s->name);
			if (st->last < st->deadline)
				continue;
		}
		if (st->pending == NONE)
			libssh2_keepalive_send(st->s->session, &next);
		r = ssh_wait(st->s, until(st), err);
		if (r < 0)
			return r;
		if (st->x->canceled && st->x->canceled(st->x->cookie))
			return kc_fail(err, KC_ECANCELED, "%s: canceled", st->s->name);
	}
}

static int open_channel(struct stream *st, int64_t deadline, struct kc_err *err)
{
	int r, rc;

	while (!(st->ch = libssh2_channel_open_session(st->s->session))) {
		if (libssh2_session_last_errno(st->s->session) != LIBSSH2_ERROR_EAGAIN)
			return broken(st, "opening a channel", err);
		r = ssh_wait(st->s, deadline, err);
		if (r < 0)
			return r;
	}
	rc = SSH_CALL(st->s, deadline, &r, err, libssh2_channel_exec(st->ch, st->x->command));
	if (r < 0)
		return r;
	if (rc < 0)
		return kc_fail(err, KC_EFAIL, "%s: the host refuses to run commands: %s",
			       st->s->name, ssh_last(st->s));
	return 0;
}

static int exit_code(struct stream *st)
{
	static const struct {
		const char *name;
		int number;
	} signals[] = { { "HUP", 1 },	{ "INT", 2 },	{ "QUIT", 3 }, { "ILL", 4 },
			{ "ABRT", 6 },	{ "FPE", 8 },	{ "KILL", 9 }, { "SEGV", 11 },
			{ "PIPE", 13 }, { "ALRM", 14 }, { "TERM", 15 } };
	char *name = NULL;
	int code = libssh2_channel_get_exit_status(st->ch);

	if (libssh2_channel_get_exit_signal(st->ch, &name, NULL, NULL, NULL, NULL, NULL) || !name)
		return code;
	code = 128;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (streq(signals[i].name, name))
			code += signals[i].number;
	libssh2_free(st->s->session, name);
	return code;
}

char *ssh_last_line(const struct kc_buf *b)
{
	const char *text = kc_buf_get(b), *end = text + strlen(text), *p;

	while (end > text && strchr("\r\n ", end[-1]))
		end--;
	for (p = end; p > text && p[-1] != '\n'; p--)
		;
	return xstrndup(p, (size_t)(end - p) < 600 ? (size_t)(end - p) : 600);
}

static int failed(const struct kc_ssh *s, const char *command, int code, struct kc_err *err)
{
	_cleanup_free_ char *line = ssh_last_line(&s->errs);
	int shown = (int)strcspn(command, "\n");

	return kc_fail(err, KC_EFAIL, "%s: \"%.*s%s\" ended with exit code %d%s%s", s->name,
		       shown < 80 ? shown : 80, command, shown < 80 && !command[shown] ? "" : "…",
		       code, *line ? ": " : "", line);
}

static int exec_channel(struct kc_ssh *s, const struct kc_ssh_exec *x, int *ret_code,
			struct kc_err *err)
{
	struct stream st = { .s = s, .x = x, .len = x->feed ? 0 : x->input_len };
	int64_t start = kc_now_ms();
	int r;

	st.deadline = x->total_ms ? start + x->total_ms : INT64_MAX;
	r = open_channel(&st, start + (x->idle_ms ? x->idle_ms : 120000), err);
	if (r == 0) {
		st.in = x->feed ? xmalloc(CHUNK) : NULL;
		st.buf = xmalloc(CHUNK);
		r = converse(&st, err);
		free(st.in);
		free(st.buf);
	}
	if (r < 0) {
		if (st.ch)
			libssh2_channel_free(st.ch);
		return r;
	}
	SSH_CALL(s, kc_now_ms() + 5000, &r, NULL, libssh2_channel_close(st.ch));
	*ret_code = exit_code(&st);
	SSH_CALL(s, kc_now_ms() + 5000, &r, NULL, libssh2_channel_free(st.ch));
	return 0;
}

int kc_ssh_exec(struct kc_ssh *s, const struct kc_ssh_exec *x, int *ret_exit, struct kc_err *err)
{
	int64_t start = kc_now_ms();
	int code = 0, r;

	kc_buf_clear(&s->errs);
	r = s->openssh ? ssh_openssh_exec(s, x, &code, err) : exec_channel(s, x, &code, err);
	if (r < 0) {
		s->broken = true;
		return r == KC_ETIMEOUT || r == KC_ECANCELED ? kc_wrap(err, "running a command")
							     : r;
	}
	kc_debug("ssh", "%s: exit %d after %lld ms", s->name, code,
		 (long long)(kc_now_ms() - start));
	if (!ret_exit && code)
		return failed(s, x->command, code, err);
	if (ret_exit)
		*ret_exit = code;
	return 0;
}

static int collect(void *cookie, const char *data, size_t len, struct kc_err *err)
{
	return kc_buf_add(cookie, data, len, err);
}

int kc_ssh_run(struct kc_ssh *s, const char *command, char **ret_out, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf out = { .max = MAX_TEXT };
	struct kc_ssh_exec x = { .command = command, .out = collect, .cookie = &out };
	int r = kc_ssh_exec(s, &x, NULL, err);

	if (r == 0 && ret_out)
		*ret_out = kc_buf_steal(&out);
	return r;
}

/* Output of a channel until the line with mark in it is whole. */
static int read_until(struct stream *st, const char *mark, struct kc_buf *out, int64_t deadline,
		      struct kc_err *err)
{
	char chunk[4096];
	int r;

	for (;;) {
		ssize_t n = libssh2_channel_read(st->ch, chunk, sizeof(chunk));
		const char *at;

		if (n == LIBSSH2_ERROR_EAGAIN) {
			r = ssh_wait(st->s, deadline, err);
			if (r < 0)
				return r;
			continue;
		}
		if (n < 0)
			return broken(st, "reading", err);
		if (n == 0 && libssh2_channel_eof(st->ch))
			return kc_fail(err, KC_EFAIL, "%s: the command ended at once", st->s->name);
		r = kc_buf_add(out, chunk, (size_t)n, err);
		at = r == 0 ? strstr(kc_buf_get(out), mark) : NULL;
		if (r < 0 || (at && strchr(at, '\n')))
			return r;
	}
}

int kc_ssh_hold(struct kc_ssh *s, const char *command, const char *mark, char **ret_out,
		struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf out = { .max = 1 << 20 };
	struct kc_ssh_exec x = { .command = command };
	struct stream st = { .s = s, .x = &x };
	int64_t deadline = kc_now_ms() + 30000;
	int r;

	if (s->holds == KC_SSH_HOLDS)
		return kc_fail(err, KC_EINVAL, "%s: too many commands are held", s->name);
	if (s->openssh) {
		r = ssh_openssh_hold(s, command, mark, &out, err);
		s->broken = r < 0;
		s->holds += r == 0;
		if (r == 0)
			*ret_out = kc_buf_steal(&out);
		return r;
	}
	r = open_channel(&st, deadline, err);
	if (r == 0)
		r = read_until(&st, mark, &out, deadline, err);
	if (r < 0) {
		s->broken = true;
		if (st.ch)
			libssh2_channel_free(st.ch);
		return r;
	}
	s->held[s->holds++] = st.ch;
	*ret_out = kc_buf_steal(&out);
	return 0;
}

static void release(struct kc_ssh *s, LIBSSH2_CHANNEL *held)
{
	int64_t deadline = kc_now_ms() + 2000;
	char chunk[4096];
	int r, rc;

	rc = SSH_CALL(s, deadline, &r, NULL, libssh2_channel_send_eof(held));
	while (r == 0 && rc >= 0 && !libssh2_channel_eof(held))
		rc = SSH_CALL(s, deadline, &r, NULL,
			      libssh2_channel_read(held, chunk, sizeof(chunk)));
}

/* The last one first: it may run from what the one before it keeps. */
void ssh_release(struct kc_ssh *s)
{
	for (int i = s->holds; !s->openssh && !s->broken && i > 0; i--)
		release(s, s->held[i - 1]);
}

const char *kc_ssh_stderr(const struct kc_ssh *s)
{
	return kc_buf_get(&s->errs);
}

static ssize_t feed_fd(void *cookie, void *buf, size_t size, struct kc_err *err)
{
	ssize_t n;

	do {
		n = read(*(int *)cookie, buf, size);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? kc_fail_errno(err, errno, "reading the file to upload") : n;
}

/* fd to the input of reader, a command there; check, another one, says whether "$t" is whole. */
static int put(struct kc_ssh *s, int fd, const char *reader, const char *check, const char *remote,
	       mode_t mode, struct kc_err *err)
{
	_cleanup_free_ char *path = kc_ssh_quote(remote), *script = NULL, *word = NULL,
			    *command = NULL;
	struct kc_ssh_exec x = { .feed = feed_fd, .cookie = &fd };

	/* A lost connection looks like the end of input: check decides. */
	script = xasprintf("umask 077; t=%s.kc$$; %s >\"$t\" && %s && chmod %04o \"$t\" && "
			   "mv -f \"$t\" %s || { rm -f \"$t\"; exit 1; }",
			   path, reader, check, (unsigned)mode & 07777, path);
	word = kc_ssh_quote(script);
	command = xasprintf("sh -c %s", word);
	x.command = command;
	return kc_ssh_exec(s, &x, NULL, err);
}

/* Through cat, not SFTP: one stream without round trips, and it needs no subsystem on the host. */
int kc_ssh_put(struct kc_ssh *s, const char *local, const char *remote, mode_t mode,
	       struct kc_err *err)
{
	_cleanup_close_ int fd = open(local, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *check = NULL;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return kc_fail_errno(err, errno, "uploading %s to %s", local, s->name);
	check = xasprintf("[ \"$(wc -c <\"$t\")\" -eq %lld ]", (long long)st.st_size);
	r = put(s, fd, "cat", check, remote, mode, err);
	return r < 0 ? kc_wrap(err, "uploading %s to %s", local, remote) : 0;
}

int kc_ssh_put_gzip(struct kc_ssh *s, const char *local, const char *sha256, const char *remote,
		    mode_t mode, struct kc_err *err)
{
	_cleanup_close_ int fd = open(local, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *check =
		xasprintf("[ \"$(sha256sum <\"$t\" | cut -c1-64)\" = %s ]", sha256);
	int r;

	if (fd < 0)
		return kc_fail_errno(err, errno, "uploading %s to %s", local, s->name);
	r = put(s, fd, "gzip -dc", check, remote, mode, err);
	return r < 0 ? kc_wrap(err, "uploading %s to %s", local, remote) : 0;
}

/*
 * In sh, csh and fish single quotes take everything literally but ' itself
 * (and \ in fish), and a backslash outside quotes protects one character.
 */
char *kc_ssh_quote(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_-./:@%+,";
	_cleanup_buf_ struct kc_buf b = { 0 };

	if (*word && word[strspn(word, plain)] == 0)
		return xstrdup(word);
	kc_buf_puts(&b, "'");
	for (const char *p = word; *p; p++) {
		if (*p == '\'' || *p == '\\')
			kc_buf_printf(&b, "'\\%c'", *p);
		else
			kc_buf_putn(&b, p, 1);
	}
	kc_buf_puts(&b, "'");
	return kc_buf_steal(&b);
}
