#include "lib/base/ui.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"

enum { MAX_PHASES = 32, REDRAW_MS = 100, NAME_MAX_LEN = 160, TEXT_MAX_LEN = 400 };

struct live {
	char name[NAME_MAX_LEN], action[24], text[TEXT_MAX_LEN];
	int64_t since;
};

struct kc_ui {
	int fd;
	enum kc_ui_mode mode;
	bool color, stop, paused;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t ticker;
	bool ticking;

	struct live *live;
	size_t nlive, cap, done, failed;
	int drawn; /* lines of the live list now on the terminal */
	struct phase {
		char name[48];
		int64_t begin, ms; /* ms < 0: running */
	} phases[MAX_PHASES];
	size_t nphases;
};

enum kc_ui_mode kc_ui_mode_of(const char *name, int fd)
{
	const char *term = getenv("TERM");

	if (streq(name, "tty"))
		return KC_UI_TTY;
	if (streq(name, "plain"))
		return KC_UI_PLAIN;
	if (streq(name, "json"))
		return KC_UI_JSON;
	if (streq(name, "off"))
		return KC_UI_OFF;
	return isatty(fd) && term && *term && !streq(term, "dumb") ? KC_UI_TTY : KC_UI_PLAIN;
}

bool kc_ui_color(int fd, bool off)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return !off && !(no && *no) && isatty(fd) && term && !streq(term, "dumb");
}

void kc_ui_duration(int64_t ms, char out[32])
{
	if (ms < 60000)
		snprintf(out, 32, "%lld.%lld s", (long long)(ms / 1000),
			 (long long)(ms % 1000 / 100));
	else
		snprintf(out, 32, "%lld min %02lld s", (long long)(ms / 60000),
			 (long long)(ms / 1000 % 60));
}

