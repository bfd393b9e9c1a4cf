/*
 * The first process of a pod: holds its namespaces, reaps orphans, ends on SIGTERM or SIGINT.
 * Compiled static into the image "pause" when a bundle is built.
 */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	sigset_t all;
	int sig;

	/* Everything is blocked and waited for: no handler, no race between two signals. */
	sigfillset(&all);
	if (sigprocmask(SIG_BLOCK, &all, NULL) < 0)
		return 1;
	for (;;) {
		if (sigwait(&all, &sig) != 0)
			continue;
		if (sig == SIGTERM || sig == SIGINT)
			return 0;
		if (sig == SIGCHLD)
			while (waitpid(-1, NULL, WNOHANG) > 0)
				;
	}
}
