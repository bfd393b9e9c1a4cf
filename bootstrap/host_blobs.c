/*
 * How blobs come to a host: from here, or from a host of this run that has them (node/peer.h).
 *
 * Few hosts are all sent everything from here. Of many, the first ones are; then each gives what it
 * got to others, so that our uplink carries a blob a few times. A host waits for its turn while one
 * that will give is under way, never for one that is known not to: when peers cannot be reached
 * (firewalls), that costs the first ones a second, and from then on all is sent from here. No peer
 * gets much longer than our own longest upload took.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bootstrap/hosts_priv.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

enum {
	UPLOADS = 4,	/* from here at a time, while there is hope of peers */
	SEEDS_MAX = 24, /* hosts that give */
	GUESTS = 4,	/* hosts that one gives to at a time */
	REFUSALS = 2,	/* so many, and nobody was given anything: peers cannot be reached */
	SPARE_MS = 2000,
};

struct kc_seed {
	const struct kc_host *host;
	char *address, token[40];
	int port, guests;
	bool gone;
	json_t *blobs;
};

/* The files to send, one after the other, each behind its header line. */
struct sender {
	struct kc_hosts *hosts;
	const json_t *blobs;
	size_t next;
	int fd;
	uint64_t left; /* bytes of the open file */
};

static int open_blob(struct sender *s, const char *sha256, uint64_t *ret_size, struct kc_err *err)
{
	const char *path = s->hosts->agent_blob;
	struct stat st;

	if (!streq(sha256, s->hosts->agent_blob_sha256))
		return kc_bundle_blob(s->hosts->bundle, sha256, &s->fd, ret_size, err);
	s->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (s->fd < 0 || fstat(s->fd, &st) < 0)
		return kc_fail_errno(err, errno, "%s", path);
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static ssize_t feed_blobs(void *cookie, void *buf, size_t size, struct kc_err *err)
{
	struct sender *s = cookie;
	const char *sha256;
	ssize_t n;
	int r;

	if (s->left == 0) {
		kc_closep(&s->fd);
		sha256 = json_string_value(json_array_get(s->blobs, s->next++));
		if (!sha256)
			return 0;
		r = open_blob(s, sha256, &s->left, err);
		if (r < 0)
			return r;
		return snprintf(buf, size, "{\"sha256\":\"%s\",\"size\":%llu}\n", sha256,
				(unsigned long long)s->left);
	}
	n = read(s->fd, buf, size < s->left ? size : (size_t)s->left);
	if (n <= 0)
		return kc_fail_errno(err, n < 0 ? errno : EIO, "reading a blob");
	s->left -= (uint64_t)n;
	return n;
}

static int send_blobs(struct kc_hosts *h, struct kc_host *host, const struct kc_task *task,
		      const json_t *blobs, struct kc_err *err)
{
	_cleanup_free_ char *command = xasprintf("%s recv", host->agent);
	struct sender s = { .hosts = h, .blobs = blobs, .fd = -1 };
	struct kc_ssh_exec exec = {
		.command = command, .feed = feed_blobs, .cookie = &s, .idle_ms = 300000
	};
	_cleanup_free_ char *what = xasprintf("send %zu blobs", json_array_size(blobs));
	int64_t since = kc_now_ms();
	int code = 0, r;

	if (json_array_size(blobs) == 0)
		return 0;
	r = kc_ssh_exec(host->ssh, &exec, &code, err);
	kc_closep(&s.fd);
	host_tell(h, task->id, what, since, code ? KC_EFAIL : r);
	if (r == 0 && code)
		r = host_last_words(host, "recv", code, err);
	return r < 0 ? kc_wrap(err, "sending %zu blobs", json_array_size(blobs)) : 0;
}

/* ---- peers; those with an underscore are under the lock ---- */

static bool has_all(const json_t *has, const json_t *wanted)
{
	const json_t *sha;
	size_t i;

	json_array_foreach((json_t *)wanted, i, sha)
		if (!kc_json_has_str(has, json_string_value(sha)))
			return false;
	return true;
}

static bool hopeless_(const struct kc_hosts *h)
{
	return h->peers.expected <= UPLOADS || (!h->peers.given && h->peers.refused >= REFUSALS);
}

/* The least busy one that has all of them; *ret_busy: all that have are busy. */
static struct kc_seed *find_seed_(struct kc_hosts *h, const json_t *blobs, bool *ret_busy)
{
	struct kc_seed *best = NULL;

	for (int i = 0; i < h->peers.n; i++) {
		struct kc_seed *s = &h->peers.seeds[i];

		if (!s->gone && has_all(s->blobs, blobs) && (!best || s->guests < best->guests))
			best = s;
	}
	*ret_busy = best && best->guests >= GUESTS;
	return *ret_busy ? NULL : best;
}

static void wait_a_little_(struct kc_hosts *h)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 100000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&h->peers.changed, &h->lock, &until);
}

static bool stopped(const struct kc_hosts *h)
{
	return h->cancel && atomic_load(h->cancel);
}

/* A peer to ask, with a place there taken; NULL: it is for us to send, counted as an upload. */
static struct kc_seed *take_turn(struct kc_hosts *h, const json_t *blobs)
{
	struct kc_seed *s = NULL;
	bool busy;