static void write_fd(const struct kc_ui *ui, const char *s, size_t n)
{
	while (n > 0) {
		ssize_t w = write(ui->fd, s, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return; /* nobody reads our progress: that is no reason to stop */
		s += w;
		n -= (size_t)w;
	}
}

static void flush(const struct kc_ui *ui, struct kc_buf *b)
{
	write_fd(ui, kc_buf_get(b), b->len);
}

/* ---- terminal ---- */

static void terminal_size(const struct kc_ui *ui, int *ret_rows, int *ret_cols)
{
	struct winsize ws = { 0 };

	*ret_rows = 24;
	*ret_cols = 80;
	if (ioctl(ui->fd, TIOCGWINSZ, &ws) < 0)
		return;
	if (ws.ws_row > 0)
		*ret_rows = ws.ws_row;
	if (ws.ws_col > 0)
		*ret_cols = ws.ws_col;
}

/* Bytes of s that fit in cols columns; a character beyond ASCII counts as one. */
static size_t fit(const char *s, int cols)
{
	size_t i = 0;

	for (int used = 0; s[i] && used < cols; used++) {
		i++;
		while (((unsigned char)s[i] & 0xc0) == 0x80)
			i++;
	}
	return i;
}

static void put_cut(struct kc_buf *b, const char *line, int cols)
{
	size_t n = fit(line, cols);

	if (line[n] && cols > 3) {
		kc_buf_putn(b, line, fit(line, cols - 3));
		kc_buf_puts(b, "...");
	} else {
		kc_buf_putn(b, line, n);
	}
}

static void erase(struct kc_ui *ui, struct kc_buf *b)
{
	if (ui->drawn > 0)
		kc_buf_printf(b, "\r\x1b[%dA\x1b[J", ui->drawn);
	ui->drawn = 0;
}

static void draw_line(const struct kc_ui *ui, struct kc_buf *b, const char *line, int cols)
{
	kc_buf_puts(b, ui->color ? "\x1b[2m" : "");
	put_cut(b, line, cols - 1);
	kc_buf_puts(b, ui->color ? "\x1b[0m\n" : "\n");
}

/* The live list: the phase, then the oldest running tasks as far as the terminal's height goes. */
static void draw(struct kc_ui *ui, struct kc_buf *b)
{
	const struct phase *p = ui->nphases ? &ui->phases[ui->nphases - 1] : NULL;
	char line[NAME_MAX_LEN + TEXT_MAX_LEN + 64], took[32];
	int64_t now = kc_now_ms();
	int rows, cols, room;

	if (ui->paused || !p || p->ms >= 0)
		return;
	terminal_size(ui, &rows, &cols);
	room = rows - 3 > 0 ? rows - 3 : 0; /* the phase, "and N more", and the cursor's line */
	kc_ui_duration(now - p->begin, took);
	snprintf(line, sizeof(line), "%s  %s  %zu running, %zu done%s", p->name, took, ui->nlive,
		 ui->done, ui->failed ? ", some failed" : "");
	draw_line(ui, b, line, cols);
	ui->drawn = 1;
	for (size_t i = 0; i < ui->nlive; i++) {
		const struct live *l = &ui->live[i];

		if ((int)i >= room) {
			snprintf(line, sizeof(line), "  ... and %zu more", ui->nlive - i);
			draw_line(ui, b, line, cols);
			ui->drawn++;
			break;
		}
		kc_ui_duration(now - l->since, took);
		snprintf(line, sizeof(line), "  %7s  %-7s %s%s%s", took, l->action, l->name,
			 *l->text ? ": " : "", l->text);
		draw_line(ui, b, line, cols);
		ui->drawn++;
	}
}

static void redraw(struct kc_ui *ui, struct kc_buf *b)
{
	draw(ui, b);
	flush(ui, b);
}

static void *tick(void *arg)
{
	struct kc_ui *ui = arg;

	pthread_mutex_lock(&ui->lock);
	while (!ui->stop) {
		_cleanup_buf_ struct kc_buf b = { 0 };
		int64_t until = kc_now_ms() + REDRAW_MS;
		struct timespec ts = { .tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000 };

		pthread_cond_timedwait(&ui->wake, &ui->lock, &ts);
		if (ui->stop || ui->paused)
			continue;
		erase(ui, &b);
		redraw(ui, &b);
	}
	pthread_mutex_unlock(&ui->lock);
	return NULL;
}

/* ---- lines ---- */

static const char *const step_names[] = {
	[KC_UI_START] = "start",   [KC_UI_PROGRESS] = "progress", [KC_UI_DONE] = "done",
	[KC_UI_FAILED] = "failed", [KC_UI_WAIT] = "wait",
};

/* A lasting line above the live list. mark's colour is an SGR number, 0: none. */
static void say(struct kc_ui *ui, int sgr, const char *line)
{
	_cleanup_buf_ struct kc_buf b = { 0 };

	if (ui->mode != KC_UI_TTY) {
		kc_buf_printf(&b, "%s\n", line);
		flush(ui, &b);
		return;
	}
	erase(ui, &b);
	if (ui->color && sgr)
		kc_buf_printf(&b, "\x1b[%dm%s\x1b[0m\n", sgr, line);
	else
		kc_buf_printf(&b, "%s\n", line);
	redraw(ui, &b);
}

static void say_json(struct kc_ui *ui, json_t *o)
{
	_cleanup_buf_ struct kc_buf b = { 0 };
	char *text;

	json_object_set_new(o, "time", json_real((double)kc_realtime_ms() / 1000));
	text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(13));
	json_decref(o);
	if (text)
		kc_buf_printf(&b, "%s\n", text);
	free(text);
	flush(ui, &b);
}

struct kc_ui *kc_ui_new(int fd, enum kc_ui_mode mode, bool color)
{
	struct kc_ui *ui = xcalloc(1, sizeof(*ui));
	pthread_condattr_t attr;

