/*
 * Many questions on the way to one server at once. Each is in a slot, and the slot's number is in
 * its ID, so that replies find their question in whatever order they come.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns_impl.h"

/* SLOTS: few enough that their replies fit into the buffers of a socket. */
enum { SLOTS = 128, HEAD = 2, BUFFER = 2 * (DNS_MESSAGE_MAX + HEAD) };

struct slot {
	uint8_t *wire; /* as it was sent; NULL: the slot is free */
	size_t len, question;
	uint16_t id;
	int64_t first, sent; /* when */
};

struct many {
	const struct kc_dns_server *server;
	const struct kc_dns_query *q;
	size_t n, next, done, on_way;
	struct slot slots[SLOTS];
	bool tcp;
	int fd;
	int64_t heard; /* when the last reply came */
	bool fresh;    /* nothing has come on this connection yet */
	uint8_t *in;
	size_t in_len;
	kc_dns_answer *answer;
	void *cookie;
};

static int64_t patience_of(const struct many *m)
{
	return dns_timeout(m->server);
}

static int send_slot(struct many *m, struct slot *s, struct kc_err *err)
{
	s->sent = kc_now_ms();
	if (m->tcp)
		return dns_move(m->fd, NULL, s->wire, s->len, s->sent + patience_of(m), err);
	if (send(m->fd, s->wire + HEAD, s->len - HEAD, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		return kc_fail(err, KC_EAGAIN, "cannot send: %s", strerror(errno));
	return 0;
}

/* The next question, with its length before, into a free slot and on its way. */
static int ask(struct many *m, size_t at, struct kc_err *err)
{
	const struct kc_dns_query *q = &m->q[m->next];
	_cleanup_pkt_ ldns_pkt *pkt = NULL;
	struct slot *s = &m->slots[at];
	uint8_t *wire = NULL;
	size_t len;
	int r = dns_question(&(struct kc_dns_question){ .name = q->name, .type = q->type }, &pkt,
			     err);

	if (r < 0)
		return r;
	s->id = (uint16_t)((ldns_pkt_id(pkt) & 0xff00) | at);
	ldns_pkt_set_id(pkt, s->id);
	if (ldns_pkt2wire(&wire, pkt, &len) != LDNS_STATUS_OK)
		abort();
	s->len = len + HEAD;
	s->wire = xmalloc(s->len);
	s->wire[0] = (uint8_t)(len >> 8);
	s->wire[1] = (uint8_t)len;
	memcpy(s->wire + HEAD, wire, len);
	LDNS_FREE(wire);
	s->question = m->next++;
	s->first = kc_now_ms();
	m->on_way++;
	return send_slot(m, s, err);
}

static int fill(struct many *m, struct kc_err *err)
{
	for (size_t i = 0; i < SLOTS && m->next < m->n; i++) {
		int r = m->slots[i].wire ? 0 : ask(m, i, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Is this the answer to the slot's question, and not to another one with the same ID? */
static bool is_reply(ldns_pkt *pkt, const struct kc_dns_query *q)
{
	const ldns_rr_list *list = ldns_pkt_question(pkt);
	const ldns_rr *rr = list && ldns_rr_list_rr_count(list) ? ldns_rr_list_rr(list, 0) : NULL;
	ldns_rdf *name = NULL;
	ldns_rr_type type;
	struct kc_err ignored;
	bool same;

	if (!rr || dns_type(q->type, &type, &ignored) < 0 || dns_name(q->name, &name, &ignored) < 0)
		return false;
	same = ldns_rr_get_type(rr) == type && ldns_dname_compare(ldns_rr_owner(rr), name) == 0;
	ldns_rdf_deep_free(name);
	return same;
}

static int whole_answer(struct many *m, const struct kc_dns_query *q, json_t **ret,
			struct kc_err *err)
{
	struct kc_dns_question by_tcp = { .name = q->name, .type = q->type, .tcp = true };

	return kc_dns_ask(m->server, &by_tcp, ret, err);
}

static int take(struct many *m, const uint8_t *wire, size_t len, struct kc_err *err)
{
	size_t at = len >= HEAD ? wire[1] : SLOTS;
	struct slot *s = at < SLOTS ? &m->slots[at] : NULL;
	_cleanup_pkt_ ldns_pkt *pkt = NULL;
	json_auto_t *reply = NULL;
	int r = 0;

	/* To an earlier try, or forged. */
	if (!s || !s->wire || s->id != (wire[0] << 8 | wire[1]) ||
	    ldns_wire2pkt(&pkt, wire, len) != LDNS_STATUS_OK || !is_reply(pkt, &m->q[s->question]))
		return 0;
	if (ldns_pkt_tc(pkt) && !m->tcp) {
		r = whole_answer(m, &m->q[s->question], &reply, err);
	} else {
		_cleanup_free_ char *rcode = dns_rcode_name(pkt);

		reply = kc_pack("{s:s, s:b, s:o}", "rcode", rcode, "aa", (int)ldns_pkt_aa(pkt),
				"answer", dns_rrsets(ldns_pkt_answer(pkt)));
	}
	if (r < 0)
		return r;
	m->heard = kc_now_ms();
	m->fresh = false;
	m->answer(m->cookie, s->question, reply);
	free(TAKE(s->wire));
	m->on_way--;
	m->done++;
	return 0;
}

/* All messages that are there as a whole. */
static int take_frames(struct many *m, struct kc_err *err)
{
	size_t at = 0;
	int r = 0;

	while (r == 0 && m->in_len - at >= HEAD) {
		size_t len = (size_t)m->in[at] << 8 | m->in[at + 1];

		if (m->in_len - at < HEAD + len)
			break;
		r = take(m, m->in + at + HEAD, len, err);
		at += HEAD + len;
	}
	m->in_len -= at;
	memmove(m->in, m->in + at, m->in_len);
	return r;
}

/* A server may close a connection any time; what was on its way is asked again on a new one, as
 * long as each brings something. */
static int again(struct many *m, struct kc_err *err)
{
	int r;

	if (m->fresh)
		return kc_fail(err, KC_EAGAIN, "the connection is lost");
	close(m->fd);
	m->fd = -1;
	m->in_len = 0;
	m->fresh = true;
	r = dns_open(m->server, SOCK_STREAM, kc_now_ms() + patience_of(m), &m->fd, err);
	for (size_t i = 0; i < SLOTS && r == 0; i++)
		if (m->slots[i].wire)
			r = send_slot(m, &m->slots[i], err);
	return r;
}

static int receive(struct many *m, struct kc_err *err)
{
	size_t space = m->tcp ? BUFFER - m->in_len : BUFFER;
	ssize_t n = recv(m->fd, m->in + (m->tcp ? m->in_len : 0), space, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0 && errno == ECONNREFUSED)
		return kc_fail(err, KC_EAGAIN, "nobody listens there");
	if (!m->tcp)
		return n < 0 ? 0 : take(m, m->in, (size_t)n, err);
	if (n <= 0)
		return again(m, err);
	m->in_len += (size_t)n;
	return take_frames(m, err);
}

/* UDP: what is not answered within a second is sent again. */
static int resend(struct many *m, struct kc_err *err)
{
	int64_t now = kc_now_ms();

	if (now > m->heard + patience_of(m))
		return kc_fail(err, KC_ETIMEOUT, "no answer");
	for (size_t i = 0; i < SLOTS; i++) {
		struct slot *s = &m->slots[i];
		int r;

		if (!s->wire || now <= s->sent + DNS_TRY_MS)
			continue;
		if (now > s->first + patience_of(m))
			return kc_fail(err, KC_ETIMEOUT, "no answer to %s %s",
				       m->q[s->question].name, m->q[s->question].type);
		r = m->tcp ? 0 : send_slot(m, s, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int run(struct many *m, struct kc_err *err)
{
	int type = m->tcp ? SOCK_STREAM : SOCK_DGRAM,
	    r = dns_open(m->server, type, kc_now_ms() + patience_of(m), &m->fd, err);

	m->heard = kc_now_ms();
	m->fresh = true;
	while (r == 0 && m->done < m->n) {
		r = fill(m, err);
		if (r < 0)
			return r;
		if (dns_wait(m->fd, POLLIN, kc_now_ms() + DNS_TRY_MS) == 0)
			r = receive(m, err);
		else
			r = resend(m, err);
	}
	return r;
}

int kc_dns_ask_many(const struct kc_dns_server *server, bool tcp, const struct kc_dns_query *q,
		    size_t n, kc_dns_answer *answer, void *cookie, struct kc_err *err)
{
	_cleanup_free_ char *where = dns_server_name(server);
	struct many m = { .server = server,
			  .tcp = tcp,
			  .q = q,
			  .n = n,
			  .fd = -1,
			  .answer = answer,
			  .cookie = cookie };
	int r;

	m.in = xmalloc(BUFFER);
	r = run(&m, err);
	for (size_t i = 0; i < SLOTS; i++)
		free(m.slots[i].wire);
	free(m.in);
	if (m.fd >= 0)
		close(m.fd);
	kc_debug("dns", "%s: %zu of %zu questions by %s: %d", where, m.done, n, tcp ? "TCP" : "UDP",
		 r);
	return r < 0 ? kc_wrap(err, "%s", where) : 0;
}