	pthread_mutex_lock(&h->lock);
	while (!stopped(h) && !hopeless_(h)) {
		s = find_seed_(h, blobs, &busy);
		if (s || (!busy && h->peers.uploads < UPLOADS))
			break;
		wait_a_little_(h);
	}
	if (s)
		s->guests++;
	else
		h->peers.uploads++;
	pthread_mutex_unlock(&h->lock);
	return s;
}

static int fetch(struct kc_host *host, const struct kc_task *task, const struct kc_seed *s,
		 const json_t *blobs)
{
	json_auto_t *answer = NULL, *question = NULL;
	struct kc_hosts *h = host->hosts;
	int64_t ms;

	pthread_mutex_lock(&h->lock);
	ms = h->peers.upload_ms + SPARE_MS;
	pthread_mutex_unlock(&h->lock);
	question = kc_pack("{s:s, s:i, s:s, s:I, s:O}", "address", s->address, "port", s->port,
			   "token", s->token, "ms", (json_int_t)ms, "blobs", blobs);

	return host_call(host, task, "fetch", question, &answer, NULL);
}

/* From now on it may give, too, as long as its session lasts. Without it nothing is lost. */
static void become_seed(struct kc_hosts *h, struct kc_host *host, const struct kc_task *task,
			const json_t *blobs)
{
	const char *address = json_string_value(kc_json_at(task->want, "node.address"));
	_cleanup_free_ char *mark = host_mark(), *command = NULL, *out = NULL, *words = NULL;
	struct kc_seed s = { .host = host };
	bool wanted;

	pthread_mutex_lock(&h->lock);
	wanted = !hopeless_(h) && h->peers.n < SEEDS_MAX;
	pthread_mutex_unlock(&h->lock);
	if (!wanted || !address)
		return;
	command = xasprintf("%s serve %s %s", host->agent, mark, address);
	if (kc_ssh_hold(host->ssh, command, mark, &out, NULL) < 0)
		return;
	words = host_words(out, mark);
	if (!words || sscanf(words, "%d %39s", &s.port, s.token) != 2 || s.port <= 0)
		return;
	s.address = xstrdup(address);
	s.blobs = json_deep_copy(blobs);
	pthread_mutex_lock(&h->lock);
	if (!h->peers.seeds)
		h->peers.seeds = xcalloc(SEEDS_MAX, sizeof(s));
	if (h->peers.n < SEEDS_MAX) {
		h->peers.seeds[h->peers.n++] = s;
		s.address = NULL;
	}
	pthread_cond_broadcast(&h->peers.changed);
	pthread_mutex_unlock(&h->lock);
	if (s.address) {
		free(s.address);
		json_decref(s.blobs);
	}
}

/* Did a peer give all of them? If not it is for us, from now on. */
static bool get_from(struct kc_hosts *h, struct kc_seed *s, struct kc_host *host,
		     const struct kc_task *task, const json_t *blobs)
{
	bool good = fetch(host, task, s, blobs) == 0;

	pthread_mutex_lock(&h->lock);
	s->guests--;
	h->peers.given += good;
	h->peers.refused += !good;
	h->peers.uploads += !good;
	pthread_cond_broadcast(&h->peers.changed);
	pthread_mutex_unlock(&h->lock);
	return good;
}

static int upload(struct kc_hosts *h, struct kc_host *host, const struct kc_task *task,
		  const json_t *blobs, struct kc_err *err)
{
	int64_t since = kc_now_ms(), took;
	int r = send_blobs(h, host, task, blobs, err);

	took = kc_now_ms() - since;
	pthread_mutex_lock(&h->lock);
	if (r == 0 && took > h->peers.upload_ms)
		h->peers.upload_ms = took;
	pthread_mutex_unlock(&h->lock);
	if (r == 0)
		become_seed(h, host, task, blobs);
	/* Now that it can give: who waits would else take the place before. */
	pthread_mutex_lock(&h->lock);
	h->peers.uploads--;
	pthread_cond_broadcast(&h->peers.changed);
	pthread_mutex_unlock(&h->lock);
	return r;
}

int host_bring_blobs(struct kc_hosts *h, struct kc_host *host, const struct kc_task *task,
		     const json_t *blobs, struct kc_err *err)
{
	struct kc_seed *s;

	if (json_array_size(blobs) == 0)
		return 0;
	s = take_turn(h, blobs);
	if (!s || !get_from(h, s, host, task, blobs))
		return upload(h, host, task, blobs, err);
	become_seed(h, host, task, blobs);
	return 0;
}

void host_seed_gone(struct kc_hosts *h, const struct kc_host *host)
{
	pthread_mutex_lock(&h->lock);
	for (int i = 0; i < h->peers.n; i++)
		h->peers.seeds[i].gone |= h->peers.seeds[i].host == host;
	pthread_mutex_unlock(&h->lock);
}

void host_seeds_free(struct kc_hosts *h)
{
	for (int i = 0; i < h->peers.n; i++) {
		free(h->peers.seeds[i].address);
		json_decref(h->peers.seeds[i].blobs);
	}
	free(TAKE(h->peers.seeds));
	h->peers.n = 0;
}