	ui->fd = fd;
	ui->mode = mode;
	ui->color = color;
	pthread_mutex_init(&ui->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ui->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (mode == KC_UI_TTY)
		ui->ticking = pthread_create(&ui->ticker, NULL, tick, ui) == 0;
	return ui;
}

static void end_phase(struct kc_ui *ui)
{
	struct phase *p = ui->nphases ? &ui->phases[ui->nphases - 1] : NULL;

	if (p && p->ms < 0)
		p->ms = kc_now_ms() - p->begin;
}

void kc_ui_free(struct kc_ui *ui)
{
	if (!ui)
		return;
	kc_ui_pause(ui);
	pthread_mutex_lock(&ui->lock);
	end_phase(ui);
	ui->stop = true;
	pthread_cond_signal(&ui->wake);
	pthread_mutex_unlock(&ui->lock);
	if (ui->ticking)
		pthread_join(ui->ticker, NULL);
	pthread_cond_destroy(&ui->wake);
	pthread_mutex_destroy(&ui->lock);
	free(ui->live);
	free(ui);
}

void kc_ui_phase(struct kc_ui *ui, const char *name)
{
	pthread_mutex_lock(&ui->lock);
	end_phase(ui);
	ui->nlive = ui->done = 0;
	ui->paused = false;
	if (name && ui->nphases < MAX_PHASES) {
		struct phase *p = &ui->phases[ui->nphases++];

		kc_clean(p->name, sizeof(p->name), name, '?');
		p->begin = kc_now_ms();
		p->ms = -1;
		if (ui->mode == KC_UI_PLAIN) {
			say(ui, 0, p->name);
		} else if (ui->mode == KC_UI_JSON) {
			say_json(ui, json_pack("{s:s, s:s}", "event", "phase", "phase", p->name));
		}
	}
	pthread_mutex_unlock(&ui->lock);
}

static struct live *find_live(struct kc_ui *ui, const char *name)
{
	for (size_t i = 0; i < ui->nlive; i++)
		if (streq(ui->live[i].name, name))
			return &ui->live[i];
	return NULL;
}

static struct live *add_live(struct kc_ui *ui, const char *name, const char *action, int64_t age)
{
	struct live *l;

	if (ui->nlive == ui->cap) {
		ui->cap = ui->cap ? 2 * ui->cap : 16;
		ui->live = xrealloc(ui->live, ui->cap * sizeof(*ui->live));
	}
	l = &ui->live[ui->nlive++];
	*l = (struct live){ .since = kc_now_ms() - age };
	snprintf(l->name, sizeof(l->name), "%s", name);
	kc_clean(l->action, sizeof(l->action), action, '?');
	return l;
}

static void drop_live(struct kc_ui *ui, struct live *l)
{
	size_t i = (size_t)(l - ui->live);

	memmove(l, l + 1, (ui->nlive - i - 1) * sizeof(*l));
	ui->nlive--;
}

/* Bring the live list up to date. Returns whether the step says anything new. */
static bool track(struct kc_ui *ui, enum kc_ui_step step, const char *name, const char *action,
		  const char *text, int64_t elapsed_ms)
{
	struct live *l = find_live(ui, name);
	bool news = true;

	if (step == KC_UI_DONE || step == KC_UI_FAILED) {
		ui->done += step == KC_UI_DONE;
		ui->failed += step == KC_UI_FAILED;
		if (l)
			drop_live(ui, l);
		return true;
	}
	if (!l)
		l = add_live(ui, name, action, elapsed_ms);
	else
		news = !streq(l->text, text);
	snprintf(l->text, sizeof(l->text), "%s", text);
	return news;
}

/* "  1.2 s  create  node/w1: text" for what is over, "start" etc. for the rest (plain mode). */
static void say_task(struct kc_ui *ui, enum kc_ui_step step, const char *name, const char *action,
		     const char *text, int64_t elapsed_ms)
{
	const char *word = step == KC_UI_FAILED ? "FAILED" : step == KC_UI_DONE ? action : "...";
	_cleanup_free_ char *line = NULL;
	char took[32];

	kc_ui_duration(elapsed_ms, took);
	line = xasprintf("  %7s  %-7s %s%s%s", took, word, name, *text ? ": " : "", text);
	say(ui, step == KC_UI_FAILED ? 31 : 0, line);
}

static void step_json(struct kc_ui *ui, enum kc_ui_step step, const char *name, const char *action,
		      const struct kc_ui_child *child, const char *text, int64_t elapsed_ms)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s*, s:I}", "event", step_names[step], "task", name,
			      "action", action, "text", *text ? text : NULL, "elapsedMs",
			      (json_int_t)elapsed_ms);
	char word[NAME_MAX_LEN];

	if (child) {
		kc_clean(word, sizeof(word), child->id, '?');
		json_object_set_new(o, "child", json_string(word));
		kc_clean(word, sizeof(word), child->event, '?');
		json_object_set_new(o, "childEvent", json_string(word));
		json_object_set_new(o, "childMs", json_integer((json_int_t)child->ms));
	}
	say_json(ui, o);
}

