#include "lib/base/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "lib/base/mem.h"

enum { LINE_MAX_LEN = 1024, LOOK_MS = 100 };

static struct termios before;
static volatile sig_atomic_t silent_fd = -1;

void kc_tty_restore(void)
{
	int fd = silent_fd;

	if (fd < 0)
		return;
	silent_fd = -1;
	tcsetattr(fd, TCSAFLUSH, &before);
}

static int silence(int fd, struct kc_err *err)
{
	struct termios quiet;

	if (tcgetattr(fd, &before) < 0)
		return kc_fail(err, KC_ENOTFOUND, "/dev/tty is no terminal");
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	quiet.c_lflag |= ICANON | ISIG;
	silent_fd = fd; /* first: a signal in between restores what is still so */
	if (tcsetattr(fd, TCSAFLUSH, &quiet) < 0) {
		silent_fd = -1;
		return kc_fail_errno(err, errno, "/dev/tty");
	}
	return 0;
}

static int read_line(int fd, const atomic_bool *cancel, char line[LINE_MAX_LEN], struct kc_err *err)
{
	ssize_t n;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (cancel && atomic_load(cancel))
			return kc_fail(err, KC_ECANCELED, "stopped at the question");
		if (poll(&p, 1, LOOK_MS) <= 0)
			continue;
		n = read(fd, line, LINE_MAX_LEN - 1);
		if (n >= 0 || (errno != EINTR && errno != EAGAIN))
			break;
	}
	if (n <= 0)
		return kc_fail(err, KC_ECANCELED, "no answer was given");
	line[n] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	return 0;
}

int kc_tty_secret(const char *prompt, const atomic_bool *cancel, char **ret, struct kc_err *err)
{
	_cleanup_close_ int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	char line[LINE_MAX_LEN];
	int r;

	if (fd < 0)
		return kc_fail(err, KC_ENOTFOUND, "there is no terminal");
	r = silence(fd, err);
	if (r < 0)
		return r;
	if (write(fd, prompt, strlen(prompt)) < 0)
		r = kc_fail_errno(err, errno, "/dev/tty");
	if (r == 0)
		r = read_line(fd, cancel, line, err);
	kc_tty_restore();
	if (write(fd, "\n", 1) < 0 && r == 0)
		r = kc_fail_errno(err, errno, "/dev/tty");
	if (r == 0)
		*ret = xstrdup(line);
	kc_wipe(line, sizeof(line));
	return r;
}
