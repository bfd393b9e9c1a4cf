#include "bootstrap/node/ports.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

/* The program that listens: the one whose open files hold the socket's inode. */
static void who_listens(unsigned long inode, char *out, size_t size)
{
	_cleanup_free_ char *want = xasprintf("socket:[%lu]", inode);
	DIR *procs = opendir("/proc");
	struct dirent *p, *e;

	snprintf(out, size, "another program");
	while (procs && (p = readdir(procs))) {
		_cleanup_free_ char *dir = xasprintf("/proc/%s/fd", p->d_name);
		DIR *fds = p->d_name[0] >= '1' && p->d_name[0] <= '9' ? opendir(dir) : NULL;

		while (fds && (e = readdir(fds))) {
			char target[64], exe[PATH_MAX];
			_cleanup_free_ char *link = xasprintf("/proc/%s/exe", p->d_name);
			ssize_t n = readlinkat(dirfd(fds), e->d_name, target, sizeof(target) - 1);

			if (n <= 0 || (target[n] = '\0', !streq(target, want)))
				continue;
			n = readlink(link, exe, sizeof(exe) - 1);
			if (n > 0)
				snprintf(out, size, "%.*s", (int)n, exe);
		}
		if (fds)
			closedir(fds);
	}
	if (procs)
		closedir(procs);
}

/* The first port of the list that /proc/net/tcp{,6} shows in LISTEN (0A, proc(5)). */
static bool listening(const char *table, const json_t *ports, long *ret_port,
		      unsigned long *ret_inode)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;

	if (kc_file_read(table, 64u << 20, &text, NULL, NULL) < 0 || !text)
		return false;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		unsigned port, state;
		const json_t *v;
		size_t i;

		if (sscanf(l, " %*d: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*d %*d %lu", &port,
			   &state, ret_inode) != 3 ||
		    state != 0x0a)
			continue;
		json_array_foreach((json_t *)ports, i, v)
			if (json_integer_value(v) == (json_int_t)port) {
				*ret_port = port;
				return true;
			}
	}
	return false;
}

bool kc_node_listener(const json_t *ports, long *ret_port, char *out, size_t size)
{
	static const char *const tables[] = { "/proc/net/tcp", "/proc/net/tcp6" };
	unsigned long inode;

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		if (listening(tables[i], ports, ret_port, &inode)) {
			who_listens(inode, out, size);
			return true;
		}
	return false;
}
