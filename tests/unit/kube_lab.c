#include "tests/unit/kube_lab.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/crypto/pki.h"

static void must(int r, const struct kc_err *err)
{
	if (r == 0)
		return;
	fprintf(stderr, "%s\n", err->msg);
	abort();
}

static int free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&a, len) || getsockname(fd, (struct sockaddr *)&a, &len))
		abort();
	close(fd);
	return ntohs(a.sin_port);
}

static void put(const struct kube_lab *lab, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", lab->dir, name);
	struct kc_err err = { 0 };

	must(kc_file_write(path, text, strlen(text), 0600, &err), &err);
}

bool kube_lab_init(struct kube_lab *lab)
{
	static const char *const sans[] = { "127.0.0.1", "localhost", NULL };
	static const char *const masters[] = { "system:masters", NULL };
	const struct kc_cert_spec server = {
		.cn = "kube-apiserver", .sans = sans, .uses = KC_USE_SERVER, .seconds = 3600
	};
	const struct kc_cert_spec client = {
		.cn = "admin", .orgs = masters, .uses = KC_USE_CLIENT, .seconds = 3600
	};
	_cleanup_free_ char *cert = NULL, *key = NULL, *sa = NULL, *pub = NULL;
	struct kc_err err = { 0 };

	if (!getenv("KC_BUNDLE_BIN"))
		return false;
	*lab = (struct kube_lab){ .dir = "/tmp/kc-kube-XXXXXX" };
	if (!mkdtemp(lab->dir))
		abort();
	lab->port = free_port();
	must(kc_ca_new("lab", 3600, &lab->ca, &lab->ca_key, &err), &err);
	must(kc_cert_new(lab->ca, lab->ca_key, &server, &cert, &key, &err), &err);
	must(kc_cert_new(lab->ca, lab->ca_key, &client, &lab->cert, &lab->key, &err), &err);
	must(kc_key_new(&sa, &err), &err);
	must(kc_key_public(sa, &pub, &err), &err);
	put(lab, "ca", lab->ca);
	put(lab, "cert", cert);
	put(lab, "key", key);
	put(lab, "sa", sa);
	put(lab, "pub", pub);
	return true;
}

static pid_t run(const struct kube_lab *lab, const char *program, const char *name, char **argv)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", getenv("KC_BUNDLE_BIN"), program),
			    *log = xasprintf("%s/%s.log", lab->dir, name);
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves nothing behind */
	dup2(open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), 2);
	dup2(2, 1);
	argv[0] = (char *)name;
	execv(path, argv);
	_exit(127);
}

void kube_lab_start(struct kube_lab *lab)
{
	int clients = free_port(), peers = free_port();
	const char *d = lab->dir;
	char *etcd[] = {
		NULL,
		xasprintf("--data-dir=%s/etcd", d),
		xasprintf("--listen-client-urls=http://127.0.0.1:%d", clients),
		xasprintf("--advertise-client-urls=http://127.0.0.1:%d", clients),
		xasprintf("--listen-peer-urls=http://127.0.0.1:%d", peers),
		xasprintf("--initial-advertise-peer-urls=http://127.0.0.1:%d", peers),
		xasprintf("--initial-cluster=default=http://127.0.0.1:%d", peers),
		xstrdup("--unsafe-no-fsync"),
		NULL,
	};
	char *api[] = {
		NULL,
		xasprintf("--etcd-servers=http://127.0.0.1:%d", clients),
		xasprintf("--secure-port=%d", lab->port),
		xstrdup("--bind-address=127.0.0.1"),
		xasprintf("--tls-cert-file=%s/cert", d),
		xasprintf("--tls-private-key-file=%s/key", d),
		xasprintf("--client-ca-file=%s/ca", d),
		xstrdup("--service-account-issuer=https://kubernetes.default.svc"),
		xasprintf("--service-account-signing-key-file=%s/sa", d),
		xasprintf("--service-account-key-file=%s/pub", d),
		xstrdup("--authorization-mode=RBAC"),
		xstrdup("--service-cluster-ip-range=10.96.0.0/16"),
		/* No controller makes the account that this plug-in waits for. */
		xstrdup("--disable-admission-plugins=ServiceAccount"),
		xstrdup("--allow-privileged=true"),
		NULL,
	};

	lab->etcd = run(lab, "etcd", "etcd", etcd);
	lab->api = run(lab, "kube", "kube-apiserver", api);
	for (char **p = etcd + 1; *p; p++)
		free(*p);
	for (char **p = api + 1; *p; p++)
		free(*p);
}

void kube_lab_freeze(const struct kube_lab *lab)
{
	siginfo_t stopped;

	/* Until all of its threads have seen the signal, it may still answer. */
	if (kill(lab->etcd, SIGSTOP) < 0 ||
	    waitid(P_PID, (id_t)lab->etcd, &stopped, WSTOPPED | WNOWAIT) < 0)
		abort();
}

void kube_lab_thaw(const struct kube_lab *lab)
{
	if (kill(lab->etcd, SIGCONT) < 0)
		abort();
}

void kube_lab_stop(struct kube_lab *lab)
{
	if (lab->api > 0) {
		kill(lab->api, SIGKILL);
		waitpid(lab->api, NULL, 0);
		kill(lab->etcd, SIGKILL);
		waitpid(lab->etcd, NULL, 0);
	}
	kc_rm_rf(lab->dir, NULL);
	free(lab->ca);
	free(lab->ca_key);
	free(lab->cert);
	free(lab->key);
}

struct kc_kube_conf kube_lab_conf(const struct kube_lab *lab)
{
	return (struct kc_kube_conf){
		.server = xasprintf("https://127.0.0.1:%d", lab->port),
		.ca_pem = xstrdup(lab->ca),
		.cert_pem = xstrdup(lab->cert),
		.key_pem = xstrdup(lab->key),
	};
}
