/* Logging in: the agent's keys and key files (ed25519, ecdsa). */
#include <stdio.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/crypto/hash.h"
#include "lib/net/ssh_impl.h"

#define OPENSSH_BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----"
#define OPENSSH_END   "-----END OPENSSH PRIVATE KEY-----"

struct login {
	struct kc_ssh *s;
	const struct kc_ssh_target *t;
	int64_t deadline;
	struct kc_buf tried; /* for the error: what was refused */
	bool rsa;	     /* an RSA key was among it */
};

struct key_file {
	char *path, *text;
	size_t len;
	bool encrypted, rsa, damaged;
	unsigned char *pub; /* the public key's blob, when the file shows it */
	size_t pub_len;
};

static void key_file_done(struct key_file *k)
{
	free(k->path);
	kc_free_wiped(k->text);
	free(k->pub);
}

static size_t u32(const unsigned char *p)
{
	return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

/* One length-prefixed string of OpenSSH's format; moves at. False past the end. */
static bool take_string(const unsigned char *p, size_t len, size_t *at, const unsigned char **ret,
			size_t *ret_len)
{
	size_t n;

	if (*at > len || len - *at < 4)
		return false;
	n = u32(p + *at);
	if (n > len - *at - 4)
		return false;
	*ret = p + *at + 4;
	*ret_len = n;
	*at += 4 + n;
	return true;
}

/*
 * The clear part of an OpenSSH private key (PROTOCOL.key): "openssh-key-v1\0", cipher, kdf, kdf
 * options, number of keys, public key.
 */
static void read_openssh(struct key_file *k, const unsigned char *p, size_t len)
{
	static const char magic[] = "openssh-key-v1";
	const unsigned char *v, *type;
	size_t n, type_len, at = sizeof(magic), inner = 0;

	if (len < at || memcmp(p, magic, at) != 0 || !take_string(p, len, &at, &v, &n))
		return;
	k->encrypted = n != 4 || memcmp(v, "none", 4) != 0;
	if (!take_string(p, len, &at, &v, &n) || !take_string(p, len, &at, &v, &n))
		return;
	at += 4;
	if (!take_string(p, len, &at, &v, &n) || !take_string(v, n, &inner, &type, &type_len))
		return;
	k->rsa = type_len == 7 && memcmp(type, "ssh-rsa", 7) == 0;
	k->pub = xmemdup(v, n);
	k->pub_len = n;
}

static void inspect(struct key_file *k)
{
	const char *start = strstr(k->text, OPENSSH_BEGIN), *end;
	_cleanup_free_ unsigned char *blob = NULL;
	_cleanup_wiped_ char *packed = NULL;
	size_t n = 0, len = 0;

	k->damaged = !strstr(k->text, "PRIVATE KEY-----");
	k->encrypted = strstr(k->text, "ENCRYPTED") != NULL;
	k->rsa = strstr(k->text, "BEGIN RSA PRIVATE KEY") != NULL;
	end = start ? strstr(start, OPENSSH_END) : NULL;
	if (!end)
		return;
	packed = xmalloc(k->len + 1);
	for (const char *p = start + strlen(OPENSSH_BEGIN); p < end; p++)
		if (!strchr(" \t\r\n", *p))
			packed[n++] = *p;
	packed[n] = 0;
	if (kc_base64_decode(packed, &blob, &len, NULL) < 0)
		return;
	read_openssh(k, blob, len);
	kc_wipe(blob, len);
}

static void note(struct login *l, const char *what, const char *why)
{
	kc_buf_printf(&l->tried, "%s%s%s%s", l->tried.len ? ", " : "", what, why ? ": " : "",
		      why ? why : "");
}

/* 1: in; 0: refused, others may be tried; or an error. */
static int outcome(struct login *l, int rc, int r, const char *what, struct kc_err *err)
{
	if (r < 0)
		return r;
	if (rc == 0)
		return 1;
	if (rc == LIBSSH2_ERROR_SOCKET_DISCONNECT || rc == LIBSSH2_ERROR_SOCKET_RECV ||
	    rc == LIBSSH2_ERROR_SOCKET_SEND)
		return kc_fail(err, KC_EAUTH,
			       "%s: the host closed the connection at login (refused so far: "
			       "%s%s%s)",
			       l->s->name, kc_buf_get(&l->tried), l->tried.len ? ", " : "", what);
	note(l, what, NULL);
	return 0;
}

/* Keys of ssh-agent; only the one with this blob when only is set. */
static int try_agent(struct login *l, const struct key_file *only, struct kc_err *err)
{
	LIBSSH2_AGENT *agent = libssh2_agent_init(l->s->session);
	struct libssh2_agent_publickey *id = NULL;
	int r = 0, rc;

	if (!agent)
		return 0;
	if (!getenv("SSH_AUTH_SOCK") || libssh2_agent_connect(agent) ||
	    libssh2_agent_list_identities(agent))
		goto out;
	while (r == 0 && libssh2_agent_get_identity(agent, &id, id) == 0) {
		_cleanup_free_ char *what = xasprintf("agent key %s", id->comment);
		size_t at = 0, n;
		const unsigned char *type;

		if (only && (!only->pub || only->pub_len != id->blob_len ||
			     memcmp(only->pub, id->blob, id->blob_len) != 0))
			continue;
		if (take_string(id->blob, id->blob_len, &at, &type, &n) && n == 7 &&
		    memcmp(type, "ssh-rsa", 7) == 0)
			l->rsa = true;
		rc = SSH_CALL(l->s, l->deadline, &r, err,
			      libssh2_agent_userauth(agent, l->s->user, id));
		r = outcome(l, rc, r, what, err);
	}
	libssh2_agent_disconnect(agent);
out:
	libssh2_agent_free(agent);
	return r;
}

static int ask_passphrase(struct login *l, const struct key_file *k, char **ret, struct kc_err *err)
{
	const struct kc_ssh_phrases *phrases = l->t->phrases;
	struct kc_err why = { .msg = "nobody can be asked for its passphrase" };
	int64_t start = kc_now_ms();
	int r = phrases ? phrases->ask(l->t->phrases_cookie, k->path, ret, &why) : KC_ENOTFOUND;

	l->deadline += kc_now_ms() - start; /* whoever types is not the host */
	if (r == KC_ECANCELED)
		return kc_fail(err, r, "%s: %s", l->s->name, why.msg);
	if (r < 0)
		return kc_fail(err, KC_EAUTH,
			       "%s: the key %s is encrypted, and %s; load it into ssh-agent "
			       "(ssh-add %s), or use another key",
			       l->s->name, k->path, why.msg, k->path);
	return 0;
}

static int unusable(struct login *l, const struct key_file *k, bool must, struct kc_err *err)
{
	if (must || k->encrypted)
		return kc_fail(err, KC_EAUTH, "%s: cannot use the key %s: %s", l->s->name, k->path,
			       k->encrypted ? "the passphrase is wrong"
					    : "it is damaged or of a type other than ed25519 and "
					      "ecdsa");
	note(l, k->path, "cannot be read");
	return 0;
}

/* The key could not be read: nothing was sent. */
static bool is_unusable(int rc)
{
	return rc == LIBSSH2_ERROR_FILE || rc == LIBSSH2_ERROR_KEYFILE_AUTH_FAILED ||
	       rc == LIBSSH2_ERROR_METHOD_NONE;
}

static int offer(struct login *l, const struct key_file *k, const char *phrase, int *r,
		 struct kc_err *err)
{
	return SSH_CALL(l->s, l->deadline, r, err,
			libssh2_userauth_publickey_frommemory(l->s->session, l->s->user,
							      strlen(l->s->user), NULL, 0, k->text,
							      k->len, phrase));
}

static int try_file(struct login *l, const char *path, bool must, struct kc_err *err)
{
	_cleanup_(key_file_done) struct key_file k = { .path = kc_expand_home(path) };
	char *phrase = NULL;
	int r, rc;

	if (!must && !kc_exists(k.path))
		return 0;
	r = kc_file_read(k.path, 65536, &k.text, &k.len, err);
	if (r < 0)
		return kc_wrap(err, "%s: reading the identity file", l->s->name);
	inspect(&k);
	l->rsa |= k.rsa;
	if (k.encrypted && !l->t->no_agent) {
		r = try_agent(l, &k, err);
		if (r)
			return r;
	}
	do {
		r = k.encrypted ? ask_passphrase(l, &k, &phrase, err) : 0;
		if (r < 0)
			return r;
		rc = k.damaged ? LIBSSH2_ERROR_FILE : offer(l, &k, phrase, &r, err);
		kc_free_wiped(TAKE(phrase));
	} while (k.encrypted && l->t->phrases &&
		 l->t->phrases->verdict(l->t->phrases_cookie, k.path, !is_unusable(rc)));
	return is_unusable(rc) ? unusable(l, &k, must, err) : outcome(l, rc, r, k.path, err);
}

static int try_all(struct login *l, struct kc_err *err)
{
	int r = 0;

	if (l->t->identity_file)
		return try_file(l, l->t->identity_file, true, err);
	if (!l->t->no_agent)
		r = try_agent(l, NULL, err);
	if (r == 0)
		r = try_file(l, "~/.ssh/id_ed25519", false, err);
	if (r == 0)
		r = try_file(l, "~/.ssh/id_ecdsa", false, err);
	return r;
}

int ssh_login(struct kc_ssh *s, const struct kc_ssh_target *t, int64_t deadline, struct kc_err *err)
{
	struct login l = { .s = s, .t = t, .deadline = deadline };
	const char *methods;
	int r = 0;

	while (!(methods = libssh2_userauth_list(s->session, s->user, (unsigned)strlen(s->user)))) {
		if (libssh2_userauth_authenticated(s->session))
			return 0;
		if (libssh2_session_last_errno(s->session) != LIBSSH2_ERROR_EAGAIN)
			return kc_fail(err, KC_EAGAIN, "%s: the host ended the login: %s", s->name,
				       ssh_last(s));
		r = ssh_wait(s, deadline, err);
		if (r < 0)
			return r;
	}
	if (!strstr(methods, "publickey"))
		return kc_fail(err, KC_EAUTH,
			       "%s: the host accepts %s only; kubecdn logs in with keys", s->name,
			       methods);
	r = try_all(&l, err);
	if (r == 0)
		r = kc_fail(err, KC_EAUTH,
			    "%s: the host refused %s%s; put the public key into %s's "
			    "authorized_keys there, or name another key with identityFile",
			    s->name,
			    l.tried.len ? kc_buf_get(&l.tried) : "us: there is no key to try",
			    l.rsa ? " (RSA keys need libssh2 1.11 against current servers: use an "
				    "ed25519 key)"
				  : "",
			    s->user);
	kc_buf_done(&l.tried);
	return r < 0 ? r : 0;
}
