/* Progress: what a log, a machine and a terminal get to see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/base/ui.h"

/* What was written to a pipe, once its writer is closed. */
static char *drain(int fd)
{
	struct kc_buf b = { 0 };
	char chunk[4096];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		kc_buf_putn(&b, chunk, (size_t)n);
	close(fd);
	return kc_buf_steal(&b);
}

static const struct kc_ui_child child = { .id = "unit/\x1b"
						"a",
					  .event = "done",
					  .ms = 300 };

static void test_plain(void **state)
{
	_cleanup_free_ char *text = NULL, *timings = NULL;
	struct kc_ui *ui;
	int p[2];

	assert_int_equal(pipe(p), 0);
	ui = kc_ui_new(p[1], KC_UI_PLAIN, false);
	kc_ui_phase(ui, "apply");
	kc_ui_task(ui, KC_UI_START, "node/w1", "create", NULL, 0);
	kc_ui_task(ui, KC_UI_PROGRESS, "node/w1", "create", "uploading\n\x1b[2J37 MB\xc2\x9bx",
		   500);
	kc_ui_task(ui, KC_UI_PROGRESS, "node/w1", "create", "uploading\n\x1b[2J37 MB\xc2\x9bx",
		   600);
	kc_ui_child(ui, "node/w1", "create", &child, NULL, 900);
	kc_ui_task(ui, KC_UI_DONE, "node/w1", "create", NULL, 1234);
	kc_ui_task(ui, KC_UI_FAILED, "node/w2", "create", "no route", 61000);
	timings = kc_ui_timings(ui);
	kc_ui_free(ui);
	close(p[1]);
	text = drain(p[0]);
	assert_string_equal(text, "apply\n"
				  "    0.5 s  ...     node/w1: uploading ?[2J37 MB?x\n"
				  "    0.9 s  ...     node/w1: unit/?a\n"
				  "    1.2 s  create  node/w1\n"
				  "  1 min 01 s  FAILED  node/w2: no route\n");
	assert_string_equal(timings, "apply 0.0 s");
}

static void test_json(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct kc_ui *ui;
	char *save = NULL;
	int p[2], lines = 0;

	assert_int_equal(pipe(p), 0);
	ui = kc_ui_new(p[1], KC_UI_JSON, true);
	kc_ui_phase(ui, "plan");
	kc_ui_task(ui, KC_UI_FAILED, "a/\"b\"", "update", "why", 7);
	kc_ui_child(ui, "node/w1", "create", &child, "so", 900);
	kc_ui_note(ui, "n %d", 1);
	kc_ui_free(ui);
	close(p[1]);
	text = drain(p[0]);
	for (char *s = strtok_r(text, "\n", &save); s; s = strtok_r(NULL, "\n", &save), lines++) {
		json_auto_t *o = json_loads(s, 0, NULL);

		assert_non_null(o);
		assert_true(json_number_value(json_object_get(o, "time")) > 1e9);
		if (lines == 2) {
			assert_string_equal(json_string_value(json_object_get(o, "child")),
					    "unit/?a");
			assert_string_equal(json_string_value(json_object_get(o, "childEvent")),
					    "done");
			assert_int_equal(json_integer_value(json_object_get(o, "childMs")), 300);
			assert_string_equal(json_string_value(json_object_get(o, "text")), "so");
		}
		if (lines != 1)
			continue;
		assert_string_equal(json_string_value(json_object_get(o, "task")), "a/\"b\"");
		assert_string_equal(json_string_value(json_object_get(o, "event")), "failed");
		assert_string_equal(json_string_value(json_object_get(o, "text")), "why");
		assert_int_equal(json_integer_value(json_object_get(o, "elapsedMs")), 7);
	}
	assert_int_equal(lines, 4);
}

/* A terminal of 5 rows and 30 columns, as far as the ui uses one. */
struct screen {
	int row, col, rows_used; /* rows_used: the most that one erase goes back */
	int widest;
};

