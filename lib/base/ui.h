/*
 * Progress for people and machines, on standard error.
 *
 * One struct kc_ui a command. Engine threads report steps of tasks; the ui
 * shows them as its mode says and keeps the time of each phase:
 *
 *	tty	finished tasks scroll by, running ones are a live list below them,
 *		redrawn in place; never wider or higher than the terminal
 *	plain	one line a step, for logs
 *	json	one JSON object a line: {"time", "phase" | "task", "action", "event", ...}
 *
 * All functions may be called from any thread. Text is shown without control
 * characters, so that a host's output cannot steer the terminal. Results do
 * not belong here: they go to standard output, after kc_ui_pause().
 */
#ifndef KC_BASE_UI_H
#define KC_BASE_UI_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/mem.h"

enum kc_ui_mode { KC_UI_TTY, KC_UI_PLAIN, KC_UI_JSON, KC_UI_OFF };
enum kc_ui_step { KC_UI_START, KC_UI_PROGRESS, KC_UI_DONE, KC_UI_FAILED, KC_UI_WAIT };

struct kc_ui;

/* "auto" (tty when fd is a capable terminal), "tty", "plain", "json", "off". */
enum kc_ui_mode kc_ui_mode_of(const char *name, int fd);
/* Colour unless NO_COLOR is set (and not empty), off says so, or fd is no terminal. */
bool kc_ui_color(int fd, bool off);

struct kc_ui *kc_ui_new(int fd, enum kc_ui_mode mode, bool color);
/* Erases what is live, ends the last phase and frees. */
void kc_ui_free(struct kc_ui *ui);
KC_DEFINE_CLEANUP(struct kc_ui *, kc_ui_free)
#define _cleanup_ui_ _cleanup_(kc_ui_freep)

/* A phase begins and ends the one before it; NULL only ends. */
void kc_ui_phase(struct kc_ui *ui, const char *name);
/* A step of a task. text (may be NULL) is what it does, or why it failed. */
void kc_ui_task(struct kc_ui *ui, enum kc_ui_step step, const char *task, const char *action,
		const char *text, int64_t elapsed_ms);
/* Progress of a task that has tasks of its own: which, and what became of it ("start", "done", …)
 * after how long. The display says its name; JSON has it as {"child", "childEvent", "childMs"}. */
struct kc_ui_child {
	const char *id, *event;
	int64_t ms;
};
void kc_ui_child(struct kc_ui *ui, const char *task, const char *action,
		 const struct kc_ui_child *child, const char *text, int64_t elapsed_ms);
/* A line of its own. */
void kc_ui_note(struct kc_ui *ui, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Erase the live list until the next step: call before writing to the terminal elsewhere. */
void kc_ui_pause(struct kc_ui *ui);
/* The same, and whoever reports a step or more waits until kc_ui_resume(): for a question that
 * stands on the terminal. */
void kc_ui_hold(struct kc_ui *ui);
void kc_ui_resume(struct kc_ui *ui);

/* "plan 0.4 s, apply 9.1 s"; owned; "" before the first phase. */
char *kc_ui_timings(struct kc_ui *ui);
/* The n-th phase, or NULL behind the last. Borrowed until kc_ui_free(). */
const char *kc_ui_phase_at(struct kc_ui *ui, size_t n, int64_t *ret_ms);
/* "0.4 s", "1 min 02 s". */
void kc_ui_duration(int64_t ms, char out[32]);

#endif
