/*
 * Changing a policy's hosts in batches, each compare-and-swap. After a conflict, or a reply that
 * was lost, the batch is read again, which tells those that are done from those that somebody else
 * changed; if it does not the batch is halved until it does. What is not served is taken back.
 */
#include <stdlib.h>
#include <string.h>

#include "dns/hosts.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* TRIES: of a batch as a whole. */
enum { TRIES = 3 };

#define OTHERS                                                                                     \
	"somebody else changed it meanwhile, and nothing was changed by us; run the command again"

static size_t batch_of(const struct hosts *h)
{
	return h->backend->batch ? h->backend->batch : 1;
}

static bool may_have_happened(int r)
{
	return r == KC_EAGAIN || r == KC_ETIMEOUT;
}

static void refuse(struct host *one, const char *why)
{
	free(one->why);
	one->why = xasprintf("%s: %s", one->name, why);
}

/* It is as wanted now; before is what it was. */
static void written(struct host *one, json_t *before)
{
	one->was = before;
	one->same = one->wants;
	one->in_use = true;
	one->pending = true;
	json_decref(TAKE(one->other));
}

/* NULL: nothing. */
static json_t *before_of(const struct hosts *h, const struct host *one)
{
	json_t *before;

	if (!one->same && !one->other)
		return NULL;
	before = json_array();
	host_before(h, one, before);
	return before;
}

static int change(struct hosts *h, struct host *const *v, size_t n, struct kc_err *err)
{
	json_auto_t *which = json_array(), *before = json_array(), *after = json_array();

	for (size_t i = 0; i < n; i++) {
		host_which(h, v[i], which);
		host_before(h, v[i], before);
		host_wanted(h, v[i], after);
	}
	return h->backend->change(h->conn, which, before, after, err);
}

/* Reads v again, and leaves in it those that are as they were, which may be tried again. */
static int sort_out(struct hosts *h, struct host **v, size_t *n, struct kc_err *err)
{
	_cleanup_free_ json_t **was = xcalloc(*n, sizeof(*was));
	size_t left = 0;
	int r;

	for (size_t i = 0; i < *n; i++)
		was[i] = before_of(h, v[i]);
	r = hosts_scan(h, v, *n, err);
	for (size_t i = 0; i < *n; i++) {
		json_auto_t *now = before_of(h, v[i]);
		struct host *one = v[i];

		if (r < 0)
			continue;
		if (host_is_wanted(one))
			written(one, TAKE(was[i]));
		else if (publish_same(now, was[i]))
			v[left++] = one;
		else
			refuse(one, OTHERS);
	}
	for (size_t i = 0; i < *n; i++)
		json_decref(was[i]);
	*n = left;
	return r;
}

static int write_part(struct hosts *h, struct host **v, size_t n, int tries, struct kc_err *err);

static int write_halves(struct hosts *h, struct host **v, size_t n, struct kc_err *err)
{
	int r = write_part(h, v, n / 2, 1, err);

	return r < 0 ? r : write_part(h, v + n / 2, n - n / 2, 1, err);
}

/* v was not changed, as far as the server says: those that can be are tried again. */
static int write_again(struct hosts *h, struct host **v, size_t n, int tries, int why,
		       struct kc_err *err)
{
	struct kc_err unread;

	if (sort_out(h, v, &n, &unread) < 0)
		return kc_wrap(err, "it may have been written or not (%s)", unread.msg);
	if (n == 0)
		return 0;
	if (tries > 1)
		return write_part(h, v, n, tries - 1, err);
	if (may_have_happened(why))
		return why;
	if (n > 1)
		return write_halves(h, v, n, err);
	refuse(v[0], err->msg);
	return 0;
}

/* What is wrong with some of v is their why; an error is about all. v is put in another order. */
static int write_part(struct hosts *h, struct host **v, size_t n, int tries, struct kc_err *err)
{
	int r = change(h, v, n, err);

	if (r == KC_ECONFLICT || may_have_happened(r))
		return write_again(h, v, n, tries, r, err);
	if (r == KC_EINVAL && n > 1)
		return write_halves(h, v, n, err);
	if (r < 0 && r != KC_EINVAL)
		return r;
	for (size_t i = 0; i < n; i++)
		if (r == 0)
			written(v[i], before_of(h, v[i]));
		else
			refuse(v[i], err->msg);
	return 0;
}

/* --- taking it back */

