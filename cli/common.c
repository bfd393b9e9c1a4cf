/* What the verbs share: signals, the state's place, output. */
#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/base/tty.h"
#include "lib/codec/json.h"
#include "lib/codec/yaml.h"

static atomic_bool cancel;
static volatile sig_atomic_t interrupts, timed_out, only_looks;

static void on_interrupt(int sig)
{
	static const char first[] = "\nkubecdn: stopping cleanly: nothing new is started; press "
				    "Ctrl-C again to quit at once\n";
	int saved = errno;

	if (interrupts++) {
		kc_run_kill_all();
		kc_tty_restore();
		_exit(KC_EXIT_STOPPED);
	}
	atomic_store(&cancel, true);
	if (write(STDERR_FILENO, first, sizeof(first) - 1) < 0)
		errno = 0; /* nobody listens; stopping is what counts */
	errno = saved;
}

static void on_alarm(int sig)
{
	static const char over[] = "kubecdn: --timeout has passed\n";

	if (only_looks) {
		kc_run_kill_all();
		kc_tty_restore();
		if (write(STDERR_FILENO, over, sizeof(over) - 1) < 0)
			errno = 0; /* nobody listens */
		_exit(1);
	}
	timed_out = 1;
	atomic_store(&cancel, true);
}

static bool acts(const struct kc_args *args)
{
	return (kc_args_knows(args, "yes") && kc_args_bool(args, "yes")) ||
	       (kc_args_knows(args, "confirm") && kc_args_given(args, "confirm"));
}

int kc_cli_start(const struct kc_args *args, struct kc_err *err)
{
	struct sigaction interrupt = { .sa_handler = on_interrupt, .sa_flags = SA_RESTART };
	struct sigaction alarmed = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	const char *debug = kc_args_str(args, "debug");
	bool limited = !args->verb->endless || kc_args_given(args, "timeout");
	long timeout = limited ? kc_args_long(args, "timeout", 0) : 0;
	struct itimerval timer = { .it_value = { timeout / 1000, timeout % 1000 * 1000 } };

	only_looks = args->verb->looks && !acts(args);
	sigemptyset(&interrupt.sa_mask);
	sigemptyset(&alarmed.sa_mask);
	sigaction(SIGINT, &interrupt, NULL);
	sigaction(SIGTERM, &interrupt, NULL);
	sigaction(SIGALRM, &alarmed, NULL);
	if (timeout > 0)
		setitimer(ITIMER_REAL, &timer, NULL);
	if (debug && kc_log_enable(debug, err) < 0)
		return KC_EXIT_USAGE;
	return 0;
}

atomic_bool *kc_cli_cancel(void)
{
	return &cancel;
}

bool kc_cli_interrupted(void)
{
	return interrupts > 0;
}

bool kc_cli_timed_out(void)
{
	return timed_out;
}

int kc_cli_usage(struct kc_err *err, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	kc_fail(err, KC_EINVAL, "%s", text);
	return KC_EXIT_USAGE;
}

int kc_cli_state(const struct kc_args *args, char **ret, struct kc_err *err)
{
	const char *url = kc_args_str(args, "state"), *xdg = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");

	if (url)
		*ret = xstrdup(url);
	else if (xdg && xdg[0] == '/') /* relative ones are invalid (XDG Base Directory) */
		*ret = xasprintf("%s/kubecdn", xdg);
	else if (home && home[0] == '/')
		*ret = xasprintf("%s/.local/state/kubecdn", home);
	else
		return kc_fail(err, KC_EINVAL,
			       "no place for the state: neither --state, KUBECDN_STATE, "
			       "XDG_STATE_HOME nor HOME is set; pass --state DIR");
	return 0;
}

char *kc_cli_self_dir(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n < 0)
		return xstrdup(".");
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	return xstrdup(path);
}

struct kc_ui *kc_cli_ui(const struct kc_args *args)
{
	bool no_color = kc_args_bool(args, "no-color");

	return kc_ui_new(STDERR_FILENO, kc_ui_mode_of(kc_args_str(args, "progress"), STDERR_FILENO),
			 kc_ui_color(STDERR_FILENO, no_color));
}

bool kc_cli_color_stdout(const struct kc_args *args)
{
	return kc_ui_color(STDOUT_FILENO, kc_args_bool(args, "no-color"));
}

/* ---- output ---- */

bool kc_cli_wants_text(const struct kc_args *args)
{
	return streq(kc_args_str(args, "output"), "text");
}

int kc_cli_print(const struct kc_args *args, const json_t *v, struct kc_err *err)
{
	_cleanup_free_ char *text = NULL;

	if (streq(kc_args_str(args, "output"), "yaml"))
		text = kc_yaml_text(v);
	else
		text = json_dumps(v, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
	if (!text)
		return kc_fail(err, KC_EFAIL, "the result cannot be written as JSON");
	printf("%s%s", text, kc_endswith(text, "\n") ? "" : "\n");
	return 0;
}

char *kc_cli_cell(const json_t *v)
{
	_cleanup_buf_ struct kc_buf b = { 0 };
	const json_t *item;
	size_t i;

	if (json_is_string(v)) {
		kc_buf_puts(&b, json_string_value(v));
	} else if (json_is_array(v)) {
		json_array_foreach(v, i, item) {
			_cleanup_free_ char *cell = kc_cli_cell(item);

			kc_buf_printf(&b, "%s%s", i ? "," : "", cell);
		}
	} else if (v && !json_is_null(v)) {
		_cleanup_free_ char *text =
			json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));

		kc_buf_puts(&b, text ? text : "");
	}
	return b.len ? kc_buf_steal(&b) : xstrdup("-");
}

static void table_line(const json_t *row, const struct kc_column *columns, const size_t *widths)
{
	_cleanup_buf_ struct kc_buf line = { 0 };

	for (size_t c = 0; columns[c].title; c++) {
		_cleanup_free_ char *cell = row ? kc_cli_cell(kc_json_at(row, columns[c].path))
						: xstrdup(columns[c].title);

		if (columns[c + 1].title)
			kc_buf_printf(&line, "%-*s  ", (int)widths[c], cell);
		else
			kc_buf_puts(&line, cell);
	}
	puts(kc_buf_get(&line));
}

void kc_cli_table(const json_t *rows, const struct kc_column *columns)
{
	size_t widths[16] = { 0 }, i;
	const json_t *row;

	for (size_t c = 0; columns[c].title && c < ARRAY_SIZE(widths); c++) {
		widths[c] = strlen(columns[c].title);
		json_array_foreach(rows, i, row) {
			_cleanup_free_ char *cell = kc_cli_cell(kc_json_at(row, columns[c].path));

			if (strlen(cell) > widths[c])
				widths[c] = strlen(cell);
		}
	}
	table_line(NULL, columns, widths);
	json_array_foreach(rows, i, row)
		table_line(row, columns, widths);
}

int kc_cli_flush(struct kc_err *err)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	if (errno == EPIPE)
		return 0; /* the reader has seen enough */
	return kc_fail_errno(err, errno, "writing to standard output");
}
