/* Replays files, and all files of folders, given as arguments into a fuzz harness. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
	_cleanup_free_ char *text = NULL;
	struct kc_err err;
	uint8_t *exact;
	size_t len;

	if (kc_file_read(path, 16u << 20, &text, &len, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return -1;
	}
	/* An exact copy, so that a sanitizer sees the first byte read beyond the end. */
	exact = xmemdup(text, len);
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
	return 1;
}

static int replay(const char *path)
{
	struct dirent *e;
	struct stat st;
	int n = 0;
	DIR *dir;

	if (stat(path, &st) < 0) {
		perror(path);
		return -1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		_cleanup_free_ char *file = xasprintf("%s/%s", path, e->d_name);
		int r = e->d_name[0] == '.' ? 0 : replay_file(file);

		if (r < 0) {
			n = -1;
			break;
		}
		n += r;
	}
	if (dir)
		closedir(dir);
	return n;
}

int main(int argc, char **argv)
{
	int total = 0;

	for (int i = 1; i < argc; i++) {
		int n = replay(argv[i]);

		if (n < 0)
			return 1;
		total += n;
	}
	printf("%d inputs replayed\n", total);
	return total > 0 ? 0 : 1;
}