static int undo(struct hosts *h, struct host *const *v, size_t n, struct kc_err *err)
{
	json_auto_t *which = json_array(), *before = json_array(), *after = json_array();

	for (size_t i = 0; i < n; i++) {
		host_which(h, v[i], which);
		host_wanted(h, v[i], before);
		json_array_extend(after, v[i]->was);
	}
	return h->backend->change(h->conn, which, before, after, err);
}

static void taken_back(struct host *one, bool back, const char *why)
{
	one->pending = false;
	free(one->why);
	one->why = back ? xasprintf("%s: what was written is not served, and was taken back: %s",
				    one->name, one->unseen ? one->unseen : why)
			: xasprintf("%s: what was written is not served (%s), and could not be "
				    "taken back: %s",
				    one->name, one->unseen ? one->unseen : "no answer", why);
}

/* After a reply that was lost: is it as it was? */
static bool is_back(struct hosts *h, struct host *one)
{
	struct kc_err ignored;
	json_auto_t *now = NULL;

	if (hosts_scan(h, &one, 1, &ignored) < 0)
		return false;
	now = before_of(h, one);
	return publish_same(now, one->was);
}

static void take_back(struct hosts *h, struct host **v, size_t n, const char *unseen)
{
	struct kc_err err;
	int r = KC_EAGAIN;

	for (int i = 0; i < TRIES && may_have_happened(r); i++)
		r = undo(h, v, n, &err);
	if (r < 0 && n > 1) {
		take_back(h, v, n / 2, unseen);
		take_back(h, v + n / 2, n - n / 2, unseen);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		bool back = r == 0 || is_back(h, v[i]);

		taken_back(v[i], back, back ? unseen : err.msg);
	}
}

/* --- all of it */

/* Those that fit, in a new array. */
static struct host **pick(struct hosts *h, bool (*fits)(const struct host *one), size_t *ret_n)
{
	struct host **v = xcalloc(h->n + 1, sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; i < h->n; i++)
		if (fits(&h->v[i]))
			v[n++] = &h->v[i];
	*ret_n = n;
	return v;
}

static bool is_to_change(const struct host *one)
{
	return !one->why && !host_is_wanted(one);
}

static bool is_pending(const struct host *one)
{
	return one->pending;
}

static int write_all(struct hosts *h, const atomic_bool *cancel, struct kc_err *err)
{
	size_t n, step = batch_of(h);
	_cleanup_free_ struct host **v = pick(h, is_to_change, &n);
	int r = 0;

	for (size_t at = 0; at < n && r == 0; at += step) {
		if (cancel && atomic_load(cancel))
			return kc_fail(err, KC_ECANCELED, "stopped");
		r = write_part(h, v + at, n - at < step ? n - at : step, TRIES, err);
		if (r < 0)
			kc_wrap(err, "%zu of %zu hosts were changed before", at, n);
	}
	return r;
}

int hosts_apply(struct hosts *h, struct copy *c, const atomic_bool *cancel, struct kc_err *err)
{
	int64_t deadline;
	json_auto_t *servers = NULL;
	size_t n, step = batch_of(h);
	struct host **v;
	int r = write_all(h, cancel, err);

	if (r == 0)
		r = publish_servers(c, &servers, err);
	if (r < 0)
		return r;
	deadline = kc_now_ms() + h->p->within_ms;
	r = publish_settle(c, deadline, err);
	if (r == 0)
		r = hosts_look(h, servers, deadline, err);
	if (r == 0)
		return 0;
	v = pick(h, is_pending, &n);
	for (size_t at = 0; at < n; at += step)
		take_back(h, v + at, n - at < step ? n - at : step, err->msg);
	free(v);
	return 0;
}

int hosts_verify(struct hosts *h, struct copy *c, struct kc_err *err)
{
	json_auto_t *servers = NULL;
	int r = publish_servers(c, &servers, err);

	for (size_t i = 0; i < h->n; i++) {
		struct host *one = &h->v[i];

		if (is_to_change(one))
			refuse(one, "the zone does not hold what the policy says; `kubecdn dns "
				    "plan` shows it");
		one->pending = !one->why;
	}
	if (r == 0)
		r = hosts_look(h, servers, 0, err);
	for (size_t i = 0; i < h->n; i++)
		if (h->v[i].pending && h->v[i].unseen) {
			refuse(&h->v[i], h->v[i].unseen);
			r = 0;
		}
	return r;
}

int hosts_served(struct hosts *h, struct copy *c, struct kc_err *err)
{
	int r = h ? hosts_verify(h, c, err) : 0;

	for (size_t i = 0; h && r == 0 && i < h->n; i++)
		if (h->v[i].why)
			r = kc_fail(err, KC_EFAIL, "%s", h->v[i].why);
	return r;
}