static void screen_feed(struct screen *s, const char *t)
{
	char verb;
	int n;

	while (*t) {
		if (sscanf(t, "\x1b[%d%c", &n, &verb) == 2 && verb == 'A') {
			if (n > s->rows_used)
				s->rows_used = n;
			t = strchr(t, 'A') + 1;
		} else if (*t == '\x1b') {
			t = strpbrk(t, "mJ") + 1;
		} else if (*t == '\n' || *t == '\r') {
			s->col = 0;
			t++;
		} else {
			s->col += ((unsigned char)*t & 0xc0) != 0x80;
			if (s->col > s->widest)
				s->widest = s->col;
			t++;
		}
	}
}

static void *read_master(void *arg)
{
	return drain(*(int *)arg);
}

static void test_tty(void **state)
{
	struct winsize ws = { .ws_row = 5, .ws_col = 30 };
	struct screen screen = { 0 };
	struct kc_ui *ui;
	pthread_t reader;
	void *text;
	int master, slave;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, &ws), 0);
	pthread_create(&reader, NULL, read_master, &master);
	ui = kc_ui_new(slave, KC_UI_TTY, true);
	kc_ui_phase(ui, "apply");
	for (int i = 0; i < 20; i++) {
		char name[64];

		snprintf(name, sizeof(name), "node/w%d-of-a-long-name-ü-that-goes-on-and-on", i);
		kc_ui_task(ui, KC_UI_START, name, "create", "text text text", 0);
	}
	kc_ui_task(ui, KC_UI_DONE, "x", "create", NULL, 100);
	kc_ui_pause(ui);
	kc_ui_free(ui);
	close(slave);
	pthread_join(reader, &text);
	screen_feed(&screen, text);
	assert_int_equal(screen.rows_used,
			 4); /* phase, two tasks, "and 18 more": the fifth is the cursor's */
	assert_true(screen.widest < 30);
	assert_non_null(strstr(text, "... and 18 more"));
	assert_non_null(strstr(text, "  0.1 s  create  x"));
	free(text);
}

static void *hammer(void *arg)
{
	for (int i = 0; i < 200; i++) {
		char name[32];

		snprintf(name, sizeof(name), "t/%d-%p", i, (void *)&name);
		kc_ui_task(arg, KC_UI_START, name, "create", NULL, 0);
		kc_ui_task(arg, KC_UI_DONE, name, "create", NULL, 1);
	}
	return NULL;
}

static void test_threads(void **state)
{
	_cleanup_free_ char *text = NULL;
	pthread_t reader, t[4];
	struct kc_ui *ui;
	void *out;
	int p[2], lines = 0;

	assert_int_equal(pipe(p), 0);
	pthread_create(&reader, NULL, read_master, &p[0]);
	ui = kc_ui_new(p[1], KC_UI_PLAIN, false);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, hammer, ui);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	kc_ui_free(ui);
	close(p[1]);
	pthread_join(reader, &out);
	text = out;
	for (const char *s = text; *s; s++)
		lines += *s == '\n';
	assert_int_equal(lines, 800);
}

/* A text that is too long ends with a whole character. */
static void test_cut(void **state)
{
	_cleanup_free_ char *text = NULL;
	char name[400] = "x";
	struct kc_ui *ui;
	int p[2];

	for (int i = 0; i < 120; i++)
		strcat(name, "\xc3\xbc");
	assert_int_equal(pipe(p), 0);
	ui = kc_ui_new(p[1], KC_UI_JSON, false);
	kc_ui_task(ui, KC_UI_DONE, name, "create", NULL, 0);
	kc_ui_free(ui);
	close(p[1]);
	text = drain(p[0]);
	assert_non_null(strstr(text, "\xc3\xbc\""));
}

static void test_choice(void **state)
{
	int p[2];

	assert_int_equal(pipe(p), 0);
	assert_int_equal(kc_ui_mode_of("auto", p[1]), KC_UI_PLAIN);
	assert_int_equal(kc_ui_mode_of("json", p[1]), KC_UI_JSON);
	assert_int_equal(kc_ui_mode_of("tty", p[1]), KC_UI_TTY);
	assert_false(kc_ui_color(p[1], false));
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),  cmocka_unit_test(test_json),
		cmocka_unit_test(test_tty),    cmocka_unit_test(test_threads),
		cmocka_unit_test(test_choice), cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
