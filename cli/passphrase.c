#include "cli/passphrase.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/str.h"
#include "lib/base/tty.h"

enum { TRIES = 3 };

struct passphrase {
	char *key; /* path of the key file */
	char *text;
	enum { UNKNOWN, ASKING, KNOWN, REFUSED } state;
	pthread_t owner; /* while ASKING: who tries it out */
	int wrong;
	struct kc_err why; /* REFUSED */
	struct passphrase *next;
};

void kc_passphrases_init(struct kc_passphrases *p, struct kc_ui *ui, const atomic_bool *cancel)
{
	*p = (struct kc_passphrases){ .ui = ui, .cancel = cancel };
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->settled, NULL);
}

void kc_passphrases_done(struct kc_passphrases *p)
{
	while (p->list) {
		struct passphrase *e = p->list;

		p->list = e->next;
		free(e->key);
		kc_free_wiped(e->text);
		free(e);
	}
	pthread_cond_destroy(&p->settled);
	pthread_mutex_destroy(&p->lock);
}

static struct passphrase *entry(struct kc_passphrases *p, const char *key)
{
	struct passphrase *e;

	for (e = p->list; e; e = e->next)
		if (streq(e->key, key))
			return e;
	e = xcalloc(1, sizeof(*e));
	e->key = xstrdup(key);
	e->next = p->list;
	p->list = e;
	return e;
}

static bool canceled(const struct kc_passphrases *p)
{
	return p->cancel && atomic_load(p->cancel);
}

static bool asked_by_another(const struct passphrase *e)
{
	return e->state == ASKING && !pthread_equal(e->owner, pthread_self());
}

/* Until nobody else is at it. The lock is held. */
static void wait_for_others(struct kc_passphrases *p, const struct passphrase *e)
{
	while (asked_by_another(e) && !canceled(p)) {
		struct timespec t;

		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_sec++; /* a cancellation does not signal */
		pthread_cond_timedwait(&p->settled, &p->lock, &t);
	}
}

/* One question; the lock is held, which keeps those about other keys waiting. */
static int question(struct kc_passphrases *p, struct passphrase *e)
{
	_cleanup_free_ char *prompt =
		xasprintf("%sPassphrase of the key %s: ", e->wrong ? "That is not it. " : "",
			  e->key);
	char *text = NULL;
	int r;

	if (p->ui)
		kc_ui_hold(p->ui);
	r = kc_tty_secret(prompt, p->cancel, &text, &e->why);
	if (p->ui)
		kc_ui_resume(p->ui);
	if (r < 0) {
		e->state = REFUSED;
		pthread_cond_broadcast(&p->settled);
		return r;
	}
	kc_free_wiped(e->text);
	e->text = text;
	e->state = ASKING;
	e->owner = pthread_self();
	return 0;
}

static int ask(void *cookie, const char *key, char **ret, struct kc_err *err)
{
	struct kc_passphrases *p = cookie;
	struct passphrase *e;
	int r = 0;

	pthread_mutex_lock(&p->lock);
	e = entry(p, key);
	wait_for_others(p, e);
	if (canceled(p))
		r = kc_fail(&e->why, KC_ECANCELED, "stopped at the question");
	else if (e->state == REFUSED)
		r = e->why.code;
	else if (e->state != KNOWN)
		r = question(p, e);
	if (r < 0 && err)
		*err = e->why;
	if (r == 0)
		*ret = xstrdup(e->text);
	pthread_mutex_unlock(&p->lock);
	return r;
}

static bool verdict(void *cookie, const char *key, bool good)
{
	struct kc_passphrases *p = cookie;
	struct passphrase *e;
	bool again = false;

	pthread_mutex_lock(&p->lock);
	e = entry(p, key);
	if (good) {
		e->state = KNOWN;
	} else if (e->state != REFUSED && ++e->wrong < TRIES) {
		e->state = ASKING;
		e->owner = pthread_self();
		again = true;
	} else if (e->state != REFUSED) {
		e->state = REFUSED;
		kc_fail(&e->why, KC_EAUTH, "the passphrase was wrong %d times", TRIES);
	}
	pthread_cond_broadcast(&p->settled);
	pthread_mutex_unlock(&p->lock);
	return again;
}

const struct kc_ssh_phrases kc_cli_phrases = { .ask = ask, .verdict = verdict };