static void take_step(struct kc_ui *ui, enum kc_ui_step step, const char *task, const char *action,
		      const struct kc_ui_child *child, const char *text, int64_t elapsed_ms)
{
	char name[NAME_MAX_LEN], word[24], what[TEXT_MAX_LEN];
	bool over = step == KC_UI_DONE || step == KC_UI_FAILED, news;
	_cleanup_free_ char *both = NULL;

	if (child && ui->mode != KC_UI_JSON)
		text = both = xasprintf("%s%s%s", child->id, text ? ": " : "", text ? text : "");
	kc_clean(name, sizeof(name), task, '?');
	kc_clean(word, sizeof(word), action, '?');
	kc_clean(what, sizeof(what), text, '?');
	pthread_mutex_lock(&ui->lock);
	ui->paused = false;
	news = track(ui, step, name, word, what, elapsed_ms);
	if (ui->mode == KC_UI_JSON)
		step_json(ui, step, name, word, child, what, elapsed_ms);
	else if (over && ui->mode != KC_UI_OFF)
		say_task(ui, step, name, word, step == KC_UI_DONE ? "" : what, elapsed_ms);
	else if (ui->mode == KC_UI_PLAIN && news && *what)
		say_task(ui, step, name, word, what, elapsed_ms);
	pthread_mutex_unlock(&ui->lock);
}

void kc_ui_task(struct kc_ui *ui, enum kc_ui_step step, const char *task, const char *action,
		const char *text, int64_t elapsed_ms)
{
	take_step(ui, step, task, action, NULL, text, elapsed_ms);
}

void kc_ui_child(struct kc_ui *ui, const char *task, const char *action,
		 const struct kc_ui_child *child, const char *text, int64_t elapsed_ms)
{
	take_step(ui, KC_UI_PROGRESS, task, action, child, text, elapsed_ms);
}

void kc_ui_note(struct kc_ui *ui, const char *fmt, ...)
{
	char text[1024], line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	kc_clean(line, sizeof(line), text, '?');
	pthread_mutex_lock(&ui->lock);
	if (ui->mode == KC_UI_JSON)
		say_json(ui, json_pack("{s:s, s:s}", "event", "note", "text", line));
	else if (ui->mode != KC_UI_OFF)
		say(ui, 0, line);
	pthread_mutex_unlock(&ui->lock);
}

void kc_ui_hold(struct kc_ui *ui)
{
	_cleanup_buf_ struct kc_buf b = { 0 };

	pthread_mutex_lock(&ui->lock);
	ui->paused = true;
	erase(ui, &b);
	flush(ui, &b);
}

void kc_ui_resume(struct kc_ui *ui)
{
	pthread_mutex_unlock(&ui->lock);
}

void kc_ui_pause(struct kc_ui *ui)
{
	kc_ui_hold(ui);
	kc_ui_resume(ui);
}

/* ---- timings ---- */

const char *kc_ui_phase_at(struct kc_ui *ui, size_t n, int64_t *ret_ms)
{
	const char *name = NULL;

	pthread_mutex_lock(&ui->lock);
	if (n < ui->nphases) {
		const struct phase *p = &ui->phases[n];

		name = p->name;
		*ret_ms = p->ms < 0 ? kc_now_ms() - p->begin : p->ms;
	}
	pthread_mutex_unlock(&ui->lock);
	return name;
}

char *kc_ui_timings(struct kc_ui *ui)
{
	_cleanup_buf_ struct kc_buf b = { 0 };
	const char *name;
	int64_t ms;

	for (size_t i = 0; (name = kc_ui_phase_at(ui, i, &ms)) != NULL; i++) {
		char took[32];

		kc_ui_duration(ms, took);
		kc_buf_printf(&b, "%s%s %s", i ? ", " : "", name, took);
	}
	return b.len ? kc_buf_steal(&b) : xstrdup("");
}
